//! The program's entry; everything is in the library.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: ledgerline::Allocator = ledgerline::Allocator;

fn main() -> ExitCode {
    ledgerline::main()
}
