//! The reading side: `GetRecords`, asked again and again.
//!
//! A reader says only after which position it wants to go on; the iterator that stands there, and what
//! the service gave beyond the reader's limits, are kept in between. Any number of readers may follow a
//! shard at their own pace; they share the calls that the shard allows in a second.
//!
//! What a read does about the service's answers:
//!
//! | answer | then |
//! | --- | --- |
//! | no records, but not at the end yet | ask again: a shard may answer so many times in a row |
//! | no records, at the end | ask again after a pause, until the reader's wait is over |
//! | the iterator expired | a new one after the last position |
//! | too much was asked | pause, then again, until the reader's wait is over; then `Retry` |
//! | no next iterator | the shard is closed and this was its end |
//!
//! Memory: per shard a few places of readers, each with at most one answer of the service (10 MiB).

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::ShardIteratorType;
use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::ports::{ReadBatch, ReadLimit};
use ledgerline_domain::{Error, Result};

use super::KinesisSettings;
use super::budget::Budget;
use super::counts::KinesisCounts;
use super::failure::Failure;
use super::pause::pause;
use super::place::{Place, Standing};
use super::position::number;

/// Most places that are kept of a shard; the one that was left longest ago is forgotten.
const PLACES_MAX: usize = 4;
/// How long a read that may not wait goes on asking a shard that has more and gives nothing.
const EMPTY_ANSWERS: Duration = Duration::from_secs(5);
/// Iterators that may expire in one read.
const EXPIRED_MAX: u32 = 3;

/// See the module.
pub(super) struct Reader {
    client: Client,
    settings: Arc<KinesisSettings>,
    counts: Arc<KinesisCounts>,
    shards: Mutex<HashMap<ShardId, ShardReads>>,
}

struct ShardReads {
    reads: Budget,
    iterators: Budget,
    places: Vec<Place>,
}

/// Where a new iterator begins.
pub(super) enum Start {
    /// Behind a position, or at the oldest record.
    After(Option<SequenceNumber>),
    /// At the first record that arrived then or later.
    Time(DateTime),
}

impl Reader {
    pub fn new(client: Client, settings: Arc<KinesisSettings>, counts: Arc<KinesisCounts>) -> Self {
        Self { client, settings, counts, shards: Mutex::default() }
    }

    /// See [`Log::read`](ledgerline_domain::ports::Log::read); the shard exists.
    pub async fn read(&self, shard: &ShardId, after: Option<&SequenceNumber>, limit: ReadLimit) -> Result<ReadBatch> {
        if after.is_some_and(SequenceNumber::is_shard_end) {
            // A reader that goes on asking must not spin.
            tokio::time::sleep(limit.wait).await;
            return Ok(ReadBatch { late: Some(Duration::ZERO), ended: true, ..ReadBatch::default() });
        }
        after.map(number).transpose()?;
        let mut place = self.place(shard, after);
        let read = self.read_at(shard, &mut place, limit).await;
        // After an error the iterator is not to be trusted.
        if read.is_err() {
            place.iterator = None;
        }
        self.keep(shard, place);
        read
    }

    async fn read_at(&self, shard: &ShardId, place: &mut Place, limit: ReadLimit) -> Result<ReadBatch> {
        let began = Instant::now();
        let until = began + limit.wait;
        let (mut throttles, mut expired) = (0, 0);
        loop {
            if let Some(batch) = place.give(limit) {
                if batch.ended {
                    tokio::time::sleep(until.saturating_duration_since(Instant::now())).await;
                }
                return Ok(batch);
            }
            let asked = limit.records_max.clamp(1, self.settings.read_records_max);
            match self.ask(shard, place, asked).await {
                Ok(()) => throttles = 0,
                Err(failure)
                    if failure.code.as_deref() == Some("ExpiredIteratorException") && expired < EXPIRED_MAX =>
                {
                    expired += 1;
                    place.iterator = None;
                    continue;
                }
                Err(failure) if failure.is_throttle() && Instant::now() < until => {
                    throttles += 1;
                    self.counts.read_throttles.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(pause(self.settings.backoff, throttles)).await;
                    continue;
                }
                Err(failure) => return Err(failure.during(format!("read {shard} of {}", self.settings.stream))),
            }
            if place.has_answer() {
                continue;
            }
            let now = Instant::now();
            match place.standing() {
                Standing::AtTheEnd if now >= until => return Ok(place.nothing()),
                Standing::AtTheEnd => {
                    tokio::time::sleep(self.settings.idle_poll.min(until.saturating_duration_since(now))).await;
                }
                Standing::Behind if now >= until.max(began + EMPTY_ANSWERS) => return Ok(place.nothing()),
                Standing::Behind => {}
            }
        }
    }

