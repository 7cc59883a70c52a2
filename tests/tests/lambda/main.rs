//! The processor as a Lambda function: a small Lambda in this process runs the program in environments that are
//! killed, frozen and started at any time, behind a mapping that keeps AWS's promises and no others.
//!
//! `LEDGERLINE_TEST_SECONDS` says for how long; the default is short enough for every run of the tests.

#![expect(clippy::expect_used, reason = "a broken promise ends the test")]

mod mapped;
mod on_demand;
mod starts;

/// The program.
const PROGRAM: &str = env!("CARGO_BIN_EXE_ledgerline-under-test");
