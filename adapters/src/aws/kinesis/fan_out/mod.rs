//! Reading by enhanced fan-out: `SubscribeToShard` with a registered consumer, and `GetRecords` where that is not on.
//!
//! A consumer has one subscription per shard, so this is for one reader of each shard: the one that asks from where
//! the subscription is. Everybody else who reads the shard here, from another position, polls. A subscription begins
//! with the first read of a shard. Until it is on, while it is off, and when a reader may not wait, a read polls within
//! the shard's budget: both ways give the same records, so it does not matter for a reader which way it was served.
//!
//! The end of a shard is always found by polling: a wrong one would lose what follows, and it comes once.
//!
//! Memory: per shard [`buffer_bytes_max`](super::FanOutSettings::buffer_bytes_max) and one event of the service; what
//! lies in the connection besides has its own limit of a few MiB.

pub(crate) mod consumer;
mod subscription;
mod window;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_kinesis::Client;
use ledgerline_domain::Result;
use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::ports::{ReadBatch, ReadLimit};
use tokio::task::JoinHandle;

use super::counts::KinesisCounts;
use super::position::number;
use super::reader::Reader;
use super::settings::KinesisSettings;
use subscription::Subscription;
use window::{Answer, Window};

/// How long a subscription that is on is waited for to come to where its reader is by now.
const CATCH_UP: Duration = Duration::from_millis(500);
/// Longest wait for one thing: what a poll waits for may come through the subscription meanwhile.
const POLL: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct FanOut {
    client: Client,
    consumer: Arc<str>,
    settings: Arc<KinesisSettings>,
    counts: Arc<KinesisCounts>,
    reader: Arc<Reader>,
    shards: Mutex<HashMap<ShardId, Followed>>,
}

/// A shard with its subscription, which ends with this.
struct Followed {
    window: Arc<Window>,
    task: JoinHandle<()>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FanOut {
    /// With a consumer's ARN; `reader` polls.
    pub fn new(
        client: Client,
        consumer: String,
        settings: Arc<KinesisSettings>,
        counts: Arc<KinesisCounts>,
        reader: Arc<Reader>,
    ) -> Self {
        Self { client, consumer: consumer.into(), settings, counts, reader, shards: Mutex::default() }
    }

    /// See [`Log::read`](ledgerline_domain::ports::Log::read); the shard exists. May be dropped at any time.
    pub async fn read(&self, shard: &ShardId, after: Option<&SequenceNumber>, limit: ReadLimit) -> Result<ReadBatch> {
        if after.is_some_and(SequenceNumber::is_shard_end) {
            return self.reader.read(shard, after, limit).await;
        }
        after.map(number).transpose()?;
        let until = Instant::now() + limit.wait;
        // One that waits for long says now and then that it is still there.
        let slice = POLL.min(self.settings.fan_out.unasked_max / 4);
        // Of a read that waits for less, half is left to poll.
        let caught_up = Instant::now() + CATCH_UP.min(limit.wait / 2);
        loop {
            let window = self.window(shard, after);
            let mut news = pin!(window.news.notified());
            // Before the look, so that nothing comes between the two.
            news.as_mut().enable();
            let quiet = match window.ask(after, limit)? {
                Answer::Batch(batch) => {
                    self.reader.forget(shard, after);
                    return Ok(batch);
                }
                Answer::Quiet(nothing) => Some((until, Some(nothing))),
                Answer::Behind => Some((caught_up, None)),
                Answer::Nothing => None,
            };
            if let Some((patience, nothing)) = quiet.filter(|_| !limit.wait.is_zero()) {
                let is_news = tokio::time::timeout_at(patience.min(Instant::now() + slice).into(), news).await.is_ok();
                if is_news || Instant::now() < patience {
                    continue;
                }
                if let Some(nothing) = nothing {
                    return Ok(nothing);
                }
            }
            let wait = until.saturating_duration_since(Instant::now()).min(slice);
            let batch = self.reader.read(shard, after, ReadLimit { wait, ..limit }).await?;
            if !batch.records.is_empty() || batch.ended || Instant::now() >= until {
                return Ok(batch);
            }
        }
    }

    /// The window of a shard; a new one, with its subscription, where there is none that lives.
    fn window(&self, shard: &ShardId, after: Option<&SequenceNumber>) -> Arc<Window> {
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(followed) = shards.get(shard).filter(|followed| followed.lives()) {
            return followed.window.clone();
        }
        let unasked_max = self.settings.fan_out.unasked_max;
        shards.retain(|_, followed| !followed.task.is_finished() || followed.window.unasked() < unasked_max);
        let window = Arc::new(Window::new(after.cloned()));
        let subscription = Subscription {
            client: self.client.clone(),
            consumer: self.consumer.clone(),
            shard: shard.clone(),
            settings: self.settings.clone(),
            counts: self.counts.clone(),
            window: window.clone(),
        };
        let task = tokio::spawn(subscription.run());
        shards.insert(shard.clone(), Followed { window: window.clone(), task });
        window
    }
}

impl Followed {
    /// Whether something may still come of it. Of a shard that has ended nothing needs to.
    fn lives(&self) -> bool {
        !self.task.is_finished() || self.window.is_closed()
    }
}
