//! A future that runs to its end even when nobody waits for it any more.
//!
//! It runs in its caller's task, which costs no task of its own; when the caller is dropped half-way
//! (it waited long enough, or the server ends), the rest moves into a task of its own.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

/// See the module.
pub(crate) struct Detached<T: Send + 'static>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T: Send + 'static> Detached<T> {
    /// Wraps `future`. It begins when it is first polled, or dropped.
    pub(crate) fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Some(Box::pin(future)))
    }
}

impl<T: Send + 'static> Future for Detached<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(future) = self.0.as_mut() else { return Poll::Pending };
        let polled = future.as_mut().poll(context);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Detached<T> {
    fn drop(&mut self) {
        // Without a runtime the process is ending; what was not acknowledged may be lost then.
        if let (Some(future), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(future);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn it_gives_its_result_or_goes_on_alone() {
        assert_eq!(Detached::new(async { 7 }).await, 7);

        let (go, wait) = oneshot::channel::<()>();
        let (done, finished) = oneshot::channel::<()>();
        let slow = Detached::new(async move {
            wait.await.unwrap();
            done.send(()).unwrap();
        });
        assert!(tokio::time::timeout(Duration::from_millis(5), slow).await.is_err());
        go.send(()).unwrap();
        finished.await.unwrap();
    }
}
