//! Where leases are kept.

use std::future::Future;

use crate::error::Result;

use super::Lease;

/// What a conditional write of a lease found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseWrite {
    /// It was written.
    Done,
    /// Another write came first; this stands there, or nothing. [`judge_refused`](super::judge_refused) tells
    /// whether that was an earlier attempt of the same write.
    Refused(Option<Lease>),
}

/// A table of leases. Every write is conditional, so that any number of workers may decide at once.
pub trait Leases: Send + Sync + 'static {
    /// All leases, in the order of their shards, as they stand now (no older state).
    fn all(&self) -> impl Future<Output = Result<Vec<Lease>>> + Send;

    /// Makes a lease if its shard has none; false when it has.
    fn create(&self, lease: &Lease) -> impl Future<Output = Result<bool>> + Send;

    /// Writes a lease if the stored counter is one less than its own.
    fn write(&self, lease: &Lease) -> impl Future<Output = Result<LeaseWrite>> + Send;

    /// Deletes a lease if the stored counter is its own.
    fn remove(&self, lease: &Lease) -> impl Future<Output = Result<()>> + Send;
}
