//! `replay export`: the state as it was at a time, as known at a time.

use ledgerline_replay::export::{Cut, Row, write_csv, write_jsonl};
use ledgerline_replay::rebuild::rebuild;

use super::{check_whole, progress, until_error, write_rows};
use crate::cli::{ExportArgs, Format};
use crate::exit::{Exit, Outcome};
use crate::output::Output;
use crate::settings::Loaded;
use crate::times;
use crate::wiring::{self, Replay};

/// Runs the command.
pub async fn run(loaded: &Loaded, args: &ExportArgs, out: &mut Output) -> Outcome {
    let cut = Cut {
        as_of: args.as_of.as_deref().map(|text| times::until("--as-of", text)).transpose()?,
        known_at: args.known_at.as_deref().map(|text| times::until("--known-at", text)).transpose()?,
    };
    let reader = wiring::reader(&loaded.settings.data).await?;
    let (bar, mut tell) = progress("segments folded");
    let replay = Replay { loaded, secrets: None, shards: reader.format.log_shards };
    let rebuilt = rebuild(&*reader.archive, &replay.input(None), &mut tell).await?;
    bar.finish_and_clear();
    check_whole("export", &rebuilt)?;
    write_rows(args.out.as_deref(), out, |mut sink| {
        let mut failed = None;
        let rows = until_error(rebuilt.at(cut), &mut failed).map(|record| Row::of(&record));
        match args.format {
            Format::Jsonl => write_jsonl(rows, &mut sink)?,
            Format::Csv => write_csv(rows, &mut sink)?,
        }
        Ok(failed.map_or(Ok(()), Err))
    })?;
    Ok(Exit::Ok)
}
