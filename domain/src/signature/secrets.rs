//! Secrets of one source, decoded and keyed once, so that a request costs no key schedule.
//!
//! Several at once, for rotation: each is tried. A set that exists is never empty and holds no
//! empty key. `Debug` and errors show key ids only: the first 8 hex digits of the SHA-256 of a
//! secret's text. What a secret's text is differs by scheme; [`key`](super::key) reads it.

use std::fmt;

use compact_str::CompactString;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use super::SECRETS_MAX;
use super::key::State;
use super::lookup::NamedKeys;
use super::paypal::Certificates;
use super::scheme::{Hash, Scheme};
use super::token_keys::TokenKeys;
use crate::error::{Error, Result};

/// Secrets of one source, prepared for its scheme.
pub struct SecretSet {
    keys: Vec<Key>,
    named: NamedKeys,
}

/// One secret: its public name and what it was prepared to.
pub(super) struct Key {
    pub(super) id: CompactString,
    pub(super) state: State,
}

impl SecretSet {
    /// Decodes and prepares secrets as `scheme` wants them. Errors are
    /// [`Invalid`](crate::ErrorKind::Invalid): no secret at all, more than
    /// [`SECRETS_MAX`](super::SECRETS_MAX), or one that is empty or cannot be decoded.
    pub fn new(scheme: &Scheme, secrets: impl IntoIterator<Item = SecretString>) -> Result<Self> {
        let mut keys = Vec::new();
        for secret in secrets {
            if keys.len() == SECRETS_MAX {
                return Err(Error::invalid(format!(
                    "accept more than {SECRETS_MAX} secrets for one source: remove the oldest"
                )));
            }
            keys.push(Key::new(scheme, &secret)?);
        }
        if keys.is_empty() {
            return Err(Error::invalid(
                "accept a source without a secret: nothing could be verified; give at least one",
            ));
        }
        Ok(Self { keys, named: NamedKeys::None })
    }

    /// Keys as they are, for trying out how a secret could have been meant; `None` without any.
    pub(super) fn of_keys(hash: Hash, keys: impl IntoIterator<Item = Vec<u8>>) -> Option<Self> {
        let key = |bytes: Vec<u8>| {
            let state = State::of_key(hash, &bytes).ok()?;
            Some(Key { id: CompactString::const_new("?"), state })
        };
        let keys: Vec<Key> = keys.into_iter().filter_map(key).collect();
        (!keys.is_empty()).then_some(Self { keys, named: NamedKeys::None })
    }

    /// The same set with keys from elsewhere, for the schemes that need them.
    #[must_use]
    pub fn with_named_keys(self, named: NamedKeys) -> Self {
        Self { named, ..self }
    }

    pub(super) fn certificates(&self) -> Option<&dyn Certificates> {
        match &self.named {
            NamedKeys::Certificates(certificates) => Some(certificates.as_ref()),
            NamedKeys::None | NamedKeys::Tokens(_) => None,
        }
    }

    pub(super) fn token_keys(&self) -> Option<&dyn TokenKeys> {
        match &self.named {
            NamedKeys::Tokens(keys) => Some(keys.as_ref()),
            NamedKeys::None | NamedKeys::Certificates(_) => None,
        }
    }

    /// Key ids of the secrets, in the order they were given.
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.id.as_str())
    }

    pub(super) fn keys(&self) -> &[Key] {
        &self.keys
    }
}

/// Key ids only (I12).
impl fmt::Debug for SecretSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretSet")?;
        f.debug_list().entries(self.key_ids()).finish()
    }
}

impl Key {
    pub(super) fn new(scheme: &Scheme, secret: &SecretString) -> Result<Self> {
        let text = secret.expose_secret();
        if text.is_empty() {
            return Err(Error::invalid("accept an empty secret: anybody could sign with it"));
        }
        let id = key_id(text);
        // The usual slip of a secret that came from a file or a clipboard. Refused, not trimmed:
        // the key id is that of the text as given. A public key in PEM has lines.
        let lines_ok = matches!(scheme, Scheme::Rsa(_));
        if text.trim() != text || text.chars().any(|c| c.is_control() && !(lines_ok && matches!(c, '\n' | '\r'))) {
            return Err(Error::invalid(format!(
                "accept secret {id}: it begins or ends with white space or holds a control character; remove it"
            )));
        }
        let state = State::new(scheme, text, &id)?;
        Ok(Self { id, state })
    }
}

/// What a secret may be called in public: 32 bits of its hash.
fn key_id(text: &str) -> CompactString {
    let digest = Sha256::digest(text.as_bytes());
    hex::encode(digest.get(..4).unwrap_or_default()).into()
}
