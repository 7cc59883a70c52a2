//! Signing secrets of the sources: the ones in use right now.
//!
//! [`SecretRef`] says where a secret is and until when it counts. Files are looked at every two seconds, AWS Secrets
//! Manager less often; a change counts without a restart, and a file that cannot be used leaves the old secrets in force and is
//! logged. Secrets that have ended still prove what is archived. No error or log line ever holds a secret.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use ledgerline_adapters::Trust;
use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::ports::{Clock, FetchKeys, Secrets, Web};
use ledgerline_domain::signature::{ApiKeys, Cause, Scheme, SecretSet, reverify, reverify_fetched};
use ledgerline_domain::time::UnixNanos;
use secrecy::SecretString;
use tokio::task::JoinSet;

use crate::exit::{Failure, Outcome};
use crate::keys::OuterKeys;
use crate::secret_ref::{SecretRef, stamp};
use crate::settings::{Loaded, SourceSettings};
use crate::wiring::SystemClock;

/// How often secret files are looked at.
pub const POLL: Duration = Duration::from_secs(2);

/// Whose signatures count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Requests that arrive then: secrets that have ended do not count any more.
    Door(UnixNanos),
    /// What is archived: it may have been signed while they did.
    Archive,
}

/// The secrets of a source, as they are.
pub fn read_all(source: &SourceSettings, use_: Use) -> Outcome<Vec<SecretString>> {
    let mut secrets = Vec::new();
    let counts = |reference: &&SecretRef| match use_ {
        Use::Door(now) => !reference.has_ended(now),
        Use::Archive => true,
    };
    for reference in source.secrets.iter().filter(counts) {
        let read =
            reference.read().map_err(|e| Failure::new(e.exit, format!("prepare source {}: {e}", source.name)))?;
        secrets.extend(read);
    }
    Ok(secrets)
}

/// The secrets of a source, prepared for its scheme, with its keys from elsewhere.
pub fn read_set(source: &SourceSettings, scheme: &Scheme, keys: &OuterKeys, use_: Use) -> Outcome<SecretSet> {
    let secrets = read_all(source, use_)?;
    if secrets.is_empty() && !source.secrets.is_empty() {
        return Err(Failure::usage(format!(
            "prepare source {}: all its secrets have ended; add the one that the provider signs with now to its key `secrets`",
            source.name
        )));
    }
    let set = SecretSet::new(scheme, secrets).map_err(|e| {
        Failure::usage(format!("prepare source {}: {e}; its key `secrets` names the secrets", source.name))
    })?;
    Ok(set.with_named_keys(keys.named()?))
}

/// A source as its secrets need it.
struct Known {
    source: SourceSettings,
    scheme: Scheme,
    keys: OuterKeys,
}

/// The API keys of a source, if it hydrates.
pub fn read_api_keys(source: &SourceSettings) -> Outcome<Option<ApiKeys>> {
    let Some(reference) = &source.hydrate else { return Ok(None) };
    let named =
        |e: &dyn fmt::Display| format!("prepare source {}: {e}; its key `hydrate` names the API key", source.name);
    let secrets = reference.read().map_err(|e| Failure::new(e.exit, named(&e)))?;
    ApiKeys::new(secrets).map(Some).map_err(|e| Failure::usage(named(&e)))
}

/// The secrets of one source, prepared.
struct Sets {
    door: Arc<SecretSet>,
    archive: Arc<SecretSet>,
}

impl Sets {
    fn read(source: &SourceSettings, scheme: &Scheme, keys: &OuterKeys) -> Outcome<Self> {
        Ok(Self {
            door: Arc::new(read_set(source, scheme, keys, Use::Door(SystemClock.now()))?),
            archive: Arc::new(read_set(source, scheme, keys, Use::Archive)?),
        })
    }
}

/// The secrets in force.
pub struct SourceSecrets {
    sources: Vec<Known>,
    sets: RwLock<HashMap<String, Sets>>,
    api_keys: RwLock<HashMap<String, Arc<ApiKeys>>>,
}

impl SourceSecrets {
    /// Reads the secrets of all sources.
    pub fn read(loaded: &Loaded) -> Outcome<Self> {
        let mut sources = Vec::new();
        let mut sets = HashMap::new();
        let mut api_keys = HashMap::new();
        for source in &loaded.settings.source {
            let scheme = loaded.scheme(source)?;
            let keys = OuterKeys::open(loaded, source, &scheme)?;
            sets.insert(source.name.as_str().to_owned(), Sets::read(source, &scheme, &keys)?);
            if let Some(keys) = read_api_keys(source)? {
                api_keys.insert(source.name.as_str().to_owned(), Arc::new(keys));
            }
            sources.push(Known { source: source.clone(), scheme, keys });
        }
        Ok(Self { sources, sets: RwLock::new(sets), api_keys: RwLock::new(api_keys) })
    }

