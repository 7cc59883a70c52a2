//! Sends the plan over real HTTP on several connections, as providers that retry.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use indicatif::ProgressBar;
use ledgerline_domain::ports::Clock as _;
use ledgerline_domain::signature::Signed;
use ledgerline_domain::time::UnixNanos;
use tokio::task::JoinSet;

use super::plan::{Delivery, Kind, name};
use crate::client::{Client, Target};
use crate::exit::{Failure, Outcome};
use crate::sender::Signer;
use crate::wiring::SystemClock;

/// How often one delivery is tried before the demonstration gives up.
const ATTEMPTS_MAX: u32 = 40;
/// How far stale and future requests are from now, in nanoseconds.
const TEN_MINUTES: i64 = 600 * 1_000_000_000;

/// What was answered.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Deliveries by kind and answer.
    pub answers: BTreeMap<(Kind, u16), u64>,
    /// Acknowledged deliveries of genuine events, by event id.
    pub acknowledged: BTreeMap<String, u64>,
    /// Attempts beyond the first.
    pub tried_again: u64,
}

impl Tally {
    /// Adds another tally.
    pub fn add(&mut self, other: Self) {
        for (answer, count) in other.answers {
            *self.answers.entry(answer).or_default() += count;
        }
        for (id, count) in other.acknowledged {
            *self.acknowledged.entry(id).or_default() += count;
        }
        self.tried_again += other.tried_again;
    }

    /// How many deliveries there were.
    pub fn total(&self) -> u64 {
        self.answers.values().sum()
    }

    /// Deliveries that were answered with 2xx.
    pub fn accepted(&self) -> u64 {
        self.answers.iter().filter(|((_, status), _)| matches!(status, 200..=299)).map(|(_, count)| count).sum()
    }
}

/// Who signs: the sources' own keys, and a forger's.
#[derive(Clone)]
pub struct Signers {
    /// One per source.
    pub genuine: Vec<Signer>,
    /// The same schemes with other keys.
    pub forger: Vec<Signer>,
}

/// Sends everything; `done` counts what was answered.
pub async fn deliver(
    deliveries: Arc<Vec<Delivery>>,
    signers: &Signers,
    server: &Target,
    connections: u16,
    done: Arc<AtomicUsize>,
    bar: &ProgressBar,
) -> Outcome<Tally> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut senders = JoinSet::new();
    for _ in 0..connections {
        let (deliveries, signers, server) = (deliveries.clone(), signers.clone(), server.clone());
        let (next, done, bar) = (next.clone(), done.clone(), bar.clone());
        senders.spawn(async move {
            let mut clients = BTreeMap::new();
            let mut tally = Tally::default();
            while let Some(delivery) = deliveries.get(next.fetch_add(1, Ordering::Relaxed)) {
                let path = match delivery.kind {
                    Kind::UnknownSource => "/webhooks/no-such-source".to_owned(),
                    _ => format!("/webhooks/{}", name(delivery.source)),
                };
                let client = clients.entry(path.clone()).or_insert_with(|| Client::new(server.at(&path)));
                let sign = || Ok(Signed { headers: headers(&signers, delivery)?, body: delivery.body.clone() });
                let (answer, again) = client.deliver(ATTEMPTS_MAX, sign).await?;
                *tally.answers.entry((delivery.kind, answer.status)).or_default() += 1;
                if delivery.kind == Kind::Genuine && matches!(answer.status, 200..=299) {
                    *tally.acknowledged.entry(delivery.id.clone()).or_default() += 1;
                }
                tally.tried_again += u64::from(again);
                done.fetch_add(1, Ordering::Relaxed);
                bar.inc(1);
            }
            Ok::<_, Failure>(tally)
        });
    }
    let mut tally = Tally::default();
    while let Some(ended) = senders.join_next().await {
        tally.add(ended.map_err(|e| Failure::failed(format!("deliver the webhooks: {e}")))??);
    }
    Ok(tally)
}

fn headers(signers: &Signers, delivery: &Delivery) -> Outcome<Vec<(String, String)>> {
    let now = SystemClock.now().nanos();
    let at = match delivery.kind {
        Kind::Stale => now - TEN_MINUTES,
        Kind::Future => now + TEN_MINUTES,
        _ => now,
    };
    let who = if delivery.kind == Kind::Forged { &signers.forger } else { &signers.genuine };
    let Some(signer) = who.get(delivery.source).filter(|_| delivery.kind != Kind::Unsigned) else {
        return Ok(Vec::new());
    };
    let signed = delivery.signed.as_ref().unwrap_or(&delivery.body);
    signer.headers(&delivery.id, UnixNanos::from_nanos(at), signed)
}
