//! `replay adjustments`: what arrived after the close of a period, and what it changed.

use ledgerline_replay::export::{Cut, write_adjustments_csv, write_jsonl};
use ledgerline_replay::rebuild::rebuild;

use super::{check_whole, progress, until_error, write_rows};
use crate::cli::{AdjustmentsArgs, Format};
use crate::exit::{Exit, Outcome};
use crate::output::Output;
use crate::settings::Loaded;
use crate::times;
use crate::wiring::{self, Replay};

/// Runs the command.
pub async fn run(loaded: &Loaded, args: &AdjustmentsArgs, out: &mut Output) -> Outcome {
    let end = times::until("--period", &args.period)?;
    let closed_at = args.closed_at.as_deref().map(|text| times::until("--closed-at", text)).transpose()?;
    let cut = Cut { as_of: Some(end), known_at: Some(closed_at.unwrap_or(end)) };
    let reader = wiring::reader(&loaded.settings.data).await?;
    let (bar, mut tell) = progress("segments folded");
    let replay = Replay { loaded, secrets: None, shards: reader.format.log_shards };
    let rebuilt = rebuild(&*reader.archive, &replay.input(None), &mut tell).await?;
    bar.finish_and_clear();
    check_whole("find adjustments", &rebuilt)?;
    write_rows(args.out.as_deref(), out, |mut sink| {
        let mut failed = None;
        let rows = until_error(rebuilt.adjustments(cut), &mut failed);
        match args.format {
            Format::Jsonl => write_jsonl(rows, &mut sink)?,
            Format::Csv => write_adjustments_csv(rows, &mut sink)?,
        }
        Ok(failed.map_or(Ok(()), Err))
    })?;
    Ok(Exit::Ok)
}
