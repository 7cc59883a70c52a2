//! Signing secrets of the sources: where they are, and the ones in use right now.
//!
//! A secret is named by `env:NAME`, by `file:PATH` (one secret a line, so that an old and a new one
//! can be valid together; a public key in PEM counts as one line) or, discouraged, stands in the settings itself. Files are looked at every
//! two seconds; a change counts without a restart, and a file that cannot be used leaves the old
//! secrets in force and is logged. No error or log line ever holds a secret.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::ports::{FetchKeys, Secrets};
use ledgerline_domain::signature::{ApiKeys, Cause, Scheme, SecretSet, reverify, reverify_fetched};
use secrecy::SecretString;
use serde::Deserialize;

use crate::certificates::FolderCertificates;
use crate::exit::{Failure, Outcome};
use crate::settings::{Loaded, SourceSettings};

/// How often secret files are looked at.
pub const POLL: Duration = Duration::from_secs(2);
/// Longest secret file, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Where a secret is.
#[derive(Clone, Deserialize)]
#[serde(from = "String")]
pub enum SecretRef {
    /// In an environment variable.
    Env(String),
    /// In a file, one a line.
    File(PathBuf),
    /// In the settings themselves.
    Literal(SecretString),
}

impl From<String> for SecretRef {
    fn from(text: String) -> Self {
        match (text.strip_prefix("env:"), text.strip_prefix("file:")) {
            (Some(name), _) => Self::Env(name.to_owned()),
            (_, Some(path)) => Self::File(path.into()),
            _ => Self::Literal(text.into()),
        }
    }
}

/// Says where, never what.
impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Literal(_) => f.write_str("(in the settings file)"),
        }
    }
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl SecretRef {
    /// Completes a relative path.
    pub fn resolve_in(&mut self, folder: &Path) {
        if let Self::File(path) = self {
            *path = folder.join(&*path);
        }
    }

    /// Whether it stands in the settings file, which is discouraged.
    pub fn is_literal(&self) -> bool {
        matches!(self, Self::Literal(_))
    }

    /// The secrets it names.
    pub fn read(&self) -> Outcome<Vec<SecretString>> {
        match self {
            Self::Literal(secret) => Ok(vec![secret.clone()]),
            Self::Env(name) => match std::env::var(name) {
                Ok(value) if !value.trim().is_empty() => Ok(vec![value.trim().to_owned().into()]),
                Ok(_) => Err(Failure::usage(format!("read secret env:{name}: the variable is empty"))),
                Err(_) => Err(Failure::usage(format!("read secret env:{name}: set the variable to the secret"))),
            },
            Self::File(path) => {
                let shown = path.display();
                let refused = |why: String| Failure::usage(format!("read secret file:{shown}: {why}"));
                let length = std::fs::metadata(path).map_err(|e| refused(e.to_string()))?.len();
                if length > FILE_BYTES_MAX {
                    return Err(refused(format!("it is longer than {FILE_BYTES_MAX} bytes")));
                }
                let text = std::fs::read_to_string(path).map_err(|e| refused(e.to_string()))?;
                let secrets: Vec<SecretString> = split(&text).into_iter().map(Into::into).collect();
                if secrets.is_empty() { Err(refused("the file holds no secret".into())) } else { Ok(secrets) }
            }
        }
    }

    /// Changes when the file does.
    fn stamp(&self) -> Option<(SystemTime, u64)> {
        match self {
            Self::File(path) => stamp(path),
            _ => None,
        }
    }
}

/// Changes when the file or the folder does.
fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    std::fs::metadata(path).ok().and_then(|m| Some((m.modified().ok()?, m.len())))
}

/// One secret a line; what stands from `-----BEGIN` to `-----END` is one secret.
fn split(text: &str) -> Vec<String> {
    let mut secrets: Vec<String> = Vec::new();
    let mut inside = false;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match secrets.last_mut().filter(|_| inside) {
            Some(last) => {
                last.push('\n');
                last.push_str(line);
            }
            None => secrets.push(line.to_owned()),
        }
        inside = (inside || line.starts_with("-----BEGIN")) && !line.starts_with("-----END");
    }
    secrets
}

/// All secrets of a source, as they are.
pub fn read_all(source: &SourceSettings) -> Outcome<Vec<SecretString>> {
    let mut secrets = Vec::new();
    for reference in &source.secrets {
        let read =
            reference.read().map_err(|e| Failure::new(e.exit, format!("prepare source {}: {e}", source.name)))?;
        secrets.extend(read);
    }
    Ok(secrets)
}

