//! Redrives at work: archived originals go into the log again, by the process that owns it.
//!
//! What a run appends, at which rate and how far it is stands in the run's object in the archive, which
//! whoever asked looks at. So a run survives both the command line and the server: a resumed one goes on
//! behind what is written down.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ledgerline_domain::ErrorKind;
use ledgerline_domain::ports::Clock as _;
use ledgerline_replay::redrive::{Redrive, Redriven};
use ledgerline_replay::runs::{self, Run, RunStatus};
use ledgerline_replay::selector::Selector;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::exit::{Exit, Failure, Outcome};
use crate::place::Data;
use crate::wiring::SystemClock;

/// Most events appended at a time.
const BATCH_EVENTS: u32 = 500;
/// How often it is written down how far a run is.
const NOTE_EVERY: Duration = Duration::from_millis(500);
/// First and longest pause when the log does not take more.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// What a run's plan says to the one that does it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Which events.
    pub selector: Selector,
    /// Most events a second.
    pub rate: u32,
}

/// The redrives of a process, by the names of their runs.
#[derive(Clone, Debug, Default)]
pub struct Redrives(Arc<Mutex<HashMap<String, watch::Sender<bool>>>>);

impl Redrives {
    /// Begins a run in the background, unless it is at work; whether it was begun.
    pub fn begin(&self, data: &Arc<Data>, run: &str) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.contains_key(run) {
            return false;
        }
        let (stop, stopped) = watch::channel(false);
        all.insert(run.to_owned(), stop);
        let (redrives, data, run) = (self.clone(), data.clone(), run.to_owned());
        tokio::spawn(async move {
            if let Err(failure) = work(&data, &run, stopped).await {
                tracing::warn!(run, error = failure.message, "a redrive failed");
            }
            redrives.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
        });
        true
    }

    /// Tells a run to stop; false when it is not at work here.
    pub fn stop(&self, run: &str) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(run).is_some_and(|stop| {
            stop.send_replace(true);
            true
        })
    }
}

/// Does a run to its end and writes the end down.
pub async fn work(data: &Data, run: &str, stop: watch::Receiver<bool>) -> Outcome<()> {
    let archive = &*data.archive;
    let Some(mut run) = runs::get(archive, &data.stream, run).await? else {
        return Err(Failure::not_found(format!("find the run {run}: `ledgerline replay runs` shows all")));
    };
    let done = append(data, &mut run, stop).await;
    let (status, result) = match &done {
        Ok((true, result)) => (RunStatus::Done, result.clone()),
        Ok((false, result)) => (RunStatus::Interrupted, result.clone()),
        Err(failure) => (RunStatus::Failed, json!({ "error": failure.message })),
    };
    run.end(status, result, SystemClock.now());
    runs::update(archive, &data.stream, &run).await?;
    done.map(|_| ())
}

/// Appends what is left of a run; whether all of it was done, and what came of it.
async fn append(data: &Data, run: &mut Run, stop: watch::Receiver<bool>) -> Outcome<(bool, Value)> {
    let damaged = |e| Failure::new(Exit::Drift, format!("read the run {}: {e}", run.id));
    let data_of_plan = run.plan.get("data").cloned().unwrap_or_default();
    let task: Task = serde_json::from_value(data_of_plan).map_err(damaged)?;
    let done: Redriven = match &run.progress {
        Value::Null => Redriven::default(),
        progress => serde_json::from_value(progress.clone()).map_err(damaged)?,
    };
    let before = done.events;
    let name = run.id.clone();
    let mut redrive = Redrive::begin(&*data.archive, &data.stream, &task.selector, &*data.log, &name, done).await?;
    let batch = (task.rate / 10).clamp(1, BATCH_EVENTS);
    let (began, mut noted, mut pause) = (Instant::now(), Instant::now(), PAUSES.0);
    let complete = loop {
        if *stop.borrow() {
            break false;
        }
        match redrive.step(usize::try_from(batch).unwrap_or(1)).await {
            Ok(true) => pause = PAUSES.0,
            Ok(false) => break true,
            // Live traffic has priority: the log is full or slow.
            Err(error) if error.kind() == ErrorKind::Retry => {
                tracing::warn!(%error, "a redrive waits");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        if noted.elapsed() >= NOTE_EVERY {
            noted = Instant::now();
            run.progress = json!(redrive.done());
            runs::update(&*data.archive, &data.stream, run).await?;
        }
        let appended = redrive.done().events - before;
        let due = Duration::from_nanos(appended.saturating_mul(1_000_000_000) / u64::from(task.rate));
        tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
    };
    run.progress = json!(redrive.done());
    let done = redrive.done().clone();
    let read = redrive.finish();
    let result = json!({
        "events": done.events, "bytes": done.bytes, "copies": done.copies,
        "faults_total": read.faults_total, "faults": read.faults,
    });
    Ok((complete, result))
}
