//! Replay: everything that is read from the archive.
//!
//! The fold is a pure function of the set of verified events, and the archive holds that set. So
//! replay is the live path with another source of events: [`verify`] folds the archive and compares
//! with the live state (I8), [`generation`] makes a new one, [`repair`] mends what differs, [`export`] folds
//! what was true at a time as known at a time, [`close`] signs a day off and proves it again,
//! [`adjustments`] finds what came after, [`chain`] checks that the archive is whole (I6), and [`check`]
//! looks at every object in it.
//!
//! Streams may split and merge their shards; [`lineage`] says what order that asks for.
//!
//! Memory is bounded: entity records beyond [`rebuild::Limits`] go to temporary files, which this crate
//! writes by itself ([ADR 15](../../docs/adr/0015-a-fold-of-more-than-fits-in-memory.md)). It uses threads of its own.
//!
//! Errors are those of the archive and the store; what is wrong *in* them is not an error but a
//! finding, named in the report.

pub mod adjustments;
pub mod chain;
pub mod check;
pub mod close;
pub mod compact;
pub mod export;
pub mod generation;
pub mod lineage;
pub mod lookup;
pub mod manifests;
pub mod parquet_export;
pub mod partition;
pub mod rebuild;
pub mod redrive;
pub mod repair;
pub mod report;
pub mod runs;
pub mod select;
pub mod selector;
pub mod totals;
pub mod verify;
pub mod within;

mod cold;
mod compare;
mod crew;
mod fetch;
mod histories;
mod narrow;
mod pass;
mod records;
mod spill;
mod spilled;
mod statements;
mod walk;
mod warm;

#[cfg(test)]
mod bounded_tests;
#[cfg(test)]
mod doubles;
#[cfg(test)]
mod tests;
