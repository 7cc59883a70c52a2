//! The door over real HTTP on a loopback port, with a log in memory that can be made to fail.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod answers;
mod bounds;
mod closing;
mod handshake;
mod key_coming;
mod meters;
mod support;
mod traces;
