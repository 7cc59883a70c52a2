//! Thin notifications: which object one of them is about, and the event that the fetched object becomes.
//!
//! A `[[hydrate]]` rule turns a notification into an address whose host stands in the provider file.
//! The answer is put into a body of our own, verbatim, at the place that the rule names:
//!
//! ```json
//! {"notification":{"id":"evt_1","type":"v1.payment_intent.succeeded","time":"2026-11-24T09:30:00Z"},
//!  "type":"payment_intent.fetched","data":{"object":{ … the answer … }}}
//! ```
//!
//! The rules of the same file then read it like any other event. Its id is the notification's id and
//! the digest of that body: the unchanged object fetched again is a duplicate, a changed one is new.
//! Its order is the log's: a fetch reads the present, so the last one fetched is the last word.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use compact_str::CompactString;
use sha2::{Digest as _, Sha256};

use super::body::text;
use super::file::{HydrateRule, fits};
use super::identify::{Place, first_text, planned};
use super::pointer::{Pointers, scalar};
use super::template::{Address, Part};
use crate::envelope::{Envelope, Identified, is_json_text};
use crate::error::{Error, Result};
use crate::ids::{EVENT_ID_BYTES_MAX, SourceName};
use crate::request::{Headers, RawRequest};
use crate::text::IdText;
use crate::time::UnixNanos;

/// Hex digits of the digest in the id of a fetched event: 128 bits.
const DIGEST_DIGITS: usize = 32;
/// Between a notification's id and the digest.
const SEPARATOR: char = '~';

/// One rule, planned.
#[derive(Debug)]
pub(super) struct HydratePlan {
    types: Vec<String>,
    /// Pointers of `when` and of the address.
    pointers: Pointers,
    when: Vec<(usize, String)>,
    url: Vec<Piece>,
    shape: Arc<Shape>,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    Value(usize),
    Path(usize),
}

/// What a rule says about the request and the event that the answer becomes.
#[derive(Debug)]
struct Shape {
    header: CompactString,
    prefix: String,
    headers: BTreeMap<CompactString, String>,
    /// Names of the objects in which the answer stands, the outermost first.
    under: Vec<String>,
    event_type: Vec<Place>,
    type_pointers: Pointers,
}

/// What to fetch for a notification. Only a rule of a provider file and a verified envelope make one.
#[derive(Clone, Debug)]
pub struct Fetch {
    address: String,
    source: SourceName,
    id: IdText,
    event_type: CompactString,
    occurred_at: Option<UnixNanos>,
    shape: Arc<Shape>,
}

impl HydratePlan {
    pub(super) fn new(rule: &HydrateRule) -> std::result::Result<Self, String> {
        let mut pointers = Pointers::default();
        let piece = |part: Part, pointers: &mut Pointers| match part {
            Part::Text(text) => Piece::Text(text),
            Part::Value(pointer) => Piece::Value(pointers.insert(&pointer)),
            Part::Path(pointer) => Piece::Path(pointers.insert(&pointer)),
        };
        let url = Address::parse(&rule.url)?.0.into_iter().map(|part| piece(part, &mut pointers)).collect();
        let when = rule.when.iter().map(|(place, wanted)| (pointers.insert(place), wanted.clone())).collect();
        let mut type_pointers = Pointers::default();
        let shape = Shape {
            header: rule.header.as_str().into(),
            prefix: rule.prefix.clone(),
            headers: rule.headers.clone(),
            under: rule.under.split('/').skip(1).map(|p| p.replace("~1", "/").replace("~0", "~")).collect(),
            event_type: planned(&rule.event_type, &mut type_pointers),
            type_pointers,
        };
        Ok(Self { types: rule.types.clone(), pointers, when, url, shape: Arc::new(shape) })
    }

