//! `archive compact`: larger objects beside the segments.

use ledgerline_domain::segment::keys::hour_start;
use ledgerline_replay::compact::{self, CompactionPlan};
use serde_json::json;

use super::progress;
use crate::cli::CompactArgs;
use crate::consent::{self, Plan, Recorded};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::Output;
use crate::settings::Loaded;
use crate::times;
use crate::wiring::Reader;
use crate::words;

const HOUR_NANOS: i64 = 3_600_000_000_000;

/// Runs the command.
pub async fn run(loaded: &Loaded, args: &CompactArgs, out: &mut Output) -> Outcome {
    let consent = &args.consent;
    let wanted: Box<dyn Fn(&str) -> bool + Send + Sync> = match (&args.hour, &args.before) {
        (Some(hour), _) if hour_start(hour).is_none() => {
            return Err(Failure::usage(format!("read --hour {hour:?}: write it as 2026-11-24T13")));
        }
        (Some(hour), _) => {
            let hour = hour.clone();
            Box::new(move |of| of == hour)
        }
        (None, Some(before)) => {
            let before = times::from("--before", before)?;
            Box::new(move |of| hour_start(of).is_some_and(|start| before.since(start) >= HOUR_NANOS))
        }
        (None, None) => return Err(Failure::usage("choose what to compact: give --hour or --before")),
    };
    let reader = Reader::open(loaded).await?;
    let found = compact::plan(&*reader.archive, &reader.stream, wanted).await?;
    let plan = plan(&found);
    if found.runs.is_empty() {
        if consent.json {
            out.json(&json!({ "plan": plan }))?;
        } else {
            out.line(nothing(&found))?;
        }
        return Ok(Exit::Ok);
    }
    if !consent::ask(&plan, consent, out)? {
        return Ok(Exit::Ok);
    }
    let recorded = Recorded::begin(&*reader.archive, &reader.stream, &plan, consent).await?;
    let (bar, mut tell) = progress("segments compacted");
    let written = compact::write(&*reader.archive, &found, &mut tell).await.map_err(Failure::from);
    bar.finish_and_clear();
    let written = recorded.ended(written).await?;
    if consent.json {
        out.json(&json!({ "written": written }))?;
    } else {
        out.line(format!("✓ {} written", words::count(written, "compacted object", "compacted objects")))?;
    }
    Ok(Exit::Ok)
}

fn nothing(found: &CompactionPlan) -> String {
    match (found.hours, found.hours_incomplete) {
        (0, _) => "There is no such hour in the archive.".to_owned(),
        (_, 0) => "Everything of it is compacted already.".to_owned(),
        (_, open) => format!("Nothing to compact: {} not complete yet.", words::count(open, "hour is", "hours are")),
    }
}

fn plan(found: &CompactionPlan) -> Plan {
    let mut plan = Plan {
        command: "archive compact",
        title: "write the rows of segments into larger objects beside them".into(),
        ..Plan::default()
    };
    plan.figure(words::thousands(found.hours - found.hours_incomplete), "complete hours");
    plan.figure(words::thousands(found.segments()), "segments to read");
    plan.figure(words::thousands(found.bytes()), "bytes of them");
    plan.figure(words::thousands(found.records()), "records in them");
    plan.figure(words::thousands(found.runs.len() as u64), "objects to write");
    plan.change("The segments stay as they are.");
    if found.hours_incomplete > 0 {
        let open = words::count(found.hours_incomplete, "hour is", "hours are");
        plan.change(format!("{open} not complete yet and left out."));
    }
    let keys: Vec<&String> = found.runs.iter().map(|run| &run.key).collect();
    plan.data =
        json!({ "segments": found.segments(), "bytes": found.bytes(), "records": found.records(), "objects": keys });
    plan
}
