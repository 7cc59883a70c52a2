//! An event source mapping of a Kinesis stream: a poller per shard, batches in the shard's order, and the same batch
//! again until it is done.
//!
//! Nothing promises that a child waits for its parents, so it does not. Semantics: "How Lambda processes records from
//! stream and queue-based event sources" and "Configuring partial batch response" of AWS's developer guide.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_sdk_kinesis::types::{Record, Shard, ShardIteratorType};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ledgerline_adapters::aws::dynamo::DynamoStore;
use ledgerline_adapters::aws::kinesis::position::position;
use ledgerline_domain::ids::ShardId;
use ledgerline_domain::ports::Entities as _;
use rand::RngExt as _;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{SharedFunction, left};
use crate::aws::LocalKinesis;

/// How it behaves. The defaults are those of `docs/aws.md`.
#[derive(Clone, Debug)]
pub struct MappingSettings {
    /// Most records of a batch.
    pub batch_records_max: usize,
    /// Begins behind what the shards hold now, instead of with their oldest records.
    pub from_latest: bool,
    /// `ParallelizationFactor`: so many batches of a shard at once, each with keys of its own.
    pub parallel: u64,
    /// How many batches of a hundred are delivered a second time at the same moment.
    pub twice_per_cent: u32,
    /// How many tries of a hundred are the last one: the batch is given up, as with `MaximumRetryAttempts`.
    pub given_up_per_cent: u32,
    /// How many keys of a hundred never get through a filter.
    pub filtered_per_cent: u64,
}

impl Default for MappingSettings {
    fn default() -> Self {
        Self {
            batch_records_max: 100,
            from_latest: false,
            parallel: 1,
            twice_per_cent: 0,
            given_up_per_cent: 0,
            filtered_per_cent: 0,
        }
    }
}

/// A running mapping; it ends when it is dropped, with the invocations that are under way.
pub struct Mapping {
    pollers: tokio::task::JoinHandle<()>,
    /// Batches that were given up.
    pub given_up: Arc<AtomicU32>,
}

struct Source {
    function: SharedFunction,
    client: aws_sdk_kinesis::Client,
    stream: String,
    /// Where the function keeps its progress, to see whether it speaks the truth.
    store: DynamoStore,
    settings: MappingSettings,
    given_up: Arc<AtomicU32>,
}

impl Mapping {
    /// Begins to deliver what the stream holds.
    pub async fn start(
        kinesis: &LocalKinesis,
        store: DynamoStore,
        function: SharedFunction,
        settings: MappingSettings,
    ) -> Self {
        let given_up = Arc::new(AtomicU32::new(0));
        let source = Arc::new(Source {
            function,
            client: kinesis.client(),
            stream: kinesis.stream().to_owned(),
            store,
            settings,
            given_up: given_up.clone(),
        });
        // Iterators of the first shards, so that LATEST is now.
        let (mut pollers, mut known) = (JoinSet::new(), BTreeSet::new());
        for shard in source.shards().await {
            known.insert(shard.shard_id.clone());
            let is_closed = shard.sequence_number_range().is_some_and(|range| range.ending_sequence_number().is_some());
            let from =
                if source.settings.from_latest { ShardIteratorType::Latest } else { ShardIteratorType::TrimHorizon };
            if !(source.settings.from_latest && is_closed) {
                let iterator = source.iterator(&shard.shard_id, from).await;
                pollers.spawn(source.clone().poll(shard.shard_id, iterator));
            }
        }
        let pollers = tokio::spawn(async move {
            loop {
                for shard in source.shards().await {
                    if known.insert(shard.shard_id.clone()) {
                        let iterator = source.iterator(&shard.shard_id, ShardIteratorType::TrimHorizon).await;
                        pollers.spawn(source.clone().poll(shard.shard_id, iterator));
                    }
                }
                tokio::select! {
                    Some(ended) = pollers.join_next() => ended.expect("no panic"),
                    () = tokio::time::sleep(Duration::from_millis(200)) => {}
                }
            }
        });
        Self { pollers, given_up }
    }

    /// Whether it goes on; a broken promise of the function ends it.
    pub fn is_at_work(&self) -> bool {
        !self.pollers.is_finished()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        self.pollers.abort();
    }
}