    /// What to fetch for `envelope`, whose body reads as `json`. `None` when the rule is not for it;
    /// `Err` says why its address cannot be made.
    pub(super) fn fetch(&self, envelope: &Envelope, json: &[u8]) -> Option<std::result::Result<Fetch, String>> {
        let event = &envelope.event;
        if !self.types.iter().any(|t| fits(t, &event.event_type)) {
            return None;
        }
        let found = self.pointers.find(json).ok()?;
        let value = |slot: usize| scalar(found.get(slot).and_then(Option::as_ref));
        if !self.when.iter().all(|(slot, wanted)| value(*slot).is_some_and(|text| fits(wanted, &text))) {
            return None;
        }
        let mut address = Address::writer();
        for piece in &self.url {
            let written = match piece {
                Piece::Text(text) => {
                    address.text(text);
                    Ok(())
                }
                Piece::Value(slot) => value(*slot).ok_or(Address::ABSENT).and_then(|v| address.value(&v)),
                Piece::Path(slot) => value(*slot).ok_or(Address::ABSENT).and_then(|v| address.path(&v)),
            };
            if let Err(reason) = written {
                return Some(Err(reason.to_owned()));
            }
        }
        let source = match envelope.source_name() {
            Ok(source) => source,
            Err(error) => return Some(Err(error.to_string())),
        };
        Some(address.finish().map_err(str::to_owned).map(|address| Fetch {
            address,
            source,
            id: event.id.clone(),
            event_type: event.event_type.clone(),
            occurred_at: event.occurred_at,
            shape: self.shape.clone(),
        }))
    }
}

impl Fetch {
    /// The address, `https://` and a host that the provider file names.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The source of the notification.
    pub fn source(&self) -> &SourceName {
        &self.source
    }

    /// Id of the notification.
    pub fn notification(&self) -> &str {
        &self.id
    }

    /// Name of the header that carries the API key, and what stands before the key.
    pub fn key_header(&self) -> (&str, &str) {
        (&self.shape.header, &self.shape.prefix)
    }

    /// Further headers of the request, name in lower case and value.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.shape.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The body of the event that `answer` becomes. Errors are [`Data`](crate::ErrorKind::Data): the
    /// answer is no JSON object.
    pub(crate) fn body(&self, answer: &[u8]) -> Result<Bytes> {
        let object = answer.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{') && is_json_text(answer);
        if !object {
            return Err(Error::data(format!("read the answer of {}: it is no JSON object", self.address)));
        }
        let shape = &self.shape;
        let mut inner = Vec::with_capacity(answer.len() + 64);
        for (n, name) in shape.under.iter().enumerate() {
            inner.extend_from_slice(if n == 0 { b"" } else { b"{" });
            text(name, &mut inner);
            inner.push(b':');
        }
        inner.extend_from_slice(answer.trim_ascii());
        inner.resize(inner.len() + shape.under.len().saturating_sub(1), b'}');

        let mut body = Vec::with_capacity(inner.len() + 256);
        body.extend_from_slice(b"{\"notification\":{\"id\":");
        text(&self.id, &mut body);
        body.extend_from_slice(b",\"type\":");
        text(&self.event_type, &mut body);
        if let Some(time) = self.occurred_at {
            body.extend_from_slice(b",\"time\":");
            text(&time.to_string(), &mut body);
        }
        body.push(b'}');
        let whole = [b"{", inner.as_slice(), b"}"].concat();
        if let Some(event_type) = self.type_of(&whole) {
            body.extend_from_slice(b",\"type\":");
            text(&event_type, &mut body);
        }
        body.push(b',');
        body.extend_from_slice(&inner);
        body.push(b'}');
        Ok(body.into())
    }

    /// The event's type, read from the answer where the rule says so.
    fn type_of(&self, whole: &[u8]) -> Option<String> {
        let found = self.shape.type_pointers.find(whole).ok()?;
        first_text(&self.shape.event_type, &found, &NoHeaders, "").map(Cow::into_owned)
    }
}

/// The id of a fetched event whose notification had `id`.
pub(super) fn fetched_id(id: &str, body: &[u8]) -> IdText {
    let digest = hex::encode(Sha256::digest(body));
    let digest = digest.get(..DIGEST_DIGITS).unwrap_or_default();
    if id.len() + 1 + DIGEST_DIGITS > EVENT_ID_BYTES_MAX {
        // The body holds the whole id, so its digest tells two of them apart.
        return digest.into();
    }
    format!("{id}{SEPARATOR}{digest}").into()
}

/// Identifies a fetched event: `plan` reads our own body.
pub(super) fn identify(plan: &super::identify::IdentifyPlan, source: &SourceName, raw: RawRequest<'_>) -> Identified {
    let event = plan.one(source, raw, raw.body.clone(), None);
    if event.unreadable.is_some() {
        return event;
    }
    Identified { id: fetched_id(&event.id, raw.body), ..event }
}

/// A fetched event has no request that brought it.
struct NoHeaders;

impl Headers for NoHeaders {
    fn get(&self, _: &str) -> Option<&[u8]> {
        None
    }
}
