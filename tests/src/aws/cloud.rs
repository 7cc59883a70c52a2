//! All services that the program needs, in this process, with what a deployment makes: stream, tables, bucket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ledgerline_adapters::aws::Endpoints;
use ledgerline_adapters::aws::leases::DynamoLeases;

use super::{LocalDynamo, LocalKinesis, LocalS3, LocalSecrets, reach};
use crate::child::SECRET;

/// Name of the bucket.
const BUCKET: &str = "archive";
/// Consumers of the stream, by the role that may read through each.
const CONSUMERS: [(&str, &str); 2] = [("processor", "ledgerline-processor"), ("archiver", "ledgerline-archiver")];
/// What the names of the tables of leases end with.
const LEASES: [&str; 2] = ["-leases", "-leases-archiver"];

/// A small AWS.
pub struct LocalCloud {
    /// Kinesis, with the stream.
    pub kinesis: LocalKinesis,
    /// DynamoDB, with the tables.
    pub dynamo: LocalDynamo,
    /// S3, with the bucket.
    pub s3: LocalS3,
    /// Secrets Manager.
    pub secrets: LocalSecrets,
}

impl LocalCloud {
    /// Starts one whose stream has `shards` open shards and keeps the service's limits.
    ///
    /// # Panics
    /// When a socket cannot be had.
    pub async fn start(shards: i32) -> Self {
        let cloud = Self {
            kinesis: LocalKinesis::start_with_limits(shards).await,
            dynamo: LocalDynamo::start().await,
            s3: LocalS3::start(Duration::ZERO).await,
            secrets: LocalSecrets::start().await,
        };
        for (_, consumer) in CONSUMERS {
            cloud.kinesis.register(consumer).await;
        }
        let aws = reach(cloud.endpoints(), None).await;
        for suffix in LEASES {
            let table = format!("{}{suffix}", cloud.dynamo.prefix());
            DynamoLeases::create_table(aws.dynamodb().config(), &table).await.expect("a table");
        }
        cloud
    }

    /// Addresses of all services.
    pub fn endpoints(&self) -> Endpoints {
        Endpoints {
            kinesis: self.kinesis.endpoints().kinesis,
            dynamodb: self.dynamo.endpoints().dynamodb,
            s3: self.s3.endpoints().s3,
            secrets_manager: self.secrets.endpoints().secrets_manager,
        }
    }

    /// The table `[aws]` of the settings. Workers that are gone are replaced within about two seconds.
    pub fn settings(&self) -> String {
        let endpoints = self.endpoints();
        let address = |address: &Option<String>| address.clone().unwrap_or_default();
        format!(
            "[aws]\nregion = \"eu-central-1\"\nlocal = true\nstream = \"{}\"\ntables = \"{}\"\nbucket = \"{BUCKET}\"\n\
             prefix = \"ledger/one\"\nendpoints = {{ kinesis = \"{}\", dynamodb = \"{}\", s3 = \"{}\", \
             secrets_manager = \"{}\" }}\n\
             [aws.log]\nreads_per_second = 5\nidle_poll_seconds = 0.2\nrecord_kib_max = 512\n\
             [aws.leases]\nlasts_seconds = 1.5\nrenew_seconds = 0.4\nseek_seconds = 0.5\n",
            self.kinesis.stream(),
            self.dynamo.prefix(),
            address(&endpoints.kinesis),
            address(&endpoints.dynamodb),
            address(&endpoints.s3),
            address(&endpoints.secrets_manager),
        )
    }

    /// Writes a settings file with the sources `shop` and `ledger` into `dir`, for a program that listens at `listen`.
    ///
    /// # Panics
    /// When files cannot be written.
    pub fn write_settings(&self, dir: &Path, listen: &str) -> PathBuf {
        Self::write(dir, listen, &self.settings())
    }

    /// The same, with enhanced fan-out for both readers.
    ///
    /// # Panics
    /// When files cannot be written.
    pub fn write_settings_with_fan_out(&self, dir: &Path, listen: &str) -> PathBuf {
        let [processor, archiver] = CONSUMERS.map(|(role, consumer)| format!("{role} = \"{consumer}\""));
        let names = format!("[aws.log]\nfan_out = {{ {processor}, {archiver} }}\n");
        Self::write(dir, listen, &self.settings().replacen("[aws.log]\n", &names, 1))
    }

    fn write(dir: &Path, listen: &str, aws: &str) -> PathBuf {
        std::fs::create_dir_all(dir).expect("a folder");
        std::fs::write(dir.join("secret"), SECRET).expect("a secret file");
        let file = dir.join("ledgerline.toml");
        std::fs::write(&file, Self::text(listen, aws)).expect("a settings file");
        file
    }

    /// The text of such a file.
    pub fn settings_text(&self, listen: &str) -> String {
        Self::text(listen, &self.settings())
    }

    fn text(listen: &str, aws: &str) -> String {
        format!(
            "data = \"spill\"\nlisten = \"{listen}\"\n[limits]\nsegment_age_seconds_max = 1\n\
             [[source]]\nname = \"shop\"\nprovider = \"stripe\"\nsecrets = [\"file:secret\"]\n\
             [[source]]\nname = \"ledger\"\nprovider = \"generic\"\nsecrets = [\"file:secret\"]\n{aws}"
        )
    }
}
