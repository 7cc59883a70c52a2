//! A verified event on its way: CloudEvents 1.0 in structured JSON mode, the body verbatim.
//!
//! The JSON text carries the CloudEvents attributes `specversion, id, source, type, subject, time,
//! datacontenttype`, the extension attributes listed below, and the body: as `data`, byte for byte,
//! when it is JSON text, else as `data_base64`. All values are strings, as CloudEvents asks of
//! extensions. `data` is always the last member, so that attributes can be read without it.
//!
//! | extension | meaning |
//! | --- | --- |
//! | `ledgerlineversion` | version of this format; a reader refuses a newer one |
//! | `receivedat` | RFC 3339 time of receipt |
//! | `orderclass`, `ordervalue` | see [`crate::order`] |
//! | `keyid` | which secret fitted |
//! | `signatureheaders` | the headers the scheme read, `name: value` lines |
//! | `requestdigest`, `requestindex` | for one of several events of a request: SHA-256 (hex) of the request body and the place in it |
//! | `unreadable` | why a verified request could not be read; it goes to the quarantine |

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::ids::{EntityKey, SourceName};
use crate::order::{OrderClass, OrderKey};
use crate::request::Verified;
use crate::time::UnixNanos;

/// Version of the envelope format that this program writes.
pub const ENVELOPE_VERSION: u32 = 1;

/// Entity kind of a verified request that could not be read.
pub const UNREADABLE_KIND: &str = "unreadable";
/// Entity kind of the original bytes of a request that carried several events. It is archived so
/// that the signature can be checked again; it folds into nothing.
pub const REQUEST_KIND: &str = "request";

/// What identification found in a verified request: everything of an envelope but the evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identified {
    /// The provider's event id, unique within the source.
    pub id: CompactString,
    /// The provider's event type.
    pub event_type: CompactString,
    /// What the event is about.
    pub entity: EntityKey,
    /// Where it stands among the entity's events.
    pub order: OrderKey,
    /// When it happened, if the payload says so.
    pub occurred_at: Option<UnixNanos>,
    /// The exact bytes of this event: the whole request body, or one item of it.
    pub body: Bytes,
    /// Which part of a request it is, when the request carried several events.
    pub part: Option<RequestPart>,
    /// Why it cannot be read; set for quarantined requests only.
    pub unreadable: Option<String>,
}

/// One of several events of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestPart {
    /// SHA-256 of the request body, lower-case hex: the id of the archived request.
    pub digest: CompactString,
    /// Place in the request, from 0.
    pub index: u32,
}

/// A verified event with its signature evidence.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    /// What it is.
    pub event: Identified,
    /// When the request was received.
    pub received_at: UnixNanos,
    /// Content type of the request, or empty.
    pub content_type: CompactString,
    /// Which secret fitted.
    pub key_id: CompactString,
    /// The headers that the scheme read: `name: value` lines, names in lower case.
    pub signature_headers: String,
}

impl Envelope {
    /// The only way to an envelope for the log: from a verified request (I2).
    pub fn seal(verified: &Verified<'_>, event: Identified) -> Self {
        let mut signature_headers = String::new();
        for (name, value) in verified.evidence() {
            signature_headers.push_str(name);
            signature_headers.push_str(": ");
            signature_headers.push_str(value);
            signature_headers.push('\n');
        }
        let content_type =
            verified.raw.headers.get("content-type").and_then(|v| std::str::from_utf8(v).ok()).unwrap_or_default();
        Self {
            event,
            received_at: verified.raw.received_at,
            content_type: content_type.into(),
            key_id: verified.key_id.clone(),
            signature_headers,
        }
    }

    /// The same verified request, identified anew: an event released from the quarantine. The evidence
    /// and the time of receipt stay what they were (I2, I7).
    #[must_use]
    pub fn identified_again(&self, event: Identified) -> Self {
        Self { event, ..self.clone() }
    }

    /// Puts an envelope together from stored parts: a row of the archive.
    pub(crate) fn restore(
        event: Identified,
        received_at: UnixNanos,
        content_type: CompactString,
        key_id: CompactString,
        signature_headers: String,
    ) -> Self {
        Self { event, received_at, content_type, key_id, signature_headers }
    }

    /// The source's name.
    pub fn source(&self) -> &str {
        self.event.entity.source()
    }

    /// The CloudEvents JSON text.
    pub fn encode(&self) -> Vec<u8> {
        let event = &self.event;
        let mut out = Vec::with_capacity(event.body.len() + 640 + self.signature_headers.len());
        out.extend_from_slice(b"{\"specversion\":\"1.0\"");
        member(&mut out, "id", &event.id);
        member(&mut out, "source", event.entity.source());
        member(&mut out, "type", &event.event_type);
        member(&mut out, "subject", event.entity.as_str());
        if let Some(time) = event.occurred_at {
            member(&mut out, "time", &time.to_string());
        }
        member(&mut out, "ledgerlineversion", &ENVELOPE_VERSION.to_string());
        member(&mut out, "receivedat", &self.received_at.to_string());
        member(&mut out, "orderclass", &event.order.class.to_text());
        member(&mut out, "ordervalue", &event.order.value.to_string());
        member(&mut out, "keyid", &self.key_id);
        member(&mut out, "signatureheaders", &self.signature_headers);
        if let Some(part) = &event.part {
            member(&mut out, "requestdigest", &part.digest);
            member(&mut out, "requestindex", &part.index.to_string());
        }
        if let Some(reason) = &event.unreadable {
            member(&mut out, "unreadable", reason);
        }
        if !self.content_type.is_empty() {
            member(&mut out, "datacontenttype", &self.content_type);
        }
        // What was identified was found to be JSON on the way; only the unreadable must be asked.
        if event.unreadable.is_none() || is_json_text(&event.body) {
            out.extend_from_slice(b",\"data\":");
            out.extend_from_slice(&event.body);
        } else {
            out.extend_from_slice(b",\"data_base64\":\"");
            out.extend_from_slice(BASE64.encode(&event.body).as_bytes());
            out.push(b'"');
        }
        out.push(b'}');
        out
    }

