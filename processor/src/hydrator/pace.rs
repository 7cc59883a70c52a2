//! How fast one source may be asked: turns at equal distances.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Gives turns, so many a second.
pub(super) struct Pace {
    distance: Duration,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        Self { distance: Duration::from_secs(1) / per_second.get(), next: Mutex::default() }
    }

    /// Ready when it is the caller's turn.
    pub(super) async fn turn(&self) {
        sleep_until(self.reserve(Instant::now())).await;
    }

    /// When the next turn is, for who asks at `now`.
    fn reserve(&self, now: Instant) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let at = next.map_or(now, |next| next.max(now));
        *next = Some(at + self.distance);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_come_at_equal_distances() {
        let pace = Pace::new(NonZeroU32::new(4).unwrap());
        let now = Instant::now();
        let turns: Vec<_> = (0..3).map(|_| (pace.reserve(now) - now).as_millis()).collect();
        assert_eq!(turns, [0, 250, 500]);
        // Turns that nobody took are not saved up.
        let later = now + Duration::from_secs(9);
        assert_eq!(pace.reserve(later), later);
    }
}
