//! Replay: everything that is read from the archive.
//!
//! The fold is a pure function of the set of verified events, and the archive holds that set. So
//! replay is the live path with another source of events: [`verify`] folds the archive and compares
//! with the live state (I8), [`export`] folds what was true at a time as known at a time, [`close`] signs a
//! day off and proves it again, [`adjustments`] finds what came after, and [`chain`] checks that the archive
//! is whole (I6).
//!
//! Memory: the entity records of the whole archive in their stored form, one segment, and no bodies
//! beyond it.
//!
//! Errors are those of the archive and the store; what is wrong *in* them is not an error but a
//! finding, named in the report.

pub mod adjustments;
pub mod chain;
pub mod close;
pub mod export;
pub mod lookup;
pub mod manifests;
pub mod parquet_export;
pub mod rebuild;
pub mod report;
pub mod runs;
pub mod selector;
pub mod totals;
pub mod verify;
pub mod within;

mod cold;
mod compare;
mod histories;
mod walk;

#[cfg(test)]
mod doubles;
#[cfg(test)]
mod tests;
