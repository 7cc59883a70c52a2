//! From headers to what they claim: the signed id and time, and the signatures, each scheme its own
//! way. Nothing here says whether a claim is true.
//!
//! Promises: at most [`HEADER_BYTES_MAX`] bytes of a header, [`EVIDENCE_BYTES_MAX`] of all of them
//! and [`SIGNATURES_MAX`] signatures are looked at; signatures of another version, length or alphabet
//! are passed over; a value that is not visible ASCII is malformed, so that the evidence can be kept
//! as text and read back exactly.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use compact_str::CompactString;
use smallvec::SmallVec;

use super::key::MAC_BYTES_MAX;
use super::scheme::{Encoding, GenericHmac, StandardWebhooks, TimeUnit, TimestampedList, Tolerance};
use super::template::Piece;
use super::{Cause, EVIDENCE_BYTES_MAX, HEADER_BYTES_MAX, PUBLIC_KEY_SIGNATURES_MAX, SIGNATURES_MAX};
use crate::request::Headers;
use crate::time::UnixNanos;

/// Header names of Standard Webhooks: id, timestamp, signature.
pub(super) const STANDARD_NAMES: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];
/// The same as Svix names them.
const SVIX_NAMES: [&str; 3] = ["svix-id", "svix-timestamp", "svix-signature"];
/// What stands for the source's address among the evidence; no header can be called so.
pub(super) const URL_NAME: &str = ":url";
/// Bytes of an ed25519 signature.
const ED25519_BYTES: usize = 64;

/// What the headers of a request claim.
pub(super) struct Claim<'h> {
    /// The id, where the scheme signs one; else empty.
    id: &'h str,
    /// The time as written, where the scheme signs one; else empty.
    timestamp: &'h str,
    /// The time in seconds since 1970 and how far it may be off.
    pub(super) age: Option<(i64, Tolerance)>,
    /// Signatures by keyed hashes.
    pub(super) signatures: Signatures,
    /// Signatures by ed25519 keys.
    pub(super) by_public_key: Signatures,
    evidence: [Option<(&'h str, &'h str)>; 3],
    /// Address and further headers, where the content names them.
    more: Vec<(&'h str, &'h str)>,
}

impl<'h> Claim<'h> {
    fn checked(self) -> Result<Self, Cause> {
        let none = self.signatures.is_empty() && self.by_public_key.is_empty();
        if none { Err(Cause::Malformed) } else { Ok(self) }
    }

    /// The headers that were read, name and exact value.
    pub(super) fn evidence(&self) -> Vec<(CompactString, String)> {
        let all = self.evidence.iter().flatten().chain(&self.more);
        all.map(|(name, value)| (CompactString::from(*name), (*value).to_owned())).collect()
    }

    /// The signed content, part by part, in the scheme's order.
    pub(super) fn parts<'p>(&'p self, content: &'p [Piece], body: &'p [u8]) -> impl Iterator<Item = &'p [u8]> {
        content.iter().map(move |piece| match piece {
            Piece::Text(text) => text.as_bytes(),
            Piece::Id => self.id.as_bytes(),
            Piece::Timestamp => self.timestamp.as_bytes(),
            Piece::Body => body,
            Piece::Url => self.also(URL_NAME).as_bytes(),
            Piece::Header(name) => self.also(name).as_bytes(),
        })
    }

    fn also(&self, wanted: &str) -> &'h str {
        self.more.iter().find(|(name, _)| *name == wanted).map_or("", |(_, value)| value)
    }
}

/// Decoded signatures, all of the length that the scheme's hash gives.
pub(super) struct Signatures {
    /// Each is as long as `length` says; what follows is zero.
    decoded: SmallVec<[[u8; MAC_BYTES_MAX]; 2]>,
    length: usize,
    most: usize,
}

impl Signatures {
    fn new(length: usize, most: usize) -> Self {
        Self { decoded: SmallVec::new(), length: length.min(MAC_BYTES_MAX), most }
    }

    fn none() -> Self {
        Self::new(0, 0)
    }

    /// Takes one signature; one that cannot be a signature of this scheme is passed over.
    fn push(&mut self, encoding: Encoding, text: &str) -> Result<(), Cause> {
        let mut decoded = [0; MAC_BYTES_MAX];
        let Some(room) = decoded.get_mut(..self.length) else { return Err(Cause::Malformed) };
        let fits = match encoding {
            Encoding::Hex => base16ct::mixed::decode(text, room).is_ok_and(|bytes| bytes.len() == self.length),
            Encoding::Base64 => BASE64.decode_slice(text, room).is_ok_and(|length| length == self.length),
        };
        if fits && self.decoded.len() == self.most {
            return Err(Cause::Malformed);
        }
        if fits {
            self.decoded.push(decoded);
        }
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.decoded.is_empty()
    }

    /// The signatures.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.decoded.iter().filter_map(|bytes| bytes.get(..self.length))
    }
}

