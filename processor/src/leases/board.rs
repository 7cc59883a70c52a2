//! The leases as this worker last saw them, for whoever shows them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ledgerline_domain::lease::{Lease, Standing};
use ledgerline_domain::ports::HashRange;

/// One lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseView {
    /// The lease.
    pub lease: Lease,
    /// Whether somebody is at work.
    pub standing: Standing,
    /// How long it was seen unchanged.
    pub age: Duration,
}

/// The last look.
#[derive(Debug, Default)]
pub struct LeaseBoard(Mutex<(Vec<LeaseView>, Vec<HashRange>)>);

impl LeaseBoard {
    /// All leases, in the order of the shards.
    pub fn leases(&self) -> Vec<LeaseView> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Hash keys that no lease covers. One that stays is an alarm: new events there are read by nobody.
    pub fn holes(&self) -> Vec<HashRange> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    pub(super) fn set(&self, leases: Vec<LeaseView>, holes: Vec<HashRange>) {
        #[expect(clippy::cast_precision_loss, reason = "gauges of a few shards")]
        {
            let idle = leases.iter().filter(|view| view.standing != Standing::Fresh);
            let idle = idle.filter(|view| !view.lease.checkpoint.is_shard_end()).count();
            metrics::gauge!("ledgerline_leases_unheld").set(idle as f64);
            metrics::gauge!("ledgerline_leases_holes").set(holes.len() as f64);
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (leases, holes);
    }
}
