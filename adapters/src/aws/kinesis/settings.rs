//! Limits of the log on Kinesis. Plain data.

use std::time::Duration;

use ledgerline_domain::{Error, Result};

/// Limits and waits. The defaults keep within what a stream of default quotas takes.
#[derive(Clone, Debug)]
pub struct KinesisSettings {
    /// Name of the stream.
    pub stream: String,
    /// Most records of one `PutRecords`; the service takes 500.
    pub request_records_max: usize,
    /// Most bytes of one `PutRecords`, data and partition keys together; the service takes 10 MiB.
    pub request_bytes_max: usize,
    /// Largest record, data and partition key together, in bytes. Not above the stream's own
    /// `MaxRecordSize`, which is 1 MiB unless it was raised.
    pub record_bytes_max: usize,
    /// Most `PutRecords` at a time.
    pub requests_in_flight_max: usize,
    /// Most records that wait for their sequence numbers; past it an append is refused with `Retry`.
    pub queue_records_max: usize,
    /// Most bytes of them.
    pub queue_bytes_max: usize,
    /// How long an append is tried before it is answered with `Retry`.
    pub append_timeout: Duration,
    /// Longest time for one attempt of one call, from the connection to the last byte of the answer.
    pub attempt_timeout: Duration,
    /// First and longest pause of an entity's lane, or of a reader, after a failure.
    pub backoff: (Duration, Duration),
    /// `GetRecords` calls per shard in any second, by all readers of this process together. The service
    /// takes five from everybody together.
    pub reads_per_second: usize,
    /// Pause between two reads of a shard in which nothing is new.
    pub idle_poll: Duration,
    /// Most records of one `GetRecords`; the service gives 10 000.
    pub read_records_max: usize,
    /// Age at which an iterator is replaced; the service forgets it after five minutes.
    pub iterator_age_max: Duration,
    /// Limits of subscriptions, where a reader has a consumer.
    pub fan_out: FanOutSettings,
}

/// Limits of a subscription to a shard.
#[derive(Clone, Debug)]
pub struct FanOutSettings {
    /// Bytes of records that are held for the reader, with a fixed overhead for each; past it the stream is not
    /// read on. One more event may come, which the service keeps to about 2 MiB.
    pub buffer_bytes_max: usize,
    /// Without any event for so long, the connection counts as broken. The service sends one at least every five
    /// seconds. A reader that is told that it is caught up knows it as of the last event: well below the grace after
    /// which an archiver counts an hour as over.
    pub silence_max: Duration,
    /// A subscription that no reader asked for so long is ended: the shard may be another worker's now.
    pub unasked_max: Duration,
    /// Time between two subscriptions to a shard; before that the service refuses the second one.
    pub subscribe_every: Duration,
    /// First and longest pause after a subscription that failed.
    pub backoff: (Duration, Duration),
}

/// What a record that is held counts beside its bytes.
pub const RECORD_OVERHEAD: usize = 128;

impl Default for FanOutSettings {
    fn default() -> Self {
        Self {
            buffer_bytes_max: 8 << 20,
            silence_max: Duration::from_secs(30),
            unasked_max: Duration::from_secs(10),
            subscribe_every: Duration::from_secs(5),
            backoff: (Duration::from_secs(1), Duration::from_secs(30)),
        }
    }
}

impl KinesisSettings {
    /// The defaults, for a stream.
    pub fn new(stream: impl Into<String>) -> Self {
        Self {
            stream: stream.into(),
            request_records_max: 500,
            request_bytes_max: 5 << 20,
            record_bytes_max: 1 << 20,
            requests_in_flight_max: 8,
            queue_records_max: 50_000,
            queue_bytes_max: 64 << 20,
            append_timeout: Duration::from_secs(15),
            attempt_timeout: Duration::from_secs(4),
            backoff: (Duration::from_millis(50), Duration::from_secs(2)),
            reads_per_second: 5,
            idle_poll: Duration::from_millis(500),
            read_records_max: 10_000,
            iterator_age_max: Duration::from_secs(270),
            fan_out: FanOutSettings::default(),
        }
    }

    /// Refuses what cannot work; the message names the setting.
    pub fn check(&self) -> Result<()> {
        let numbers = [
            ("request_records_max", self.request_records_max, 500),
            ("request_bytes_max", self.request_bytes_max, 10 << 20),
            ("record_bytes_max", self.record_bytes_max, self.request_bytes_max),
            ("requests_in_flight_max", self.requests_in_flight_max, 1000),
            ("queue_records_max", self.queue_records_max, 10_000_000),
            ("queue_bytes_max", self.queue_bytes_max, 2 << 30),
            ("reads_per_second", self.reads_per_second, 1000),
            ("read_records_max", self.read_records_max, 10_000),
            ("fan_out.buffer_bytes_max", self.fan_out.buffer_bytes_max, 2 << 30),
        ];
        for (name, value, most) in numbers {
            if value == 0 || value > most {
                return Err(Error::invalid(format!("accept {name} = {value} of the log: use 1 to {most}")));
            }
        }
        if self.record_bytes_max > self.queue_bytes_max {
            return Err(Error::invalid("accept queue_bytes_max of the log: it must hold a record of record_bytes_max"));
        }
        if self.attempt_timeout.is_zero() || self.append_timeout < self.attempt_timeout {
            return Err(Error::invalid(
                "accept append_timeout of the log: it must be at least attempt_timeout, and that above zero",
            ));
        }
        Ok(())
    }
}
