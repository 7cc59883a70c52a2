//! One timer per connection and purpose, set anew for each request.
//!
//! A timer of tokio costs a lock when it is made and one when it is dropped. One that stays and is only
//! ever moved to a later time costs neither, so what every request has to wait for at most, its head and
//! its append, is timed by timers that live as long as the connection.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};
use tokio::time::{Sleep as TokioSleep, sleep_until};

/// See the module. Whoever set it last is the one who is woken.
#[derive(Clone, Default)]
pub(crate) struct Alarm(Arc<Mutex<Option<Pin<Box<TokioSleep>>>>>);

impl Alarm {
    /// Ready at `deadline`.
    pub(crate) fn until(&self, deadline: Instant) -> Deadline {
        Deadline { alarm: self.clone(), at: deadline, is_set: false }
    }

    /// The result of `future`, or nothing when it takes longer than `longest`.
    /// Who need not wait sets no timer.
    pub(crate) async fn limit<F: Future>(&self, longest: Duration, future: F) -> Option<F::Output> {
        let mut future = std::pin::pin!(future);
        let mut deadline = None;
        std::future::poll_fn(|context| {
            if let Poll::Ready(result) = future.as_mut().poll(context) {
                return Poll::Ready(Some(result));
            }
            let deadline = deadline.get_or_insert_with(|| self.until(Instant::now() + longest));
            ready!(Pin::new(deadline).poll(context));
            Poll::Ready(None)
        })
        .await
    }
}

/// Ready at its time; see [`Alarm::until`].
pub(crate) struct Deadline {
    alarm: Alarm,
    at: Instant,
    is_set: bool,
}

impl Future for Deadline {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let deadline = self.at.into();
        let is_set = std::mem::replace(&mut self.is_set, true);
        let mut timer = self.alarm.0.lock().unwrap_or_else(PoisonError::into_inner);
        let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if !is_set {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(context)
    }
}

impl Sleep for Deadline {}

/// The server's clock for heads: every sleep of a connection is of its one alarm.
impl Timer for Alarm {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(self.until(deadline))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[tokio::test]
    async fn it_can_be_set_again_and_again() {
        let alarm = Alarm::default();
        // Later, sooner, and after it was forgotten or had gone off.
        for wait in [30, 10, 20, 10] {
            drop(alarm.until(Instant::now() + millis(60_000)));
            let before = Instant::now();
            alarm.until(before + millis(wait)).await;
            assert!((millis(wait)..millis(5_000)).contains(&before.elapsed()), "{wait}: {:?}", before.elapsed());
        }
        alarm.until(Instant::now()).await;
    }

    #[tokio::test]
    async fn what_takes_too_long_is_given_up() {
        let alarm = Alarm::default();
        for _ in 0..3 {
            assert_eq!(alarm.limit(millis(10), std::future::pending::<()>()).await, None);
            assert_eq!(alarm.limit(millis(20_000), tokio::time::sleep(millis(5))).await, Some(()));
        }
    }
}
