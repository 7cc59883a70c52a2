//! The log on Kinesis Data Streams.
//!
//! Promises, and what they cost:
//!
//! - **Order per entity.** The partition key is the entity's key. An entity has at most one record in
//!   flight (`lanes`); a record that failed holds up its own entity only. The stream must honour partition
//!   keys (`check`).
//! - **Durable when answered.** `append` returns with each record's own shard and sequence number. After a
//!   lost answer a record is sent again: it may stand in the log twice, never in another order.
//! - **Bounded.** What waits for the stream has a limit; past it an append is `Retry`, and the door answers
//!   503.
//! - **Positions** are the stream's sequence numbers, padded with zeros ([`position`]).
//! - **Shards come and go.** [`Log::lineage`] asks for them; a closed shard's reads end with
//!   [`ReadBatch::ended`].
//!
//! [`ReadBatch::behind`] is a lower bound: the service tells how late a reader is, not how many records
//! that is. `late` is its `MillisBehindLatest`.
//!
//! [`Log::release`] does nothing: the stream forgets by age. Its retention must be longer than the
//! longest time that a reader may be stopped. The service gives the oldest record it has to a reader whose
//! position it has forgotten, and says nothing; so watch `late` against the retention.
//!
//! Retries of the SDK are off; every attempt has a timeout.

mod budget;
pub(crate) mod check;
mod counts;
pub(crate) mod failure;
pub(crate) mod fan_out;
mod hash;
mod lanes;
pub(crate) mod pause;
mod place;
pub mod position;
mod producer;
mod put;
mod reader;
mod settings;
mod shards;
mod tip;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::{Client, Config};
use aws_smithy_types::retry::RetryConfig;
use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId};
use ledgerline_domain::ports::{Appended, Log, LogRecord, ReadBatch, ReadLimit, ShardInfo};
use ledgerline_domain::{Error, Result};

pub use check::StreamFacts;
pub use counts::{KinesisCounted, KinesisCounts};
pub use settings::{FanOutSettings, KinesisSettings};

use fan_out::FanOut;
use producer::Producer;
use reader::Reader;
use shards::Shards;

/// See the module.
pub struct KinesisLog {
    client: Client,
    settings: Arc<KinesisSettings>,
    counts: Arc<KinesisCounts>,
    facts: StreamFacts,
    shards: Arc<Shards>,
    producer: Arc<Producer>,
    reader: Arc<Reader>,
    /// Set where reads go through a consumer of their own.
    fan_out: Option<FanOut>,
    /// Newest positions that this process appended or found.
    newest: Arc<Mutex<HashMap<ShardId, SequenceNumber>>>,
}

impl KinesisLog {
    /// Opens the log on an existing stream; `config` says where and as whom. Errors: `Invalid` when a
    /// setting is wrong, the stream does not exist or does not honour partition keys; `Retry` when it does
    /// not answer or is being created.
    pub async fn open(config: &Config, settings: KinesisSettings) -> Result<Self> {
        settings.check()?;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(settings.attempt_timeout.min(Duration::from_secs(3)))
            .operation_attempt_timeout(settings.attempt_timeout)
            .build();
        let config = config.to_builder().retry_config(RetryConfig::disabled()).timeout_config(timeouts).build();
        let client = Client::from_conf(config);
        let facts = check::describe(&client, &settings.stream).await?;
        let shards = Shards::default();
        shards.ask(&client, &settings.stream).await?;
        let (settings, counts) = (Arc::new(settings), Arc::new(KinesisCounts::default()));
        Ok(Self {
            producer: Arc::new(Producer::start(client.clone(), settings.clone(), counts.clone())),
            reader: Arc::new(Reader::new(client.clone(), settings.clone(), counts.clone())),
            fan_out: None,
            newest: Arc::default(),
            client,
            settings,
            counts,
            facts,
            shards: Arc::new(shards),
        })
    }

