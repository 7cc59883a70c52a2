//! The envelope's JSON text: written member by member, and read back as it is written.
//!
//! What is read was written here, so the reader takes just that: an object without space between its
//! members, every member but `data` a string, `data` the last one. Anything else is a
//! [`Data`](crate::ErrorKind::Data) error. Members that it does not know are passed over.

use std::borrow::Cow;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use memchr::memmem;

use super::claim::CLAIM_VERSION;
use super::{ENVELOPE_VERSION, Envelope, Identified, RequestPart, is_json_text};
use crate::error::{Error, Result};
use crate::ids::EntityKey;
use crate::order::{OrderClass, OrderKey};
use crate::time::UnixNanos;

/// How every envelope begins.
pub(super) const BEGINNING: &[u8] = b"{\"specversion\":\"1.0\"";
/// What stands before the body.
pub(super) const DATA: &[u8] = b",\"data\":";
pub(super) static DATA_FINDER: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(DATA));

impl Envelope {
    /// The CloudEvents JSON text.
    pub fn encode(&self) -> Vec<u8> {
        let event = &self.event;
        let mut out = Vec::with_capacity(event.body.len() + 640 + self.signature_headers.len());
        out.extend_from_slice(BEGINNING);
        member(&mut out, b"id", &event.id);
        member(&mut out, b"source", event.entity.source());
        member(&mut out, b"type", &event.event_type);
        member(&mut out, b"subject", event.entity.as_str());
        if let Some(time) = event.occurred_at {
            plain_member(&mut out, b"time", |out| time.write_to(out));
        }
        plain_member(&mut out, b"ledgerlineversion", |out| number(out, ENVELOPE_VERSION));
        plain_member(&mut out, b"receivedat", |out| self.received_at.write_to(out));
        match event.order.class {
            OrderClass::Contiguous { .. } => member(&mut out, b"orderclass", &event.order.class.to_text()),
            class => member(&mut out, b"orderclass", class.word()),
        }
        plain_member(&mut out, b"ordervalue", |out| number(out, event.order.value));
        member(&mut out, b"keyid", &self.key_id);
        member(&mut out, b"signatureheaders", &self.signature_headers);
        if let Some(part) = &event.part {
            member(&mut out, b"requestdigest", &part.digest);
            plain_member(&mut out, b"requestindex", |out| number(out, part.index));
        }
        if let Some(reason) = &event.unreadable {
            member(&mut out, b"unreadable", reason);
        }
        if let Some(run) = &self.redrive_run {
            member(&mut out, b"redriverun", run);
        }
        if !self.content_type.is_empty() {
            member(&mut out, b"datacontenttype", &self.content_type);
        }
        // What was identified was found to be JSON on the way; only the unreadable must be asked.
        if event.unreadable.is_none() || is_json_text(&event.body) {
            out.extend_from_slice(DATA);
            out.extend_from_slice(&event.body);
        } else {
            plain_member(&mut out, b"data_base64", |out| out.extend_from_slice(BASE64.encode(&event.body).as_bytes()));
        }
        out.push(b'}');
        out
    }

    /// Reads the CloudEvents JSON text back. The body shares `text`'s memory where it is `data`, and
    /// is not parsed: whoever interprets it will.
    pub fn decode(text: &Bytes) -> Result<Self> {
        Self::read(text, true)
    }

    /// The same for a fold, which needs no evidence: key id, content type and signature headers are
    /// not read and are empty.
    pub fn decode_without_evidence(text: &Bytes) -> Result<Self> {
        Self::read(text, false)
    }

