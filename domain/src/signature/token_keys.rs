//! The keys that an issuer signs tokens with: a JSON Web Key Set (RFC 7517), read once.
//!
//! Keys are public, for signatures, and of a kind that is known here: RSA of 2048 bits and more (RS256),
//! P-256 (ES256), ed25519 (EdDSA). Others are passed over; keys of keyed hashes are among them, so that no
//! token can be verified with a text that everybody can read. A key without a name is passed over too.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Verifier as _;
use rsa::pkcs1v15;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::Sha256;

use super::key;
use super::lookup::Lookup;
use crate::error::{Error, Result};

/// Most keys of a set.
const KEYS_MAX: usize = 100;
/// Longest name of a key, in bytes.
const KID_BYTES_MAX: usize = 256;

/// The keys that are at hand.
pub trait TokenKeys: Send + Sync {
    /// The key that a token names. Anybody can ask for any name. Must not block.
    fn key(&self, kid: &str) -> Lookup<TokenKey>;
}

/// One public key.
pub struct TokenKey(Kind);

enum Kind {
    Rs256(Box<pkcs1v15::VerifyingKey<Sha256>>),
    Es256(Box<p256::ecdsa::VerifyingKey>),
    EdDsa(Box<ed25519_dalek::VerifyingKey>),
}

impl TokenKey {
    /// Whether `signature` over `message` is this key's, by the algorithm that the token claims. A key has
    /// one algorithm: what the token says can only agree with it.
    pub(super) fn fits(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        match (&self.0, algorithm) {
            (Kind::Rs256(key), "RS256") => {
                pkcs1v15::Signature::try_from(signature).is_ok_and(|s| key.verify(message, &s).is_ok())
            }
            (Kind::Es256(key), "ES256") => {
                p256::ecdsa::Signature::from_slice(signature).is_ok_and(|s| key.verify(message, &s).is_ok())
            }
            (Kind::EdDsa(key), "EdDSA" | "Ed25519") => {
                ed25519_dalek::Signature::from_slice(signature).is_ok_and(|s| key.verify_strict(message, &s).is_ok())
            }
            _ => false,
        }
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Rs256(_) => "TokenKey(RS256)",
            Kind::Es256(_) => "TokenKey(ES256)",
            Kind::EdDsa(_) => "TokenKey(EdDSA)",
        })
    }
}

/// The keys of one issuer, by name.
#[derive(Clone, Debug)]
pub struct TokenKeySet(HashMap<String, Arc<TokenKey>>);

impl TokenKeySet {
    /// Reads a set. Errors are [`Data`](crate::ErrorKind::Data): it is none, or no key of it can be used.
    pub fn from_jwks(text: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Set<'a> {
            #[serde(borrow)]
            keys: Vec<&'a RawValue>,
        }
        let fault = |why: &str| Error::data(format!("read the token keys of an issuer: {why}"));
        let set: Set<'_> = serde_json::from_slice(text).map_err(|_| fault("it is no JSON Web Key Set"))?;
        let keys = set.keys.into_iter().take(KEYS_MAX).filter_map(|key| read(key.get()));
        let keys: HashMap<_, _> = keys.collect();
        if keys.is_empty() { Err(fault("there is no key for RS256, ES256 or EdDSA in it")) } else { Ok(Self(keys)) }
    }

    /// The key of that name.
    pub fn get(&self, kid: &str) -> Option<Arc<TokenKey>> {
        self.0.get(kid).cloned()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl TokenKeys for TokenKeySet {
    fn key(&self, kid: &str) -> Lookup<TokenKey> {
        self.get(kid).map_or(Lookup::Unknown, Lookup::Found)
    }
}

/// One key; `None` for one that cannot be used here.
fn read(text: &str) -> Option<(String, Arc<TokenKey>)> {
    #[derive(Deserialize)]
    struct Jwk {
        kty: String,
        kid: String,
        #[serde(rename = "use")]
        purpose: Option<String>,
        alg: Option<String>,
        crv: Option<String>,
        n: Option<String>,
        e: Option<String>,
        x: Option<String>,
        y: Option<String>,
    }
    let jwk: Jwk = serde_json::from_str(text).ok()?;
    if jwk.kid.is_empty() || jwk.kid.len() > KID_BYTES_MAX || jwk.purpose.is_some_and(|purpose| purpose != "sig") {
        return None;
    }
    let bytes = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?).ok();
    let alg = |wanted: &[&str]| jwk.alg.as_deref().is_none_or(|alg| wanted.contains(&alg));
    let kind = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) if alg(&["RS256"]) => {
            let key = key::rsa_of_parts(&bytes(jwk.n)?, &bytes(jwk.e)?).ok()?;
            Kind::Rs256(Box::new(pkcs1v15::VerifyingKey::new(key)))
        }
        ("EC", Some("P-256")) if alg(&["ES256"]) => {
            let (x, y) = (bytes(jwk.x)?, bytes(jwk.y)?);
            if (x.len(), y.len()) != (32, 32) {
                return None;
            }
            let point = [&[4], x.as_slice(), y.as_slice()].concat();
            Kind::Es256(Box::new(p256::ecdsa::VerifyingKey::from_sec1_bytes(&point).ok()?))
        }
        ("OKP", Some("Ed25519")) if alg(&["EdDSA", "Ed25519"]) => {
            let key = ed25519_dalek::VerifyingKey::from_bytes(&bytes(jwk.x)?.try_into().ok()?).ok()?;
            if key.is_weak() {
                return None;
            }
            Kind::EdDsa(Box::new(key))
        }
        _ => return None,
    };
    Some((jwk.kid, Arc::new(TokenKey(kind))))
}

/// Where an issuer says where its keys are (OpenID Connect Discovery 1.0).
pub fn discovery_url(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
}

/// Where the keys are, as the issuer's own document says. Errors are [`Data`](crate::ErrorKind::Data): it is
/// no such document, or another issuer's.
pub fn jwks_url(issuer: &str, document: &[u8]) -> Result<String> {
    #[derive(Deserialize)]
    struct Document {
        issuer: String,
        jwks_uri: String,
    }
    let fault = |why: &str| Error::data(format!("read where {issuer} keeps its keys: {why}"));
    let read: Document = serde_json::from_slice(document).map_err(|_| fault("it is no OpenID configuration"))?;
    if read.issuer != issuer {
        return Err(fault("the document is another issuer's; correct `issuer`, or give `jwks_url`"));
    }
    if !read.jwks_uri.starts_with("https://") {
        return Err(fault("`jwks_uri` is no https address"));
    }
    Ok(read.jwks_uri)
}
