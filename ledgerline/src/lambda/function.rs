//! One instance of the function: what it does with an invocation, and what it keeps for the next one.
//!
//! It folds into every complete generation, as a worker with leases does. The live one decides the answer. Another one
//! that has trouble, or much to catch up with, holds up nobody for longer than a few seconds: it has a checkpoint of its
//! own, and goes on from there with the invocations that come.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lambda_runtime::Diagnostic;
use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::ports::Log as _;
use ledgerline_domain::{Error, ErrorKind};
use ledgerline_processor::apply::{OnDemand, Reached};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::event::{Asked, Event};
use crate::exit::{Failure, Outcome};
use crate::generations::{Fold, Generations, take_settings_aloud};
use crate::place::aws::PROBE_EVERY;
use crate::place::{AnyLog, AnyStore, Data};
use crate::settings::Loaded;
use crate::telemetry::Teller;

/// For how long what is known of the generations is not asked anew.
const LOOK: Duration = Duration::from_secs(2);
/// Longest look at them: an invocation's time is for its batch.
const LOOK_MAX: Duration = Duration::from_secs(2);
/// How much longer than the live generation the others may take.
const OTHERS_MAX: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct Function {
    data: Arc<Data>,
    stream: String,
    generations: Generations,
    /// By the wall clock: others may stand still between two invocations.
    looked: SystemTime,
    /// When the stream was last asked whether it still keeps the order of entities.
    probed: SystemTime,
    live: u32,
    held: BTreeMap<u32, Held>,
    teller: Teller,
}

/// What folds into one generation.
struct Held {
    fold: Arc<Fold>,
    on_demand: Arc<Mutex<OnDemand<AnyLog, AnyStore>>>,
}

impl Function {
    /// Opens what the settings name, which are at AWS.
    pub async fn open(loaded: &Loaded) -> Outcome<Self> {
        let teller = Teller::from_environment();
        let data = Arc::new(Data::open(loaded).await?);
        take_settings_aloud(&data.control, &loaded.sources).await?;
        let Some(opened) = data.aws() else { return Err(Failure::usage("run as a Lambda function: add [aws]")) };
        let (stream, settings) = (opened.stream_name().to_owned(), opened.woken_settings());
        let generations = Generations::find(data.clone(), data.log.clone(), Arc::default(), settings).await?;
        // Opening the log has asked the stream.
        let (looked, probed, held) = (SystemTime::now(), SystemTime::now(), BTreeMap::new());
        let mut function = Self { data, stream, generations, looked, probed, live: 0, held, teller };
        function.hold();
        Ok(function)
    }

    /// Does what an invocation asks for, until `until`, and gives the answer.
    pub async fn handle(&mut self, event: Event, until: Instant) -> Result<Value, Diagnostic> {
        let began = Instant::now();
        let answer = self.work(event, until).await;
        let outcome = match &answer {
            Ok(answer) if answer["batchItemFailures"].as_array().is_some_and(|left| !left.is_empty()) => "partial",
            Ok(_) => "done",
            Err(_) => "failed",
        };
        metrics::counter!("ledgerline_lambda_invocations_total", "outcome" => outcome).increment(1);
        metrics::histogram!("ledgerline_lambda_invocation_seconds").record(began.elapsed().as_secs_f64());
        // Now, because the process may stand still as soon as it has answered.
        self.teller.tell();
        answer.map_err(|error| {
            tracing::error!(%error, "failed to apply a batch; it comes again");
            Diagnostic {
                error_type: format!("Ledgerline.{:?}", error.kind()),
                error_message: format!("failed to {error}"),
            }
        })
    }

    async fn work(&mut self, event: Event, until: Instant) -> Result<Value, Error> {
        let Some(asked) = event.read(&self.stream)? else { return Ok(json!({ "batchItemFailures": [] })) };
        self.look(until).await;
        self.probe(until).await?;
        let batch = match asked {
            Asked::Everything => return self.everything(until).await,
            Asked::Batch(batch) => batch,
        };
        let Reached { checkpoint, short } = self.apply(&batch.shard, Some(&batch.through), until).await?;
        let done = checkpoint.as_ref();
        match short {
            // An error is counted by Lambda, and the whole batch comes again.
            Some(error) if batch.is_untouched(done) => return Err(error),
            Some(error) => tracing::warn!(shard = %batch.shard, %error, "a part of a batch is left, and comes again"),
            None => {}
        }
        Ok(batch.answer(done))
    }

