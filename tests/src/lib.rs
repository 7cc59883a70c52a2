//! What the tests and benchmarks share: bodies, fixtures, limits, conformance suites.

pub mod bodies;
pub mod fixtures;
pub mod limits;
pub mod sealed;
