//! `replay redrive`: appends archived originals to the log again. The owner of the log does it; this
//! command plans, asks, and shows how far it is.

use std::collections::{BTreeMap, HashSet};
use std::hash::Hasher as _;
use std::time::{Duration, Instant};

use ledgerline_replay::redrive::Redriven;
use ledgerline_replay::runs::{self, Run, RunStatus};
use ledgerline_replay::select::{Selection, SelectionReport};
use ledgerline_replay::selector::Selector;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{progress, selector};
use crate::cli::RedriveArgs;
use crate::consent::{self, Plan, Recorded};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Output};
use crate::place::Data;
use crate::redrives::{self, Task};
use crate::requests::{self, Request};
use crate::settings::Loaded;
use crate::wiring::Reader;
use crate::words;

/// How often it is looked how far the run is.
const LOOK: Duration = Duration::from_millis(300);
/// A run that writes nothing down for so long has nobody at work.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How long the server may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(15);

/// Runs the command.
pub async fn run(loaded: &Loaded, args: &RedriveArgs, out: &mut Output) -> Outcome {
    let reader = Reader::open(loaded).await?;
    let (task, begun) = match &args.resume {
        Some(name) => resumed(&reader, name, args).await?,
        None => (Task { selector: selector(&args.selector)?, rate: args.rate }, None),
    };
    let done: Redriven = match begun.as_ref().map(|run| run.progress.clone()) {
        None | Some(Value::Null) => Redriven::default(),
        Some(progress) => serde_json::from_value(progress)
            .map_err(|e| Failure::new(Exit::Drift, format!("read how far the run is: {e}")))?,
    };
    let found = Found::of(&reader, &task.selector, &done).await?;
    let plan = found.plan(&task, begun.as_ref());
    if !consent::ask(&plan, &args.consent, out)? {
        return Ok(Exit::Ok);
    }
    let name = match begun {
        Some(mut run) => {
            (run.status, run.ended_at) = (RunStatus::Begun, None);
            runs::update(&*reader.archive, &reader.stream, &run).await?;
            run.id
        }
        None => Recorded::begin(&*reader.archive, &reader.stream, &plan, &args.consent).await?.run().id.clone(),
    };
    if args.consent.json {
        out.json(&json!({ "run": name }))?;
    } else {
        out.line(format!("run {name}; after an interrupt go on with --resume {name}"))?;
    }
    out.flush()?;
    let ended = follow(loaded, &reader, &name, &found, args, out).await?;
    tell(&ended, args, out)
}

/// A run to go on with, and what it does.
async fn resumed(reader: &Reader, name: &str, args: &RedriveArgs) -> Outcome<(Task, Option<Run>)> {
    if !selector(&args.selector)?.is_all() {
        return Err(Failure::usage(format!("resume {name}: it keeps its own selection; leave the other options out")));
    }
    let Some(run) = runs::get(&*reader.archive, &reader.stream, name).await? else {
        return Err(Failure::not_found(format!("find the run {name}: `ledgerline replay runs` shows all")));
    };
    if run.command != "redrive" || run.status == RunStatus::Done {
        let why = if run.command == "redrive" { "it is done" } else { "it is no redrive" };
        return Err(Failure::new(Exit::Refused, format!("resume {name}: {why}")));
    }
    let data = run.plan.get("data").cloned().unwrap_or_default();
    let task: Task =
        serde_json::from_value(data).map_err(|e| Failure::new(Exit::Drift, format!("read the run {name}: {e}")))?;
    Ok((task, Some(run)))
}

/// What a redrive would append.
#[derive(Default)]
struct Found {
    events: u64,
    bytes: u64,
    copies: u64,
    done_before: u64,
    sources: BTreeMap<String, u64>,
    entities: HashSet<u64>,
    read: SelectionReport,
}

impl Found {
    async fn of(reader: &Reader, selector: &Selector, done: &Redriven) -> Outcome<Self> {
        let mut found = Self { done_before: done.events, ..Self::default() };
        let (bar, mut tell) = progress("segments looked through, for the plan");
        let mut selection = Selection::begin(&*reader.archive, &reader.stream, selector).await?;
        while let Some((shard, row)) = selection.next().await? {
            tell(selection.progress());
            if done.positions.get(&shard).is_some_and(|done| row.sequence <= *done) {
                continue;
            }
            if row.value.redrive_run.is_some() {
                found.copies += 1;
                continue;
            }
            found.events += 1;
            found.bytes += row.value.event.body.len() as u64;
            *found.sources.entry(row.value.source().to_owned()).or_default() += 1;
            let mut hasher = std::hash::DefaultHasher::new();
            hasher.write(row.value.event.entity.as_str().as_bytes());
            found.entities.insert(hasher.finish());
        }
        bar.finish_and_clear();
        found.read = selection.finish();
        Ok(found)
    }