    /// Reads the CloudEvents JSON text back. The body shares `text`'s memory where it is `data`, and
    /// is not parsed: whoever interprets it will.
    pub fn decode(text: &Bytes) -> Result<Self> {
        let not_written = |e| Error::data("read an envelope: it is not the JSON that was written").because(e);
        let (head, data) = split_data(text);
        let wire: Wire<'_> = serde_json::from_slice(&head).map_err(not_written)?;
        let version: u32 = wire.ledgerlineversion.parse().map_err(|_| Error::data("read an envelope: no version"))?;
        if version > ENVELOPE_VERSION {
            return Err(Error::data(format!(
                "read an envelope of version {version}: this program knows versions up to {ENVELOPE_VERSION}; use a newer one"
            )));
        }
        let body = match (data, &wire.data_base64) {
            (Some(data), None) => data,
            (None, Some(coded)) => Bytes::from(
                BASE64
                    .decode(coded.as_bytes())
                    .map_err(|e| Error::data("read an envelope's data_base64").because(e))?,
            ),
            _ => return Err(Error::data("read an envelope: it must have one of data and data_base64")),
        };
        let part = match (wire.requestdigest, wire.requestindex) {
            (Some(digest), Some(index)) => Some(RequestPart {
                digest: digest.as_ref().into(),
                index: index.parse().map_err(|_| Error::data("read an envelope's requestindex"))?,
            }),
            _ => None,
        };
        let event = Identified {
            id: wire.id.as_ref().into(),
            event_type: wire.event_type.as_ref().into(),
            entity: EntityKey::parse(&wire.subject)?,
            order: OrderKey {
                class: OrderClass::parse(&wire.orderclass)?,
                value: wire.ordervalue.parse().map_err(|_| Error::data("read an envelope's ordervalue"))?,
            },
            occurred_at: wire.time.as_deref().map(UnixNanos::parse_rfc3339).transpose()?,
            body,
            part,
            unreadable: wire.unreadable.map(Into::into),
        };
        Ok(Self {
            event,
            received_at: UnixNanos::parse_rfc3339(&wire.receivedat)?,
            content_type: wire.datacontenttype.as_deref().unwrap_or_default().into(),
            key_id: wire.keyid.as_ref().into(),
            signature_headers: wire.signatureheaders.into(),
        })
    }

    /// The name of the source as its own type.
    pub fn source_name(&self) -> Result<SourceName> {
        SourceName::new(self.source())
    }
}

/// Says what it is about; never the body or the signature (I12).
impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Envelope({} {} about {}, {} bytes)",
            self.event.event_type,
            self.event.id,
            self.event.entity,
            self.event.body.len()
        )
    }
}

type Text<'a> = Cow<'a, str>;

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow, rename = "type")]
    event_type: Text<'a>,
    #[serde(borrow)]
    subject: Text<'a>,
    #[serde(borrow)]
    time: Option<Text<'a>>,
    #[serde(borrow)]
    ledgerlineversion: Text<'a>,
    #[serde(borrow)]
    receivedat: Text<'a>,
    #[serde(borrow)]
    orderclass: Text<'a>,
    #[serde(borrow)]
    ordervalue: Text<'a>,
    #[serde(borrow)]
    keyid: Text<'a>,
    #[serde(borrow)]
    signatureheaders: Text<'a>,
    #[serde(borrow)]
    requestdigest: Option<Text<'a>>,
    #[serde(borrow)]
    requestindex: Option<Text<'a>>,
    #[serde(borrow)]
    unreadable: Option<Text<'a>>,
    #[serde(borrow)]
    datacontenttype: Option<Text<'a>>,
    #[serde(borrow)]
    data_base64: Option<Text<'a>>,
}

/// Whether `body` can stand as a JSON value inside another JSON text, and come back out of it.
pub fn is_json_text(body: &[u8]) -> bool {
    // `null` would read back as "no data".
    std::str::from_utf8(body)
        .is_ok_and(|text| serde_json::from_str::<&RawValue>(text).is_ok_and(|value| value.get() != "null"))
}

/// Takes the body out of an envelope's text: the attributes as a JSON object of their own, and the
/// exact bytes between `"data":` and the closing brace.
///
/// `data` is the last member, and its name cannot stand earlier: within a JSON string its quotes
/// would be escaped.
fn split_data(text: &Bytes) -> (Cow<'_, [u8]>, Option<Bytes>) {
    const MARK: &[u8] = b",\"data\":";
    match memchr::memmem::find(text, MARK) {
        Some(at) if text.last() == Some(&b'}') && at + MARK.len() < text.len() => {
            let mut head = Vec::with_capacity(at + 1);
            head.extend_from_slice(&text[..at]);
            head.push(b'}');
            (Cow::Owned(head), Some(text.slice(at + MARK.len()..text.len() - 1)))
        }
        _ => (Cow::Borrowed(text), None),
    }
}

fn member(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    write_json_string(out, value);
}

fn write_json_string(out: &mut Vec<u8>, value: &str) {
    // Writing a `&str` to a `Vec` has no way to fail.
    let _ = serde_json::to_writer(out, value);
}
