//! Everything at AWS: the stream, the tables, the bucket.

use std::sync::Arc;
use std::time::Duration;

use ledgerline_adapters::aws::dynamo::{DynamoControl, DynamoSettings, DynamoStore, tables};
use ledgerline_adapters::aws::kinesis::{KinesisLog, KinesisSettings};
use ledgerline_adapters::aws::leases::DynamoLeases;
use ledgerline_adapters::aws::s3::{S3Archive, S3Settings};
use ledgerline_adapters::aws::{AwsConfig, AwsOptions, Endpoints};
use ledgerline_adapters::claim::ClaimCheck;
use ledgerline_adapters::control::Generations as _;
use ledgerline_adapters::live::LiveStore;
use ledgerline_domain::{ErrorKind, Result};
use ledgerline_processor::apply::ApplySettings;
use ledgerline_processor::leases::LeaseSettings;
use rand::RngExt as _;
use tokio::sync::watch;

use super::{Data, ShardOf};
use crate::settings::{AwsSettings, ConsumerSettings};
use crate::wiring::wait_for;

/// The stream, with bodies that are too large for its records in the bucket.
pub type AwsLog = ClaimCheck<KinesisLog, S3Archive>;
/// The records of whichever generation is live.
pub type Live = LiveStore<DynamoStore>;

/// What the name of the processor's table of leases ends with.
pub const PROCESSOR: &str = "";
/// What the name of the archiver's does.
pub const ARCHIVER: &str = "-archiver";

/// How often there is a look at which generation is live.
const LIVE_LOOK: Duration = Duration::from_secs(2);
/// How often the stream is asked whether it still keeps the order of entities.
pub const PROBE_EVERY: Duration = Duration::from_secs(300);

/// Everything that the settings name, opened.
pub struct Opened {
    /// The log.
    pub log: Arc<AwsLog>,
    /// The records of the live generation.
    pub live: Arc<Live>,
    /// The archive.
    pub archive: S3Archive,
    /// Which generations there are.
    pub control: Arc<DynamoControl>,
    /// First part of the archive's keys.
    pub stream: Arc<str>,
    aws: AwsConfig,
    settings: AwsSettings,
    dynamo: DynamoSettings,
}

/// How AWS is reached.
pub fn options(settings: &AwsSettings) -> AwsOptions {
    let endpoint = |name: &str| settings.endpoints.get(name).cloned();
    AwsOptions {
        region: settings.region.clone(),
        endpoints: Endpoints {
            dynamodb: endpoint("dynamodb"),
            kinesis: endpoint("kinesis"),
            s3: endpoint("s3"),
            secrets_manager: endpoint("secrets_manager"),
        },
        local: settings.local,
        ..AwsOptions::default()
    }
}

/// The limits of the log.
pub fn kinesis_settings(settings: &AwsSettings) -> KinesisSettings {
    let mut kinesis = KinesisSettings::new(&settings.stream);
    let log = &settings.log;
    let set = |to: &mut usize, value: Option<usize>, factor: usize| {
        if let Some(value) = value {
            *to = value.saturating_mul(factor);
        }
    };
    set(&mut kinesis.reads_per_second, log.reads_per_second, 1);
    set(&mut kinesis.record_bytes_max, log.record_kib_max, 1 << 10);
    set(&mut kinesis.requests_in_flight_max, log.requests_in_flight_max, 1);
    set(&mut kinesis.queue_records_max, log.queue_records_max, 1);
    set(&mut kinesis.queue_bytes_max, log.queue_mib_max, 1 << 20);
    if let Some(seconds) = log.idle_poll_seconds {
        kinesis.idle_poll = Duration::from_secs_f64(seconds);
    }
    kinesis
}

impl Opened {
    /// Opens all of it. Nothing is made: the deployment made it.
    pub async fn open(settings: &AwsSettings) -> Result<Self> {
        let aws = AwsConfig::load(&options(settings)).await?;
        let kinesis = kinesis_settings(settings);
        let record_bytes_max = kinesis.record_bytes_max;
        let archive = S3Archive::new(&aws, S3Settings::new(&settings.bucket, &settings.prefix))?;
        let log = KinesisLog::open(aws.kinesis().config(), kinesis).await?;
        let created_at = log.facts().created_at;
        let stream = settings.archive_stream.clone().unwrap_or_else(|| format!("{}-{created_at}", settings.stream));
        let log = ClaimCheck::new(log, archive.clone(), record_bytes_max);
        let dynamo = DynamoSettings::new(&settings.tables);
        let control = Arc::new(DynamoControl::open(&aws, &dynamo).await?);
        let number = control.live().await?;
        let live = Arc::new(LiveStore::new(number, Arc::new(DynamoStore::new(&aws, &dynamo, number)?)));
        let (log, stream) = (Arc::new(log), stream.into());
        Ok(Self { log, live, archive, control, stream, aws, settings: settings.clone(), dynamo })
    }

