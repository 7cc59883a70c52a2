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
        let at = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let at = next.map_or(now, |next| next.max(now));
            *next = Some(at + self.distance);
            at
        };
        sleep_until(at).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_come_at_equal_distances() {
        let pace = Pace::new(NonZeroU32::new(4).unwrap());
        let began = Instant::now();
        for _ in 0..9 {
            pace.turn().await;
        }
        assert_eq!(began.elapsed().as_millis() / 10, 200);
    }
}
