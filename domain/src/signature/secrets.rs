//! Secrets of one source, decoded and keyed once, so that a request costs no key schedule.
//!
//! Several at once, for rotation: each is tried. A set that exists is never empty and holds no
//! empty key. `Debug` and errors show key ids only: the first 8 hex digits of the SHA-256 of a
//! secret's text.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use compact_str::CompactString;
use hmac::{Hmac, KeyInit as _, Mac};
use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use sha2::{Digest as _, Sha256, Sha512};

use super::SECRETS_MAX;
use super::scheme::{Hash, KeyText, Scheme};
use crate::error::{Error, Result};

/// Secrets are written by people and dashboards: padding may be missing, and some providers cut
/// their secrets at a bit that base64 would want to be zero.
const LENIENT_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Longest signature that any hash here gives, in bytes.
pub(super) const MAC_BYTES_MAX: usize = 64;

/// Secrets of one source, prepared for its scheme.
pub struct SecretSet {
    keys: Vec<Key>,
}

/// One secret: its public name and its keyed state.
pub(super) struct Key {
    pub(super) id: CompactString,
    state: State,
}

enum State {
    Sha256(Hmac<Sha256>),
    Sha512(Hmac<Sha512>),
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
        Ok(Self { keys })
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
        // the key id is that of the text as given.
        if text.trim() != text || text.chars().any(char::is_control) {
            return Err(Error::invalid(format!(
                "accept secret {id}: it begins or ends with white space or holds a control character; remove it"
            )));
        }
        let key = decode(scheme.key_text(), text, &id)?;
        if key.expose_secret().is_empty() {
            return Err(Error::invalid(format!("accept secret {id}: there is no key behind its prefix")));
        }
        let state = match scheme.hash() {
            Hash::Sha256 => Hmac::new_from_slice(key.expose_secret()).map(State::Sha256),
            Hash::Sha512 => Hmac::new_from_slice(key.expose_secret()).map(State::Sha512),
        };
        // An HMAC takes keys of every length; the trait cannot say so.
        let state = state.map_err(|_| Error::internal(format!("key an HMAC with secret {id}")))?;
        Ok(Self { id, state })
    }

    /// The HMAC over `parts`, one after the other, into the front of `mac`; gives its length.
    pub(super) fn mac<'p>(&self, parts: impl Iterator<Item = &'p [u8]>, mac: &mut [u8; MAC_BYTES_MAX]) -> usize {
        match &self.state {
            State::Sha256(state) => run(state.clone(), parts, mac),
            State::Sha512(state) => run(state.clone(), parts, mac),
        }
    }
}

fn run<'p, M: Mac>(mut state: M, parts: impl Iterator<Item = &'p [u8]>, mac: &mut [u8; MAC_BYTES_MAX]) -> usize {
    for part in parts {
        state.update(part);
    }
    let tag = state.finalize().into_bytes();
    for (to, from) in mac.iter_mut().zip(tag.iter()) {
        *to = *from;
    }
    tag.len()
}

/// What a secret may be called in public: 32 bits of its hash.
fn key_id(text: &str) -> CompactString {
    let digest = Sha256::digest(text.as_bytes());
    hex::encode(digest.get(..4).unwrap_or_default()).into()
}

fn decode(encoding: KeyText, text: &str, id: &str) -> Result<SecretBox<Vec<u8>>> {
    let base64 = |text: &str| {
        LENIENT_BASE64.decode(text).map_err(|_| Error::invalid(format!("read secret {id}: it is not base64")))
    };
    let bytes = match encoding {
        KeyText::Utf8 => text.as_bytes().to_vec(),
        KeyText::Base64 => base64(text)?,
        KeyText::Hex => hex::decode(text).map_err(|_| Error::invalid(format!("read secret {id}: it is not hex")))?,
        KeyText::Whsec if text.starts_with("whpk_") || text.starts_with("whsk_") => {
            return Err(Error::invalid(format!(
                "read secret {id}: it is a key of the asymmetric scheme (v1a); give the symmetric one, whsec_…"
            )));
        }
        KeyText::Whsec => base64(text.strip_prefix("whsec_").unwrap_or(text))?,
    };
    Ok(SecretBox::new(Box::new(bytes)))
}
