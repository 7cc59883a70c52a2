//! Braintree: a form with `bt_payload` and `bt_signature`, the latter `public_key|hex` pairs joined by
//! `&`. The key of the HMAC-SHA1 is the SHA-1 of the private key.
//!
//! The same key answers the handshake of a new webhook, `GET ?bt_challenge=…`, for whoever asks. So
//! that nobody has a body signed that way, a payload that could be a challenge is never genuine.

use std::ops::RangeInclusive;

use compact_str::CompactString;
use subtle::{Choice, ConstantTimeEq as _};

use super::key::{MAC_BYTES_MAX, State};
use super::scheme::Scheme;
use super::secrets::SecretSet;
use super::{Cause, SIGNATURES_MAX, form};

/// Bytes of an HMAC-SHA1.
const SHA1_BYTES: usize = 20;
/// How long a challenge is, in hex digits, by Braintree's own libraries.
const CHALLENGE_DIGITS: RangeInclusive<usize> = 20..=32;
/// The same for what could ever have been one: some verifiers answer longer ones.
const SIGNED_ON_DEMAND_DIGITS: RangeInclusive<usize> = 20..=40;

/// Judges a notification; gives the id of the key that fits.
pub(super) fn judge(secrets: &SecretSet, body: &[u8]) -> Result<CompactString, Cause> {
    let [signature, payload] = form::fields(body, ["bt_signature", "bt_payload"])?;
    let filled = |field: &[u8]| !field.is_empty();
    let signature = signature.filter(|field| filled(field)).ok_or(Cause::Missing)?;
    let payload = payload.filter(|field| filled(field)).ok_or(Cause::Missing)?;
    // Base64 in lines, and nothing else; what looks like a challenge may have been signed as one.
    let base64 = |b: &u8| b.is_ascii_alphanumeric() || b"+/=\n".contains(b);
    if !payload.iter().all(base64) || is_digits(payload.trim_ascii(), SIGNED_ON_DEMAND_DIGITS) {
        return Err(Cause::Malformed);
    }
    let text = std::str::from_utf8(&signature).map_err(|_| Cause::Malformed)?;
    let mut pairs = Vec::new();
    for (public, hex) in text.split('&').filter_map(|pair| pair.split_once('|')) {
        let mut bytes = [0; SHA1_BYTES];
        if hex::decode_to_slice(hex, &mut bytes).is_ok() {
            if pairs.len() == SIGNATURES_MAX {
                return Err(Cause::Malformed);
            }
            pairs.push((public, bytes));
        }
    }
    if pairs.is_empty() {
        return Err(Cause::Malformed);
    }
    let (mut known, mut fitting) = (false, None);
    for key in secrets.keys() {
        let State::Braintree { public_key, .. } = &key.state else { continue };
        let mut fits = Choice::from(0);
        // Some of Braintree's libraries sign the payload with a line break behind it.
        for ending in [b"".as_slice(), b"\n"] {
            let mut mac = [0; MAC_BYTES_MAX];
            let length = key.state.mac([&*payload, ending].into_iter(), &mut mac);
            let mac = mac.get(..length).unwrap_or_default();
            for (_, bytes) in pairs.iter().filter(|(public, _)| *public == *public_key) {
                known = true;
                fits |= bytes.as_slice().ct_eq(mac);
            }
        }
        if bool::from(fits) && fitting.is_none() {
            fitting = Some(key);
        }
    }
    let none = if known { Cause::Wrong } else { Cause::UnknownKey };
    fitting.map(|key| key.id.clone()).ok_or(none)
}

/// The answer to a challenge, `public_key|hex`, by the first of the secrets: what a webhook's address
/// must give before Braintree sends to it. `None` for any other scheme, and for a text that is no
/// challenge (20 to 32 lower-case hex digits): nothing else is ever signed on demand.
pub fn answer_challenge(scheme: &Scheme, secrets: &SecretSet, challenge: &str) -> Option<String> {
    if !matches!(scheme, Scheme::Braintree) || !is_digits(challenge.as_bytes(), CHALLENGE_DIGITS) {
        return None;
    }
    let key = secrets.keys().first()?;
    let State::Braintree { public_key, .. } = &key.state else { return None };
    Some(pair(&key.state, public_key, challenge.as_bytes()))
}

/// `public_key|hex` over a payload.
pub(super) fn pair(state: &State, public_key: &str, payload: &[u8]) -> String {
    let mut mac = [0; MAC_BYTES_MAX];
    let length = state.mac(std::iter::once(payload), &mut mac);
    format!("{public_key}|{}", hex::encode(mac.get(..length).unwrap_or_default()))
}

fn is_digits(text: &[u8], count: RangeInclusive<usize>) -> bool {
    count.contains(&text.len()) && text.iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b))
}
