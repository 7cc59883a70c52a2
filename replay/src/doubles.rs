//! A world for tests: events, the archive that holds them, and the live state folded from them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex};

use bytes::Bytes;
use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::fold::apply;
use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId, SourceName};
use ledgerline_domain::interpret::{Reading, interpret};
use ledgerline_domain::ports::{
    Archive, Commit, Created, Entities, EntityFilter, Sequenced, Stored, StoredPage, StoredPart,
};
use ledgerline_domain::provider::{Provider, Sources};
use ledgerline_domain::record::EntityRecord;
use ledgerline_domain::request::RawRequest;
use ledgerline_domain::segment::manifest::ShardManifest;
use ledgerline_domain::segment::{Link, Manifest, SegmentPlace, SegmentReader, SegmentWriter, digest, keys};
use ledgerline_domain::signature::{SecretSet, reverify, sign, verify};
use ledgerline_domain::time::UnixNanos;
use ledgerline_domain::{Error, Result};

use crate::rebuild::Input;

pub const STREAM: &str = "main";
/// 2026-11-24T13:00:00Z, in seconds.
pub const START: i64 = 1_795_525_200;
pub const SHARDS: u32 = 2;

static PROVIDER: LazyLock<(Arc<Provider>, SecretSet)> = LazyLock::new(|| {
    let provider = Arc::new(Provider::built_in("stripe").unwrap());
    let secrets = SecretSet::new(provider.scheme(), ["whsec_test".to_owned().into()]).unwrap();
    (provider, secrets)
});

pub fn sources() -> Sources {
    let mut sources = Sources::default();
    sources.insert(&SourceName::new("stripe").unwrap(), PROVIDER.0.clone());
    sources
}

/// Checks signatures as the program does.
pub fn recheck(envelope: &Envelope) -> Option<Result<(), String>> {
    let verdict = reverify(PROVIDER.0.scheme(), &PROVIDER.1, envelope)?;
    Some(verdict.map(|_| ()).map_err(|cause| format!("{cause:?}")))
}

/// What happened to a payment.
#[derive(Clone, Debug)]
pub enum What {
    Created,
    Captured(i64),
    Refunded(i64),
    Unreadable,
}

/// An event: of which payment, what, and when (seconds after [`START`]).
#[derive(Clone, Debug)]
pub struct Made {
    pub payment: u32,
    pub what: What,
    pub happened: i64,
    pub received: i64,
}

pub fn made(payment: u32, what: What, happened: i64, received: i64) -> Made {
    Made { payment, what, happened, received }
}

pub fn key(payment: u32) -> EntityKey {
    EntityKey::parse(&format!("stripe/payment/pi_{payment}")).unwrap()
}

pub fn at(seconds: i64) -> UnixNanos {
    UnixNanos::from_seconds(START + seconds).unwrap()
}

