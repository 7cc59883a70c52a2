//! `replay rebuild`: folds the archive into a new generation beside the live one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ledgerline_adapters::embedded::{Generation, GenerationStatus};
use ledgerline_domain::ids::{EntityKey, SourceName};
use ledgerline_domain::ports::Clock as _;
use ledgerline_replay::partition::Partition;
use ledgerline_replay::rebuild::Input;
use ledgerline_replay::report::Report;
use ledgerline_replay::runs::RunStatus;
use ledgerline_replay::verify::verify;
use serde_json::json;

use super::progress;
use crate::cli::RebuildArgs;
use crate::consent::{self, Plan, Recorded};
use crate::exit::{Exit, Failure, Outcome};
use crate::generations::difference;
use crate::generations::fill::{Done, Fill, Filled, positions};
use crate::generations::{self, texts_of};
use crate::output::{self, Output};
use crate::settings::Loaded;
use crate::wiring::{Reader, SystemClock, replay_limits};
use crate::words;

/// How often programs are told where it is.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Runs the command.
pub async fn run(loaded: &Loaded, args: &RebuildArgs, out: &mut Output) -> Outcome {
    let reader = Reader::open(loaded).await?;
    let part = match &args.partition {
        Some(text) => text.parse()?,
        None => Partition::new(1, 1)?,
    };
    let begun = match args.generation {
        Some(number) => Some(begun(&reader, number, part).await?),
        None => None,
    };
    let with = match &begun {
        Some(generation) => generations::as_generation(loaded, &reader.control, generation.number).await?,
        None => new_providers(loaded, &reader).await?,
    };
    let report = compare(&reader, &with, part).await?;
    let plan = plan(&report, begun.as_ref(), part, reader.live);
    if !consent::ask(&plan, &args.consent, out)? {
        return Ok(Exit::Ok);
    }
    let run = Recorded::begin(&*reader.archive, &reader.stream, &plan, &args.consent).await?;
    let done = build(&reader, &with, args, part, begun, report.chain.records(), out).await;
    let (number, filled) = match done {
        Ok(done) => done,
        Err(failure) => {
            run.ended::<()>(Err(failure)).await?;
            return Ok(Exit::Failed);
        }
    };
    let result = json!({ "generation": number, "status": status_of(filled) });
    let ended = if filled == Filled::Stopped { RunStatus::Interrupted } else { RunStatus::Done };
    run.end(ended, result.clone()).await?;
    if args.consent.json {
        out.json(&json!({ "result": result }))?;
    }
    match filled {
        Filled::Stopped => Err(Failure::failed(format!(
            "finish generation {number}: it was interrupted; go on with `ledgerline replay rebuild{} --generation {number}`",
            partition_option(part)
        ))),
        _ if args.consent.json => Ok(Exit::Ok),
        Filled::Part => {
            out.line(format!(
                "✓ part {part} of generation {number} is complete; do the others with --partition and --generation {number}"
            ))?;
            Ok(Exit::Ok)
        }
        Filled::Ready => {
            out.line(format!(
                "✓ generation {number} is ready; a running server keeps it up to date. `ledgerline replay promote` \
                 makes it the live one"
            ))?;
            Ok(Exit::Ok)
        }
    }
}

fn status_of(filled: Filled) -> &'static str {
    match filled {
        Filled::Part => "building",
        Filled::Ready => "ready",
        Filled::Stopped => "interrupted",
    }
}

fn partition_option(part: Partition) -> String {
    if part.count() == 1 { String::new() } else { format!(" --partition {part}") }
}

/// A generation to go on with.
async fn begun(reader: &Reader, number: u32, part: Partition) -> Outcome<Generation> {
    let generations = reader.control.generations().await?;
    let Some(found) = generations.into_iter().find(|generation| generation.number == number) else {
        return Err(Failure::not_found(format!(
            "find generation {number}: `ledgerline replay generations` shows all; leave --generation out to begin one"
        )));
    };
    let refused = |why: String| Err(Failure::new(Exit::Refused, format!("go on with generation {number}: {why}")));
    if found.status != GenerationStatus::Building {
        return refused(format!("it is {}", found.status.name()));
    }
    if found.parts != part.count() {
        return refused(format!("it is made in {} parts; give --partition i/{}", found.parts, found.parts));
    }
    Ok(found)
}

/// The provider files of the settings, and those of the live generation for sources that these lack.
async fn new_providers(loaded: &Loaded, reader: &Reader) -> Outcome<Loaded> {
    let mut with = generations::as_generation(loaded, &reader.control, reader.live).await?;
    let mut sources = (*with.sources).clone();
    for (source, provider) in loaded.sources.iter() {
        sources.insert(&SourceName::new(source)?, provider.clone());
    }
    with.sources = Arc::new(sources);
    Ok(with)
}

