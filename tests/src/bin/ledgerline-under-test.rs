//! The program as the tests start it: the same library as the `ledgerline` binary, in this package so
//! that the tests know where it is.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: ledgerline::Allocator = ledgerline::Allocator;

fn main() -> ExitCode {
    ledgerline::main()
}