fn envelope(made: &Made) -> Envelope {
    let (provider, secrets) = &*PROVIDER;
    let Made { payment, happened, .. } = made;
    let created = START + happened;
    let (kind, object) = match made.what {
        What::Created => (
            "payment_intent.created",
            format!(
                r#"{{"id":"pi_{payment}","object":"payment_intent","amount":100000,"amount_received":0,"currency":"eur"}}"#
            ),
        ),
        What::Captured(amount) => (
            "payment_intent.succeeded",
            format!(
                r#"{{"id":"pi_{payment}","object":"payment_intent","amount":100000,"amount_received":{amount},"currency":"eur"}}"#
            ),
        ),
        What::Refunded(amount) => (
            "charge.refunded",
            format!(
                r#"{{"id":"ch_{payment}","object":"charge","payment_intent":"pi_{payment}","amount":100000,"amount_captured":100000,"amount_refunded":{amount},"captured":true,"currency":"eur"}}"#
            ),
        ),
        What::Unreadable => (
            "payment_intent.succeeded",
            format!(
                r#"{{"id":"pi_{payment}","object":"payment_intent","amount":-5,"amount_received":-5,"currency":"eur"}}"#
            ),
        ),
    };
    let id = format!("evt_{payment}_{happened}_{kind}");
    let body =
        Bytes::from(format!(r#"{{"id":"{id}","type":"{kind}","created":{created},"data":{{"object":{object}}}}}"#));
    let received_at = at(made.received);
    let headers = sign(provider.scheme(), &"whsec_test".to_owned().into(), "", received_at, &body).unwrap();
    let raw = RawRequest { headers: &headers, body: &body, received_at };
    let verified = verify(provider.scheme(), secrets, raw).unwrap();
    Envelope::seal(&verified, provider.identify(&SourceName::new("stripe").unwrap(), raw).remove(0))
}

pub fn shard_of(key: &EntityKey) -> Option<ShardId> {
    let number: u32 = key.id().strip_prefix("pi_")?.parse().ok()?;
    Some(ShardId::numbered(number % SHARDS))
}

pub fn shards_of(key: &EntityKey) -> Vec<ShardId> {
    shard_of(key).into_iter().collect()
}

/// The log's records by shard; positions count over all shards.
pub fn log(events: &[Made]) -> BTreeMap<ShardId, Vec<Sequenced<Envelope>>> {
    let mut log: BTreeMap<ShardId, Vec<_>> = BTreeMap::new();
    for (number, made) in (1..).zip(events) {
        let sequence = SequenceNumber::from_u64(number);
        let record = Sequenced { sequence, arrived_at: at(made.received), value: envelope(made) };
        log.entry(ShardId::numbered(made.payment % SHARDS)).or_default().push(record);
    }
    log
}

/// An archive in memory.
#[derive(Default)]
pub struct TestArchive(pub Mutex<BTreeMap<String, Bytes>>);

impl TestArchive {
    /// Chains the log in segments of at most `records` records, with complete manifests.
    pub fn of(log: &BTreeMap<ShardId, Vec<Sequenced<Envelope>>>, records: usize) -> Self {
        let archive = Self::default();
        archive.append(log, records);
        archive
    }

    /// Continues the chains of what is there with the records of the log behind it.
    pub fn append(&self, log: &BTreeMap<ShardId, Vec<Sequenced<Envelope>>>, records: usize) {
        let archive = self;
        let mut manifests: BTreeMap<String, Manifest> = BTreeMap::new();
        for (shard, log) in log {
            let last = archive
                .0
                .lock()
                .unwrap()
                .keys()
                .rfind(|key| key.starts_with(&keys::segments_of_shard(STREAM, shard)))
                .cloned();
            let mut after = last.map(|key| {
                let object = archive.object(&key);
                let last = SegmentReader::open(object.clone()).unwrap().info().last.clone();
                (last, Link { key, sha256: digest(&object) })
            });
            let new = |record: &&Sequenced<Envelope>| after.as_ref().is_none_or(|(last, _)| record.sequence > *last);
            let log: Vec<_> = log.iter().filter(new).cloned().collect();
            for hour in log.chunk_by(|a, b| a.arrived_at.hour() == b.arrived_at.hour()) {
                for cut in hour.chunks(records) {
                    let place = SegmentPlace { stream: STREAM.into(), shard: shard.clone(), after: after.take() };
                    let mut writer = SegmentWriter::new(place).unwrap();
                    cut.iter().for_each(|record| writer.push(record).unwrap());
                    let segment = writer.finish().unwrap();
                    let summary = segment.summary();
                    after =
                        Some((summary.last.clone(), Link { key: summary.key.clone(), sha256: summary.sha256.clone() }));
                    let mut of_hour = Manifest::empty(STREAM, &summary.hour);
                    of_hour.complete = true;
                    let (hour, watermark) = (summary.hour.clone(), Some(summary.last.clone()));
                    archive.put(&summary.key, segment.bytes);
                    let segments = vec![summary];
                    let part = ShardManifest { shard: shard.clone(), watermark, archived_until: None, segments };
                    of_hour.shards.push(part);
                    manifests.entry(hour.clone()).or_insert_with(|| Manifest::empty(STREAM, &hour)).merge(of_hour);
                }
            }
        }
        for (hour, manifest) in manifests {
            let key = keys::manifest(STREAM, &hour);
            let known = archive.0.lock().unwrap().get(&key).cloned();
            let mut merged = known.map_or_else(|| Manifest::empty(STREAM, &hour), |m| Manifest::decode(&m).unwrap());
            merged.merge(manifest);
            archive.put(&key, merged.encode().unwrap().into());
        }
    }

    pub fn put(&self, key: &str, bytes: Bytes) {
        self.0.lock().unwrap().insert(key.to_owned(), bytes);
    }

    pub fn take(&self, key: &str) -> Bytes {
        self.0.lock().unwrap().remove(key).unwrap()
    }

    pub fn object(&self, key: &str) -> Bytes {
        self.0.lock().unwrap()[key].clone()
    }

    pub fn segments(&self, shard: u32) -> Vec<String> {
        let prefix = keys::segments_of_shard(STREAM, &ShardId::numbered(shard));
        let listed = self.0.lock().unwrap().keys().filter(|key| key.starts_with(&prefix)).cloned().collect();
        keys::chain_order(listed).0.iter().map(keys::SegmentKey::text).collect()
    }
}

impl Archive for TestArchive {
    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created> {
        let mut objects = self.0.lock().unwrap();
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
        let mut objects = self.0.lock().unwrap();
        let same = objects.get(key) == known;
        if same {
            objects.insert(key.to_owned(), new);
        }
        Ok(same)
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        Ok(self.0.lock().unwrap().get(key).cloned())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        Ok(self.0.lock().unwrap().keys().filter(|key| key.starts_with(prefix)).cloned().collect())
    }
}

/// The live state.
#[derive(Default)]
pub struct TestEntities {
    pub records: Mutex<BTreeMap<EntityKey, EntityRecord>>,
    pub checkpoints: HashMap<ShardId, SequenceNumber>,
}

impl TestEntities {
    /// Folds the log, a record at a time.
    pub fn of(log: &BTreeMap<ShardId, Vec<Sequenced<Envelope>>>) -> Self {
        let sources = sources();
        let mut entities = Self::default();
        for (shard, records) in log {
            for record in records {
                entities.checkpoints.insert(shard.clone(), record.sequence.clone());
                if let Reading::Event(event) = interpret(&sources, record.value.clone(), &record.sequence) {
                    let mut live = entities.records.lock().unwrap();
                    let before = live.remove(&event.entity);
                    let record = apply(&event.entity, before, vec![event.incoming]).0;
                    live.insert(event.entity, record);
                }
            }
        }
        entities
    }

    pub fn change(&self, payment: u32, change: impl FnOnce(&mut EntityRecord)) {
        change(self.records.lock().unwrap().get_mut(&key(payment)).unwrap());
    }
}

impl Entities for TestEntities {
    async fn load(&self, keys: &[EntityKey]) -> Result<Vec<Option<EntityRecord>>> {
        let records = self.records.lock().unwrap();
        Ok(keys.iter().map(|key| records.get(key).cloned()).collect())
    }

    async fn commit(&self, _: Commit) -> Result<Vec<EntityRecord>> {
        Err(Error::internal("write to a state that is only read"))
    }

    async fn checkpoint(&self, shard: &ShardId) -> Result<Option<SequenceNumber>> {
        Ok(self.checkpoints.get(shard).cloned())
    }

    async fn stored(&self, part: StoredPart, after: Option<&str>, limit: usize) -> Result<StoredPage> {
        let records = self.records.lock().unwrap();
        let behind = records.values().filter(|record| after.is_none_or(|after| record.key.as_str() > after));
        let stored = |record: &EntityRecord| {
            let binary = record.encode_binary(Vec::new())?;
            Ok(Stored { key: record.key.clone(), revision: record.revision, binary })
        };
        let own = behind.filter(|record| record.key.part_of(part.of) == part.number);
        let records = own.take(limit).map(stored).collect::<Result<Vec<_>>>()?;
        let next = records.last().map(|last| last.key.as_str().to_owned());
        Ok(StoredPage { records, next })
    }

    async fn list(&self, _: &EntityFilter, _: Option<&EntityKey>, _: usize) -> Result<Vec<EntityRecord>> {
        Err(Error::internal("list a state that is only compared"))
    }
}

/// What replay is given.
pub fn input(sources: &Sources) -> Input<'_> {
    Input { recheck: Some(&recheck), ..Input::new(STREAM, sources) }
}