    fn read(text: &Bytes, evidence: bool) -> Result<Self> {
        let wire = Wire::read(text)?;
        let version: u32 = wire
            .get(VERSION)
            .and_then(|version| version.raw.parse().ok())
            .ok_or_else(|| Error::data("read an envelope: no version"))?;
        if version == CLAIM_VERSION && wire.data.is_none() && wire.get(DATA_BASE64).is_none() {
            return Err(Error::data(
                "read an envelope whose body is kept apart from the log: read the log through the claim check, which \
                 fetches it",
            ));
        }
        if version > ENVELOPE_VERSION {
            return Err(Error::data(format!(
                "read an envelope of version {version}: this program knows versions up to {ENVELOPE_VERSION}; use a newer one"
            )));
        }
        let body = match (wire.data, wire.get(DATA_BASE64)) {
            (Some(data), None) => text.slice_ref(data),
            (None, Some(coded)) => Bytes::from(
                BASE64.decode(coded.raw).map_err(|e| Error::data("read an envelope's data_base64").because(e))?,
            ),
            _ => return Err(Error::data("read an envelope: it must have one of data and data_base64")),
        };
        let part = match (wire.get(REQUEST_DIGEST), wire.get(REQUEST_INDEX)) {
            (Some(digest), Some(index)) => Some(RequestPart {
                digest: string(digest)?.into(),
                index: string(index)?.parse().map_err(|_| Error::data("read an envelope's requestindex"))?,
            }),
            _ => None,
        };
        let event = Identified {
            id: needed(wire.get(ID))?.into(),
            event_type: needed(wire.get(TYPE))?.into(),
            entity: EntityKey::parse(&needed(wire.get(SUBJECT))?)?,
            order: OrderKey {
                class: OrderClass::parse(&needed(wire.get(ORDER_CLASS))?)?,
                value: needed(wire.get(ORDER_VALUE))?
                    .parse()
                    .map_err(|_| Error::data("read an envelope's ordervalue"))?,
            },
            occurred_at: wire.get(TIME).map(|time| UnixNanos::parse_rfc3339(&string(time)?)).transpose()?,
            body,
            part,
            unreadable: wire.get(UNREADABLE).map(|u| string(u).map(Cow::into_owned)).transpose()?,
        };
        let received_at = UnixNanos::parse_rfc3339(&needed(wire.get(RECEIVED_AT))?)?;
        let of_evidence = |value| if evidence { needed(value) } else { Ok(Cow::Borrowed("")) };
        Ok(Self {
            event,
            received_at,
            content_type: wire
                .get(CONTENT_TYPE)
                .filter(|_| evidence)
                .map(string)
                .transpose()?
                .unwrap_or_default()
                .into(),
            key_id: of_evidence(wire.get(KEY_ID))?.into(),
            signature_headers: of_evidence(wire.get(SIGNATURE_HEADERS))?.into_owned(),
            redrive_run: wire.get(REDRIVE_RUN).filter(|_| evidence).map(string).transpose()?.map(Into::into),
        })
    }
}

/// The members that are strings, in the order in which they are written.
const MEMBERS: [&str; 17] = [
    "id",
    "source",
    "type",
    "subject",
    "time",
    "ledgerlineversion",
    "receivedat",
    "orderclass",
    "ordervalue",
    "keyid",
    "signatureheaders",
    "requestdigest",
    "requestindex",
    "unreadable",
    "redriverun",
    "datacontenttype",
    "data_base64",
];

// Their places in it. `source` is the front of `subject` and not needed.
const ID: usize = 0;
const TYPE: usize = 2;
const SUBJECT: usize = 3;
const TIME: usize = 4;
const VERSION: usize = 5;
const RECEIVED_AT: usize = 6;
const ORDER_CLASS: usize = 7;
const ORDER_VALUE: usize = 8;
const KEY_ID: usize = 9;
const SIGNATURE_HEADERS: usize = 10;
const REQUEST_DIGEST: usize = 11;
const REQUEST_INDEX: usize = 12;
const UNREADABLE: usize = 13;
const REDRIVE_RUN: usize = 14;
const CONTENT_TYPE: usize = 15;
const DATA_BASE64: usize = 16;

/// What stands between the quotes of each string, and the bytes of `data`.
#[derive(Default)]
struct Wire<'a> {
    strings: [Option<Quoted<'a>>; MEMBERS.len()],
    data: Option<&'a [u8]>,
}

