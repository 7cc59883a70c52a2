//! What every adapter promises, as tests that any of them can be put through.
//!
//! Each function takes a fresh, empty adapter and panics with what was broken. The memory adapters
//! pass as the reference; the others must not differ in anything that a role can see.

#![expect(clippy::panic, clippy::expect_used, reason = "a broken promise ends the test")]

mod archive;
mod control;
mod log;
mod long;
mod store;

use ledgerline_domain::ids::EntityKey;
use ledgerline_domain::time::UnixNanos;
use ledgerline_domain::{Error, ErrorKind};

pub use archive::*;
pub use control::*;
pub use log::*;
pub use long::*;
pub use store::*;

const AT: UnixNanos = UnixNanos::from_nanos(1_790_000_000_000_000_000);

fn ok<T>(result: Result<T, Error>) -> T {
    result.unwrap_or_else(|error| panic!("failed to {error}"))
}

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    match result {
        Ok(value) => panic!("expected an error, got {value:?}"),
        Err(error) => error.kind(),
    }
}

/// The key of entity `id`.
pub fn key(source: &str, kind: &str, id: u32) -> EntityKey {
    ok(EntityKey::parse(&format!("{source}/{kind}/id_{id:04}")))
}
