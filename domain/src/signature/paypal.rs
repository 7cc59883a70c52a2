//! PayPal: RSA over `{transmission id}|{transmission time}|{webhook id}|{CRC-32 of the body}`, by a
//! certificate whose address stands in a header
//! (<https://developer.paypal.com/api/rest/webhooks/rest/#verify-webhook-signature>).
//!
//! Anybody can write an address into a header, so host and path of it are pinned. The certificate
//! itself comes from [`Certificates`], which is asked and never waits: whoever implements it answers
//! for having fetched it from that address over TLS, and must keep it for as long as archived
//! signatures are to be checked. The secret of a source is its webhook id, which is not very secret;
//! what makes a signature genuine is the certificate.
//!
//! A CRC-32 is no hash: whoever holds one genuine request can make another body that fits it. Facts
//! that matter should be confirmed with PayPal.

use std::fmt;
use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use compact_str::CompactString;
use rsa::pkcs1v15::{Signature, VerifyingKey};
use rsa::pkcs8::spki::der::{Decode as _, Encode as _};
use rsa::signature::Verifier as _;
use sha2::Sha256;

use super::key::{self, State};
use super::lookup::Lookup;
use super::scheme::PayPal;
use super::secrets::SecretSet;
use super::verify::{Proof, judge_age};
use super::{Cause, EVIDENCE_BYTES_MAX, read};
use crate::error::{Error, Result};
use crate::request::RawRequest;
use crate::time::UnixNanos;

/// Headers that are read: id, time, signature, address of the certificate, algorithm.
pub(super) const NAMES: [&str; 5] = [
    "paypal-transmission-id",
    "paypal-transmission-time",
    "paypal-transmission-sig",
    "paypal-cert-url",
    "paypal-auth-algo",
];
const ALGORITHM: &str = "SHA256withRSA";
/// Where certificates are, before their name.
pub(super) const LIVE: &str = "https://api.paypal.com/v1/notifications/certs/";
pub(super) const SANDBOX: &str = "https://api.sandbox.paypal.com/v1/notifications/certs/";
/// Longest name of a certificate, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// The certificates that are at hand.
pub trait Certificates: Send + Sync {
    /// The certificate of this name, the last part of its address: 1 to 128 letters, digits, `-` and
    /// `_`. Anybody can ask for any name. Must not block.
    fn certificate(&self, name: &str) -> Lookup<Certificate>;
}

/// A certificate, read once.
pub struct Certificate {
    key: VerifyingKey<Sha256>,
    /// Seconds since 1970.
    valid: RangeInclusive<i64>,
}

impl Certificate {
    /// Reads the first certificate of a PEM file, the one that signs. Errors are
    /// [`Invalid`](crate::ErrorKind::Invalid).
    pub fn from_pem(text: &str) -> Result<Self> {
        let fault = |why: &str| Error::invalid(format!("read a certificate: {why}"));
        let (_, block) = text.split_once("-----BEGIN CERTIFICATE-----").ok_or_else(|| fault("it is not PEM"))?;
        let (block, _) = block.split_once("-----END CERTIFICATE-----").ok_or_else(|| fault("it has no end"))?;
        let body: String = block.split_ascii_whitespace().collect();
        let der = BASE64.decode(body).map_err(|_| fault("it is not base64"))?;
        let read = x509_cert::Certificate::from_der(&der).map_err(|_| fault("it is no X.509 certificate"))?;
        let certificate = read.tbs_certificate();
        let info = certificate.subject_public_key_info().to_der().map_err(|_| fault("it holds no key"))?;
        let key = key::rsa_of_der(&info).map_err(fault)?;
        let seconds =
            |time: x509_cert::time::Time| i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
        let validity = certificate.validity();
        Ok(Self { key: VerifyingKey::new(key), valid: seconds(validity.not_before)..=seconds(validity.not_after) })
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate(valid {:?})", self.valid)
    }
}

/// Judges the five headers; certificates are valid at the time of receipt or not at all.
pub(super) fn judge(scheme: &PayPal, secrets: &SecretSet, raw: RawRequest<'_>) -> Result<Proof, Cause> {
    let mut values = [""; NAMES.len()];
    for (value, name) in values.iter_mut().zip(NAMES) {
        *value = read::text(raw.headers, name)?;
    }
    let [id, time, signature, url, algorithm] = values;
    let separators = id.contains('|') || time.contains('|');
    let length: usize = values.iter().map(|value| value.len()).sum();
    if separators || algorithm != ALGORITHM || length > EVIDENCE_BYTES_MAX {
        return Err(Cause::Malformed);
    }
    let name = url.strip_prefix(scheme.certificates_url()).ok_or(Cause::Malformed)?;
    let token = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if !token || !(1..=NAME_BYTES_MAX).contains(&name.len()) {
        return Err(Cause::Malformed);
    }
    let bytes = BASE64.decode(signature).map_err(|_| Cause::Malformed)?;
    let signature = Signature::try_from(bytes.as_slice()).map_err(|_| Cause::Malformed)?;
    let signed_at = UnixNanos::parse_rfc3339(time).map_err(|_| Cause::Malformed)?;
    let received_at = raw.received_at.seconds();
    let certificate = secrets.certificates().ok_or(Cause::UnknownKey)?.certificate(name).found()?;
    if !certificate.valid.contains(&received_at) {
        return Err(Cause::UnknownKey);
    }
    let crc = crc32fast::hash(raw.body);
    let fits = |state: &State| match state {
        State::WebhookId(webhook) => {
            certificate.key.verify(format!("{id}|{time}|{webhook}|{crc}").as_bytes(), &signature).is_ok()
        }
        _ => false,
    };
    // Nothing here is secret, so the first that fits ends the search.
    let key = secrets.keys().iter().find(|key| fits(&key.state)).ok_or(Cause::Wrong)?;
    judge_age(signed_at.seconds(), scheme.tolerance, received_at)?;
    let evidence = NAMES.into_iter().zip(values).map(|(name, value)| (CompactString::from(name), value.to_owned()));
    Ok((key.id.clone(), evidence.collect()))
}
