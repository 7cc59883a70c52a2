//! The ports in memory: the reference that the durable adapters are compared with, for tests.
//!
//! Everything is kept in its stored form, so that what cannot be written or read back shows here
//! too. [`Faults`] make a call fail as a network would: refused, or done and its answer lost.

mod archive;
mod faults;
mod leases;
mod log;
mod store;

pub use archive::MemoryArchive;
pub use faults::Faults;
pub use leases::MemoryLeases;
pub use log::MemoryLog;
pub use store::MemoryStore;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A lock that outlives a panicking test thread.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
