//! A log, an archive and a clock for tests, the archive with a will of its own; and the check of
//! the chain that every test ends with.

use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::ids::{SequenceNumber, ShardId, SourceName};
use ledgerline_domain::ports::{Appended, Archive, Clock, Created, Log, LogRecord, ReadBatch, ReadLimit, Sequenced};
use ledgerline_domain::provider::Provider;
use ledgerline_domain::request::RawRequest;
use ledgerline_domain::segment::keys::{SegmentKey, chain_order, segments_of_shard};
use ledgerline_domain::segment::{SegmentPlace, SegmentReader, SegmentWriter, digest};
use ledgerline_domain::signature::{SecretSet, sign, verify};
use ledgerline_domain::time::UnixNanos;
use ledgerline_domain::{Error, Result};

use super::ArchiverSettings;

/// 2026-11-24T13:00:00Z.
pub const HOUR: i64 = 1_795_525_200_000_000_000;
pub const HOUR_NANOS: i64 = 3_600_000_000_000;
pub const STREAM: &str = "main";

static STRIPE: LazyLock<(Provider, SecretSet)> = LazyLock::new(|| {
    let provider = Provider::built_in("stripe").unwrap();
    let secrets = SecretSet::new(provider.scheme(), ["whsec_test".to_owned().into()]).unwrap();
    (provider, secrets)
});

