//! The program: settings, wiring and the command line. The only crate that joins roles to adapters.
//!
//! [`main`] is the whole program; the parts are public for tests.

// The SDK's types lie deep in each other.
#![recursion_limit = "256"]

#[cfg(feature = "aws")]
pub mod aws_secrets;
pub mod certificates;
pub mod cli;
pub mod client;
pub mod commands;
pub mod consent;
mod daybook;
pub mod demo;
pub mod emf;
pub mod examine;
pub mod exit;
pub mod explain;
pub mod fetched_certificates;
pub mod fetched_keys;
pub mod generations;
pub mod housekeeping;
pub mod keys;
#[cfg(feature = "aws")]
pub mod lambda;
pub mod latency;
#[cfg(feature = "aws")]
mod leased;
pub mod output;
pub mod payments;
pub mod place;
pub mod redrives;
pub mod release;
pub mod replaying;
pub mod requests;
pub mod secret_ref;
pub mod secrets;
pub mod sender;
pub mod settings;
pub mod task;
pub mod telemetry;
pub mod timeline;
pub mod times;
pub mod traces;
pub mod wiring;
pub mod words;

/// The allocator of the program's binaries: threads hand each other much here, for which it takes a tenth less of the
/// processor than the system's (ADR 34).
pub use mimalloc::MiMalloc as Allocator;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;

use cli::{Cli, Command};
use exit::{Exit, Failure, Outcome};
use output::Output;

/// How long a thread for blocking work waits for more of it. They are given work in turns, and each keeps what it allocated
/// last: with tokio's ten seconds a dozen of them stay, and with them some 40 MB.
const IDLE_THREAD: Duration = Duration::from_millis(20);

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    // Ends the process itself, with code 2 for wrong arguments and 0 for help.
    let cli = Cli::parse();
    match start(cli) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            if !failure.message.is_empty() {
                output::note(format!("ledgerline: failed to {failure}"));
            }
            failure.exit.into()
        }
    }
}

fn start(cli: Cli) -> Outcome<Exit> {
    let default = match &cli.command {
        None | Some(Command::Serve(_)) => "info",
        #[cfg(feature = "aws")]
        Some(Command::Lambda) => "info",
        Some(Command::Demo(_)) => "error",
        Some(_) => "warn",
    };
    telemetry::log(cli.log.as_deref(), default)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_keep_alive(IDLE_THREAD)
        .build()
        .map_err(|e| Failure::failed(format!("start the async runtime: {e}")))?;
    runtime.block_on(commands::run(cli, &mut Output::stdout()))
}
