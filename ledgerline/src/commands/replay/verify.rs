//! `replay verify`: the state is what the archive folds to, or what is not.

use std::collections::HashSet;
use std::time::Duration;

use ledgerline_domain::Error;
use ledgerline_domain::ids::{EntityKey, SourceName};
use ledgerline_replay::partition::Partition;
use ledgerline_replay::rebuild::Only;
use ledgerline_replay::report::Report;

use super::progress;
use crate::cli::VerifyArgs;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Output};
use crate::secrets::SourceSecrets;
use crate::settings::Loaded;
use crate::wiring::Reader;
use crate::words;

/// Most lines about one kind of finding that people get; JSON has more.
const LINES_MAX: usize = 20;

/// Runs the command.
pub async fn run(loaded: &Loaded, args: &VerifyArgs, out: &mut Output) -> Outcome {
    let reader = Reader::open(loaded).await?;
    let began = std::time::Instant::now();
    let secrets = if args.signatures { Some(SourceSecrets::read(loaded)?) } else { None };
    let meant = Meant::read(args)?;
    let only = |entity: &EntityKey| meant.holds(entity);
    let (bar, mut tell) = progress("segments folded");
    let replay = reader.replay(loaded, secrets.as_ref());
    let some = (!meant.is_all()).then_some(&only as Only<'_>);
    let report = replay.verify_only(&reader.archive, &reader.store, some, &mut tell).await?;
    bar.finish_and_clear();
    if args.json {
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

/// Which entities are compared. Conditions of one kind add up, kinds narrow each other.
struct Meant {
    sources: Vec<String>,
    entities: HashSet<EntityKey>,
    partition: Option<Partition>,
}

impl Meant {
    /// Of the arguments; wrong ones are refused with code 2.
    fn read(args: &VerifyArgs) -> Outcome<Self> {
        let sources = args.source.iter().map(|name| SourceName::new(name).map(|name| name.as_str().to_owned()));
        let entities = args.entity.iter().map(|text| EntityKey::parse(text));
        let wrong = |option: &str, e: Error| Failure::usage(format!("take {option}: failed to {e}"));
        Ok(Self {
            sources: sources.collect::<Result<_, _>>().map_err(|e| wrong("--source", e))?,
            entities: entities.collect::<Result<_, _>>().map_err(|e| wrong("--entity", e))?,
            partition: args.partition.as_deref().map(str::parse).transpose().map_err(|e| wrong("--partition", e))?,
        })
    }

    fn is_all(&self) -> bool {
        self.sources.is_empty() && self.entities.is_empty() && self.partition.is_none()
    }

    fn holds(&self, entity: &EntityKey) -> bool {
        (self.sources.is_empty() || self.sources.iter().any(|source| source == entity.source()))
            && (self.entities.is_empty() || self.entities.contains(entity))
            && self.partition.is_none_or(|partition| partition.holds(entity))
    }
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
        (counts.records - counts.skipped, "archived records folded again", true),
        (counts.skipped, "records of other entities, not folded", false),
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
        (report.not_compared, "other entities, not compared", false),
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
    if report.is_clean() && report.not_compared > 0 {
        let others = words::thousands(report.not_compared);
        return out.line(format!("✓ proved in {took}: what was asked for; {others} other entities were not compared"));
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