    /// Checks an archived signature with today's secrets and schemes; `None` for a part of a request,
    /// which its original covers.
    pub fn recheck(&self, envelope: &Envelope) -> Option<Result<(), String>> {
        let name = envelope.source();
        if envelope.is_fetched() {
            return Some(self.recheck_fetched(name, envelope));
        }
        let known = self.sources.iter().find(|known| known.source.name.as_str() == name);
        let archive = self.with_sets(name, |sets| sets.archive.clone());
        let (Some(Known { scheme, .. }), Some(set)) = (known, archive) else {
            return Some(Err(format!("the source {name} is not configured any more")));
        };
        let checked = reverify(scheme, &set, envelope)?;
        Some(checked.map(|_| ()).map_err(|cause| format!("{} by today's secrets", cause.as_str())))
    }

    /// Fetches keys that come from elsewhere, for ever.
    pub async fn fetch<W: Web, C: Clock>(&self, web: Arc<W>, trust: Arc<Trust>, clock: Arc<C>) {
        let mut fetches = JoinSet::new();
        for known in &self.sources {
            fetches.spawn(known.keys.clone().fetch(web.clone(), trust.clone(), clock.clone()));
        }
        // They end with this future alone.
        while fetches.join_next().await.is_some() {}
        std::future::pending().await
    }

    /// Checks something that was fetched, with today's API keys.
    fn recheck_fetched(&self, source: &str, envelope: &Envelope) -> Result<(), String> {
        let Some(keys) = self.api_keys(source) else {
            return Err(format!(
                "it was fetched with the API key {}, and the source {source} has none now; name it by `hydrate`",
                envelope.key_id
            ));
        };
        reverify_fetched(&keys, envelope).map(|_| ()).map_err(|cause| match cause {
            Cause::UnknownKey => format!(
                "it was fetched with another API key, {}; keep that one as a second line of the file that `hydrate` names",
                envelope.key_id
            ),
            cause => format!("{} by today's API keys", cause.as_str()),
        })
    }

    /// Reads one source's secrets again.
    fn reload(&self, Known { source, scheme, keys }: &Known) {
        match Sets::read(source, scheme, keys) {
            Ok(read) => {
                let mut sets = self.sets.write().unwrap_or_else(PoisonError::into_inner);
                sets.insert(source.name.as_str().to_owned(), read);
                tracing::info!(source = %source.name, "the secrets were read again");
            }
            Err(error) => tracing::error!(source = %source.name, %error, "the old secrets stay in force"),
        }
        match read_api_keys(source) {
            Ok(Some(keys)) => {
                let mut all = self.api_keys.write().unwrap_or_else(PoisonError::into_inner);
                all.insert(source.name.as_str().to_owned(), Arc::new(keys));
            }
            Ok(None) => {}
            Err(error) => tracing::error!(source = %source.name, %error, "the old API key stays in force"),
        }
    }

    fn with_sets<T>(&self, source: &str, get: impl FnOnce(&Sets) -> T) -> Option<T> {
        self.sets.read().unwrap_or_else(PoisonError::into_inner).get(source).map(get)
    }

    fn stamps(&self) -> Vec<Vec<Option<(SystemTime, u64)>>> {
        let now = SystemClock.now();
        let stamps = |source: &SourceSettings| {
            source.secrets.iter().chain(&source.hydrate).map(|secret| secret.stamp(now)).collect::<Vec<_>>()
        };
        let of = |known: &Known| [stamps(&known.source), vec![known.keys.folder().and_then(stamp)]].concat();
        self.sources.iter().map(of).collect()
    }

    /// Looks at the files for ever, every `interval`, and reads what changed.
    pub async fn watch(self: Arc<Self>, interval: Duration) {
        let mut known = self.stamps();
        loop {
            tokio::time::sleep(interval).await;
            let watched = self.clone();
            let Ok(now) = tokio::task::spawn_blocking(move || watched.stamps()).await else { return };
            for (source, (before, after)) in self.sources.iter().zip(known.iter().zip(&now)) {
                if before != after {
                    let (all, name) = (self.clone(), source.source.name.clone());
                    // It may wait for AWS.
                    let reload =
                        move || all.sources.iter().filter(|s| s.source.name == name).for_each(|s| all.reload(s));
                    if tokio::task::spawn_blocking(reload).await.is_err() {
                        return;
                    }
                }
            }
            known = now;
        }
    }
}

impl Secrets for SourceSecrets {
    fn secrets(&self, source: &str) -> Option<Arc<SecretSet>> {
        self.with_sets(source, |sets| sets.door.clone())
    }
}

impl FetchKeys for SourceSecrets {
    fn api_keys(&self, source: &str) -> Option<Arc<ApiKeys>> {
        self.api_keys.read().unwrap_or_else(PoisonError::into_inner).get(source).cloned()
    }
}
