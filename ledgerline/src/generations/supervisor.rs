//! Runs one processor per complete generation, so that all of them stay caught up, and carries out what
//! needs processors stopped: the change of the live generation, and the end of one.
//!
//! Only the live generation's processor may end the server: one that fails for another generation is
//! started again later, and the log keeps what that one has not folded.
//!
//! **The switch.** The new generation first folds everything that was in the log when the order came. Then
//! the live one's processor is stopped, with what it had in hand folded, and the new one folds to where
//! that one stood. Then the mark moves. So whoever reads through the mark never sees an event go away
//! again, and every event is folded into both: both processors go on from their own checkpoints.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ledgerline_adapters::embedded::{GenerationStatus, Positions};
use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::ports::{Commit, Entities as _, Log as _};
use ledgerline_domain::trace::Traces;
use ledgerline_domain::{ErrorKind, Result};
use ledgerline_processor::apply::{self, ApplySettings, Progress};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::order::{Order, Processors};
use super::sources_of;
use crate::exit::{Exit, Failure, Outcome};
use crate::place::{AnyStore, Data};
use crate::wiring::Task;

/// How often generations are looked for.
const LOOK: Duration = Duration::from_secs(1);
/// How often a generation that catches up is looked at.
const CATCH_UP_LOOK: Duration = Duration::from_millis(20);
/// Longest wait for the rest, while the live generation's processor stands.
const STANDSTILL_MAX: Duration = Duration::from_secs(10);
/// Pause before the processor of a generation that is not live is started again.
const PAUSE: Duration = Duration::from_secs(30);

/// See the module.
pub(crate) struct Supervisor {
    data: Arc<Data>,
    /// Of the live generation, whichever that is.
    progress: Arc<Progress>,
    traces: Traces,
    processors: Processors,
    running: BTreeMap<u32, Running>,
    failed: BTreeMap<u32, Instant>,
}

/// A generation's processor.
struct Running {
    store: AnyStore,
    progress: Arc<Progress>,
    task: AbortOnDrop,
}

/// Ends with its owner, as in a crash.
struct AbortOnDrop(Option<Task>);

impl AbortOnDrop {
    fn has_ended(&self) -> bool {
        self.0.as_ref().is_none_or(Task::has_ended)
    }

