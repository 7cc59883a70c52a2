//! A whole service in this process: the real door on a loopback port, the embedded adapters in a
//! temporary directory, the processor behind the log, and a clock that the test sets.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use ledgerline_adapters::embedded::{Embedded, EmbeddedOptions};
use ledgerline_domain::ids::SourceName;
use ledgerline_domain::ports::{Clock, Entities, EntityFilter, Log, Quarantine, Quarantined, Secrets};
use ledgerline_domain::provider::{Provider, Sources};
use ledgerline_domain::record::EntityRecord;
use ledgerline_domain::signature::{Scheme, SecretSet};
use ledgerline_domain::time::UnixNanos;
use ledgerline_ingest::{Door, Hooks, Settings, Source};
use ledgerline_processor::apply::{self, ApplySettings, Progress};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A clock that stands where the test puts it.
#[derive(Debug, Default)]
pub struct HandClock(AtomicI64);

impl HandClock {
    /// Puts it to a second of the Unix epoch.
    pub fn set(&self, seconds: i64) {
        self.0.store(seconds.saturating_mul(1_000_000_000), Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> UnixNanos {
        UnixNanos::from_nanos(self.0.load(Ordering::SeqCst))
    }
}

/// Secrets that never change.
pub struct FixedSecrets(HashMap<String, Arc<SecretSet>>);

impl Secrets for FixedSecrets {
    fn secrets(&self, source: &str) -> Option<Arc<SecretSet>> {
        self.0.get(source).cloned()
    }
}

/// A source to open.
pub struct Spec {
    /// Its name.
    pub name: String,
    /// Its provider.
    pub provider: Arc<Provider>,
    /// The provider's scheme, or one with another tolerance.
    pub scheme: Scheme,
    /// Its secrets.
    pub secrets: Vec<String>,
}

/// The running service.
pub struct Stack {
    /// Where it listens, such as `http://127.0.0.1:40000`.
    pub url: String,
    /// Its clock.
    pub clock: Arc<HandClock>,
    /// Its data.
    pub data: Embedded,
    /// What its processor did.
    pub progress: Arc<Progress>,
    client: Client<HttpConnector, Full<Bytes>>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<ledgerline_domain::Result<()>>>,
}

impl Stack {
    /// Starts it with all of `specs`; a source whose secrets are refused is an error.
    ///
    /// # Errors
    /// Whatever the parts say.
    pub async fn start(dir: &Path, specs: Vec<Spec>, settings: Settings) -> ledgerline_domain::Result<Self> {
        let data = Embedded::open(dir, EmbeddedOptions::default()).await?;
        let clock = Arc::new(HandClock::default());
        let (mut sources, mut secrets, mut open) = (Sources::default(), HashMap::new(), Vec::new());
        for spec in specs {
            let name = SourceName::new(&spec.name)?;
            let set = SecretSet::new(&spec.scheme, spec.secrets.into_iter().map(Into::into))?;
            secrets.insert(spec.name, Arc::new(set));
            sources.insert(&name, spec.provider.clone());
            open.push(Source { name, provider: spec.provider, scheme: spec.scheme, rate_limit: None });
        }
        let hooks = Hooks { ready: Box::new(|| Ok(())), metrics: Box::new(String::new) };
        let secrets = Arc::new(FixedSecrets(secrets));
        let door = Arc::new(Door::new(settings, open, data.log.clone(), secrets, clock.clone(), hooks)?);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(|e| ledgerline_domain::Error::internal("listen").because(e))?;
        let address = listener.local_addr().map_err(|e| ledgerline_domain::Error::internal("listen").because(e))?;
        let (stop, stopped) = watch::channel(false);
        let mut at_door = stopped.clone();
        let served = tokio::spawn(ledgerline_ingest::run(listener, door, async move {
            let _ = at_door.wait_for(|stop| *stop).await;
        }));
        let progress = Arc::new(Progress::default());
        let processed = tokio::spawn(apply::run(
            data.log.clone(),
            data.store.clone(),
            Arc::new(sources),
            ApplySettings { wait: Duration::from_millis(20), ..ApplySettings::default() },
            progress.clone(),
            stopped,
        ));
        let client = Client::builder(TokioExecutor::new()).build_http();
        let url = format!("http://{address}");
        Ok(Self { url, clock, data, progress, client, stop, tasks: vec![served, processed] })
    }

    /// Posts a request and gives the status.
    ///
    /// # Panics
    /// When the request cannot be made or the service does not answer.
    pub async fn post(&self, source: &str, headers: &[(String, String)], body: &Bytes) -> u16 {
        let mut request = http::Request::post(format!("{}/webhooks/{source}", self.url));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body.clone())).expect("a request");
        let answer = self.client.request(request).await.expect("an answer");
        let status = answer.status().as_u16();
        answer.into_body().collect().await.expect("a whole answer");
        status
    }

    /// Waits until the processor has folded everything that is in the log.
    ///
    /// # Panics
    /// When that takes longer than a minute.
    pub async fn settle(&self) {
        for _ in 0..6000 {
            let mut behind = false;
            for shard in self.data.log.shards() {
                let tip = self.data.log.tip(&shard).await.expect("the log's tip");
                // Counted, not only committed: whoever waited reads the counts next.
                let shards = self.progress.shards();
                let counted = shards.into_iter().find(|(known, _)| *known == shard).and_then(|(_, p)| p.checkpoint);
                behind |= tip > counted;
            }
            if !behind {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the processor does not catch up");
    }

    /// All records of a source.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn records(&self, source: &str) -> Vec<EntityRecord> {
        let filter = EntityFilter { source: Some(source.to_owned()), ..EntityFilter::default() };
        let mut found: Vec<EntityRecord> = Vec::new();
        loop {
            let page = self.data.store.list(&filter, found.last().map(|r| &r.key), 500).await.expect("a page");
            if page.is_empty() {
                return found;
            }
            found.extend(page);
        }
    }

    /// Everything in the quarantine.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn quarantine(&self) -> Vec<Quarantined> {
        let mut found: Vec<Quarantined> = Vec::new();
        loop {
            let after = found.last().map(|q| q.id.clone());
            let page = self.data.store.quarantined(true, after.as_deref(), 500).await.expect("a page");
            if page.is_empty() {
                return found;
            }
            found.extend(page);
        }
    }

    /// Stops it in good order.
    ///
    /// # Panics
    /// When a part ends with an error.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        for task in self.tasks {
            task.await.expect("no panic").expect("a good end");
        }
    }
}