/// All secrets of a source, prepared for its scheme.
pub fn read_set(source: &SourceSettings, scheme: &Scheme) -> Outcome<SecretSet> {
    let set = SecretSet::new(scheme, read_all(source)?).map_err(|e| {
        Failure::usage(format!("prepare source {}: {e}; its key `secrets` names the secrets", source.name))
    })?;
    Ok(match &source.certificates {
        Some(folder) => set.with_certificates(Arc::new(FolderCertificates::read(folder)?)),
        None => set,
    })
}

/// The API keys of a source, if it hydrates.
pub fn read_api_keys(source: &SourceSettings) -> Outcome<Option<ApiKeys>> {
    let Some(reference) = &source.hydrate else { return Ok(None) };
    let named =
        |e: &dyn fmt::Display| format!("prepare source {}: {e}; its key `hydrate` names the API key", source.name);
    let secrets = reference.read().map_err(|e| Failure::new(e.exit, named(&e)))?;
    ApiKeys::new(secrets).map(Some).map_err(|e| Failure::usage(named(&e)))
}

/// The secrets in force.
pub struct SourceSecrets {
    sources: Vec<(SourceSettings, Scheme)>,
    sets: RwLock<HashMap<String, Arc<SecretSet>>>,
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
            sets.insert(source.name.as_str().to_owned(), Arc::new(read_set(source, &scheme)?));
            if let Some(keys) = read_api_keys(source)? {
                api_keys.insert(source.name.as_str().to_owned(), Arc::new(keys));
            }
            sources.push((source.clone(), scheme));
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
        let scheme = self.sources.iter().find(|(source, _)| source.name.as_str() == name);
        let (Some((_, scheme)), Some(set)) = (scheme, self.secrets(name)) else {
            return Some(Err(format!("the source {name} is not configured any more")));
        };
        let checked = reverify(scheme, &set, envelope)?;
        Some(checked.map(|_| ()).map_err(|cause| format!("{} by today's secrets", cause.as_str())))
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
    fn reload(&self, source: &SourceSettings, scheme: &Scheme) {
        match read_set(source, scheme) {
            Ok(set) => {
                let mut sets = self.sets.write().unwrap_or_else(PoisonError::into_inner);
                sets.insert(source.name.as_str().to_owned(), Arc::new(set));
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

    fn stamps(&self) -> Vec<Vec<Option<(SystemTime, u64)>>> {
        let certificates = |source: &SourceSettings| source.certificates.as_deref().and_then(stamp);
        let stamps = |source: &SourceSettings| {
            source.secrets.iter().chain(&source.hydrate).map(SecretRef::stamp).collect::<Vec<_>>()
        };
        self.sources.iter().map(|(s, _)| [stamps(s), vec![certificates(s)]].concat()).collect()
    }

    /// Looks at the files for ever, every `interval`, and reads what changed.
    pub async fn watch(self: Arc<Self>, interval: Duration) {
        let mut known = self.stamps();
        loop {
            tokio::time::sleep(interval).await;
            let watched = self.clone();
            let Ok(now) = tokio::task::spawn_blocking(move || watched.stamps()).await else { return };
            for ((source, scheme), (before, after)) in self.sources.iter().zip(known.iter().zip(&now)) {
                if before != after {
                    self.reload(source, scheme);
                }
            }
            known = now;
        }
    }
}

impl Secrets for SourceSecrets {
    fn secrets(&self, source: &str) -> Option<Arc<SecretSet>> {
        self.sets.read().unwrap_or_else(PoisonError::into_inner).get(source).cloned()
    }
}

impl FetchKeys for SourceSecrets {
    fn api_keys(&self, source: &str) -> Option<Arc<ApiKeys>> {
        self.api_keys.read().unwrap_or_else(PoisonError::into_inner).get(source).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_or_a_pem_block_is_a_secret() {
        let pem = "-----BEGIN PUBLIC KEY-----\nAAAA\nBBBB\n-----END PUBLIC KEY-----";
        let text = format!("one\n\n  two \r\n{}\n{pem}\nthree\n", pem.replace('\n', "\r\n  "));
        assert_eq!(split(&text), ["one", "two", pem, pem, "three"]);
        assert!(split(" \n").is_empty());
    }
}
