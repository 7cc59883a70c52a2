//! `replay verify | export`: the archive folded again.

use std::time::Duration;

use ledgerline_domain::time::UnixNanos;
use ledgerline_domain::{Error, Result};
use ledgerline_replay::chain::Progress;
use ledgerline_replay::export::{Cut, Row, write_adjustments_csv, write_csv, write_jsonl};
use ledgerline_replay::rebuild::rebuild;
use ledgerline_replay::report::Report;

use crate::cli::{Format, ReplayCommand};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Output};
use crate::secrets::SourceSecrets;
use crate::settings::Loaded;
use crate::wiring::{self, Replay};
use crate::words;

/// Most lines about one kind of finding that people get; JSON has more.
const LINES_MAX: usize = 20;

/// Runs the command.
pub async fn run(loaded: &Loaded, command: &ReplayCommand, out: &mut Output) -> Outcome {
    match command {
        ReplayCommand::Verify { signatures, json } => verify(loaded, *signatures, *json, out).await,
        ReplayCommand::Export { as_of, known_at, adjustments, format } => {
            let cut = Cut { as_of: time("--as-of", as_of)?, known_at: time("--known-at", known_at)? };
            export(loaded, cut, *adjustments, *format, out).await
        }
    }
}

fn time(option: &str, text: &Option<String>) -> Outcome<Option<UnixNanos>> {
    let parse = |text: &String| {
        let fix = "write it as 2026-10-01T00:00:00Z";
        UnixNanos::parse_rfc3339(text).map_err(|e| Failure::usage(format!("read {option}: {e}; {fix}")))
    };
    text.as_ref().map(parse).transpose()
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

async fn verify(loaded: &Loaded, signatures: bool, json: bool, out: &mut Output) -> Outcome {
    let reader = wiring::reader(&loaded.settings.data).await?;
    let began = std::time::Instant::now();
    let secrets = if signatures { Some(SourceSecrets::read(loaded)?) } else { None };
    let (bar, mut tell) = progress("segments folded");
    let replay = Replay { loaded, secrets: secrets.as_ref(), shards: reader.format.log_shards };
    let report = replay.verify(&reader.archive, &reader.store, &mut tell).await?;
    bar.finish_and_clear();
    if json {
        out.json_pretty(&report)?;
    } else {
        print(&report, began.elapsed(), out)?;
    }
    Ok(match report.is_clean() {
        true if is_too_early(&report) => Exit::Busy,
        true => Exit::Ok,
        false => Exit::Drift,
    })
}

/// Whether there is live state and nothing in the archive to hold it against.
fn is_too_early(report: &Report) -> bool {
    report.is_clean() && report.entities == 0 && report.not_yet_archived > 0
}

/// What was found, for people.
fn print(report: &Report, took: Duration, out: &mut Output) -> Outcome<()> {
    let counts = &report.counts;
    let mut table = output::table(&[">", "what"]);
    for (count, what, always) in [
        (report.chain.segments(), "segments in the archive's chains", true),
        (counts.records, "archived records folded again", true),
        (counts.events, "events that count", true),
        (counts.duplicates, "further copies", true),
        (counts.contradictions, "contradictions", false),
        (counts.unreadable, "unreadable", false),
        (counts.originals, "originals of split requests", false),
        (report.entities, "entities", true),
        (report.equal, "equal to the live state, byte for byte", true),
        (report.ahead, "of them with events not archived yet, compared without those", false),
        (report.not_yet_archived, "entities not archived yet", false),
        (report.not_yet_folded, "entities not folded yet", false),
    ] {
        if always || count > 0 {
            table.add_row([words::thousands(count), what.to_owned()]);
        }
    }
    if let Some(signatures) = &report.signatures {
        table.add_row([words::thousands(signatures.good), "signatures that still fit".to_owned()]);
        if signatures.covered > 0 {
            table
                .add_row([words::thousands(signatures.covered), "covered by the original of their request".to_owned()]);
        }
    }
    out.table(&table, 0)?;
    out.gap()?;
    let chain = report.chain.faults.iter().map(|f| format!("{}: {}", f.key, f.words));
    findings(out, "faults of the archive", report.chain.faults_total, chain)?;
    let drift = report.drift.iter().map(|d| {
        let money: Vec<String> = d.money.iter().map(|m| m.in_words()).collect();
        format!("{}: {}", d.entity, d.words.iter().chain(&money).cloned().collect::<Vec<_>>().join("; "))
    });
    findings(out, "entities that differ from the archive", report.drift_total, drift)?;
    let missing = report.missing_in_live.iter().map(ToString::to_string);
    findings(out, "archived entities missing in the live state", report.missing_in_live_total, missing)?;
    let missing = report.missing_in_archive.iter().map(ToString::to_string);
    findings(out, "live entities missing in the archive", report.missing_in_archive_total, missing)?;
    if let Some(signatures) = &report.signatures {
        let bad = signatures.bad.iter().map(|b| format!("{}:{} about {}: {}", b.shard, b.sequence, b.entity, b.reason));
        findings(out, "signatures that do not fit", signatures.bad_total, bad)?;
    }
    if !report.money.is_empty() {
        out.line("What the differences come to:")?;
        for sum in &report.money {
            out.bullet("•", &sum.in_words())?;
        }
    }
    let took = words::duration(i64::try_from(took.as_nanos()).unwrap_or(i64::MAX));
    if is_too_early(report) {
        return out.line(format!(
            "– nothing to prove yet: none of {} entities is archived; the archiver writes once a record has waited \
             `segment_age_seconds_max`, and when the server stops",
            words::thousands(report.not_yet_archived)
        ));
    }
    if report.is_clean() && report.not_yet_archived > 0 {
        return out.line(format!(
            "✓ proved in {took}: what is archived folds to the state; {} newer entities were not compared",
            words::thousands(report.not_yet_archived)
        ));
    }
    if report.is_clean() {
        return out.line(format!("✓ proved in {took}: the state is what the signed originals fold to"));
    }
    out.line(format!("✗ not proved ({took}): drift or damage was found"))
}

fn findings(out: &mut Output, what: &str, total: u64, lines: impl Iterator<Item = String>) -> Outcome<()> {
    if total == 0 {
        return Ok(());
    }
    out.line(format!("✗ {} {what}:", words::thousands(total)))?;
    for line in lines.take(LINES_MAX) {
        out.bullet("•", &line)?;
    }
    let more = total.saturating_sub(LINES_MAX as u64);
    if more > 0 {
        out.bullet("•", &format!("and {} more (see --json)", words::thousands(more)))?;
    }
    out.gap()
}

async fn export(loaded: &Loaded, cut: Cut, adjustments: bool, format: Format, out: &mut Output) -> Outcome {
    let reader = wiring::reader(&loaded.settings.data).await?;
    let (bar, mut tell) = progress("segments folded");
    let replay = Replay { loaded, secrets: None, shards: reader.format.log_shards };
    let rebuilt = rebuild(&*reader.archive, &replay.input(None), &mut tell).await?;
    bar.finish_and_clear();
    if !rebuilt.chain.is_clean() {
        let first = rebuilt.chain.faults.first().map(|f| format!("{}: {}", f.key, f.words)).unwrap_or_default();
        return Err(Failure::new(
            Exit::Drift,
            format!("export: the archive is not whole ({first}); `ledgerline replay verify` names every fault"),
        ));
    }
    let mut failed = None;
    let mut sink = std::io::BufWriter::new(out.sink());
    let written = if adjustments {
        let rows = until_error(rebuilt.adjustments(cut), &mut failed);
        match format {
            Format::Jsonl => write_jsonl(rows, &mut sink),
            Format::Csv => write_adjustments_csv(rows, &mut sink),
        }
    } else {
        let rows = until_error(rebuilt.at(cut), &mut failed).map(|record| Row::of(&record));
        match format {
            Format::Jsonl => write_jsonl(rows, &mut sink),
            Format::Csv => write_csv(rows, &mut sink),
        }
    };
    let written = written.and_then(|()| std::io::Write::flush(&mut sink));
    if let Some(error) = failed {
        return Err(error.into());
    }
    written.map(|()| Exit::Ok).or_else(|error| output::ended(error).map(|()| Exit::Ok))
}

/// The items up to the first error, which is put aside.
fn until_error<T>(items: impl Iterator<Item = Result<T>>, failed: &mut Option<Error>) -> impl Iterator<Item = T> {
    items.map_while(|item| item.map_err(|error| *failed = Some(error)).ok())
}
