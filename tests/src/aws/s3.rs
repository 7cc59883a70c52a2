//! S3 in this process.
//!
//! Compare and insert happen under one lock, so a conditional put has exactly one winner. The crate's own
//! backend on files looks first and writes then; it cannot be used for this.

use std::sync::Arc;
use std::time::Duration;

use ledgerline_adapters::aws::s3::{S3Archive, S3Settings};
use ledgerline_adapters::aws::{Endpoints, RetrySettings};

use super::s3_server::{Objects, serve_on};
use super::{Faults, reach, serve};

/// Names the address of an S3, with a bucket `archive`, to use instead of the one in this process.
pub const OTHER_S3: &str = "LEDGERLINE_TEST_S3";

/// An S3 with one empty bucket.
pub struct LocalS3 {
    endpoints: Endpoints,
    objects: Arc<Objects>,
    prefix: String,
}

impl LocalS3 {
    /// Starts one. While a create is under way, which takes `create_takes`, another one of the same key gets 409.
    pub async fn start(create_takes: Duration) -> Self {
        let objects = Arc::new(Objects::new("archive", create_takes));
        let shared = objects.clone();
        let address = serve(|listener| serve_on(listener, shared)).await;
        let endpoints = Endpoints { s3: Some(address), ..Endpoints::default() };
        Self { endpoints, objects, prefix: "ledger/one".into() }
    }

    /// The other one, where the environment names it, with a prefix of its own in its bucket; else as `start`. Only
    /// for tests that ask the archive alone.
    pub async fn start_or_other(create_takes: Duration) -> Self {
        let mut local = Self::start(create_takes).await;
        if let Ok(address) = std::env::var(OTHER_S3) {
            local.endpoints.s3 = Some(address);
            local.prefix = format!("test/{:016x}", rand::random::<u64>());
        }
        local
    }

    /// Its address.
    pub fn endpoints(&self) -> Endpoints {
        self.endpoints.clone()
    }

    /// The archive in the bucket, below a prefix. Parts are the smallest that S3 takes; ranges are short.
    pub async fn archive(&self, faults: Option<&Faults>, retries: RetrySettings) -> S3Archive {
        let settings = S3Settings {
            parts_above: 1024 * 1024,
            part_bytes: 5 * 1024 * 1024,
            range_bytes: 1024 * 1024,
            retries,
            ..S3Settings::new("archive", &self.prefix)
        };
        self.archive_with(faults, settings).await
    }

    /// The same with settings of one's own.
    pub async fn archive_with(&self, faults: Option<&Faults>, settings: S3Settings) -> S3Archive {
        S3Archive::new(&reach(self.endpoints(), faults).await, settings).expect("settings that work")
    }

    /// Names of all objects in the bucket.
    pub fn names(&self) -> Vec<String> {
        self.objects.names()
    }

    /// Puts an object as somebody else would.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        self.objects.put(name, bytes.to_vec().into());
    }

    /// How many creates met another one of the same key under way.
    pub fn conflicts(&self) -> usize {
        self.objects.conflicts()
    }

    /// Uploads that were begun and neither completed nor aborted.
    pub fn open_uploads(&self) -> usize {
        self.objects.open_uploads()
    }
}
