//! Thin notifications from the door to the money, with a provider that is made up: fetched once or many
//! times, through crashes and outages, and proved again without it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ledgerline::settings::Loaded;
use ledgerline::wiring::{Machine, SystemClock, Task};
use ledgerline_adapters::memory::MemoryStore;
use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::ids::{EntityKey, SourceName};
use ledgerline_domain::ports::{Clock as _, Entities, FetchKeys, Get, Log, LogRecord, Web};
use ledgerline_domain::provider::Provider;
use ledgerline_domain::record::{EntityRecord, State};
use ledgerline_domain::request::RawRequest;
use ledgerline_domain::signature::{ApiKeys, SecretSet, sign, verify};
use ledgerline_domain::{Error, Result};
use ledgerline_processor::hydrator::{self, HydratorProgress, HydratorSettings, Parts, progress_key};
use ledgerline_replay::report::Report;
use secrecy::ExposeSecret as _;

/// The provider's API: what stands at each address; nothing while it is away.
#[derive(Clone, Default)]
struct Api(Arc<Mutex<Pages>>);

#[derive(Default)]
struct Pages {
    objects: HashMap<String, String>,
    away: Vec<String>,
    asked: Vec<String>,
    keys: Vec<String>,
}

impl Api {
    fn put(&self, id: &str, payment: &str) {
        let address = format!("https://api.mollie.com/v2/payments/{id}");
        self.0.lock().unwrap().objects.insert(address, format!(r#"{{"id":"{id}",{payment}}}"#));
    }

    fn away(&self, ids: &[&str]) {
        self.0.lock().unwrap().away = ids.iter().map(|id| format!("/{id}")).collect();
    }

    fn asked(&self) -> usize {
        self.0.lock().unwrap().asked.len()
    }
}

impl Web for Api {
    async fn get(&self, get: Get) -> Result<Bytes> {
        let mut pages = self.0.lock().unwrap();
        pages.asked.push(get.url.clone());
        pages.keys.extend(get.headers.iter().map(|(name, value)| format!("{name}: {}", value.expose_secret())));
        if pages.away.iter().any(|id| get.url.ends_with(id)) {
            return Err(Error::retry("fetch a payment: the answer is 503"));
        }
        pages.objects.get(&get.url).map(|page| Bytes::from(page.clone())).ok_or_else(|| Error::invalid("fetch: 404"))
    }
}

fn loaded(folder: &Path, api_key: &str) -> Loaded {
    let text = format!(
        "[[source]]\nname = \"shop\"\nprovider = \"mollie-classic\"\nsecrets = [\"front\"]\nhydrate = \"{api_key}\"\n\
         hydrate_per_second = 1000\n[limits]\nsegment_age_seconds_max = 1\n"
    );
    Loaded::parse(&folder.join("ledgerline.toml"), &text).unwrap()
}

fn settings() -> HydratorSettings {
    let (wait, every) = (Duration::from_millis(20), Duration::from_millis(20));
    HydratorSettings {
        wait,
        checkpoint_every: every,
        backoff: (Duration::from_millis(5), Duration::from_millis(20)),
        refusals_max: 2,
        ..HydratorSettings::default()
    }
}

/// The machine with its roles behind the log.
struct Service {
    machine: Machine,
    roles: Vec<Task>,
}

impl Service {
    async fn start(folder: &Path, api: &Api) -> Self {
        let machine = Machine::open(loaded(folder, "live_1")).await.unwrap();
        let hydrator = machine.hydrator_with(api.clone(), settings()).unwrap();
        Self { roles: vec![machine.processor(), machine.archiver(), hydrator], machine }
    }

    /// Notifications as the door would append them.
    async fn notify(&self, ids: &[&str]) {
        let provider = Provider::built_in("mollie-classic").unwrap();
        let secrets = SecretSet::new(provider.scheme(), ["front".into()]).unwrap();
        for id in ids {
            let (body, at) = (Bytes::from(format!("id={id}")), SystemClock.now());
            let headers = sign(provider.scheme(), &"front".into(), "", at, &body).unwrap();
            let raw = RawRequest { headers: &headers, body: &body, received_at: at };
            let verified = verify(provider.scheme(), &secrets, raw).unwrap();
            let event = provider.identify(&SourceName::new("shop").unwrap(), raw).remove(0);
            let envelope = Envelope::seal(&verified, event);
            let record = LogRecord { key: envelope.event.entity.clone(), data: envelope.encode().into() };
            self.machine.data.log.append(vec![record]).await.unwrap();
        }
    }

    async fn until(&self, what: &str, done: impl AsyncFn() -> bool) {
        for _ in 0..1500 {
            if done().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it never came to this: {what}");
    }

    /// Waits until everything in the log is hydrated, folded and archived.
    async fn settle(&self) {
        self.until("hydrated, folded and archived", async || {
            let store = &self.machine.data.store;
            for (shard, tip) in self.machine.tips().await.unwrap() {
                let key = progress_key(&SourceName::new("shop").unwrap(), &shard);
                if store.checkpoint(&key).await.unwrap() < Some(tip) {
                    return false;
                }
            }
            self.machine.is_folded().await.unwrap() && self.machine.is_archived().await.unwrap()
        })
        .await;
    }

    async fn record(&self, id: &str) -> Option<EntityRecord> {
        let key = EntityKey::parse(&format!("shop/payment/{id}")).unwrap();
        self.machine.data.store.load(&[key]).await.unwrap().remove(0)
    }

    /// Status, captured and refunded of a payment.
    async fn money(&self, id: &str) -> Option<(&'static str, i128, i128)> {
        match self.record(id).await?.state {
            State::Payment(payment) => Some((payment.status().as_str(), payment.captured(), payment.refunded())),
            State::Document(_) => None,
        }
    }

    async fn stop(self) {
        for role in self.roles {
            role.stop().await.unwrap();
        }
    }
}

/// Folds the archive again, with this API key and no provider to ask.
async fn proved(folder: &Path, api_key: &str) -> Report {
    let machine = Machine::open(loaded(folder, api_key)).await.unwrap();
    machine.replay().verify(&machine.data.archive, &*machine.data.store, &mut |_| {}).await.unwrap()
}

const PAID: &str = r#""status":"paid","amount":{"value":"10.00","currency":"EUR"}"#;
const REFUNDED: &str =
    r#""status":"paid","amount":{"value":"10.00","currency":"EUR"},"amountRefunded":{"value":"4.00","currency":"EUR"}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notification_becomes_money_and_is_proved_without_the_provider() {
    let folder = tempfile::tempdir().unwrap();
    let api = Api::default();
    api.put("tr_1", PAID);
    let service = Service::start(folder.path(), &api).await;
    service.notify(&["tr_1", "ord_7"]).await;
    service.settle().await;
    assert_eq!(service.money("tr_1").await, Some(("captured", 1000, 0)));

    // Unchanged, it is a duplicate; changed, it is a new snapshot.
    service.notify(&["tr_1"]).await;
    service.settle().await;
    assert_eq!(service.record("tr_1").await.unwrap().entries.len(), 1);
    api.put("tr_1", REFUNDED);
    service.notify(&["tr_1"]).await;
    service.settle().await;
    assert_eq!(service.money("tr_1").await, Some(("partially_refunded", 1000, 400)));
    assert_eq!(service.record("tr_1").await.unwrap().entries.len(), 2);
    assert_eq!((api.asked(), service.machine.hydrated.fetched()), (3, 3));
    assert!(api.0.lock().unwrap().keys.iter().all(|header| header == "authorization: Bearer live_1"));
    service.stop().await;

    let report = proved(folder.path(), "live_1").await;
    assert_eq!((report.drift_total, report.missing_in_live_total, report.missing_in_archive_total), (0, 0, 0));
    let signatures = report.signatures.unwrap();
    assert_eq!((signatures.good, signatures.bad_total), (7, 0));
    assert_eq!(api.asked(), 3, "the proof asks nobody");

    // Another API key explains itself and names no key.
    let report = proved(folder.path(), "live_2").await;
    let signatures = report.signatures.unwrap();
    assert_eq!((signatures.good, signatures.bad_total, report.drift_total), (4, 3, 0));
    let reason = &signatures.bad.first().unwrap().reason;
    assert!(reason.contains("another API key") && reason.contains("`hydrate`"), "{reason}");
    assert!(!reason.contains("live_"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_between_append_and_checkpoint_counts_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let api = Api::default();
    api.put("tr_1", PAID);
    let mut service = Service::start(folder.path(), &api).await;
    let hydrator = service.roles.pop().unwrap();
    hydrator.kill().await;
    service.notify(&["tr_1"]).await;
    // Fetched and appended, and killed before the checkpoint: it is kept where nobody looks again.
    for _ in 0..3 {
        let source = service.machine.hydrated_sources().unwrap();
        let parts = Parts {
            log: service.machine.data.log.clone(),
            entities: Arc::new(MemoryStore::new()),
            web: Arc::new(api.clone()),
            keys: Arc::new(Keys),
            clock: Arc::new(SystemClock),
        };
        let progress = Arc::new(HydratorProgress::default());
        let seen = progress.clone();
        let lost = Task::spawn("hydrator", |stop| hydrator::run(parts, source, settings(), seen, stop));
        service.until("fetched", async || progress.fetched() > 0).await;
        lost.kill().await;
    }
    service.roles.push(service.machine.hydrator_with(api.clone(), settings()).unwrap());
    service.settle().await;
    assert!(api.asked() >= 4, "{}", api.asked());
    assert_eq!(service.money("tr_1").await, Some(("captured", 1000, 0)));
    assert_eq!(service.record("tr_1").await.unwrap().entries.len(), 1);
    service.stop().await;
    let report = proved(folder.path(), "live_1").await;
    assert_eq!((report.drift_total, report.counts.contradictions, report.counts.unreadable), (0, 0, 0));
}

struct Keys;

impl FetchKeys for Keys {
    fn api_keys(&self, _: &str) -> Option<Arc<ApiKeys>> {
        ApiKeys::new(vec!["live_1".into()]).ok().map(Arc::new)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_waited_for_and_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let api = Api::default();
    for id in ["tr_1", "tr_2"] {
        api.put(id, PAID);
    }
    api.away(&["tr_1"]);
    let service = Service::start(folder.path(), &api).await;
    // tr_9 does not exist: it is given up and stays what it was.
    service.notify(&["tr_1", "tr_9", "tr_2"]).await;
    service.until("tr_2 is there", async || service.money("tr_2").await.is_some()).await;
    service.until("tr_9 is given up", async || service.machine.hydrated.given_up() == 1).await;
    assert!(service.money("tr_1").await.is_none() && service.money("tr_9").await.is_none());
    api.away(&[]);
    service.settle().await;
    assert_eq!(service.money("tr_1").await, Some(("captured", 1000, 0)));
    assert!(service.machine.hydrated.failed() >= 1);
    service.stop().await;
    assert_eq!(proved(folder.path(), "live_1").await.drift_total, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_in_good_order_fetches_nothing_again() {
    let folder = tempfile::tempdir().unwrap();
    let api = Api::default();
    api.put("tr_1", PAID);
    let service = Service::start(folder.path(), &api).await;
    service.notify(&["tr_1"]).await;
    service.settle().await;
    service.stop().await;
    let service = Service::start(folder.path(), &api).await;
    service.settle().await;
    assert_eq!(api.asked(), 1);
    service.stop().await;
}