/// An encoded envelope of a made-up event.
pub fn event(number: usize) -> Bytes {
    let (provider, secrets) = &*STRIPE;
    let (entity, filler) = (number / 3, "x".repeat(number % 97));
    let body = Bytes::from(format!(
        r#"{{"id":"evt_{number}","type":"payment_intent.created","created":1,"filler":"{filler}","data":{{"object":{{"id":"pi_{entity}","object":"payment_intent"}}}}}}"#
    ));
    let now = UnixNanos::from_nanos(HOUR);
    let headers = sign(provider.scheme(), &"whsec_test".to_owned().into(), "", now, &body).unwrap();
    let raw = RawRequest { headers: &headers, body: &body, received_at: now };
    let verified = verify(provider.scheme(), secrets, raw).unwrap();
    let identified = provider.identify(&SourceName::new("stripe").unwrap(), raw).remove(0);
    Bytes::from(Envelope::seal(&verified, identified).encode())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Some shards of records; positions rise with holes.
#[derive(Default)]
pub struct TestLog {
    shards: Mutex<BTreeMap<ShardId, Vec<Sequenced<Bytes>>>>,
    forgotten: Mutex<BTreeMap<ShardId, SequenceNumber>>,
}

impl TestLog {
    pub fn new(shards: u32) -> Arc<Self> {
        let log = Self::default();
        *lock(&log.shards) = (0..shards).map(|n| (ShardId::numbered(n), Vec::new())).collect();
        Arc::new(log)
    }

    /// Adds records that arrive at the given times.
    pub fn add(&self, shard: u32, arrivals: impl IntoIterator<Item = i64>) {
        let mut shards = lock(&self.shards);
        let records = shards.get_mut(&ShardId::numbered(shard)).unwrap();
        for nanos in arrivals {
            let number = records.len();
            let sequence = SequenceNumber::from_u64(number as u64 * 3 + 1);
            records.push(Sequenced { sequence, arrived_at: UnixNanos::from_nanos(nanos), value: event(number) });
        }
    }

    pub fn records(&self, shard: &ShardId) -> Vec<Sequenced<Bytes>> {
        lock(&self.shards)[shard].clone()
    }
}

impl Log for TestLog {
    fn shards(&self) -> Vec<ShardId> {
        lock(&self.shards).keys().cloned().collect()
    }

    async fn append(&self, _: Vec<LogRecord>) -> Result<Vec<Appended>> {
        Err(Error::internal("append to a log that is filled by its test"))
    }

    async fn read(&self, shard: &ShardId, after: Option<&SequenceNumber>, limit: ReadLimit) -> Result<ReadBatch> {
        let (mut found, forgotten) = { (self.records(shard), lock(&self.forgotten).get(shard).cloned()) };
        if after.is_some() && after < forgotten.as_ref() {
            return Err(Error::data("read the log: these records were released"));
        }
        let after = after.max(forgotten.as_ref());
        found.retain(|record| after.is_none_or(|after| record.sequence > *after));
        if found.is_empty() {
            tokio::time::sleep(limit.wait).await;
            return Ok(ReadBatch::default());
        }
        let mut bytes = 0;
        let fitting = found.iter().take(limit.records_max).take_while(|record| {
            bytes += record.value.len();
            bytes <= limit.bytes_max
        });
        let given = fitting.count().max(1);
        let behind = (found.len() - given) as u64;
        found.truncate(given);
        tokio::task::yield_now().await;
        Ok(ReadBatch { records: found, behind, ..ReadBatch::default() })
    }

    async fn tip(&self, shard: &ShardId) -> Result<Option<SequenceNumber>> {
        Ok(self.records(shard).last().map(|record| record.sequence.clone()))
    }

    async fn release(&self, shard: &ShardId, through: &SequenceNumber) -> Result<()> {
        lock(&self.forgotten).insert(shard.clone(), through.clone());
        Ok(())
    }
}

/// What an archive does instead of what it was asked to.
#[derive(Clone, Debug)]
pub enum Mischief {
    /// Fails without having done it.
    ErrorBefore,
    /// Does it and says it failed.
    ErrorAfter,
    /// Stands still before doing it, as a crash of the archiver would.
    HangBefore,
    /// Does it and stands still.
    HangAfter,
    /// Another archiver was first with a segment of so many records.
    Rival(usize),
    /// Fails in a way that waiting cannot mend.
    Broken,
}

/// An archive in memory. `script` has one place per create, `None` and the end mean good behaviour.
#[derive(Default)]
pub struct TestArchive {
    pub objects: Mutex<BTreeMap<String, Bytes>>,
    pub script: Mutex<VecDeque<Option<Mischief>>>,
    pub log: Mutex<Option<Arc<TestLog>>>,
    pub no_replace: Mutex<bool>,
    pub listed: Mutex<Vec<String>>,
}

impl TestArchive {
    pub fn new(script: Vec<Option<Mischief>>, log: &Arc<TestLog>) -> Arc<Self> {
        let archive = Self::default();
        *lock(&archive.script) = script.into();
        *lock(&archive.log) = Some(log.clone());
        Arc::new(archive)
    }

    pub fn keys(&self, prefix: &str) -> Vec<String> {
        lock(&self.objects).keys().filter(|key| key.starts_with(prefix)).cloned().collect()
    }

    /// Keys of a shard's segments in the order of the chain.
    pub fn chain(&self, shard: &ShardId) -> Vec<String> {
        let (chain, strays) = chain_order(self.keys(&segments_of_shard(STREAM, shard)));
        assert!(strays.is_empty(), "{strays:?}");
        chain.iter().map(SegmentKey::text).collect()
    }

    pub fn object(&self, key: &str) -> Option<Bytes> {
        lock(&self.objects).get(key).cloned()
    }

    /// The segment that another archiver would have put for the same start.
    fn rival(&self, bytes: &Bytes, records: usize) -> Bytes {
        let info = SegmentReader::open(bytes.clone()).unwrap().info().clone();
        let place = SegmentPlace {
            stream: info.stream,
            shard: info.shard.clone(),
            after: info.start.clone().zip(info.predecessor),
        };
        let mut writer = SegmentWriter::new(place).unwrap();
        let log = lock(&self.log).clone().unwrap();
        for record in log.records(&info.shard).iter().filter(|r| Some(&r.sequence) > info.start.as_ref()).take(records)
        {
            if writer.takes_hour_of(record.arrived_at) {
                writer.push(&decoded(record)).unwrap();
            } else {
                break;
            }
        }
        writer.finish().unwrap().bytes
    }
}

impl Archive for TestArchive {
    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created> {
        let mischief = lock(&self.script).pop_front().flatten();
        tokio::task::yield_now().await;
        let put = |bytes: Bytes| {
            let mut objects = lock(&self.objects);
            if objects.contains_key(key) {
                return Created::Exists;
            }
            objects.insert(key.to_owned(), bytes);
            Created::New
        };
        match mischief {
            None => Ok(put(bytes)),
            Some(Mischief::ErrorBefore) => Err(Error::retry("create: the archive is away")),
            Some(Mischief::ErrorAfter) => {
                put(bytes);
                Err(Error::retry("create: no answer"))
            }
            Some(Mischief::HangBefore) => pending().await,
            Some(Mischief::HangAfter) => {
                put(bytes);
                pending().await
            }
            Some(Mischief::Rival(records)) => {
                let rival = self.rival(&bytes, records);
                put(rival);
                Ok(put(bytes))
            }
            Some(Mischief::Broken) => Err(Error::internal("create: the disk is read-only")),
        }
    }

    async fn replace(&self, key: &str, bytes: Bytes) -> Result<()> {
        if *lock(&self.no_replace) {
            return Err(Error::retry("replace: the archive is away"));
        }
        lock(&self.objects).insert(key.to_owned(), bytes);
        Ok(())
    }

    async fn exchange(&self, key: &str, known: Option<&Bytes>, new: Bytes) -> Result<bool> {
        if *lock(&self.no_replace) {
            return Err(Error::retry("exchange: the archive is away"));
        }
        tokio::task::yield_now().await;
        let mut objects = lock(&self.objects);
        let same = objects.get(key) == known;
        if same {
            objects.insert(key.to_owned(), new);
        }
        Ok(same)
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        Ok(self.object(key))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.list_from(prefix, prefix).await
    }

    async fn list_from(&self, prefix: &str, from: &str) -> Result<Vec<String>> {
        lock(&self.listed).push(from.to_owned());
        let mut keys = self.keys(prefix);
        keys.retain(|key| key.as_str() >= from);
        Ok(keys)
    }
}

/// A clock that its test sets.
pub struct TestClock(pub AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> UnixNanos {
        UnixNanos::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

pub fn decoded(record: &Sequenced<Bytes>) -> Sequenced<Envelope> {
    let value = Envelope::decode(&record.value).unwrap();
    Sequenced { sequence: record.sequence.clone(), arrived_at: record.arrived_at, value }
}

/// Settings that cut after so many records and wait for nothing.
pub fn quick(records: usize) -> ArchiverSettings {
    ArchiverSettings {
        segment_records_max: records,
        flush_after: Duration::from_millis(10),
        wait: Duration::from_millis(2),
        backoff: (Duration::from_millis(1), Duration::from_millis(2)),
        shutdown_wait: Duration::from_millis(20),
        head_every: 3,
        look_every: Duration::from_millis(5),
        ..ArchiverSettings::default()
    }
}

/// I6: each segment begins where its predecessor ended and names its digest; together they hold
/// the log's first records, all of them, once. Gives how many.
pub fn check_chain(log: &TestLog, archive: &TestArchive, shard: &ShardId) -> usize {
    let (mut last, mut before, mut rows) = (None, None, Vec::new());
    for key in archive.chain(shard) {
        let bytes = archive.object(&key).unwrap();
        let reader = SegmentReader::open(bytes.clone()).unwrap();
        let info = reader.info();
        assert_eq!(key, info.key());
        assert_eq!((&info.start, info.predecessor.as_ref().map(|p| &p.sha256)), (&last, before.as_ref()), "{key}");
        for row in reader.rows() {
            let row = row.unwrap();
            assert_eq!(row.arrived_at.hour(), info.hour);
            rows.push(row);
        }
        (last, before) = (Some(info.last.clone()), Some(digest(&bytes)));
    }
    let expected: Vec<_> = log.records(shard).iter().take(rows.len()).map(decoded).collect();
    assert_eq!(rows, expected);
    rows.len()
}
