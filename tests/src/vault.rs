//! An archive that a test can spoil, and small archives to begin with.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ledgerline_adapters::memory::{MemoryArchive, MemoryLog};
use ledgerline_domain::Result;
use ledgerline_domain::ids::SourceName;
use ledgerline_domain::ports::{Archive, Clock, Created, Log};
use ledgerline_domain::provider::Provider;
use ledgerline_domain::time::UnixNanos;
use ledgerline_processor::archiver::{ArchiverProgress, ArchiverSettings, run_archiver};
use tokio::sync::watch;

use crate::bodies::body;
use crate::sealed::record;

/// 2026-11-24T13:00:00Z.
pub const HOUR: i64 = 1_795_525_200_000_000_000;
/// Nanoseconds of an hour.
pub const HOUR_NANOS: i64 = 3_600_000_000_000;

/// Objects in memory, to be changed at will.
#[derive(Debug, Default)]
pub struct Vault(Mutex<BTreeMap<String, Bytes>>);

impl Vault {
    /// A copy of all objects of another archive.
    ///
    /// # Panics
    /// When that cannot be read.
    pub async fn copy_of(archive: &impl Archive) -> Self {
        let vault = Self::default();
        for key in archive.list("").await.expect("a list") {
            let object = archive.get(&key).await.expect("a read").expect("an object");
            vault.objects().insert(key, object);
        }
        vault
    }

    /// The objects.
    pub fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keys.
    pub fn keys(&self) -> Vec<String> {
        self.objects().keys().cloned().collect()
    }

    /// An object.
    ///
    /// # Panics
    /// When it is not there.
    pub fn object(&self, key: &str) -> Bytes {
        self.objects().get(key).cloned().unwrap_or_else(|| panic!("{key} is not there"))
    }

    /// Puts an object, whatever was there.
    pub fn put(&self, key: &str, object: impl Into<Bytes>) {
        self.objects().insert(key.to_owned(), object.into());
    }
}

impl Archive for Vault {
    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created> {
        let mut objects = self.objects();
        if objects.contains_key(key) {
            return Ok(Created::Exists);
        }
        objects.insert(key.to_owned(), bytes);
        Ok(Created::New)
    }

    async fn replace(&self, key: &str, bytes: Bytes) -> Result<()> {
        self.put(key, bytes);
        Ok(())
    }

    async fn exchange(&self, key: &str, known: Option<&Bytes>, new: Bytes) -> Result<bool> {
        let mut objects = self.objects();
        let same = objects.get(key) == known;
        if same {
            objects.insert(key.to_owned(), new);
        }
        Ok(same)
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        Ok(self.objects().get(key).cloned())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        Ok(self.objects().keys().filter(|key| key.starts_with(prefix)).cloned().collect())
    }
}

/// A clock that stands where its test puts it.
#[derive(Debug)]
pub struct NanosClock(pub AtomicI64);

impl Clock for NanosClock {
    fn now(&self) -> UnixNanos {
        UnixNanos::from_nanos(self.0.load(Ordering::SeqCst))
    }
}

/// What the archiver makes of Stripe-shaped events that arrive at the given times (nanoseconds after
/// [`HOUR`]), in segments of at most `records_max` records; closed in good order.
///
/// # Panics
/// When any part fails.
pub async fn archived(shards: u32, arrivals: &[i64], records_max: usize) -> Vault {
    let clock = Arc::new(NanosClock(AtomicI64::new(HOUR)));
    let log = Arc::new(MemoryLog::with_clock(shards, clock.clone()));
    let source = SourceName::new("stripe").expect("a good name");
    let provider = Provider::built_in("stripe").expect("stripe is built in");
    for (number, at) in arrivals.iter().enumerate() {
        clock.0.store(HOUR + at, Ordering::SeqCst);
        log.append(vec![record(&provider, &source, &Bytes::from(body(number)))]).await.expect("appended");
    }
    let archive = Arc::new(MemoryArchive::new());
    let settings = ArchiverSettings {
        segment_records_max: records_max,
        flush_after: Duration::from_millis(5),
        wait: Duration::from_millis(2),
        ..ArchiverSettings::default()
    };
    let (stop, stopped) = watch::channel(false);
    let progress = Arc::new(ArchiverProgress::default());
    let run = run_archiver(log.clone(), archive.clone(), clock, settings, progress.clone(), stopped);
    let running = tokio::spawn(run);
    let began = Instant::now();
    for shard in log.shards() {
        let tip = log.tip(&shard).await.expect("a tip");
        while progress.positions().get(&shard) < tip.as_ref() {
            assert!(began.elapsed() < Duration::from_secs(60), "the archiver does not come to an end");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    stop.send_replace(true);
    running.await.expect("no panic").expect("a good end");
    Vault::copy_of(&*archive).await
}
