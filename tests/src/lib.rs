//! What the tests and benchmarks share: a whole service in this process, bodies, fixtures, limits,
//! conformance suites.

pub mod alone;
#[cfg(feature = "aws")]
pub mod aws;
pub mod bare_parquet;
pub mod bodies;
pub mod child;
#[cfg(feature = "otlp")]
pub mod collector;
pub mod conformance;
pub mod fixtures;
pub mod limits;
pub mod payloads;
pub mod permute;
pub mod plain_model;
pub mod sealed;
pub mod stack;
pub mod traffic;
pub mod vault;