    fn plan(&self, task: &Task, begun: Option<&Run>) -> Plan {
        let what = task.selector.in_words();
        let title = match begun {
            Some(run) => format!("go on with the run {} ({what})", run.id),
            None => format!("append archived originals to the log again ({what})"),
        };
        let mut plan = Plan { command: "redrive", title, ..Plan::default() };
        plan.figure(words::thousands(self.read.segments_read), format!("of {} segments read", self.read.segments));
        plan.figure(words::thousands(self.events), "events to append");
        plan.figure(words::thousands(self.bytes), "bytes of their bodies");
        plan.figure(words::thousands(self.entities.len() as u64), "entities they are about");
        for (count, what) in [
            (self.done_before, "events that are appended already"),
            (self.copies, "copies that an earlier run appended, passed over"),
            (self.read.faults_total, "faults of the archive: what is damaged is left out"),
        ] {
            if count > 0 {
                plan.figure(words::thousands(count), what);
            }
        }
        for (source, events) in &self.sources {
            plan.change(format!("{source}: {}", words::count(*events, "event", "events")));
        }
        let seconds = self.events.div_ceil(u64::from(task.rate));
        plan.change(format!(
            "at {} events a second, in about {}",
            words::thousands(u64::from(task.rate)),
            words::duration(i64::try_from(seconds.saturating_mul(1_000_000_000)).unwrap_or(i64::MAX))
        ));
        plan.change("no state and no money changes: every event counts already; the archive will hold the copies too");
        for fault in self.read.faults.iter().take(10) {
            plan.change(format!("left out: {}: {}", fault.key, fault.words));
        }
        plan.data = json!({
            "selector": task.selector, "rate": task.rate, "segments": self.read.segments,
            "segments_read": self.read.segments_read, "events": self.events, "bytes": self.bytes,
            "entities": self.entities.len(), "sources": self.sources, "copies": self.copies,
            "faults_total": self.read.faults_total, "faults": self.read.faults,
        });
        plan
    }
}

/// Has the run done, by the server or here, and shows how far it is until it ends.
async fn follow(
    loaded: &Loaded,
    reader: &Reader,
    name: &str,
    found: &Found,
    args: &RedriveArgs,
    out: &mut Output,
) -> Outcome<Run> {
    let (stop, stopped) = watch::channel(false);
    let own = match Data::open(loaded).await {
        Ok(data) => {
            let name = name.to_owned();
            Some(tokio::spawn(async move { redrives::work(&data, &name, stopped).await }))
        }
        // Somebody has the lock: the server.
        Err(held) if held.exit == Exit::Usage => None,
        Err(other) => return Err(other),
    };
    if own.is_none() {
        let begin = Request::Redrive { run: name.to_owned() };
        requests::ask(loaded, &reader.control, &begin, ANSWER_WAIT).await?;
    }
    let bar = output::bar("events appended", Some(found.done_before + found.events));
    let (mut last, mut heard, mut stopping) = (Value::Null, Instant::now(), false);
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = tokio::signal::ctrl_c(), if !stopping => {
                stopping = true;
                stop.send_replace(true);
                if own.is_none() {
                    let ask = Request::StopRedrive { run: name.to_owned() };
                    requests::ask(loaded, &reader.control, &ask, ANSWER_WAIT).await?;
                }
            }
        }
        let Some(run) = runs::get(&*reader.archive, &reader.stream, name).await? else {
            return Err(Failure::new(Exit::Drift, format!("follow the run {name}: its object is gone")));
        };
        if run.progress != last {
            (last, heard) = (run.progress.clone(), Instant::now());
            let events = run.progress.get("events").and_then(Value::as_u64).unwrap_or(0);
            bar.set_position(events);
            if args.consent.json && run.status == RunStatus::Begun {
                out.json(&json!({ "progress": { "events": events, "of": found.done_before + found.events } }))?;
                out.flush()?;
            }
        }
        if run.status != RunStatus::Begun {
            bar.finish_and_clear();
            if let Some(own) = own {
                // What it says is written down; the log must be closed before this process ends.
                let _ = own.await;
            }
            return Ok(run);
        }
        if heard.elapsed() > SILENCE_MAX {
            return Err(Failure::new(
                Exit::Busy,
                format!(
                    "follow the run {name}: nothing was heard of it for {} s; is the server running? Go on with \
                     `ledgerline replay redrive --resume {name}`",
                    SILENCE_MAX.as_secs()
                ),
            ));
        }
    }
}

fn tell(run: &Run, args: &RedriveArgs, out: &mut Output) -> Outcome {
    if args.consent.json {
        out.json(&json!({ "result": run.result, "status": run.status }))?;
    }
    let count = |name: &str| run.result.get(name).and_then(Value::as_u64).unwrap_or(0);
    match run.status {
        RunStatus::Done if count("faults_total") > 0 => Err(Failure::new(
            Exit::Drift,
            format!(
                "append everything: {} of the archive were found and what is damaged was left out; \
                 `ledgerline archive check` names every one",
                words::count(count("faults_total"), "fault", "faults")
            ),
        )),
        RunStatus::Done => {
            if !args.consent.json {
                let events = words::count(count("events"), "event is", "events are");
                out.line(format!("✓ {events} in the log again; the state does not change by it"))?;
            }
            Ok(Exit::Ok)
        }
        RunStatus::Interrupted => Err(Failure::failed(format!(
            "finish the run: it was interrupted after {} events; go on with `ledgerline replay redrive --resume {}`",
            words::thousands(count("events")),
            run.id
        ))),
        _ => {
            let why = run.result.get("error").and_then(Value::as_str).unwrap_or("it ended without a word");
            Err(Failure::failed(format!("finish the run {}: {why}", run.id)))
        }
    }
}