    /// The same log, read by enhanced fan-out: for one reader of each shard, which has a registered consumer to itself.
    /// It shares everything else with this one, the budget for polling too. Errors: `Invalid` when the stream has no
    /// such consumer, `Retry` when that is not active yet or nobody answers.
    pub async fn fanned_out(&self, consumer: &str) -> Result<Self> {
        let arn = fan_out::consumer::find(&self.client, &self.facts.arn, consumer).await?;
        let (client, settings, counts) = (self.client.clone(), self.settings.clone(), self.counts.clone());
        let fan_out = FanOut::new(client, arn, settings, counts, self.reader.clone());
        Ok(Self {
            client: self.client.clone(),
            settings: self.settings.clone(),
            counts: self.counts.clone(),
            facts: self.facts.clone(),
            shards: self.shards.clone(),
            producer: self.producer.clone(),
            reader: self.reader.clone(),
            fan_out: Some(fan_out),
            newest: self.newest.clone(),
        })
    }

    /// What the stream said of itself at the start.
    pub fn facts(&self) -> &StreamFacts {
        &self.facts
    }

    /// Says in which shards an entity's events may lie, by the shards as they were last found: every one that takes or
    /// took the key, and their parents that the stream no longer lists, in the order of their ids.
    pub fn shards_of(&self) -> impl Fn(&EntityKey) -> Vec<ShardId> + Send + Sync + use<> {
        let shards = self.shards.all();
        move |key| hash::shards_of(&shards, key)
    }

    /// What was asked of the stream so far.
    pub fn counts(&self) -> KinesisCounted {
        self.counts.snapshot()
    }

    /// Asks again what was asked at the start: that the stream is there, is the same one and honours
    /// partition keys. To be called every few minutes; on `Invalid` the program must stop appending.
    pub async fn probe(&self) -> Result<StreamFacts> {
        let facts = check::describe(&self.client, &self.settings.stream).await?;
        if facts.created_at != self.facts.created_at {
            return Err(Error::invalid(format!(
                "go on with the stream {}: it was deleted and created anew; start again with its new archive path",
                self.settings.stream
            )));
        }
        Ok(facts)
    }

    fn note_newest(&self, shard: &ShardId, sequence: &SequenceNumber) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        match newest.get_mut(shard) {
            Some(known) if *known >= *sequence => {}
            Some(known) => known.clone_from(sequence),
            None => {
                newest.insert(shard.clone(), sequence.clone());
            }
        }
    }

    /// Refuses a shard that the stream does not have, also when asked anew.
    async fn known(&self, shard: &ShardId) -> Result<()> {
        if !self.shards.knows(shard) {
            self.shards.ask(&self.client, &self.settings.stream).await?;
            if !self.shards.knows(shard) {
                return Err(Error::invalid(format!("find {shard} in the stream {}", self.settings.stream)));
            }
        }
        Ok(())
    }
}

impl Log for KinesisLog {
    fn shards(&self) -> Vec<ShardId> {
        self.shards.ids()
    }

    async fn lineage(&self) -> Result<Vec<ShardInfo>> {
        self.shards.ask(&self.client, &self.settings.stream).await
    }

    async fn append(&self, records: Vec<LogRecord>) -> Result<Vec<Appended>> {
        let appended = self.producer.append(records).await?;
        for place in &appended {
            self.note_newest(&place.shard, &place.sequence);
        }
        Ok(appended)
    }

    async fn read(&self, shard: &ShardId, after: Option<&SequenceNumber>, limit: ReadLimit) -> Result<ReadBatch> {
        self.known(shard).await?;
        match &self.fan_out {
            Some(fan_out) => fan_out.read(shard, after, limit).await,
            None => self.reader.read(shard, after, limit).await,
        }
    }

    async fn tip(&self, shard: &ShardId) -> Result<Option<SequenceNumber>> {
        self.known(shard).await?;
        let known = self.newest.lock().unwrap_or_else(PoisonError::into_inner).get(shard).cloned();
        let found = tip::tip(&self.reader, shard, known).await?;
        if let Some(found) = &found {
            self.note_newest(shard, found);
        }
        Ok(found)
    }

    /// A shard that was quiet for longer than the retention has no record left, and nothing tells how far it went.
    /// The archive of a stream is named by the stream's creation.
    async fn reaches(&self, _: &ShardId, _: &SequenceNumber) -> Result<bool> {
        Ok(true)
    }

    async fn release(&self, _: &ShardId, _: &SequenceNumber) -> Result<()> {
        Ok(())
    }
}
