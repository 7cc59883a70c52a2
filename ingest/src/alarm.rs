//! One timer per connection, for all that its requests wait for.
//!
//! A timer of tokio costs a lock when it is made and one when it is dropped, and something whenever it is set.
//! What every request has to wait for at most, its head, its body and its append, is timed by a timer that lives as
//! long as the connection, and it is left alone as long as it goes off no later than it should: one that goes off too
//! early is set anew then, which is once per the shortest limit instead of once per request.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};
use tokio::task::unconstrained;
use tokio::time::{Sleep as TokioSleep, sleep_until};

/// See the module. Who asked last is the one who is woken: clones are for the parts of one task.
#[derive(Clone, Default)]
pub(crate) struct Alarm(Arc<Mutex<Option<Armed>>>);

/// A timer, and whom it wakes.
struct Armed {
    timer: Pin<Box<TokioSleep>>,
    waker: Waker,
}

impl Alarm {
    /// Ready at `deadline`.
    pub(crate) fn until(&self, deadline: Instant) -> Deadline {
        Deadline { alarm: self.clone(), at: deadline }
    }

    /// Polls for `at`. A timer that goes off before it and wakes the same task is not touched.
    fn poll_until(&self, at: Instant, context: &mut Context<'_>) -> Poll<()> {
        let at = at.into();
        let mut alarm = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let armed = match &mut *alarm {
            Some(armed) => {
                let early = armed.timer.deadline() <= at && !armed.timer.is_elapsed();
                if early && armed.waker.will_wake(context.waker()) {
                    return Poll::Pending;
                }
                armed.timer.as_mut().reset(at);
                armed.waker.clone_from(context.waker());
                armed
            }
            none => none.insert(Armed { timer: Box::pin(sleep_until(at)), waker: context.waker().clone() }),
        };
        // Past its share of the thread a task's timer would be asked in vain, and not be asked again above.
        pin!(unconstrained(armed.timer.as_mut())).poll(context)
    }

    /// The result of `future`, or nothing when it takes longer than `longest`.
    /// Who need not wait asks for no timer.
    pub(crate) fn limit<F: Future + Unpin>(&self, longest: Duration, future: F) -> Limit<'_, F> {
        Limit { alarm: self, longest, future, deadline: None }
    }
}

/// See [`Alarm::limit`].
pub(crate) struct Limit<'a, F> {
    alarm: &'a Alarm,
    longest: Duration,
    future: F,
    deadline: Option<Instant>,
}

impl<F: Future + Unpin> Future for Limit<'_, F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { alarm, longest, future, deadline } = self.get_mut();
        if let Poll::Ready(result) = Pin::new(future).poll(context) {
            return Poll::Ready(Some(result));
        }
        let deadline = *deadline.get_or_insert_with(|| Instant::now() + *longest);
        alarm.poll_until(deadline, context).map(|()| None)
    }
}

/// Ready at its time; see [`Alarm::until`].
pub(crate) struct Deadline {
    alarm: Alarm,
    at: Instant,
}

impl Future for Deadline {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.alarm.poll_until(self.at, context)
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
    use std::future::poll_fn;

    use futures_util::FutureExt as _;
    use tokio::task::coop::{consume_budget, has_budget_remaining};

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
    async fn a_timer_that_goes_off_too_early_is_set_anew_and_wakes_whoever_waits_now() {
        let alarm = Alarm::default();
        // Another task's, forgotten, which goes off first.
        let other = alarm.clone();
        let forgotten = async move { other.limit(millis(15), Box::pin(tokio::time::sleep(millis(1)))).await };
        assert_eq!(tokio::spawn(forgotten).await.unwrap(), Some(()));
        let before = Instant::now();
        alarm.until(before + millis(40)).await;
        assert!((millis(40)..millis(5_000)).contains(&before.elapsed()), "{:?}", before.elapsed());
        // One that went off while nobody waited is no answer to the next.
        alarm.until(Instant::now() + millis(1)).now_or_never();
        tokio::time::sleep(millis(10)).await;
        assert_eq!(alarm.limit(millis(20_000), Box::pin(tokio::time::sleep(millis(5)))).await, Some(()));
    }

    #[tokio::test]
    async fn a_task_that_used_up_its_share_of_the_thread_is_woken_too() {
        let greedy = poll_fn(|context| {
            while has_budget_remaining() {
                let _ = pin!(consume_budget()).poll(context);
            }
            Poll::<()>::Pending
        });
        let limited = tokio::spawn(async move { Alarm::default().limit(millis(20), greedy).await });
        assert_eq!(tokio::time::timeout(millis(10_000), limited).await.unwrap().unwrap(), None);
    }

    #[tokio::test]
    async fn what_takes_too_long_is_given_up() {
        let alarm = Alarm::default();
        for _ in 0..3 {
            assert_eq!(alarm.limit(millis(10), std::future::pending::<()>()).await, None);
            assert_eq!(alarm.limit(millis(20_000), Box::pin(tokio::time::sleep(millis(5)))).await, Some(()));
        }
    }
}