/// Reads `t=…,v1=…` and its like.
pub(super) fn list_claim<'h>(list: &'h TimestampedList, headers: &'h dyn Headers) -> Result<Claim<'h>, Cause> {
    let value = text(headers, &list.header)?;
    let mut timestamp = None;
    let mut signatures = Signatures::new(list.hash.bytes(), SIGNATURES_MAX);
    for element in value.split(list.separator) {
        let of = |key: &str| element.strip_prefix(key)?.strip_prefix('=');
        if let Some(time) = of(&list.timestamp_key) {
            // Two times would leave open which one is signed.
            if timestamp.replace(time).is_some() {
                return Err(Cause::Malformed);
            }
        } else if let Some(signature) = of(&list.signature_key) {
            signatures.push(Encoding::Hex, signature)?;
        }
        // Stripe's `v0` is a fake for test mode; what else may come, comes with a new version.
    }
    let timestamp = timestamp.ok_or(Cause::Malformed)?;
    Claim {
        id: "",
        timestamp,
        age: Some((unix_seconds(timestamp)?, list.tolerance)),
        signatures,
        by_public_key: Signatures::none(),
        evidence: [Some((&list.header, value)), None, None],
        more: Vec::new(),
    }
    .checked()
}

/// Reads the three headers of Standard Webhooks.
pub(super) fn standard_claim<'h>(standard: &'h StandardWebhooks, headers: &'h dyn Headers) -> Result<Claim<'h>, Cause> {
    let [id_name, timestamp_name, signature_name] = standard_names(headers);
    let list = text(headers, signature_name)?;
    let id = text(headers, id_name)?;
    let timestamp = text(headers, timestamp_name)?;
    let mut signatures = Signatures::new(32, SIGNATURES_MAX);
    let mut by_public_key = Signatures::new(ED25519_BYTES, PUBLIC_KEY_SIGNATURES_MAX);
    for element in list.split(' ') {
        match element.split_once(',') {
            Some(("v1", signature)) => signatures.push(Encoding::Base64, signature)?,
            Some(("v1a", signature)) => by_public_key.push(Encoding::Base64, signature)?,
            // Other versions are for verifiers that know them.
            _ => {}
        }
    }
    Claim {
        id,
        timestamp,
        age: Some((unix_seconds(timestamp)?, standard.tolerance)),
        signatures,
        by_public_key,
        evidence: [Some((id_name, id)), Some((timestamp_name, timestamp)), Some((signature_name, list))],
        more: Vec::new(),
    }
    .checked()
}

/// The family of names that a request has. One family, all three of it: were they mixed, an unsigned
/// `webhook-id` could be put in front of a genuine Svix request and pass for its id.
pub(super) fn standard_names(headers: &dyn Headers) -> [&'static str; 3] {
    let standard = STANDARD_NAMES.iter().any(|name| headers.get(name).is_some());
    if standard { STANDARD_NAMES } else { SVIX_NAMES }
}

/// Reads the headers of a generic HMAC; `url` is the source's address.
pub(super) fn hmac_claim<'h>(
    hmac: &'h GenericHmac,
    headers: &'h dyn Headers,
    url: Option<&'h str>,
) -> Result<Claim<'h>, Cause> {
    let value = text(headers, &hmac.header)?;
    let signature = match value.strip_prefix(hmac.prefix.as_str()) {
        Some(behind) => behind,
        None if hmac.prefix_optional => value,
        None => return Err(Cause::Malformed),
    };
    let mut signatures = Signatures::new(hmac.hash.bytes(), 1);
    signatures.push(hmac.encoding, signature)?;
    let id = match &hmac.id_header {
        Some(name) => Some((name.as_str(), text(headers, name)?)),
        None => None,
    };
    let (time, age) = match &hmac.time {
        Some(time) => {
            let written = text(headers, &time.header)?;
            let seconds = match time.unit {
                TimeUnit::Seconds => unix_seconds(written)?,
                TimeUnit::Milliseconds => unix_seconds(written)? / 1000,
                TimeUnit::Rfc3339 => UnixNanos::parse_rfc3339(written).map_err(|_| Cause::Malformed)?.seconds(),
            };
            (Some((time.header.as_str(), written)), Some((seconds, time.tolerance)))
        }
        None => (None, None),
    };
    let mut more = Vec::new();
    for piece in &hmac.content {
        match piece {
            // Whoever opens a source sees to it that there is one: `Scheme::lacks_url`.
            Piece::Url => more.push((URL_NAME, url.ok_or(Cause::Missing)?)),
            Piece::Header(name) => more.push((name.as_str(), text(headers, name)?)),
            Piece::Text(_) | Piece::Id | Piece::Timestamp | Piece::Body => {}
        }
    }
    let evidence = [id, time, Some((hmac.header.as_str(), value))];
    if evidence.iter().flatten().chain(&more).map(|(_, value)| value.len()).sum::<usize>() > EVIDENCE_BYTES_MAX {
        return Err(Cause::Malformed);
    }
    Claim {
        id: id.map_or("", |(_, value)| value),
        timestamp: time.map_or("", |(_, value)| value),
        age,
        signatures,
        by_public_key: Signatures::none(),
        evidence,
        more,
    }
    .checked()
}

/// A header's value: there, not too long, visible ASCII.
pub(super) fn text<'h>(headers: &'h dyn Headers, name: &str) -> Result<&'h str, Cause> {
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
