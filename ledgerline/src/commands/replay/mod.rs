//! `replay …`: everything that is read from the archive.

mod adjustments;
mod close;
mod export;
mod runs;
mod sink;
mod verify;

use ledgerline_domain::Result;
use ledgerline_domain::ids::EntityKey;
use ledgerline_replay::chain::Progress;
use ledgerline_replay::rebuild::Rebuilt;
use ledgerline_replay::selector::{Selector, TimeOf};

use crate::cli::{self, ReplayCommand, SelectorArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Output};
use crate::settings::Loaded;
use crate::times;

/// Runs the command.
pub async fn run(loaded: &Loaded, command: &ReplayCommand, out: &mut Output) -> Outcome {
    match command {
        ReplayCommand::Verify(args) => verify::run(loaded, args, out).await,
        ReplayCommand::Export(args) => export::run(loaded, args, out).await,
        ReplayCommand::Adjustments(args) => adjustments::run(loaded, args, out).await,
        ReplayCommand::Close(args) => close::run(loaded, args, out).await,
        ReplayCommand::Runs { limit, json } => runs::run(loaded, *limit, *json, out).await,
        _ => Err(Failure::new(Exit::Refused, "run the command: it is being built")),
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

/// Refuses to go on from an archive that is not whole.
fn check_whole(what: &str, rebuilt: &Rebuilt) -> Outcome<()> {
    if rebuilt.chain.is_clean() {
        return Ok(());
    }
    let first = rebuilt.chain.faults.first().map(|f| format!("{}: {}", f.key, f.words)).unwrap_or_default();
    Err(Failure::new(
        Exit::Drift,
        format!("{what}: the archive is not whole ({first}); `ledgerline replay verify` names every fault"),
    ))
}

/// What the arguments select; wrong ones are refused with code 2.
#[expect(dead_code, reason = "the commands that select come next")]
fn selector(args: &SelectorArgs) -> Outcome<Selector> {
    let from = args.from.as_deref().map(|text| times::from("--from", text)).transpose()?;
    let to = args.to.as_deref().map(|text| times::from("--to", text)).transpose()?;
    if let (Some(a), Some(b)) = (from, to)
        && a >= b
    {
        return Err(Failure::usage(format!("select events from {a} until before {b}: give --to a later time")));
    }
    let entities = args.entity.iter().map(|text| EntityKey::parse(text)).collect::<Result<_>>()?;
    let by = match args.by {
        cli::TimeOf::Arrival => TimeOf::Arrival,
        cli::TimeOf::Occurred => TimeOf::Occurred,
    };
    Ok(Selector { from, to, by, sources: args.source.clone(), entities, types: args.event_type.clone() })
}
