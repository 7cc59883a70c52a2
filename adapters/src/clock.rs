//! The machine's clock: wall time in nanoseconds since the Unix epoch. It may jump; nothing here
//! orders by it.

use std::time::{SystemTime, UNIX_EPOCH};

use ledgerline_domain::ports::Clock;
use ledgerline_domain::time::UnixNanos;

/// Asks the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    /// Now; the epoch itself when the machine's clock stands before 1970, the end of the range
    /// after 2262.
    fn now(&self) -> UnixNanos {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixNanos::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }
}
