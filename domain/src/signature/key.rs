//! What a secret's text becomes: keyed hashes, public keys, digests. Errors name the key id and what
//! is wrong with the text, never the text.
//!
//! | scheme | a secret is |
//! | --- | --- |
//! | `stripe`, `timestamped-list`, `body-hmac` | the key's own text |
//! | `hmac` | the key as text, hex or base64 |
//! | `standard-webhooks` | `whsec_` and base64, the prefix may be missing; or `whpk_` and the base64 of an ed25519 public key |
//! | `adyen` | the key in hex |
//! | `braintree` | `public_key:private_key` |
//! | `rsa-sha256` | the public key: PEM, or the base64 of its DER form |
//! | `paypal` | the webhook's id |
//! | `bearer`, `shared-secret` | the text that the header must hold |
//! | `basic` | `user:password` |
//! | `oidc` | a random text of one's own, under which the door seals what tokens said |

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use compact_str::CompactString;
use ed25519_dalek::VerifyingKey;
use hmac::{Hmac, Mac};
use rsa::pkcs1::DecodeRsaPublicKey as _;
use rsa::pkcs1v15;
use rsa::pkcs8::DecodePublicKey as _;
use rsa::traits::PublicKeyParts as _;
use rsa::{BoxedUint, PublicKey};
use secrecy::{ExposeSecret as _, SecretBox};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};

use super::scheme::{Hash, KeyText, Scheme, SecretForm};
use crate::error::{Error, Result};

/// Secrets are written by people and dashboards: padding may be missing, and some providers cut
/// their secrets at a bit that base64 would want to be zero.
pub(super) const LENIENT_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Longest signature that any keyed hash here gives, in bytes.
pub(super) const MAC_BYTES_MAX: usize = 64;
/// Sizes of RSA keys, in bytes of the modulus: shorter ones can be broken, longer ones only cost.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// Shortest secret that seals evidence, in bytes.
const SEAL_BYTES_MIN: usize = 16;

/// A secret, prepared.
pub(super) enum State {
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha512(Hmac<Sha512>),
    /// Boxed, as is the next: they are larger than the rest and rarer.
    Ed25519(Box<VerifyingKey>),
    Rsa(Box<pkcs1v15::VerifyingKey<Sha256>>),
    /// The secret's digest, to compare with, and its keyed hash, to leave evidence with.
    Shared {
        digest: [u8; 32],
        witness: Hmac<Sha256>,
    },
    /// A part of what is signed, not a key.
    WebhookId(CompactString),
    Braintree {
        public_key: CompactString,
        mac: Hmac<Sha1>,
    },
}

