//! `replay runs`: the audit log.

use ledgerline_replay::runs::{self, RunStatus};

use crate::exit::{Exit, Outcome};
use crate::output::{self, Output};
use crate::settings::Loaded;
use crate::wiring::Reader;

/// Runs the command.
pub async fn run(loaded: &Loaded, limit: u32, json: bool, out: &mut Output) -> Outcome {
    let reader = Reader::open(loaded).await?;
    let found = runs::newest(&*reader.archive, &reader.stream, usize::try_from(limit).unwrap_or(usize::MAX)).await?;
    let mut exit = Exit::Ok;
    let mut table = output::table(&["run", "by", "what became of it", "why"]);
    for run in found {
        match run {
            Ok(run) if json => out.json(&run)?,
            Ok(run) => {
                let status = match run.status {
                    RunStatus::Begun => "begun, no end noted",
                    RunStatus::Done => "done",
                    RunStatus::Interrupted => "interrupted; can be resumed",
                    RunStatus::Failed => "failed",
                };
                let why = run.reason.unwrap_or_default();
                table.add_row([run.id, run.by, status.to_owned(), why]);
            }
            Err(error) => {
                output::note(format!("ledgerline: failed to {error}"));
                exit = Exit::Drift;
            }
        }
    }
    if json {
        return Ok(exit);
    }
    if table.row_count() == 0 {
        out.line("No run is written down: nothing but reading was done with `replay`.")?;
    } else {
        out.table(&table, 0)?;
    }
    Ok(exit)
}
