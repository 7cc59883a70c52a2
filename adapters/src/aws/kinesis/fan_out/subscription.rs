//! One subscription after the other, for one reader of one shard, until nobody asks any more.
//!
//! | what happens | then |
//! | --- | --- |
//! | five minutes are over: the stream ends | the next subscription, at once if a reader asks |
//! | the connection breaks, an event is cut, an error comes in the stream | the next one after a pause |
//! | no event for `silence_max` | the same: the service sends one at least every five seconds |
//! | another worker takes the shard over: `ResourceInUseException` | the same, if a reader still asks here |
//! | the service refuses (`ResourceInUseException`, `LimitExceededException`) | again after a pause that grows |
//! | the shard ends | no more: how a shard ends is asked of `GetRecords` |
//! | no reader asked for `unasked_max` | no more: the lease may be lost, and another worker's turn be near |
//!
//! A subscription goes on behind the last record that the one before gave (`AFTER_SEQUENCE_NUMBER`), or behind the
//! reader where that is further. Records that are held and not read yet stay; so nothing is lost and nothing comes
//! twice. The service's continuation number is not used: it saves reading over what holds no record, and what it means
//! for a record that stands at it is said in two ways.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::subscribe_to_shard::SubscribeToShardOutput;
use aws_sdk_kinesis::types::{ShardIteratorType, StartingPosition, SubscribeToShardEventStream};
use ledgerline_domain::ids::{SequenceNumber, ShardId};

use super::window::Window;
use crate::aws::kinesis::counts::KinesisCounts;
use crate::aws::kinesis::failure::Failure;
use crate::aws::kinesis::pause::pause;
use crate::aws::kinesis::position::number;
use crate::aws::kinesis::settings::KinesisSettings;

/// Failures in a row that nobody needs to hear of: two workers that hand a shard over make some.
const QUIET_FAILURES: u32 = 5;
/// How long a subscription gives events that was a good one, however it ends.
const GOOD: Duration = Duration::from_secs(60);

/// Everything that a subscription needs.
pub(super) struct Subscription {
    pub client: Client,
    pub consumer: Arc<str>,
    pub shard: ShardId,
    pub settings: Arc<KinesisSettings>,
    pub counts: Arc<KinesisCounts>,
    pub window: Arc<Window>,
}

/// Why a stream ended.
enum End {
    /// In good order: its time is over.
    Over,
    Broken(Failure),
    /// The shard has no more.
    Shard,
    Unasked,
}

impl Subscription {
    /// Runs until nobody asks any more, or the shard ends.
    pub async fn run(self) {
        let limits = &self.settings.fan_out;
        let (mut failures, mut subscribed) = (0, None);
        // Only a reader that came since the end brings a subscription back: the shard may be another worker's for good.
        while self.window.wanted(limits.unasked_max).await {
            let rest =
                subscribed.map_or(Duration::ZERO, |at: Instant| limits.subscribe_every.saturating_sub(at.elapsed()));
            let rest = if failures > 0 { rest.max(pause(limits.backoff, failures)) } else { rest };
            tokio::time::sleep(rest).await;
            if self.window.unasked() >= limits.unasked_max {
                break;
            }
            let from = self.window.from();
            let failure = match self.subscribe(from.as_ref()).await {
                Ok(output) => {
                    let began = Instant::now();
                    subscribed = Some(began);
                    let end = self.follow(from, output).await;
                    if began.elapsed() >= limits.silence_max + GOOD {
                        failures = 0;
                    }
                    match end {
                        End::Shard => return,
                        End::Unasked => break,
                        End::Over => {
                            failures = 0;
                            None
                        }
                        End::Broken(failure) => Some(failure),
                    }
                }
                Err(failure) => {
                    count(&self.counts.subscriptions_refused, 1);
                    self.window.stopped();
                    Some(failure)
                }
            };
            if let Some(failure) = failure {
                failures += 1;
                self.tell(&failure, failures);
            }
        }
        self.window.forget();
    }