    async fn stop(mut self) -> Outcome<()> {
        match self.0.take() {
            Some(task) => task.stop().await,
            None => Ok(()),
        }
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Says that orders are taken, as long as it lives.
struct AtWork(Arc<AtomicBool>);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Supervisor {
    /// For the data of this process; `progress` follows the live generation.
    pub fn new(data: Arc<Data>, progress: Arc<Progress>, traces: Traces, processors: Processors) -> Self {
        Self { data, progress, traces, processors, running: BTreeMap::new(), failed: BTreeMap::new() }
    }

    /// Runs until `stop` becomes true; batches in hand are finished first.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<()> {
        let receiver = self.processors.receiver.clone();
        let mut orders = tokio::select! {
            orders = receiver.lock() => orders,
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        };
        let at_work = AtWork(self.processors.at_work.clone());
        self.processors.at_work.store(true, Ordering::Release);
        while !*stop.borrow() {
            self.look().await?;
            let given = tokio::select! {
                given = orders.recv() => given,
                () = tokio::time::sleep(LOOK) => None,
                _ = stop.wait_for(|stop| *stop) => None,
            };
            let Some((order, tell)) = given else { continue };
            let outcome = match order {
                Order::Promote(number, wait) => self.promote(number, wait, &stop).await,
                Order::Retire(number) => self.retire(number).await,
            };
            // Whoever asked may be gone.
            let _ = tell.send(outcome);
        }
        drop(at_work);
        let mut result = Ok(());
        for (number, running) in std::mem::take(&mut self.running) {
            if let Err(failure) = running.task.stop().await {
                result = result.and(Err(ledgerline_domain::Error::internal(format!(
                    "end the processor of generation {number}: {failure}"
                ))));
            }
        }
        result
    }

    /// Starts what should run, ends what should not.
    async fn look(&mut self) -> Result<()> {
        let generations = match self.data.control.generations().await {
            Ok(generations) => generations,
            Err(error) if error.kind() == ErrorKind::Retry => {
                tracing::warn!(%error, "failed to look for generations; trying again");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let live = self.data.store.pinned().0;
        for generation in generations {
            let number = generation.number;
            if !generation.status.is_complete() {
                self.stop(number).await;
                continue;
            }
            if self.running.get(&number).is_some_and(|running| running.task.has_ended()) {
                let error = self.stop(number).await.unwrap_or_else(|| "it ended by itself".to_owned());
                if number == live {
                    return Err(ledgerline_domain::Error::internal(format!("process generation {number}: {error}")));
                }
                tracing::error!(generation = number, error, "a generation that is not live falls behind");
                self.failed.insert(number, Instant::now());
            }
            let rests = self.failed.get(&number).is_some_and(|at| at.elapsed() < PAUSE);
            if !self.running.contains_key(&number) && !rests {
                match self.start(number, number == live).await {
                    Ok(running) => _ = self.running.insert(number, running),
                    Err(error) if number == live && error.kind() != ErrorKind::Retry => return Err(error),
                    Err(error) => {
                        tracing::error!(generation = number, %error, "failed to keep a generation up to date");
                        self.failed.insert(number, Instant::now());
                    }
                }
            }
            if let Some(running) = self.running.get(&number).filter(|_| generation.status != GenerationStatus::Live) {
                #[expect(clippy::cast_precision_loss, reason = "a gauge; exact below 2^53 records")]
                metrics::gauge!("ledgerline_generation_behind_records", "generation" => number.to_string())
                    .set(running.progress.lag() as f64);
            }
        }
        Ok(())
    }

    async fn start(&self, number: u32, is_live: bool) -> Result<Running> {
        let store = self.data.generation(number).await?;
        if !is_live {
            carry_over(&self.data.store.pinned().1, &store).await?;
        }
        let sources = Arc::new(sources_of(number, &self.data.control.provider_texts(number).await?)?);
        let progress = if is_live { self.progress.clone() } else { Arc::new(Progress::quiet()) };
        let (log, entities, shown) = (self.data.log.clone(), Arc::new(store.clone()), progress.clone());
        let settings = ApplySettings { traces: self.traces.clone(), generation: number, ..ApplySettings::default() };
        let task = Task::spawn("processor", |stop| apply::run(log, entities, sources, settings, shown, stop));
        Ok(Running { store, progress, task: AbortOnDrop(Some(task)) })
    }

    /// Ends a processor, if it runs; gives what it failed with.
    async fn stop(&mut self, number: u32) -> Option<String> {
        let running = self.running.remove(&number)?;
        running.task.stop().await.err().map(|failure| failure.message)
    }

    async fn promote(&mut self, number: u32, wait: Duration, stop: &watch::Receiver<bool>) -> Outcome<Value> {
        let generation = self.data.control.generation(number).await?;
        let (old, old_store) = self.data.store.pinned();
        if number == old {
            return Ok(json!({ "live": number, "previous": null }));
        }
        if !generation.status.is_complete() {
            let status = generation.status.name();
            return Err(Failure::new(Exit::Refused, format!("promote generation {number}: it is {status}")));
        }
        self.failed.remove(&number);
        self.look().await?;
        let deadline = Instant::now() + wait;
        let mut target = Positions::new();
        for shard in self.data.log.shards() {
            if let Some(tip) = self.data.log.tip(&shard).await? {
                target.insert(shard, tip);
            }
        }
        self.caught_up(number, &target, deadline, stop).await?;
        // Nothing new is read through the mark while the rest is folded.
        self.stop(old).await;
        let target = checkpoints(&self.data, &old_store).await?;
        let caught_up = self.caught_up(number, &target, Instant::now() + STANDSTILL_MAX, stop).await;
        if caught_up.is_ok() {
            // The progress that is shown changes hands with the mark.
            self.stop(number).await;
            let store = self.data.generation(number).await?;
            carry_over(&old_store, &store).await?;
            self.data.make_live(number).await?;
            tracing::info!(generation = number, previous = old, "a generation was promoted");
        }
        self.look().await?;
        caught_up.map(|()| json!({ "live": number, "previous": old }))
    }

    /// Waits until a generation has folded everything up to `target`.
    async fn caught_up(
        &self,
        number: u32,
        target: &Positions,
        deadline: Instant,
        stop: &watch::Receiver<bool>,
    ) -> Outcome<()> {
        let refused = |why: &str| Failure::new(Exit::Refused, format!("promote generation {number}: {why}"));
        loop {
            let Some(running) = self.running.get(&number).filter(|running| !running.task.has_ended()) else {
                return Err(refused("its processor does not run; the server's log says why"));
            };
            let done = checkpoints(&self.data, &running.store).await?;
            if target.iter().all(|(shard, tip)| done.get(shard).is_some_and(|done| done >= tip)) {
                return Ok(());
            }
            if *stop.borrow() {
                return Err(refused("the server is stopping"));
            }
            if Instant::now() >= deadline {
                let lag = running.progress.lag();
                return Err(refused(&format!("it has not caught up: about {lag} records are left; wait longer")));
            }
            tokio::time::sleep(CATCH_UP_LOOK).await;
        }
    }

    async fn retire(&mut self, number: u32) -> Outcome<Value> {
        let generation = self.data.control.generation(number).await?;
        if generation.status == GenerationStatus::Live {
            let why = "it is live; promote another one first";
            return Err(Failure::new(Exit::Refused, format!("retire generation {number}: {why}")));
        }
        self.stop(number).await;
        self.failed.remove(&number);
        self.data.retire(number).await?;
        tracing::info!(generation = number, "a generation was retired");
        Ok(json!({ "retired": number }))
    }
}

/// How far a generation is on each shard of the log.
async fn checkpoints(data: &Data, store: &AnyStore) -> Result<Positions> {
    let mut done = Positions::new();
    for shard in data.log.shards() {
        if let Some(checkpoint) = store.checkpoint(&shard).await? {
            done.insert(shard, checkpoint);
        }
    }
    Ok(done)
}

/// Carries over what is in the records' store and comes neither from the archive nor from the log: which
/// quarantined items were released, and the progress of readers that do not fold.
pub(crate) async fn carry_over(from: &AnyStore, to: &AnyStore) -> Result<()> {
    to.mark_all_released(from.released().await?).await?;
    let others = from.checkpoints().await?;
    for (shard, checkpoint) in others.into_iter().filter(|(shard, _)| is_other(shard)) {
        to.commit(Commit { shard, checkpoint, writes: Vec::new(), parked: Vec::new() }).await?;
    }
    Ok(())
}

/// Names of shards have no `/` in them; the hydrator's progress does.
fn is_other(shard: &ShardId) -> bool {
    shard.as_str().starts_with("hydrator/")
}

/// How far every complete generation has durably folded a shard; nothing while one has not begun, or is
/// being built and has not said from where on it needs the log.
pub(crate) async fn folded_by_all(
    data: &Data,
    generations: &[ledgerline_adapters::embedded::Generation],
    shard: &ShardId,
) -> Result<Option<SequenceNumber>> {
    let mut least: Option<SequenceNumber> = None;
    for generation in generations {
        let done = match generation.status {
            GenerationStatus::Retired => continue,
            GenerationStatus::Building => generation.positions.as_ref().and_then(|p| p.get(shard).cloned()),
            _ => data.generation(generation.number).await?.durable_checkpoint(shard).await?,
        };
        let Some(done) = done else { return Ok(None) };
        least = Some(least.map_or(done.clone(), |least| least.min(done)));
    }
    Ok(least)
}