/// Folds the archive with the new providers and compares with the live generation.
async fn compare(reader: &Reader, with: &Loaded, part: Partition) -> Outcome<Report> {
    let (bar, mut tell) = progress("segments folded, for the plan");
    let only = move |key: &EntityKey| part.holds(key);
    let mut input = Input { limits: replay_limits(&with.settings), ..Input::new(&reader.stream, &with.sources) };
    if part.count() > 1 {
        input.only = Some(&only);
    }
    let report = verify(&*reader.archive, &reader.store, &input, &*reader.shard_of, &mut tell).await?;
    bar.finish_and_clear();
    if !report.chain.is_clean() {
        let first = report.chain.faults.first().map(|f| format!("{}: {}", f.key, f.words)).unwrap_or_default();
        return Err(Failure::new(
            Exit::Drift,
            format!("rebuild: the archive is not whole ({first}); `ledgerline replay verify` names every fault"),
        ));
    }
    Ok(report)
}

fn plan(report: &Report, begun: Option<&Generation>, part: Partition, live: u32) -> Plan {
    let what = match begun {
        Some(generation) => format!("go on with generation {}", generation.number),
        None => "fold the archive into a new generation".to_owned(),
    };
    let of = if part.count() == 1 { String::new() } else { format!(", part {part}") };
    let title = format!("{what}{of}, beside generation {live}, which stays live");
    let mut plan = Plan { command: "rebuild", title, ..Plan::default() };
    plan.figure(words::thousands(report.chain.segments()), "segments to read");
    plan.figure(words::thousands(report.chain.bytes()), "bytes of them");
    plan.figure(words::thousands(report.counts.events), "events that count");
    for (count, what) in [
        (report.counts.contradictions, "contradictions, for the quarantine"),
        (report.counts.unreadable, "unreadable, for the quarantine"),
        (report.not_yet_archived, "newer entities, which follow from the log"),
    ] {
        if count > 0 {
            plan.figure(words::thousands(count), what);
        }
    }
    plan.figure(words::thousands(report.entities), "entities to write");
    difference::describe(&mut plan, report);
    if report.drift_total == 0 && report.missing_in_live_total == 0 && report.missing_in_archive_total == 0 {
        plan.change("the new generation says what the live one says");
    }
    plan.data = json!({
        "live": live,
        "generation": begun.map(|generation| generation.number),
        "partition": part.to_string(),
        "segments": report.chain.segments(),
        "bytes": report.chain.bytes(),
        "records": report.chain.records(),
        "events": report.counts.events,
        "contradictions": report.counts.contradictions,
        "unreadable": report.counts.unreadable,
        "entities": report.entities,
        "difference": difference::as_json(report),
    });
    plan
}

/// Builds, or goes on building.
async fn build(
    reader: &Reader,
    with: &Loaded,
    args: &RebuildArgs,
    part: Partition,
    begun: Option<Generation>,
    records: u64,
    out: &mut Output,
) -> Outcome<(u32, Filled)> {
    let control = &reader.control;
    let number = match begun {
        Some(generation) => generation.number,
        None => {
            let reason = args.consent.reason.clone();
            control.begin_generation(reason, part.count(), texts_of(&with.sources), SystemClock.now()).await?
        }
    };
    if args.consent.json {
        out.json(&json!({ "generation": number }))?;
    } else {
        out.line(format!("generation {number} is being built; after an interrupt go on with --generation {number}"))?;
    }
    out.flush()?;
    // The log keeps everything since the line above; what the archive holds now it need not keep.
    let generation = control.claim(number, positions(&*reader.archive, &reader.stream).await?).await?;
    let stopped = Arc::new(AtomicBool::new(false));
    let hears = stopped.clone();
    let listener = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            hears.store(true, Ordering::Relaxed);
        }
    });
    let bar = output::bar("records folded", Some(records));
    let mut told = Instant::now();
    let mut failed = None;
    let mut on_progress = |done: Done| {
        bar.set_position(done.records);
        if args.consent.json && told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            let progress = json!({ "progress": { "records": done.records, "of": records } });
            failed = out.json(&progress).and_then(|()| out.flush()).err();
        }
        failed.is_none() && !stopped.load(Ordering::Relaxed)
    };
    let sources = with.sources.clone();
    let fill = Fill { reader, generation: &generation, part, sources, rate: args.rate };
    let filled = fill.run(&mut on_progress).await;
    listener.abort();
    bar.finish_and_clear();
    if let Some(failure) = failed {
        return Err(failure);
    }
    Ok((number, filled?))
}