    /// One `GetRecords`, with an iterator if there is none; what it gave is in the place then.
    pub(super) async fn ask(&self, shard: &ShardId, place: &mut Place, records_max: usize) -> Result<(), Failure> {
        let fresh = |at: &Instant| at.elapsed() < self.settings.iterator_age_max;
        let iterator = match place.iterator.take().filter(|(_, made)| fresh(made)) {
            Some((iterator, _)) => iterator,
            None => self.iterator(shard, &Start::After(place.after.clone())).await?,
        };
        self.ask_with(shard, place, iterator, records_max).await
    }

    pub(super) async fn ask_with(
        &self,
        shard: &ShardId,
        place: &mut Place,
        iterator: String,
        records_max: usize,
    ) -> Result<(), Failure> {
        self.turn(shard, |reads| &mut reads.reads).await;
        self.counts.read_calls.fetch_add(1, Ordering::Relaxed);
        let records_max = i32::try_from(records_max).unwrap_or(i32::MAX);
        let call = self.client.get_records().shard_iterator(&iterator).limit(records_max);
        let answer = call.send().await.map_err(Failure::from)?;
        self.counts.read_records.fetch_add(answer.records.len() as u64, Ordering::Relaxed);
        place.take_in(answer, records_max).map_err(Failure::of_answer)
    }

    /// A new iterator.
    pub(super) async fn iterator(&self, shard: &ShardId, from: &Start) -> Result<String, Failure> {
        self.turn(shard, |reads| &mut reads.iterators).await;
        self.counts.iterator_calls.fetch_add(1, Ordering::Relaxed);
        let call = self.client.get_shard_iterator().stream_name(&self.settings.stream).shard_id(shard.as_str());
        let call = match from {
            Start::After(None) => call.shard_iterator_type(ShardIteratorType::TrimHorizon),
            Start::After(Some(after)) => call
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .starting_sequence_number(number(after).map_err(Failure::of_answer)?),
            Start::Time(at) => call.shard_iterator_type(ShardIteratorType::AtTimestamp).timestamp(*at),
        };
        let answer = call.send().await.map_err(Failure::from)?;
        answer.shard_iterator.ok_or_else(|| Failure::of_answer(Error::retry("the answer has no iterator")))
    }

    /// Waits until the shard's budget has a call.
    async fn turn(&self, shard: &ShardId, budget: impl Fn(&mut ShardReads) -> &mut Budget) {
        let at = budget(self.lock().entry(shard.clone()).or_insert_with(|| self.new_shard())).next(Instant::now());
        tokio::time::sleep_until(at.into()).await;
    }

    fn new_shard(&self) -> ShardReads {
        ShardReads {
            reads: Budget::per_second(self.settings.reads_per_second),
            iterators: Budget::per_second(self.settings.reads_per_second),
            places: Vec::new(),
        }
    }

    /// The place that a reader left at a position, or a new one.
    fn place(&self, shard: &ShardId, after: Option<&SequenceNumber>) -> Place {
        let mut shards = self.lock();
        let places = &mut shards.entry(shard.clone()).or_insert_with(|| self.new_shard()).places;
        let found = places.iter().position(|place| place.after.as_ref() == after);
        found.map_or_else(|| Place::new(after.cloned()), |at| places.swap_remove(at))
    }

    fn keep(&self, shard: &ShardId, place: Place) {
        let mut shards = self.lock();
        let places = &mut shards.entry(shard.clone()).or_insert_with(|| self.new_shard()).places;
        if places.len() >= PLACES_MAX {
            places.remove(0);
        }
        places.push(place);
    }

    /// Forgets the place at a position, with what was read ahead: its reader goes on by other ways.
    pub(super) fn forget(&self, shard: &ShardId, after: Option<&SequenceNumber>) {
        if let Some(reads) = self.lock().get_mut(shard) {
            reads.places.retain(|place| place.after.as_ref() != after);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ShardId, ShardReads>> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
