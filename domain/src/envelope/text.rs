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

use super::{ENVELOPE_VERSION, Envelope, Identified, RequestPart, is_json_text};
use crate::error::{Error, Result};
use crate::ids::EntityKey;
use crate::order::{OrderClass, OrderKey};
use crate::time::UnixNanos;

/// How every envelope begins.
const BEGINNING: &[u8] = b"{\"specversion\":\"1.0\"";
/// What stands before the body.
const DATA: &[u8] = b",\"data\":";
static DATA_FINDER: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(DATA));

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
            .ledgerlineversion
            .and_then(|version| version.raw.parse().ok())
            .ok_or_else(|| Error::data("read an envelope: no version"))?;
        if version > ENVELOPE_VERSION {
            return Err(Error::data(format!(
                "read an envelope of version {version}: this program knows versions up to {ENVELOPE_VERSION}; use a newer one"
            )));
        }
        let body = match (wire.data, wire.data_base64) {
            (Some(data), None) => text.slice_ref(data),
            (None, Some(coded)) => Bytes::from(
                BASE64.decode(coded.raw).map_err(|e| Error::data("read an envelope's data_base64").because(e))?,
            ),
            _ => return Err(Error::data("read an envelope: it must have one of data and data_base64")),
        };
        let part = match (wire.requestdigest, wire.requestindex) {
            (Some(digest), Some(index)) => Some(RequestPart {
                digest: string(digest)?.into(),
                index: string(index)?.parse().map_err(|_| Error::data("read an envelope's requestindex"))?,
            }),
            _ => None,
        };
        let event = Identified {
            id: needed(wire.id)?.into(),
            event_type: needed(wire.event_type)?.into(),
            entity: EntityKey::parse(&needed(wire.subject)?)?,
            order: OrderKey {
                class: OrderClass::parse(&needed(wire.orderclass)?)?,
                value: needed(wire.ordervalue)?.parse().map_err(|_| Error::data("read an envelope's ordervalue"))?,
            },
            occurred_at: wire.time.map(|time| UnixNanos::parse_rfc3339(&string(time)?)).transpose()?,
            body,
            part,
            unreadable: wire.unreadable.map(|u| string(u).map(Cow::into_owned)).transpose()?,
        };
        let received_at = UnixNanos::parse_rfc3339(&needed(wire.receivedat)?)?;
        let of_evidence = |value| if evidence { needed(value) } else { Ok(Cow::Borrowed("")) };
        Ok(Self {
            event,
            received_at,
            content_type: wire.datacontenttype.filter(|_| evidence).map(string).transpose()?.unwrap_or_default().into(),
            key_id: of_evidence(wire.keyid)?.into(),
            signature_headers: of_evidence(wire.signatureheaders)?.into_owned(),
            redrive_run: wire.redriverun.filter(|_| evidence).map(string).transpose()?.map(Into::into),
        })
    }
}

/// What stands between the quotes of each string, and the bytes of `data`.
#[derive(Default)]
struct Wire<'a> {
    id: Option<Quoted<'a>>,
    event_type: Option<Quoted<'a>>,
    subject: Option<Quoted<'a>>,
    time: Option<Quoted<'a>>,
    ledgerlineversion: Option<Quoted<'a>>,
    receivedat: Option<Quoted<'a>>,
    orderclass: Option<Quoted<'a>>,
    ordervalue: Option<Quoted<'a>>,
    keyid: Option<Quoted<'a>>,
    signatureheaders: Option<Quoted<'a>>,
    requestdigest: Option<Quoted<'a>>,
    requestindex: Option<Quoted<'a>>,
    unreadable: Option<Quoted<'a>>,
    redriverun: Option<Quoted<'a>>,
    datacontenttype: Option<Quoted<'a>>,
    data: Option<&'a [u8]>,
    data_base64: Option<Quoted<'a>>,
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
        while !rest.is_empty() {
            let (name, after) = rest.strip_prefix(",\"").and_then(to_quote).ok_or_else(not_written)?;
            let (value, after) = after.strip_prefix(":\"").and_then(to_quote).ok_or_else(not_written)?;
            rest = after;
            let place = match name.raw {
                "id" => &mut wire.id,
                "type" => &mut wire.event_type,
                "subject" => &mut wire.subject,
                "time" => &mut wire.time,
                "ledgerlineversion" => &mut wire.ledgerlineversion,
                "receivedat" => &mut wire.receivedat,
                "orderclass" => &mut wire.orderclass,
                "ordervalue" => &mut wire.ordervalue,
                "keyid" => &mut wire.keyid,
                "signatureheaders" => &mut wire.signatureheaders,
                "requestdigest" => &mut wire.requestdigest,
                "requestindex" => &mut wire.requestindex,
                "unreadable" => &mut wire.unreadable,
                "redriverun" => &mut wire.redriverun,
                "datacontenttype" => &mut wire.datacontenttype,
                "data_base64" => &mut wire.data_base64,
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err(not_written());
            }
        }
        Ok(wire)
    }
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
    let escapes = |bytes: &[u8]| bytes.iter().fold(false, |any, b| any | (*b < 0x20) | (*b == b'"') | (*b == b'\\'));
    if !escapes(value.as_bytes()) {
        return plain_member(out, name, |out| out.extend_from_slice(value.as_bytes()));
    }
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name);
    out.extend_from_slice(b"\":");
    // Writing a `&str` to a `Vec` has no way to fail.
    let _ = serde_json::to_writer(out, value);
}

fn number(out: &mut Vec<u8>, number: impl Into<i64>) {
    use std::io::Write as _;
    // Writing to a `Vec` has no way to fail.
    let _ = write!(out, "{}", number.into());
}
