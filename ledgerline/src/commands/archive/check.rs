//! `archive check`: is everything in the archive what was written?

use std::time::Duration;

use ledgerline_replay::check::{ArchiveReport, check};

use super::progress;
use crate::exit::{Exit, Outcome};
use crate::output::{self, Output};
use crate::settings::Loaded;
use crate::wiring::Reader;
use crate::words;

/// Most faults that people get; JSON has more.
const LINES_MAX: usize = 50;

/// Runs the command.
pub async fn run(loaded: &Loaded, json: bool, out: &mut Output) -> Outcome {
    let reader = Reader::open(loaded).await?;
    let began = std::time::Instant::now();
    let (bar, mut tell) = progress("segments read");
    let report = check(&*reader.archive, &mut tell).await?;
    bar.finish_and_clear();
    if json {
        out.json_pretty(&report)?;
    } else {
        print(&report, began.elapsed(), out)?;
    }
    Ok(if report.is_clean() { Exit::Ok } else { Exit::Drift })
}

/// What was found, for people.
fn print(report: &ArchiveReport, took: Duration, out: &mut Output) -> Outcome<()> {
    let mut table = output::table(&["stream", "shard", ">segments", ">records", ">bytes", "through"]);
    for stream in &report.streams {
        for chain in &stream.shards {
            table.add_row([
                stream.stream.clone(),
                chain.shard.to_string(),
                words::thousands(chain.segments),
                words::thousands(chain.records),
                words::thousands(chain.bytes),
                chain.through.as_ref().map(ToString::to_string).unwrap_or_default(),
            ]);
        }
    }
    out.table(&table, 0)?;
    out.gap()?;
    for stream in &report.streams {
        out.line(format!(
            "{}: {} ({} of a complete hour), {}",
            stream.stream,
            words::count(stream.manifests, "manifest", "manifests"),
            words::thousands(stream.hours_complete),
            words::count(stream.heads, "head", "heads"),
        ))?;
    }
    if report.compacted > 0 {
        let objects = words::count(report.compacted, "compacted object holds", "compacted objects hold");
        out.line(format!("{objects} what they replace, row for row"))?;
    }
    out.gap()?;
    print_faults(report, out)?;
    let took = words::duration(i64::try_from(took.as_nanos()).unwrap_or(i64::MAX));
    let objects = words::count(report.objects, "object", "objects");
    if report.is_clean() {
        return out.line(format!("✓ {objects} checked in {took}: the archive is whole"));
    }
    out.line(format!("✗ {objects} checked in {took}: the archive is not whole"))
}

fn print_faults(report: &ArchiveReport, out: &mut Output) -> Outcome<()> {
    if report.is_clean() {
        return Ok(());
    }
    out.line(format!("✗ {}:", words::count(report.faults_total, "fault", "faults")))?;
    for fault in report.faults.iter().take(LINES_MAX) {
        let place = fault.bytes.map(|bytes| format!(", {bytes}")).unwrap_or_default();
        out.bullet("•", &format!("{}{place}: {}", fault.key, fault.words))?;
        out.bullet(" ", &format!("→ {}", fault.fix))?;
    }
    let more = report.faults_total.saturating_sub(LINES_MAX as u64);
    if more > 0 {
        out.bullet("•", &format!("and {} more (see --json)", words::thousands(more)))?;
    }
    out.gap()
}
