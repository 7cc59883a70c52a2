//! Failures on demand, as a network gives them. All are
//! [`ErrorKind::Retry`](ledgerline_domain::ErrorKind::Retry): the caller cannot tell which it was.

use std::sync::atomic::{AtomicU32, Ordering};

use ledgerline_domain::{Error, Result};

/// Counts down over the writing calls of one adapter.
#[derive(Debug, Default)]
pub struct Faults {
    refused: AtomicU32,
    lost: AtomicU32,
}

impl Faults {
    /// The next `calls` writes are refused; nothing of them is kept.
    pub fn refuse_next(&self, calls: u32) {
        self.refused.store(calls, Ordering::SeqCst);
    }

    /// The next `calls` writes that are not refused are done, and their answers are lost.
    pub fn lose_next(&self, calls: u32) {
        self.lost.store(calls, Ordering::SeqCst);
    }

    /// Asked before a write.
    pub(crate) fn before(&self, action: &str) -> Result<()> {
        if count_down(&self.refused) { Err(Error::retry(format!("{action}: refused on demand"))) } else { Ok(()) }
    }

    /// Asked after a write that succeeded.
    pub(crate) fn after(&self, action: &str) -> Result<()> {
        if count_down(&self.lost) { Err(Error::retry(format!("{action}: no answer came, on demand"))) } else { Ok(()) }
    }
}

fn count_down(counter: &AtomicU32) -> bool {
    counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}
