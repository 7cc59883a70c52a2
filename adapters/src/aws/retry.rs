//! Repeating a call: bounded, with pauses that grow and differ from caller to caller.

use std::time::Duration;

use ledgerline_domain::{Error, ErrorKind, Result};
use tokio::time::Instant;

use super::failure::Failure;

/// How often and how long a call is repeated. Plain data.
#[derive(Clone, Copy, Debug)]
pub struct RetrySettings {
    /// Upper bound of the first pause; each later one is twice as long.
    pub pause_first: Duration,
    /// Upper bound of every pause.
    pub pause_longest: Duration,
    /// No new attempt begins after this; the caller gets [`ErrorKind::Retry`] then.
    pub give_up_after: Duration,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            pause_first: Duration::from_millis(25),
            pause_longest: Duration::from_secs(2),
            give_up_after: Duration::from_secs(20),
        }
    }
}

/// The attempts of one call.
pub(crate) struct Attempts {
    settings: RetrySettings,
    bound: Duration,
    deadline: Instant,
    /// Whether an earlier attempt may have been done although it seemed to fail.
    unsure: bool,
}

impl Attempts {
    /// Begins counting.
    pub fn new(settings: &RetrySettings) -> Self {
        let deadline = Instant::now() + settings.give_up_after;
        Self { settings: *settings, bound: settings.pause_first, deadline, unsure: false }
    }

    /// Whether what is found now may be the work of an earlier attempt of this call.
    pub fn may_have_done_it(&self) -> bool {
        self.unsure
    }

    /// Waits before the next attempt, or gives the error that the caller gets: at once when repeating does not
    /// help, [`ErrorKind::Retry`] when the time is up.
    pub async fn pause(&mut self, failure: Failure) -> Result<()> {
        if failure.error.kind() != ErrorKind::Retry {
            return Err(failure.error);
        }
        self.unsure |= failure.unsure;
        // Anything between nothing and the bound: callers that failed together come back apart.
        let pause = self.bound.mul_f64(rand::random::<f64>());
        self.bound = (self.bound * 2).min(self.settings.pause_longest);
        if Instant::now() + pause >= self.deadline {
            return Err(failure.error);
        }
        tracing::debug!(error = %failure.error, "a call to AWS is repeated");
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// Repeats `call` until it succeeds; for calls that may be repeated as they are.
pub(crate) async fn repeat<T, F>(settings: &RetrySettings, mut call: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut attempts = Attempts::new(settings);
    loop {
        match call().await {
            Ok(done) => return Ok(done),
            Err(failure) => attempts.pause(failure).await?,
        }
    }
}

/// A name that nobody else uses: 128 random bits as 32 hexadecimal digits.
pub(crate) fn unique() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Fails with [`ErrorKind::Retry`] when `work` takes longer.
pub(crate) async fn within<T>(limit: Duration, action: &str, work: impl Future<Output = T>) -> Result<T> {
    let late = |_| Error::retry(format!("{action}: no answer within {} ms", limit.as_millis()));
    tokio::time::timeout(limit, work).await.map_err(late)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: RetrySettings = RetrySettings {
        pause_first: Duration::from_millis(1),
        pause_longest: Duration::from_millis(4),
        give_up_after: Duration::from_millis(100),
    };

    #[tokio::test]
    async fn only_what_may_help_is_repeated() {
        let mut calls = 0;
        let done = repeat(&SETTINGS, || {
            calls += 1;
            let outcome = if calls < 4 { Err(Failure::unsure(Error::retry("x"))) } else { Ok(calls) };
            async move { outcome }
        });
        assert_eq!(done.await.unwrap(), 4);
        let mut calls = 0;
        let refused = repeat(&SETTINGS, || {
            calls += 1;
            async { Err::<(), _>(Failure::refused(Error::invalid("x"))) }
        });
        assert_eq!(refused.await.unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(calls, 1);
    }

    #[tokio::test]
    async fn it_gives_up_in_time() {
        let began = Instant::now();
        let endless = repeat(&SETTINGS, || async { Err::<(), _>(Failure::refused(Error::retry("x"))) });
        assert_eq!(endless.await.unwrap_err().kind(), ErrorKind::Retry);
        assert!(began.elapsed() < Duration::from_secs(5));
    }

    #[tokio::test]
    async fn a_call_without_an_answer_may_have_been_done() {
        let mut attempts = Attempts::new(&SETTINGS);
        attempts.pause(Failure::refused(Error::retry("x"))).await.unwrap();
        assert!(!attempts.may_have_done_it());
        attempts.pause(Failure::unsure(Error::retry("x"))).await.unwrap();
        attempts.pause(Failure::refused(Error::retry("x"))).await.unwrap();
        assert!(attempts.may_have_done_it(), "once is enough");
    }
}
