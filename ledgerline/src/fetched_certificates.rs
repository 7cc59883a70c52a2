//! PayPal's certificates, fetched when a request names one that is not at hand, and kept in a folder.
//!
//! Anybody can name any certificate, so a request only leaves a wish and never waits: it gets 503 with
//! `Retry-After`, and PayPal comes again. Behind the door one wish at a time is fetched from the pinned
//! address, checked up to the public roots, and kept for as long as archived signatures are to be
//! checked: that needs no network then, and asks no root again.
//!
//! Bounds: [`WISHES_MAX`] wishes wait at once, further names are unknown; a fetch every
//! [`FETCH_INTERVAL`]; what could not be had is not tried again for [`ABSENT_FOR`] or, when the other
//! side was away, [`AWAY_FOR`]; [`CERTIFICATES_MAX`] certificates of a source.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ledgerline_adapters::Trust;
use ledgerline_domain::ports::{Clock, Get, Web};
use ledgerline_domain::signature::{Certificate, Certificates, Lookup};
use ledgerline_domain::{Error, ErrorKind, Result};
use tokio::sync::Notify;

use crate::certificates::FolderCertificates;
use crate::exit::Outcome;

/// Most certificates that wait to be fetched.
pub const WISHES_MAX: usize = 8;
/// Shortest time between two fetches of one source.
pub const FETCH_INTERVAL: Duration = Duration::from_secs(15);
/// How long a certificate that does not exist or is not good is not asked for again.
pub const ABSENT_FOR: Duration = Duration::from_secs(600);
/// The same when there was no answer.
pub const AWAY_FOR: Duration = Duration::from_secs(30);
/// Most certificates of one source.
pub const CERTIFICATES_MAX: usize = 100;
/// Longest chain that is fetched, in bytes.
const CHAIN_BYTES_MAX: usize = 32 * 1024;
/// Whose name the certificates bear.
const DOMAIN: &str = "paypal.com";

/// The certificates of one source: those of its folder, and wishes for more.
pub struct FetchedCertificates {
    source: String,
    /// The address of all certificates, before their name.
    url: &'static str,
    folder: PathBuf,
    interval: Duration,
    state: Mutex<State>,
    wished: Notify,
}

#[derive(Default)]
struct State {
    at_hand: BTreeMap<String, Arc<Certificate>>,
    wishes: VecDeque<String>,
    /// Names that could not be had, and until when that counts.
    absent: HashMap<String, Instant>,
    /// Whether anybody fetches. Without that a wish would never be fulfilled.
    fetching: bool,
}

impl FetchedCertificates {
    /// Reads what is at hand; the folder need not exist yet. Errors name the file.
    pub fn open(source: &str, url: &'static str, folder: &Path) -> Outcome<Self> {
        let opened = Self {
            source: source.to_owned(),
            url,
            folder: folder.to_owned(),
            interval: FETCH_INTERVAL,
            state: Mutex::default(),
            wished: Notify::new(),
        };
        opened.look_again()?;
        Ok(opened)
    }

    /// The same with another time between fetches: for tests.
    #[must_use]
    pub fn with_interval(self, interval: Duration) -> Self {
        Self { interval, ..self }
    }

    /// Reads the folder again: somebody may have put a certificate there.
    pub fn look_again(&self) -> Outcome<()> {
        if self.folder.exists() {
            let found = FolderCertificates::read(&self.folder)?.into_certificates();
            self.state().at_hand.extend(found);
        }
        Ok(())
    }

    /// Where the certificates are kept.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How many are at hand.
    pub fn count(&self) -> usize {
        self.state().at_hand.len()
    }

    /// Fetches what is wished for, for ever.
    pub async fn run<W: Web, C: Clock>(self: Arc<Self>, web: Arc<W>, trust: Arc<Trust>, clock: Arc<C>) {
        self.state().fetching = true;
        loop {
            // The wish stays in the list while it is fetched, so that it is not wished for twice.
            let Some(name) = self.first_wish() else {
                self.wished.notified().await;
                continue;
            };
            let fetched = self.fetch(&name, &*web, &trust, &*clock).await;
            self.finish(&name, fetched);
            tokio::time::sleep(self.interval).await;
        }
    }

    async fn fetch(&self, name: &str, web: &impl Web, trust: &Trust, clock: &impl Clock) -> Result<Certificate> {
        let get = Get { bytes_max: CHAIN_BYTES_MAX, ..Get::new(format!("{}{name}", self.url)) };
        let chain = trust.check(&web.get(get).await?, DOMAIN, clock.now())?;
        let certificate = Certificate::from_pem(&chain)?;
        let (folder, name) = (self.folder.clone(), name.to_owned());
        let kept =
            tokio::task::spawn_blocking(move || ledgerline_adapters::keep_file(&folder, &name, chain.as_bytes()));
        kept.await.map_err(|_| Error::internal("keep a certificate: the write was ended"))??;
        Ok(certificate)
    }

    fn finish(&self, name: &str, fetched: Result<Certificate>) {
        let now = Instant::now();
        let mut state = self.state();
        state.wishes.retain(|wish| wish != name);
        state.absent.retain(|_, until| *until > now);
        match fetched {
            Ok(certificate) => {
                state.at_hand.insert(name.to_owned(), Arc::new(certificate));
                tracing::info!(source = self.source, name, "a certificate was fetched, checked and kept");
            }
            Err(error) => {
                let pause = if error.kind() == ErrorKind::Retry { AWAY_FOR } else { ABSENT_FOR };
                state.absent.insert(name.to_owned(), now + pause);
                tracing::warn!(source = self.source, %error, "a certificate that a request named cannot be had");
            }
        }
    }

    fn first_wish(&self) -> Option<String> {
        self.state().wishes.front().cloned()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Certificates for FetchedCertificates {
    fn certificate(&self, name: &str) -> Lookup<Certificate> {
        let mut state = self.state();
        if let Some(certificate) = state.at_hand.get(name) {
            return Lookup::Found(certificate.clone());
        }
        if !state.fetching || state.absent.get(name).is_some_and(|until| *until > Instant::now()) {
            return Lookup::Unknown;
        }
        if state.wishes.iter().any(|wish| wish == name) {
            return Lookup::Coming;
        }
        if state.wishes.len() >= WISHES_MAX || state.at_hand.len() >= CERTIFICATES_MAX {
            return Lookup::Unknown;
        }
        state.wishes.push_back(name.to_owned());
        self.wished.notify_one();
        Lookup::Coming
    }
}

#[cfg(test)]
#[path = "fetched_certificates_tests.rs"]
mod tests;
