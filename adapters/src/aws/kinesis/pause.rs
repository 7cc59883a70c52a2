//! Pauses that double, with jitter: many that fail together must not come back together.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// The pause after `failures` in a row (from 1): up to `first`, doubled each time, at most `longest`; between
/// half of that and all of it, at random.
pub(crate) fn pause((first, longest): (Duration, Duration), failures: u32) -> Duration {
    let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let most = doubled.min(longest);
    most / 2 + (most / 2).mul_f64(fraction())
}

/// A random number from 0 up to 1; not for secrets. Each `RandomState` has keys of its own.
fn fraction() -> f64 {
    let bits = u32::try_from(RandomState::new().hash_one(0_u8) >> 32).unwrap_or_default();
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_and_stays_within() {
        let limits = (Duration::from_millis(50), Duration::from_secs(2));
        for (failures, most) in [(1, 50), (2, 100), (3, 200), (6, 1600), (7, 2000), (u32::MAX, 2000)] {
            let most = Duration::from_millis(most);
            let pauses: Vec<_> = (0..100).map(|_| pause(limits, failures)).collect();
            assert!(pauses.iter().all(|p| *p >= most / 2 && *p <= most), "{failures}");
            assert!(pauses.iter().any(|p| *p != pauses[0]), "not all the same");
        }
    }
}
