//! One fetch from its first attempt to the log.

use std::sync::Arc;
use std::time::Instant;

use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::ports::{Clock, FetchKeys, Get, Log, LogRecord, Web};
use ledgerline_domain::provider::Fetch;
use ledgerline_domain::signature::seal_fetched;
use ledgerline_domain::trace::{Delivery, Fetched, Span, Step};
use ledgerline_domain::{Error, ErrorKind, Result};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::pace::Pace;
use super::{HydratedSource, HydratorProgress, HydratorSettings};

/// What fetches for one source have in common.
pub(super) struct Fetcher<L, W, K, C> {
    pub log: Arc<L>,
    pub web: Arc<W>,
    pub keys: Arc<K>,
    pub clock: Arc<C>,
    pub room: Semaphore,
    pub pace: Pace,
    pub source: HydratedSource,
    pub settings: HydratorSettings,
    pub progress: Arc<HydratorProgress>,
}

impl<L: Log, W: Web, K: FetchKeys, C: Clock> Fetcher<L, W, K, C> {
    /// Fetches and appends, or gives up. Errors are those that no waiting and no giving up can mend.
    pub(super) async fn hydrate(&self, fetch: &Fetch) -> Result<()> {
        let mut failures = 0_u32;
        let mut pause = self.settings.backoff.0;
        loop {
            let began = Instant::now();
            let error = match self.fetch(fetch).await {
                Ok(envelope) => {
                    let delivery = self.settings.traces.of_envelope(&envelope);
                    let is_durable = self.append(fetch, envelope).await?;
                    if let Some(delivery) = delivery.filter(|_| is_durable) {
                        self.tell(delivery, began, failures);
                    }
                    return Ok(());
                }
                Err(error) => error,
            };
            failures += 1;
            let failures_max = match error.kind() {
                ErrorKind::Retry | ErrorKind::Conflict => self.settings.attempts_max,
                ErrorKind::Invalid => self.settings.refusals_max,
                ErrorKind::Data | ErrorKind::Fenced | ErrorKind::Internal => 1,
            };
            if failures >= failures_max {
                self.give_up(fetch.notification(), &error.to_string());
                return Ok(());
            }
            self.progress.note_failed(&self.source.name);
            tracing::debug!(source = %self.source.name, %error, failures, "a fetch is tried again");
            sleep(pause).await;
            pause = (pause * 2).min(self.settings.backoff.1);
        }
    }

    /// Leaves a notification as it is.
    pub(super) fn give_up(&self, notification: &str, why: &str) {
        self.progress.note_given_up(&self.source.name);
        tracing::warn!(
            source = %self.source.name, notification, "failed to fetch what a notification is about; it stays as it is: {why}"
        );
    }

    /// One attempt.
    async fn fetch(&self, fetch: &Fetch) -> Result<Envelope> {
        let source = self.source.name.as_str();
        let closed = |e| Error::internal("wait for room to fetch").because(e);
        let room = self.room.acquire().await.map_err(closed)?;
        self.pace.turn().await;
        let keys = self.keys.api_keys(source);
        let keys = keys.ok_or_else(|| Error::retry(format!("find the API key of the source {source}")))?;
        let (header, prefix) = fetch.key_header();
        let mut headers = vec![(header.to_owned().into(), keys.header_value(prefix))];
        headers.extend(fetch.headers().map(|(name, value)| (name.to_owned().into(), value.to_owned().into())));
        let (bytes_max, timeout) = (self.settings.answer_bytes_max, self.settings.timeout);
        let get = Get { url: fetch.address().to_owned(), headers, bytes_max, timeout };
        let answer = self.web.get(get).await?;
        drop(room);
        seal_fetched(fetch, &self.source.provider, &keys, &answer, self.clock.now())
    }

    /// The answer is an event of its own, and this is where its trace begins.
    fn tell(&self, delivery: Delivery, began: Instant, failures: u32) {
        self.settings.traces.tell(Span {
            trace: delivery.trace,
            id: Some(delivery.span),
            parent: None,
            links: Vec::new(),
            delivery: Some(Arc::new(delivery)),
            began,
            ended: Instant::now(),
            step: Step::Fetch(Fetched { failures }),
        });
    }

    /// Appends, trying until the log takes it; false when it never will.
    async fn append(&self, fetch: &Fetch, envelope: Envelope) -> Result<bool> {
        let record = LogRecord { key: envelope.event.entity.clone(), data: envelope.encode().into() };
        let mut pause = self.settings.backoff.0;
        loop {
            match self.log.append(vec![record.clone()]).await {
                Ok(_) => {
                    self.progress.note_fetched(&self.source.name);
                    return Ok(true);
                }
                Err(error) if matches!(error.kind(), ErrorKind::Retry | ErrorKind::Conflict) => {
                    tracing::warn!(source = %self.source.name, %error, "the hydrator waits for the log");
                    sleep(pause).await;
                    pause = (pause * 2).min(self.settings.backoff.1);
                }
                Err(error) if matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Data) => {
                    self.give_up(fetch.notification(), &error.to_string());
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
    }
}
