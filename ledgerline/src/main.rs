//! The program's entry; everything is in the library.

use std::process::ExitCode;

/// Records, envelopes and facts are many small pieces; measured in `docs/benchmarks.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ledgerline::main()
}
