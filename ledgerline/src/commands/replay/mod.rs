//! `replay …`: everything that is read from the archive.

mod adjustments;
mod close;
mod export;
mod generations;
mod rebuild;
mod redrive;
mod repair;
mod runs;
mod sink;
mod switch;
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
    // These fold with the provider files that the live generation is folded with; the others choose.
    let live = async || crate::generations::as_live(loaded).await;
    match command {
        ReplayCommand::Verify(args) => verify::run(&live().await?, args, out).await,
        ReplayCommand::Export(args) => export::run(&live().await?, args, out).await,
        ReplayCommand::Adjustments(args) => adjustments::run(&live().await?, args, out).await,
        ReplayCommand::Close(args) => close::run(&live().await?, args, out).await,
        ReplayCommand::Rebuild(args) => rebuild::run(loaded, args, out).await,
        ReplayCommand::Promote(args) => switch::promote(loaded, args, out).await,
        ReplayCommand::Rollback(args) => switch::rollback(loaded, args, out).await,
        ReplayCommand::Retire(args) => switch::retire(loaded, args, out).await,
        ReplayCommand::Generations { json } => generations::run(loaded, *json, out).await,
        ReplayCommand::Repair(args) => repair::run(loaded, args, out).await,
        ReplayCommand::Redrive(args) => redrive::run(loaded, args, out).await,
        ReplayCommand::Runs { limit, json } => runs::run(loaded, *limit, *json, out).await,
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