    /// The records of a generation.
    pub fn generation(&self, number: u32) -> Result<Arc<DynamoStore>> {
        Ok(Arc::new(DynamoStore::new(&self.aws, &self.dynamo, number)?))
    }

    /// The records of a generation that is being built; its tables are made if they are not there.
    pub async fn building(&self, number: u32) -> Result<Arc<DynamoStore>> {
        tables::create(&self.aws, &self.dynamo, number).await?;
        self.generation(number)
    }

    /// Moves the live mark; other processes see it within seconds.
    pub async fn make_live(&self, number: u32) -> Result<()> {
        self.control.move_live(number).await?;
        self.live.follow(number, self.generation(number)?);
        Ok(())
    }

    /// Gives a generation up and deletes its tables.
    pub async fn retire(&self, number: u32) -> Result<()> {
        self.control.retire(number).await?;
        tables::delete(&self.aws, &self.dynamo, number).await
    }

    /// The log as a role reads it: through a consumer of its own, where the settings name one.
    pub async fn log_through(&self, consumer: Option<&String>) -> Result<Arc<AwsLog>> {
        let Some(consumer) = consumer else { return Ok(self.log.clone()) };
        let log = self.log.log().fanned_out(consumer).await?;
        let record_bytes_max = kinesis_settings(&self.settings).record_bytes_max;
        tracing::info!(consumer, "reading by enhanced fan-out");
        Ok(Arc::new(ClaimCheck::new(log, self.archive.clone(), record_bytes_max)))
    }

    /// The consumers that the settings name.
    pub fn consumers(&self) -> &ConsumerSettings {
        &self.settings.log.fan_out
    }

    /// The leases of the processor, or of another role by a suffix.
    pub async fn leases(&self, suffix: &str) -> Result<DynamoLeases> {
        DynamoLeases::open(self.aws.dynamodb().config(), self.leases_table(suffix)).await
    }

    /// The name of their table.
    pub fn leases_table(&self, suffix: &str) -> String {
        format!("{}-leases{suffix}", self.settings.tables)
    }

    /// Times of the leases, with a name of its own for this run of this process.
    pub fn lease_settings(&self, role: &str) -> LeaseSettings {
        let seconds = Duration::from_secs_f64;
        let times = &self.settings.leases;
        let worker = format!("{role}-{}-{:016x}", std::process::id(), rand::rng().random::<u64>());
        LeaseSettings {
            lasts: seconds(times.lasts_seconds),
            renew_every: seconds(times.renew_seconds),
            seek_every: seconds(times.seek_seconds),
            ..LeaseSettings::new(worker)
        }
    }

    /// Limits of the processor.
    pub fn apply_settings(&self) -> ApplySettings {
        ApplySettings { gather: Duration::from_secs_f64(self.settings.gather_seconds()), ..ApplySettings::default() }
    }

    /// The same for who is woken per batch: the window of the mapping gathers, and what is done by then is kept
    /// when the time is over.
    pub fn woken_settings(&self) -> ApplySettings {
        ApplySettings { batch_records_max: 1000, gather: Duration::ZERO, ..ApplySettings::default() }
    }

    /// The name of the stream.
    pub fn stream_name(&self) -> &str {
        &self.settings.stream
    }

    /// In which shards an entity's events lie, as the stream last listed them.
    pub fn shard_of(&self) -> ShardOf {
        Box::new(self.log.log().shards_of())
    }
}

/// Keeps what this process reads through the live mark on the live generation.
pub async fn follow_live(data: Arc<Data>, stop: watch::Receiver<bool>) -> Result<()> {
    let Some(opened) = data.aws() else { return Ok(()) };
    loop {
        tokio::select! {
            () = tokio::time::sleep(LIVE_LOOK) => {}
            () = wait_for(stop.clone()) => return Ok(()),
        }
        match opened.control.live().await {
            Ok(number) if number != opened.live.pinned().0 => {
                tracing::info!(generation = number, "a generation was promoted");
                opened.live.follow(number, opened.generation(number)?);
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "failed to see which generation is live; trying again"),
        }
    }
}

/// Asks the stream now and then whether it still keeps the order of entities. Ends with an error when it
/// does not: nothing may be appended then.
pub async fn probe(log: Arc<AwsLog>, stop: watch::Receiver<bool>) -> Result<()> {
    loop {
        tokio::select! {
            () = tokio::time::sleep(PROBE_EVERY) => {}
            () = wait_for(stop.clone()) => return Ok(()),
        }
        match log.log().probe().await {
            Err(error) if error.kind() == ErrorKind::Invalid => return Err(error),
            Err(error) => tracing::warn!(%error, "failed to look at the stream; trying again"),
            Ok(_) => {}
        }
    }
}