impl<'a> Wire<'a> {
    fn read(text: &'a [u8]) -> Result<Self> {
        let not_written = || Error::data("read an envelope: it is not the JSON that was written");
        let mut wire = Self::default();
        let members = text.strip_prefix(BEGINNING).and_then(|rest| rest.strip_suffix(b"}")).ok_or_else(not_written)?;
        // In a string a quote stands behind a backslash, so these bytes cannot be part of one.
        let head = match DATA_FINDER.find(members) {
            Some(at) => {
                wire.data = members.get(at + DATA.len()..).filter(|data| !data.is_empty());
                wire.data.ok_or_else(not_written)?;
                &members[..at]
            }
            None => members,
        };
        let mut rest = simdutf8::basic::from_utf8(head).map_err(|e| not_written().because(e))?;
        let mut next = 0;
        while !rest.is_empty() {
            let member = rest.strip_prefix(",\"").ok_or_else(not_written)?;
            let (at, value) = match expected(member, next) {
                Some((at, value)) => (Some(at), value),
                None => {
                    let (name, after) = to_quote(member).ok_or_else(not_written)?;
                    let known = MEMBERS.iter().position(|known| *known == name.raw);
                    (known, after.strip_prefix(":\"").ok_or_else(not_written)?)
                }
            };
            let (value, after) = to_quote(value).ok_or_else(not_written)?;
            rest = after;
            let Some(at) = at else { continue };
            next = at + 1;
            if wire.strings.get_mut(at).is_none_or(|place| place.replace(value).is_some()) {
                return Err(not_written());
            }
        }
        Ok(wire)
    }

    /// The member at that place of [`MEMBERS`].
    fn get(&self, at: usize) -> Option<Quoted<'a>> {
        self.strings.get(at).copied().flatten()
    }
}

/// The member that `text` begins with, if it is one of the next two that are written, and its value behind the
/// quote: most members are, and comparing is faster than looking for the end of the name.
fn expected(text: &str, next: usize) -> Option<(usize, &str)> {
    let likely = MEMBERS.iter().enumerate().skip(next).take(2);
    likely.into_iter().find_map(|(at, name)| Some((at, text.strip_prefix(name)?.strip_prefix("\":\"")?)))
}

/// What stands between the quotes of a JSON string.
#[derive(Clone, Copy)]
struct Quoted<'a> {
    raw: &'a str,
    has_escapes: bool,
}

/// The text up to the quote that ends a JSON string, and what follows the quote.
fn to_quote(text: &str) -> Option<(Quoted<'_>, &str)> {
    let mut from = 0;
    loop {
        let at = from + memchr::memchr2(b'"', b'\\', text.as_bytes().get(from..)?)?;
        if text.as_bytes().get(at) == Some(&b'"') {
            return Some((Quoted { raw: text.get(..at)?, has_escapes: from > 0 }, text.get(at + 1..)?));
        }
        from = at + 2;
    }
}

fn needed(value: Option<Quoted<'_>>) -> Result<Cow<'_, str>> {
    string(value.ok_or_else(|| Error::data("read an envelope: an attribute that every envelope has is missing"))?)
}

/// The characters of a JSON string.
fn string(quoted: Quoted<'_>) -> Result<Cow<'_, str>> {
    if !quoted.has_escapes {
        return Ok(Cow::Borrowed(quoted.raw));
    }
    serde_json::from_str(&format!("\"{}\"", quoted.raw))
        .map(Cow::Owned)
        .map_err(|e| Error::data("read an envelope: a string in it is damaged").because(e))
}

/// A member whose value needs no escapes.
fn plain_member(out: &mut Vec<u8>, name: &[u8], value: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name);
    out.extend_from_slice(b"\":\"");
    value(out);
    out.push(b'"');
}

fn member(out: &mut Vec<u8>, name: &[u8], value: &str) {
    // Without an early exit, which a short text is not worth.
    let escapes = |b: u8| (b < 0x20) | (b == b'"') | (b == b'\\');
    if !value.bytes().fold(false, |any, b| any | escapes(b)) {
        return plain_member(out, name, |out| out.extend_from_slice(value.as_bytes()));
    }
    if value.bytes().fold(false, |any, b| any | (escapes(b) & (b != b'\n'))) {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name);
        out.extend_from_slice(b"\":");
        // Writing a `&str` to a `Vec` has no way to fail.
        let _ = serde_json::to_writer(out, value);
        return;
    }
    // Headers, line by line.
    plain_member(out, name, |out| {
        let mut rest = value.as_bytes();
        while let Some(at) = memchr::memchr(b'\n', rest) {
            out.extend_from_slice(&rest[..at]);
            out.extend_from_slice(b"\\n");
            rest = &rest[at + 1..];
        }
        out.extend_from_slice(rest);
    });
}

fn number(out: &mut Vec<u8>, number: impl Into<i64>) {
    use std::io::Write as _;
    // Writing to a `Vec` has no way to fail.
    let _ = write!(out, "{}", number.into());
}
