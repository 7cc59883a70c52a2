//! The hydrator as a job of leases, over a shard that is split while it works.

use std::num::NonZeroU32;
use std::sync::Mutex;

use ledgerline_adapters::clock::SystemClock;
use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::lease::Checkpoint;
use ledgerline_domain::ports::{Clock as _, FetchKeys, Get, LogRecord, ReadLimit, Web};
use ledgerline_domain::request::RawRequest;
use ledgerline_domain::signature::{ApiKeys, SecretSet, sign, verify};
use ledgerline_domain::{Error, Result};
use ledgerline_processor::hydrator::progress_key;
use ledgerline_processor::hydrator::{HydratedSource, HydratorJob, HydratorProgress, HydratorSettings, Parts};
use ledgerline_processor::leases::End;

use super::*;

/// Answers for every payment, unless it is away.
#[derive(Default)]
struct Api {
    away: Mutex<bool>,
    asked: Mutex<Vec<String>>,
}

impl Web for Api {
    async fn get(&self, get: Get) -> Result<Bytes> {
        if *self.away.lock().unwrap() {
            return Err(Error::retry("fetch a payment: the answer is 503"));
        }
        self.asked.lock().unwrap().push(get.url.clone());
        let id = get.url.rsplit('/').next().unwrap();
        let paid = r#""status":"paid","amount":{"value":"10.00","currency":"EUR"}"#;
        Ok(format!(r#"{{"id":"{id}",{paid}}}"#).into())
    }
}

struct Keys;

impl FetchKeys for Keys {
    fn api_keys(&self, _: &str) -> Option<Arc<ApiKeys>> {
        ApiKeys::new(vec!["live_1".into()]).ok().map(Arc::new)
    }
}

async fn notify(log: &MemoryLog, id: usize) {
    let provider = Provider::built_in("mollie-classic").unwrap();
    let secrets = SecretSet::new(provider.scheme(), ["front".into()]).unwrap();
    let (body, at) = (Bytes::from(format!("id=tr_{id}")), SystemClock.now());
    let headers = sign(provider.scheme(), &"front".into(), "", at, &body).unwrap();
    let raw = RawRequest { headers: &headers, body: &body, received_at: at };
    let verified = verify(provider.scheme(), &secrets, raw).unwrap();
    let envelope = Envelope::seal(&verified, provider.identify(&SourceName::new("shop").unwrap(), raw).remove(0));
    let record = LogRecord { key: envelope.event.entity.clone(), data: envelope.encode().into() };
    log.append(vec![record]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_ends_when_its_last_notification_is_done() {
    let (log, store, web) = (Arc::new(MemoryLog::new(1)), Arc::new(MemoryStore::new()), Arc::new(Api::default()));
    let source = SourceName::new("shop").unwrap();
    let settings = HydratorSettings {
        wait: Duration::from_millis(2),
        checkpoint_every: Duration::from_millis(5),
        backoff: (Duration::from_millis(2), Duration::from_millis(5)),
        attempts_max: u32::MAX,
        ..HydratorSettings::default()
    };
    let progress = Arc::new(HydratorProgress::default());
    let job = || {
        let parts = Parts {
            log: log.clone(),
            entities: store.clone(),
            web: web.clone(),
            keys: Arc::new(Keys),
            clock: Arc::new(SystemClock),
        };
        let provider = Arc::new(Provider::built_in("mollie-classic").unwrap());
        let hydrated = HydratedSource { name: source.clone(), provider, per_second: NonZeroU32::new(1000).unwrap() };
        Arc::new(HydratorJob::new(parts, vec![hydrated], &settings, &progress))
    };
    let begin = |job: &Arc<HydratorJob<_, _, _, _, _>>, shard: &ShardId| {
        let (stop, stopped) = watch::channel(false);
        let (job, shard) = (job.clone(), shard.clone());
        (stop, tokio::spawn(async move { job.run(shard, stopped).await }))
    };
    let parent = ShardId::numbered(0);
    for id in 0..8 {
        notify(&log, id).await;
    }
    let (one, two) = (job(), job());
    let (stop, running) = begin(&one, &parent);
    until("fetched", async || progress.fetched() == 8).await;
    // The split finds it with fetches that cannot be made.
    *web.away.lock().unwrap() = true;
    for id in 8..12 {
        notify(&log, id).await;
    }
    until("tried", async || progress.failed() > 0).await;
    let children = log.split(&parent).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!running.is_finished(), "the shard is closed, but its notifications are not done");
    stop.send_replace(true);
    assert_eq!(running.await.unwrap().unwrap(), End::Stopped);
    assert!(one.progress(&parent).is_some_and(|progress| !progress.is_shard_end()));
    // Another worker goes on.
    *web.away.lock().unwrap() = false;
    let (_stop, running) = begin(&two, &parent);
    assert_eq!(running.await.unwrap().unwrap(), End::ShardEnd);
    let kept = store.checkpoint(&progress_key(&source, &parent)).await.unwrap();
    assert_eq!(kept, Some(SequenceNumber::shard_end()));
    assert_eq!(two.progress(&parent), Some(Checkpoint::shard_end()));
    let asked = web.asked.lock().unwrap().len();
    let (_stop, running) = begin(&two, &parent);
    assert_eq!(running.await.unwrap().unwrap(), End::ShardEnd, "again, it is at its end at once");
    // The children hold the last answers, which are nothing to fetch, and new notifications.
    notify(&log, 12).await;
    let running: Vec<_> = children.iter().map(|child| begin(&two, child)).collect();
    until("the child's is fetched", async || web.asked.lock().unwrap().len() == asked + 1).await;
    for (stop, running) in running {
        stop.send_replace(true);
        assert_eq!(running.await.unwrap().unwrap(), End::Stopped);
    }
    // Every payment has an answer in the log.
    let mut answers = std::collections::BTreeSet::new();
    let limit = ReadLimit { records_max: 1000, bytes_max: usize::MAX, wait: Duration::ZERO };
    for shard in log.shards() {
        for record in log.read(&shard, None, limit).await.unwrap().records {
            let envelope = Envelope::decode(&record.value).unwrap();
            if envelope.event.body.starts_with(b"{") {
                answers.insert(envelope.event.entity.to_string());
            }
        }
    }
    assert_eq!(answers.len(), 13, "{answers:?}");
}