impl State {
    pub(super) fn new(scheme: &Scheme, text: &str, id: &str) -> Result<Self> {
        match scheme {
            Scheme::TimestampedList(list) => hmac_state(list.hash, text.as_bytes(), id),
            Scheme::Hmac(hmac) => hmac_state(hmac.hash, decode(hmac.key, text, id)?.expose_secret(), id),
            Scheme::Adyen(_) => hmac_state(Hash::Sha256, decode(KeyText::Hex, text, id)?.expose_secret(), id),
            Scheme::StandardWebhooks(_) => standard_state(text, id),
            Scheme::Braintree => braintree_state(text, id),
            Scheme::Rsa(_) => Ok(Self::Rsa(Box::new(pkcs1v15::VerifyingKey::new(rsa_public_key(text, id)?)))),
            Scheme::PayPal(_) if text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') => {
                Ok(Self::WebhookId(text.into()))
            }
            Scheme::Oidc(_) if text.len() < SEAL_BYTES_MIN => Err(Error::invalid(format!(
                "read secret {id}: it seals evidence; give a random text of at least {SEAL_BYTES_MIN} bytes"
            ))),
            Scheme::Oidc(_) => hmac_state(Hash::Sha256, text.as_bytes(), id),
            Scheme::PayPal(_) => Err(Error::invalid(format!("read secret {id}: it is no webhook id of PayPal's"))),
            Scheme::SharedSecret(shared) => {
                if shared.form == SecretForm::Basic && !text.contains(':') {
                    return Err(Error::invalid(format!("read secret {id}: write it as user:password")));
                }
                Ok(Self::Shared {
                    digest: Sha256::digest(text.as_bytes()).into(),
                    witness: keyed(text.as_bytes(), id)?,
                })
            }
        }
    }

    /// An HMAC by a key's own bytes.
    pub(super) fn of_key(hash: Hash, key: &[u8]) -> Result<Self> {
        hmac_state(hash, key, "?")
    }

    /// The HMAC over `parts`, one after the other, into the front of `mac`; gives its length, which
    /// is 0 for a key that is none of an HMAC.
    pub(super) fn mac<'p>(&self, parts: impl Iterator<Item = &'p [u8]>, mac: &mut [u8; MAC_BYTES_MAX]) -> usize {
        match self {
            Self::Sha1(state) | Self::Braintree { mac: state, .. } => run(state.clone(), parts, mac),
            Self::Sha256(state) | Self::Shared { witness: state, .. } => run(state.clone(), parts, mac),
            Self::Sha512(state) => run(state.clone(), parts, mac),
            Self::Ed25519(_) | Self::Rsa(_) | Self::WebhookId(_) => 0,
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

fn hmac_state(hash: Hash, key: &[u8], id: &str) -> Result<State> {
    if key.is_empty() {
        return Err(Error::invalid(format!("accept secret {id}: there is no key behind its prefix")));
    }
    match hash {
        Hash::Sha1 => keyed(key, id).map(State::Sha1),
        Hash::Sha256 => keyed(key, id).map(State::Sha256),
        Hash::Sha512 => keyed(key, id).map(State::Sha512),
    }
}

/// An HMAC takes keys of every length; the trait cannot say so.
fn keyed<M: hmac::KeyInit>(key: &[u8], id: &str) -> Result<M> {
    M::new_from_slice(key).map_err(|_| Error::internal(format!("key an HMAC with secret {id}")))
}

fn decode(encoding: KeyText, text: &str, id: &str) -> Result<SecretBox<Vec<u8>>> {
    let bytes = match encoding {
        KeyText::Utf8 => text.as_bytes().to_vec(),
        KeyText::Base64 => base64(text, id)?,
        KeyText::Hex => hex::decode(text).map_err(|_| Error::invalid(format!("read secret {id}: it is not hex")))?,
    };
    Ok(SecretBox::new(Box::new(bytes)))
}

fn base64(text: &str, id: &str) -> Result<Vec<u8>> {
    LENIENT_BASE64.decode(text).map_err(|_| Error::invalid(format!("read secret {id}: it is not base64")))
}

fn standard_state(text: &str, id: &str) -> Result<State> {
    if text.starts_with("whsk_") {
        return Err(Error::invalid(format!(
            "read secret {id}: it is a private key (whsk_…), which only the sender has; give its public key, whpk_…"
        )));
    }
    if let Some(public) = text.strip_prefix("whpk_") {
        let bytes: [u8; 32] = base64(public, id)?
            .try_into()
            .map_err(|_| Error::invalid(format!("read secret {id}: an ed25519 public key has 32 bytes")))?;
        let public = VerifyingKey::from_bytes(&bytes).ok().filter(|key| !key.is_weak());
        let public = public.ok_or_else(|| Error::invalid(format!("read secret {id}: it is no ed25519 public key")))?;
        return Ok(State::Ed25519(Box::new(public)));
    }
    let key = SecretBox::new(Box::new(base64(text.strip_prefix("whsec_").unwrap_or(text), id)?));
    hmac_state(Hash::Sha256, key.expose_secret(), id)
}

fn braintree_state(text: &str, id: &str) -> Result<State> {
    let Some((public, private)) = text.split_once(':').filter(|(public, private)| {
        let key = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        key(public) && key(private)
    }) else {
        return Err(Error::invalid(format!("read secret {id}: write it as public_key:private_key")));
    };
    let key = Sha1::digest(private.as_bytes());
    Ok(State::Braintree { public_key: public.into(), mac: keyed(&key, id)? })
}

/// Reads a public key: PEM or base64 of DER, as `SubjectPublicKeyInfo` or PKCS#1.
fn rsa_public_key(text: &str, id: &str) -> Result<PublicKey> {
    let fault = |why: &str| Error::invalid(format!("read secret {id}: {why}"));
    if text.contains("PRIVATE KEY") {
        return Err(fault("it is a private key, which only the sender has; give the public key"));
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
    let body: String = lines.collect();
    let der = LENIENT_BASE64.decode(&body).map_err(|_| fault("it is neither PEM nor the base64 of a DER key"))?;
    rsa_of_der(&der).map_err(fault)
}

/// Reads a public key in DER, or says in words why it is none.
pub(super) fn rsa_of_der(der: &[u8]) -> std::result::Result<PublicKey, &'static str> {
    let key = PublicKey::from_public_key_der(der)
        .or_else(|_| PublicKey::from_pkcs1_der(der))
        .map_err(|_| "it is no RSA public key")?;
    if RSA_BYTES.contains(&key.size()) { Ok(key) } else { Err("an RSA key must have 2048 to 8192 bits") }
}

/// Makes a public key of modulus and exponent, big end first, or says in words why it is none.
pub(super) fn rsa_of_parts(modulus: &[u8], exponent: &[u8]) -> std::result::Result<PublicKey, &'static str> {
    if modulus.len() > *RSA_BYTES.end() || exponent.len() > 8 {
        return Err("it is too long for an RSA key");
    }
    let number = |bytes: &[u8]| BoxedUint::from_be_slice_vartime(bytes);
    let bits = RSA_BYTES.start() * 8..=RSA_BYTES.end() * 8;
    PublicKey::new_with_size_limits(number(modulus), number(exponent), bits).map_err(|_| "it is no good RSA public key")
}