impl Source {
    async fn shards(&self) -> Vec<Shard> {
        let found = self.client.list_shards().stream_name(&self.stream).send().await.expect("shards");
        found.shards.unwrap_or_default()
    }

    async fn iterator(&self, shard: &str, from: ShardIteratorType) -> String {
        let call = self.client.get_shard_iterator().stream_name(&self.stream).shard_id(shard);
        let answer = call.shard_iterator_type(from).send().await.expect("an iterator");
        answer.shard_iterator.expect("an iterator")
    }

    async fn poll(self: Arc<Self>, shard: String, first: String) {
        let mut next = Some(first);
        while let Some(iterator) = next.take() {
            let answer = match self.client.get_records().shard_iterator(&iterator).send().await {
                Ok(answer) => answer,
                Err(_) => {
                    // Too much was asked of the shard.
                    next = Some(iterator);
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    continue;
                }
            };
            next = answer.next_shard_iterator;
            if answer.records.is_empty() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            for records in answer.records.chunks(self.settings.batch_records_max) {
                self.batch(&shard, records).await;
            }
        }
    }

    /// Delivers a batch, or a batch for each part of the keys.
    async fn batch(self: &Arc<Self>, shard: &str, records: &[Record]) {
        let hash = |record: &Record| {
            let mut hasher = DefaultHasher::new();
            record.partition_key.hash(&mut hasher);
            hasher.finish()
        };
        let mut parts = JoinSet::new();
        for part in 0..self.settings.parallel {
            let passes = |record: &&Record| {
                hash(record) % self.settings.parallel == part
                    && hash(record) / self.settings.parallel % 100 >= self.settings.filtered_per_cent
            };
            let records: Vec<Value> = records.iter().filter(passes).map(|record| self.event(shard, record)).collect();
            if !records.is_empty() {
                let (source, shard) = (self.clone(), shard.to_owned());
                parts.spawn(async move { source.deliver(&shard, records).await });
            }
        }
        while let Some(ended) = parts.join_next().await {
            ended.expect("no panic");
        }
    }

    /// Delivers the same records until they are done; what is left, again.
    async fn deliver(self: &Arc<Self>, shard: &str, mut records: Vec<Value>) {
        while !records.is_empty() {
            let payload = json!({ "Records": records }).to_string();
            if rand::rng().random_range(0..100) < self.settings.twice_per_cent {
                let (function, payload) = (self.function.clone(), payload.clone());
                tokio::spawn(async move { function.invoke(payload).await });
            }
            let answer = self.function.invoke(payload).await;
            let numbers: Vec<String> = records.iter().map(number).collect();
            let done = match &answer {
                Ok(answer) => numbers.len() - left(answer, &numbers).map_or(0, <[String]>::len),
                Err(_) => 0,
            };
            if let Some(last) = done.checked_sub(1) {
                let at = self.store.checkpoint(&ShardId::new(shard)).await.expect("a checkpoint");
                let said = position(&numbers[last]).expect("a position");
                assert!(at.as_ref() >= Some(&said), "{shard}: {said} is said to be done, and the state is at {at:?}");
            }
            records.drain(..done);
            if !records.is_empty() {
                if rand::rng().random_range(0..100) < self.settings.given_up_per_cent {
                    self.given_up.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    fn event(&self, shard: &str, record: &Record) -> Value {
        let arrived = record.approximate_arrival_timestamp.map_or(0.0, |at| at.as_secs_f64());
        json!({
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": record.partition_key,
                "sequenceNumber": record.sequence_number,
                "data": BASE64_STANDARD.encode(record.data.as_ref()),
                "approximateArrivalTimestamp": arrived,
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": format!("{shard}:{}", record.sequence_number),
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": "arn:aws:iam::000000000000:role/ledgerline",
            "awsRegion": "eu-central-1",
            "eventSourceARN": format!("arn:aws:kinesis:eu-central-1:000000000000:stream/{}", self.stream),
        })
    }
}

fn number(record: &Value) -> String {
    record["kinesis"]["sequenceNumber"].as_str().expect("a number").to_owned()
}