    async fn subscribe(&self, from: Option<&SequenceNumber>) -> Result<SubscribeToShardOutput, Failure> {
        let position = StartingPosition::builder();
        let position = match from {
            None => position.r#type(ShardIteratorType::TrimHorizon),
            Some(from) => position
                .r#type(ShardIteratorType::AfterSequenceNumber)
                .sequence_number(number(from).map_err(Failure::of_answer)?),
        };
        let position = position.build().map_err(|_| Failure::of_stream("the position could not be made"))?;
        let call = self.client.subscribe_to_shard().consumer_arn(&*self.consumer).shard_id(self.shard.as_str());
        // The SDK's limits end with the head of the answer, and it waits for the first event.
        let limit = self.settings.attempt_timeout * 2;
        match tokio::time::timeout(limit, call.starting_position(position).send()).await {
            Ok(output) => output.map_err(Failure::from),
            Err(_) => Err(Failure::of_stream("no first event came in time")),
        }
    }

    /// Takes in what comes, until it ends.
    async fn follow(&self, from: Option<SequenceNumber>, mut output: SubscribeToShardOutput) -> End {
        let _on = On::begin(self, from);
        let limits = &self.settings.fan_out;
        let mut gave_any = false;
        loop {
            if !self.window.room(limits.buffer_bytes_max, limits.unasked_max).await {
                return End::Unasked;
            }
            let deadline = Instant::now() + limits.silence_max;
            let event = loop {
                let asked_for = limits.unasked_max.saturating_sub(self.window.unasked());
                let until = deadline.min(Instant::now() + asked_for);
                match tokio::time::timeout_at(until.into(), output.event_stream.recv()).await {
                    Ok(event) => break event,
                    Err(_) if Instant::now() >= deadline => {
                        return End::Broken(Failure::of_stream("no event came in time"));
                    }
                    Err(_) if self.window.unasked() >= limits.unasked_max => return End::Unasked,
                    Err(_) => {}
                }
            };
            let event = match event {
                Ok(Some(SubscribeToShardEventStream::SubscribeToShardEvent(event))) => event,
                Ok(Some(_)) => continue,
                // One that ends before it began is not in good order, and would be begun again and again.
                Ok(None) if gave_any => return End::Over,
                Ok(None) => return End::Broken(Failure::of_stream("it ended without an event")),
                Err(error) => return End::Broken(error.into()),
            };
            gave_any = true;
            count(&self.counts.subscription_events, 1);
            count(&self.counts.subscription_records, event.records.len() as u64);
            let at_the_end = event.continuation_sequence_number.is_empty() || !event.child_shards().is_empty();
            let late = Duration::from_millis(event.millis_behind_latest.unsigned_abs());
            if !self.window.take_in(event.records, late) {
                return End::Broken(Failure::of_stream("the records are out of order"));
            }
            if at_the_end {
                self.window.close();
                return End::Shard;
            }
        }
    }

    fn tell(&self, failure: &Failure, failures: u32) {
        let error = failure.during(format!("subscribe to {} of {}", self.shard, self.settings.stream));
        if failures > QUIET_FAILURES || !failure.passes {
            tracing::warn!(%error, failures, "reading by polling until a subscription succeeds");
        } else {
            tracing::debug!(%error, failures, "a subscription ended");
        }
    }
}

/// While a subscription is on; dropped with the task too.
struct On<'a>(&'a Subscription);

impl<'a> On<'a> {
    fn begin(of: &'a Subscription, from: Option<SequenceNumber>) -> Self {
        count(&of.counts.subscriptions, 1);
        metrics::gauge!("ledgerline_subscriptions").increment(1.0);
        of.window.began(from);
        Self(of)
    }
}

impl Drop for On<'_> {
    fn drop(&mut self) {
        count(&self.0.counts.subscriptions_ended, 1);
        metrics::gauge!("ledgerline_subscriptions").decrement(1.0);
        self.0.window.stopped();
    }
}

fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}
