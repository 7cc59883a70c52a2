//! The keys of an issuer of tokens, fetched behind the door and kept in memory.
//!
//! They are fetched at the start, every [`REFRESH_EVERY`], and when a token names a key that is not among
//! them, but at most once in [`REFRESH_INTERVAL`], however many names strangers make up. A fetch that fails
//! leaves the last good set in force. Whoever names an unknown key while a fetch is due is told to come
//! again. Nothing is kept on disk: after a restart a key that was withdrawn meanwhile must not count.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ledgerline_domain::Result;
use ledgerline_domain::ports::{Get, Web};
use ledgerline_domain::signature::{Lookup, Oidc, TokenKey, TokenKeySet, TokenKeys, discovery_url, jwks_url};
use tokio::sync::Notify;
use tokio::time::timeout;

/// How often the keys are fetched without being asked for: how long a withdrawn key still counts.
pub const REFRESH_EVERY: Duration = Duration::from_secs(15 * 60);
/// Shortest time between two fetches.
pub const REFRESH_INTERVAL: Duration = Duration::from_secs(30);

/// The keys of one source's issuer.
pub struct FetchedKeys {
    source: String,
    issuer: String,
    jwks_url: Option<String>,
    every: Duration,
    interval: Duration,
    state: Mutex<State>,
    wished: Notify,
}

#[derive(Default)]
struct State {
    /// The last good set.
    keys: Option<TokenKeySet>,
    /// When the last fetch ended, whether it was good or not.
    fetched_at: Option<Instant>,
    /// Whether a fetch is on its way or due at once.
    coming: bool,
    /// Whether anybody fetches. Without that a wish would never be fulfilled.
    fetching: bool,
}

impl FetchedKeys {
    /// Nothing is fetched yet.
    pub fn new(source: &str, scheme: &Oidc) -> Self {
        Self {
            source: source.to_owned(),
            issuer: scheme.issuer().to_owned(),
            jwks_url: scheme.jwks_url().map(ToOwned::to_owned),
            every: REFRESH_EVERY,
            interval: REFRESH_INTERVAL,
            state: Mutex::default(),
            wished: Notify::new(),
        }
    }

    /// The same with other times: for tests.
    #[must_use]
    pub fn with_times(self, every: Duration, interval: Duration) -> Self {
        Self { every, interval, ..self }
    }

    /// Where they come from: the address of the keys, or of the document that names it.
    pub fn origin(&self) -> String {
        self.jwks_url.clone().unwrap_or_else(|| discovery_url(&self.issuer))
    }

    /// Fetches for ever.
    pub async fn run<W: Web>(self: Arc<Self>, web: Arc<W>) {
        self.state().fetching = true;
        loop {
            self.state().coming = true;
            let fetched = self.fetch(&*web).await;
            self.finish(fetched);
            tokio::time::sleep(self.interval).await;
            // A wish from the meantime ends the wait at once; without any set there is one by itself.
            let pause = if self.state().keys.is_some() { self.every } else { Duration::ZERO };
            let _ = timeout(pause, self.wished.notified()).await;
        }
    }

    async fn fetch(&self, web: &impl Web) -> Result<TokenKeySet> {
        let url = match &self.jwks_url {
            Some(url) => url.clone(),
            None => jwks_url(&self.issuer, &web.get(Get::new(discovery_url(&self.issuer))).await?)?,
        };
        TokenKeySet::from_jwks(&web.get(Get::new(url)).await?)
    }

    fn finish(&self, fetched: Result<TokenKeySet>) {
        let mut state = self.state();
        state.fetched_at = Some(Instant::now());
        state.coming = false;
        match fetched {
            Ok(keys) => {
                tracing::debug!(source = self.source, keys = keys.count(), "the issuer's keys were fetched");
                state.keys = Some(keys);
            }
            Err(error) if state.keys.is_some() => {
                tracing::warn!(source = self.source, %error, "the issuer's last keys stay in force");
            }
            Err(error) => tracing::error!(source = self.source, %error, "no token can be checked; callers get 503"),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TokenKeys for FetchedKeys {
    fn key(&self, kid: &str) -> Lookup<TokenKey> {
        let mut state = self.state();
        if let Some(key) = state.keys.as_ref().and_then(|keys| keys.get(kid)) {
            return Lookup::Found(key);
        }
        if !state.fetching {
            return Lookup::Unknown;
        }
        let due = state.fetched_at.is_none_or(|at| at.elapsed() >= self.interval);
        if due && !state.coming {
            state.coming = true;
            self.wished.notify_one();
        }
        // Without any keys nobody can say that a token is not good.
        if state.coming || state.keys.is_none() { Lookup::Coming } else { Lookup::Unknown }
    }
}

#[cfg(test)]
#[path = "fetched_keys_tests.rs"]
mod tests;
