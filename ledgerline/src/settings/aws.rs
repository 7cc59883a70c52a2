//! The table `[aws]`: with it everything is kept at AWS.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where at AWS. Names only: the things behind them are made by the deployment.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AwsSettings {
    /// The region; as the environment says when nothing is said.
    pub region: Option<String>,
    /// The Kinesis data stream.
    pub stream: String,
    /// What the names of all DynamoDB tables begin with.
    pub tables: String,
    /// The bucket of the archive.
    pub bucket: String,
    /// Below which all its keys lie.
    #[serde(default = "prefix")]
    pub prefix: String,
    /// First part of the archive's keys, where it is not the stream's own name: to read the archive of a stream that
    /// is gone.
    pub archive_stream: Option<String>,
    /// Made-up credentials, for services on this machine.
    #[serde(default)]
    pub local: bool,
    /// Other addresses than AWS's: `kinesis`, `dynamodb`, `s3`, `secrets_manager`.
    #[serde(default)]
    pub endpoints: BTreeMap<String, String>,
    /// How long a batch of the processor gathers before it is written, so that several events of a payment make one
    /// write; 5 at AWS, where writes are the bill, and 0 with `local`.
    pub gather_seconds: Option<f64>,
    /// Limits of the log.
    #[serde(default)]
    pub log: LogSettings,
    /// Times of the leases.
    #[serde(default)]
    pub leases: LeaseSettings,
}

fn prefix() -> String {
    "ledgerline".to_owned()
}

/// Limits of the log; `None` is the adapter's default.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// `GetRecords` calls per shard in any second, of this process.
    pub reads_per_second: Option<usize>,
    /// Pause between two reads when nothing is new.
    pub idle_poll_seconds: Option<f64>,
    /// Largest record, in KiB; larger bodies go to the bucket first.
    pub record_kib_max: Option<usize>,
    /// Most `PutRecords` at a time.
    pub requests_in_flight_max: Option<usize>,
    /// Most records that wait for the stream.
    pub queue_records_max: Option<usize>,
    /// Most bytes of them, in MiB.
    pub queue_mib_max: Option<usize>,
    /// The registered consumers that roles read through; a role without one polls.
    pub fan_out: ConsumerSettings,
}

/// Names of consumers of the stream. A consumer has one subscription per shard, so each role needs its own.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsumerSettings {
    /// Of the processor.
    pub processor: Option<String>,
    /// Of the archiver.
    pub archiver: Option<String>,
}

impl ConsumerSettings {
    /// The key that is wrong and how to mend it.
    fn check(&self) -> Result<(), (String, String)> {
        let Self { processor, archiver } = self;
        for (role, name) in [("processor", processor), ("archiver", archiver)] {
            let letter = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
            if name.as_ref().is_some_and(|name| name.is_empty() || name.len() > 128 || !name.chars().all(letter)) {
                let text = "give a consumer's name, not its ARN: 1 to 128 letters, digits and _.-";
                return Err((format!("log.fan_out.{role}"), text.to_owned()));
            }
        }
        if processor.is_some() && processor == archiver {
            let text = "name another consumer than the processor's: a consumer has one subscription per shard";
            return Err(("log.fan_out.archiver".to_owned(), text.to_owned()));
        }
        Ok(())
    }
}

/// Times of the leases; see `docs/aws.md`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LeaseSettings {
    /// A lease seen unchanged for longer is free to take.
    pub lasts_seconds: f64,
    /// Time between two writes of a held lease.
    pub renew_seconds: f64,
    /// Time between two looks at all leases.
    pub seek_seconds: f64,
}

impl Default for LeaseSettings {
    fn default() -> Self {
        Self { lasts_seconds: 10.0, renew_seconds: 3.0, seek_seconds: 5.0 }
    }
}

/// Names of [`AwsSettings::endpoints`].
const ENDPOINTS: [&str; 4] = ["kinesis", "dynamodb", "s3", "secrets_manager"];
/// Longest of the times.
const SECONDS_MAX: f64 = 3_600.0;

/// Longest time that a batch may gather.
const GATHER_SECONDS_MAX: f64 = 60.0;

impl AwsSettings {
    /// How long a batch gathers, in seconds.
    pub fn gather_seconds(&self) -> f64 {
        self.gather_seconds.unwrap_or(if self.local { 0.0 } else { 5.0 })
    }

    /// The key that is wrong and how to mend it.
    pub(super) fn check(&self) -> Result<(), (String, String)> {
        for (key, value) in [("stream", &self.stream), ("tables", &self.tables), ("bucket", &self.bucket)] {
            if value.is_empty() {
                return Err((key.to_owned(), "give its name".to_owned()));
            }
        }
        if let Some(name) = self.endpoints.keys().find(|name| !ENDPOINTS.contains(&name.as_str())) {
            return Err((format!("endpoints.{name}"), format!("use one of {}", ENDPOINTS.join(", "))));
        }
        let LeaseSettings { lasts_seconds, renew_seconds, seek_seconds } = self.leases;
        let times = [
            ("leases.lasts_seconds", Some(lasts_seconds)),
            ("leases.renew_seconds", Some(renew_seconds)),
            ("leases.seek_seconds", Some(seek_seconds)),
            ("log.idle_poll_seconds", self.log.idle_poll_seconds),
        ];
        for (key, seconds) in times {
            if seconds.is_some_and(|seconds| !(0.01..=SECONDS_MAX).contains(&seconds)) {
                return Err((key.to_owned(), format!("use 0.01 to {SECONDS_MAX}")));
            }
        }
        if self.gather_seconds.is_some_and(|seconds| !(0.0..=GATHER_SECONDS_MAX).contains(&seconds)) {
            return Err(("gather_seconds".to_owned(), format!("use 0 to {GATHER_SECONDS_MAX}")));
        }
        self.log.fan_out.check()?;
        if renew_seconds * 2.0 > lasts_seconds {
            let text = "use at least twice leases.renew_seconds, so that a write may fail";
            return Err(("leases.lasts_seconds".to_owned(), text.to_owned()));
        }
        if cfg!(not(feature = "aws")) {
            let text = "this program was built without AWS; build it with `cargo build --release --features aws`";
            return Err(("stream".to_owned(), text.to_owned()));
        }
        Ok(())
    }
}
