//! From headers to what they claim: the signed id and time, and the signatures, each scheme its own
//! way. Nothing here says whether a claim is true.
//!
//! Promises: at most [`HEADER_BYTES_MAX`] bytes of a header and [`SIGNATURES_MAX`] signatures are
//! looked at; signatures of another version, length or alphabet are passed over; a value that is not
//! visible ASCII is malformed, so that the evidence can be kept as text and read back exactly.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use compact_str::CompactString;

use super::scheme::{BodyHmac, Encoding, GenericHmac, Scheme, StandardWebhooks, Stripe, Tolerance};
use super::secrets::MAC_BYTES_MAX;
use super::{Cause, HEADER_BYTES_MAX, SIGNATURES_MAX};
use crate::request::Headers;

/// Header names of Standard Webhooks: id, timestamp, signature.
pub(super) const STANDARD_NAMES: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];
/// The same as Svix names them.
const SVIX_NAMES: [&str; 3] = ["svix-id", "svix-timestamp", "svix-signature"];

/// What the headers of a request claim.
pub(super) struct Claim<'h> {
    /// The id, where the scheme signs one; else empty.
    pub(super) id: &'h str,
    /// The time as written, where the scheme signs one; else empty.
    pub(super) timestamp: &'h str,
    /// The time and how far it may be off.
    pub(super) age: Option<(i64, Tolerance)>,
    /// The signatures.
    pub(super) signatures: Signatures,
    evidence: [Option<(&'h str, &'h str)>; 3],
}

impl<'h> Claim<'h> {
    /// Reads what `scheme` reads of `headers`.
    pub(super) fn read(scheme: &'h Scheme, headers: &'h dyn Headers) -> Result<Self, Cause> {
        let claim = match scheme {
            Scheme::Stripe(stripe) => stripe_claim(stripe, headers),
            Scheme::StandardWebhooks(standard) => standard_claim(standard, headers),
            Scheme::BodyHmac(body) => body_claim(body, headers),
            Scheme::Hmac(hmac) => hmac_claim(hmac, headers),
        }?;
        if claim.signatures.is_empty() { Err(Cause::Malformed) } else { Ok(claim) }
    }

    /// The headers that were read, name and exact value.
    pub(super) fn evidence(&self) -> Vec<(CompactString, String)> {
        self.evidence.iter().flatten().map(|(name, value)| (CompactString::from(*name), (*value).to_owned())).collect()
    }
}

/// Decoded signatures, all of the length that the scheme's hash gives.
pub(super) struct Signatures {
    /// Each is as long as `length` says; what follows is zero.
    decoded: Vec<[u8; MAC_BYTES_MAX]>,
    length: usize,
}

impl Signatures {
    fn new(length: usize) -> Self {
        Self { decoded: Vec::new(), length: length.min(MAC_BYTES_MAX) }
    }

    /// Takes one signature; one that cannot be a signature of this scheme is passed over.
    fn push(&mut self, encoding: Encoding, text: &str) -> Result<(), Cause> {
        let mut decoded = [0; MAC_BYTES_MAX];
        let Some(room) = decoded.get_mut(..self.length) else { return Err(Cause::Malformed) };
        let fits = match encoding {
            Encoding::Hex => hex::decode_to_slice(text, room).is_ok(),
            Encoding::Base64 => BASE64.decode_slice(text, room).is_ok_and(|length| length == self.length),
        };
        if fits && self.decoded.len() == SIGNATURES_MAX {
            return Err(Cause::Malformed);
        }
        if fits {
            self.decoded.push(decoded);
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.decoded.is_empty()
    }

    /// The signatures.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.decoded.iter().filter_map(|bytes| bytes.get(..self.length))
    }
}