    /// Applies all shards as far as they go, parents before children.
    async fn everything(&mut self, until: Instant) -> Result<Value, Error> {
        let shards = self.data.log.lineage().await?;
        let mut first = None;
        for shard in &shards {
            // One that cannot go on holds up no other.
            let short = self.apply(&shard.id, None, until).await?.short;
            first = first.or(short);
        }
        first.map_or_else(|| Ok(json!({ "shards": shards.len() })), Err)
    }

    /// Applies a shard in every generation; gives how far the live one is.
    async fn apply(&self, shard: &ShardId, through: Option<&SequenceNumber>, until: Instant) -> Result<Reached, Error> {
        let mut others = JoinSet::new();
        for (number, held) in self.held.iter().filter(|(number, _)| **number != self.live) {
            let (number, on_demand, shard, through) =
                (*number, held.on_demand.clone(), shard.clone(), through.cloned());
            others.spawn(async move {
                let reached = on_demand.lock().await.apply(&shard, through.as_ref(), until).await;
                if let Some(error) = reached.short {
                    tracing::error!(generation = number, %shard, %error, "a generation that is not live falls behind");
                    metrics::counter!("ledgerline_lambda_generations_behind_total").increment(1);
                }
            });
        }
        let live = self.held.get(&self.live).ok_or_else(|| Error::internal("find the live generation"))?;
        let reached = live.on_demand.lock().await.apply(shard, through, until).await;
        let patience = until.min(Instant::now() + OTHERS_MAX);
        if timeout_at(patience, async { while others.join_next().await.is_some() {} }).await.is_err() {
            // Cut off as by a crash, which is harmless.
            tracing::warn!(%shard, "a generation that is not live has more to catch up with");
            metrics::counter!("ledgerline_lambda_generations_behind_total").increment(1);
        }
        Ok(reached)
    }

    /// Sees to changes of the generations.
    async fn look(&mut self, until: Instant) {
        if SystemTime::now().duration_since(self.looked).is_ok_and(|ago| ago < LOOK) {
            return;
        }
        match timeout_at(until.min(Instant::now() + LOOK_MAX), self.generations.look()).await {
            Ok(Ok(())) => self.looked = SystemTime::now(),
            Ok(Err(error)) if error.kind() != ErrorKind::Retry => {
                tracing::error!(%error, "failed to follow the generations; those that are known go on");
            }
            _ => tracing::warn!("failed to look for generations; those that are known go on"),
        }
        self.hold();
    }

    /// Asks the stream now and then whether it still keeps the order of entities, as a process of its own does. Nothing
    /// may be folded when it does not.
    async fn probe(&mut self, until: Instant) -> Result<(), Error> {
        let Some(opened) = self.data.aws() else { return Ok(()) };
        if SystemTime::now().duration_since(self.probed).is_ok_and(|ago| ago < PROBE_EVERY) {
            return Ok(());
        }
        match timeout_at(until.min(Instant::now() + LOOK_MAX), opened.log.log().probe()).await {
            Ok(Ok(_)) => self.probed = SystemTime::now(),
            Ok(Err(error)) if error.kind() == ErrorKind::Invalid => return Err(error),
            _ => tracing::warn!("failed to look at the stream; trying again"),
        }
        Ok(())
    }

    fn hold(&mut self) {
        let now = self.generations.now();
        self.live = now.lead;
        self.held.retain(|number, held| now.jobs.get(number).is_some_and(|fold| Arc::ptr_eq(fold, &held.fold)));
        for (number, fold) in &now.jobs {
            self.held.entry(*number).or_insert_with(|| {
                let on_demand = Arc::new(Mutex::new(OnDemand::new(fold.clone())));
                Held { fold: fold.clone(), on_demand }
            });
        }
    }
}
