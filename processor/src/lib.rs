//! Shard readers behind the log: [`apply`] folds events into entity records, `archiver` chains the
//! signed originals into the archive, `leases` share the shards out among workers, `hydrator` fetches what thin notifications are about. Readers with
//! progress of their own: a bug in the fold cannot stop the archiving.

mod ancestors;
pub mod apply;
pub mod archiver;
pub mod cache;
pub mod fold_batch;
pub mod hydrator;
pub mod leases;
mod telling;