fn stripe_claim<'h>(stripe: &'h Stripe, headers: &'h dyn Headers) -> Result<Claim<'h>, Cause> {
    let value = text(headers, &stripe.header)?;
    let mut timestamp = None;
    let mut signatures = Signatures::new(32);
    for element in value.split(',') {
        match element.split_once('=') {
            // Two times would leave open which one is signed.
            Some(("t", _)) if timestamp.is_some() => return Err(Cause::Malformed),
            Some(("t", time)) => timestamp = Some(time),
            Some(("v1", signature)) => signatures.push(Encoding::Hex, signature)?,
            // `v0` is a fake for test mode; what else may come, comes with a new version.
            _ => {}
        }
    }
    let timestamp = timestamp.ok_or(Cause::Malformed)?;
    Ok(Claim {
        id: "",
        timestamp,
        age: Some((unix_seconds(timestamp)?, stripe.tolerance)),
        signatures,
        evidence: [Some((&stripe.header, value)), None, None],
    })
}

fn standard_claim<'h>(standard: &StandardWebhooks, headers: &'h dyn Headers) -> Result<Claim<'h>, Cause> {
    // One family, all three of it. Were they mixed, an unsigned `webhook-id` could be put in front
    // of a genuine Svix request and pass for its id.
    let standard_names = STANDARD_NAMES.iter().any(|name| headers.get(name).is_some());
    let names = if standard_names { STANDARD_NAMES } else { SVIX_NAMES };
    let [id_name, timestamp_name, signature_name] = names;
    let list = text(headers, signature_name)?;
    let id = text(headers, id_name)?;
    let timestamp = text(headers, timestamp_name)?;
    let mut signatures = Signatures::new(32);
    for element in list.split(' ') {
        // Other versions (`v1a`: asymmetric) are for verifiers that know them.
        if let Some(("v1", signature)) = element.split_once(',') {
            signatures.push(Encoding::Base64, signature)?;
        }
    }
    Ok(Claim {
        id,
        timestamp,
        age: Some((unix_seconds(timestamp)?, standard.tolerance)),
        signatures,
        evidence: [Some((id_name, id)), Some((timestamp_name, timestamp)), Some((signature_name, list))],
    })
}

fn body_claim<'h>(body: &'h BodyHmac, headers: &'h dyn Headers) -> Result<Claim<'h>, Cause> {
    let value = text(headers, &body.header)?;
    let mut signatures = Signatures::new(body.hash.bytes());
    signatures.push(body.encoding, value.strip_prefix(body.prefix.as_str()).ok_or(Cause::Malformed)?)?;
    Ok(Claim { id: "", timestamp: "", age: None, signatures, evidence: [Some((&body.header, value)), None, None] })
}

fn hmac_claim<'h>(hmac: &'h GenericHmac, headers: &'h dyn Headers) -> Result<Claim<'h>, Cause> {
    let value = text(headers, &hmac.header)?;
    let mut signatures = Signatures::new(hmac.hash.bytes());
    signatures.push(hmac.encoding, value.strip_prefix(hmac.prefix.as_str()).ok_or(Cause::Malformed)?)?;
    let id = match &hmac.id_header {
        Some(name) => Some((name.as_str(), text(headers, name)?)),
        None => None,
    };
    let (time, age) = match &hmac.time {
        Some((name, tolerance)) => {
            let written = text(headers, name)?;
            (Some((name.as_str(), written)), Some((unix_seconds(written)?, *tolerance)))
        }
        None => (None, None),
    };
    Ok(Claim {
        id: id.map_or("", |(_, value)| value),
        timestamp: time.map_or("", |(_, value)| value),
        age,
        signatures,
        evidence: [id, time, Some((&hmac.header, value))],
    })
}

/// A header's value: there, not too long, visible ASCII.
fn text<'h>(headers: &'h dyn Headers, name: &str) -> Result<&'h str, Cause> {
    let value = headers.get(name).filter(|value| !value.is_empty()).ok_or(Cause::Missing)?;
    // Without an early exit: that is one vector comparison per 16 bytes and more.
    let visible = value.iter().fold(true, |all, b| all & (b' '..=b'~').contains(b));
    if value.len() > HEADER_BYTES_MAX || !visible {
        return Err(Cause::Malformed);
    }
    std::str::from_utf8(value).map_err(|_| Cause::Malformed)
}

/// Digits and nothing else: no sign, no white space, no fraction.
fn unix_seconds(written: &str) -> Result<i64, Cause> {
    if !written.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Cause::Malformed);
    }
    written.parse().map_err(|_| Cause::Malformed)
}
