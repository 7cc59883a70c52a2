//! A role at work, which can be stopped or killed.

use std::future::Future;

use ledgerline_domain::Result;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::exit::{Failure, Outcome};

/// A role at work.
pub struct Task {
    /// Its name, for messages.
    pub name: &'static str,
    stop: watch::Sender<bool>,
    handle: JoinHandle<Result<()>>,
}

impl Task {
    /// Starts a role; it must end soon after the watch becomes true.
    pub fn spawn<F>(name: &'static str, run: impl FnOnce(watch::Receiver<bool>) -> F) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let (stop, stopped) = watch::channel(false);
        Self { name, stop, handle: tokio::spawn(run(stopped)) }
    }

    /// Waits until it ends by itself, which only an error makes it do.
    pub async fn ended(&mut self) -> Outcome<()> {
        match (&mut self.handle).await {
            Ok(result) => Ok(result?),
            Err(error) => Err(Failure::failed(format!("run the {}: {error}", self.name))),
        }
    }

    /// Whether it ended, by itself or killed.
    pub fn has_ended(&self) -> bool {
        self.handle.is_finished()
    }

    /// Asks it to finish what it has in hand, and waits.
    pub async fn stop(mut self) -> Outcome<()> {
        self.stop.send_replace(true);
        self.ended().await
    }

    /// Has it end at once, without waiting.
    pub fn abort(&self) {
        self.handle.abort();
    }

    /// Ends it at once, wherever it is, as a crash would.
    pub async fn kill(mut self) {
        self.handle.abort();
        let _ = (&mut self.handle).await;
    }
}

/// Ready when the watch becomes true.
pub async fn wait_for(mut stop: watch::Receiver<bool>) {
    // An error means that the sender is gone: nobody is left to wait for.
    let _ = stop.wait_for(|stop| *stop).await;
}
