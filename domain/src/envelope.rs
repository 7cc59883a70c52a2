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
//! | `redriverun` | the run that appended this archived original again; each run is a scope of its own for who must not act twice |
//!
//! A body that is too large for the log is kept elsewhere: see [`claim`](mod@claim).

pub mod claim;
mod text;

use std::fmt;

use bytes::Bytes;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::Result;
use crate::ids::{EntityKey, SourceName};
use crate::order::OrderKey;
use crate::request::Verified;
use crate::text::IdText;
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
    pub id: IdText,
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
    /// The run that appended it to the log again, if one did.
    pub redrive_run: Option<CompactString>,
}

impl Envelope {
    /// The only way to an envelope for the log: from a verified request (I2).
    pub fn seal(verified: &Verified<'_>, event: Identified) -> Self {
        let evidence = verified.evidence();
        let bytes = evidence.iter().map(|(name, value)| name.len() + value.len() + 3).sum();
        let mut signature_headers = String::with_capacity(bytes);
        for (name, value) in evidence {
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
            redrive_run: None,
        }
    }

    /// The same verified request, identified anew: an event released from the quarantine. The evidence
    /// and the time of receipt stay what they were (I2, I7).
    #[must_use]
    pub fn identified_again(&self, event: Identified) -> Self {
        Self { event, ..self.clone() }
    }

    /// The same event, evidence and times included, appended to the log again by a run.
    #[must_use]
    pub fn redriven(self, run: &str) -> Self {
        Self { redrive_run: Some(run.into()), ..self }
    }

    /// Whether it is the answer to a thin notification, fetched by this program.
    pub fn is_fetched(&self) -> bool {
        crate::signature::is_fetched(&self.signature_headers)
    }

    /// Puts an envelope together from stored parts: a row of the archive.
    pub(crate) fn restore(
        event: Identified,
        received_at: UnixNanos,
        content_type: CompactString,
        key_id: CompactString,
        signature_headers: String,
        redrive_run: Option<CompactString>,
    ) -> Self {
        Self { event, received_at, content_type, key_id, signature_headers, redrive_run }
    }

    /// The source's name.
    pub fn source(&self) -> &str {
        self.event.entity.source()
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

/// Whether `body` can stand as a JSON value inside another JSON text, and come back out of it.
pub fn is_json_text(body: &[u8]) -> bool {
    // `null` would read back as "no data".
    std::str::from_utf8(body)
        .is_ok_and(|text| serde_json::from_str::<&RawValue>(text).is_ok_and(|value| value.get() != "null"))
}
