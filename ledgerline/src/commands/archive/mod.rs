//! `archive …`: the archive itself, whatever it is about.

mod check;
mod compact;
mod manifests;

use ledgerline_replay::chain::Progress;

use crate::cli::ArchiveCommand;
use crate::exit::Outcome;
use crate::output::{self, Output};
use crate::settings::Loaded;

/// Runs the command.
pub async fn run(loaded: &Loaded, command: &ArchiveCommand, out: &mut Output) -> Outcome {
    match command {
        ArchiveCommand::Check { json } => check::run(loaded, *json, out).await,
        ArchiveCommand::Manifests(consent) => manifests::run(loaded, consent, out).await,
        ArchiveCommand::Compact(args) => compact::run(loaded, args, out).await,
    }
}

/// What shows how far a pass over the archive is.
fn progress(what: &str) -> (indicatif::ProgressBar, impl FnMut(Progress) + Send + use<>) {
    let bar = output::bar(what, Some(0));
    let shown = bar.clone();
    let tell = move |now: Progress| {
        shown.set_length(now.segments_total);
        shown.set_position(now.segments);
    };
    (bar, tell)
}
