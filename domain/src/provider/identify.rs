//! From a verified request to its events: split, and find id, type, entity, order and time.

use std::borrow::Cow;

use bytes::Bytes;
use compact_str::CompactString;
use sha2::{Digest, Sha256};

use super::body::BodyPlan;
use super::file::{ClassName, EntityRule, ProviderFile, TimeUnit, Zone, fits, is_kind, is_reserved};
use super::place::{Many, Written};
use super::pointer::{Found, Pointers, scalar};
use crate::envelope::{Identified, REQUEST_KIND, RequestPart, UNREADABLE_KIND};
use crate::ids::{EVENT_ID_BYTES_MAX, EVENT_TYPE_BYTES_MAX, EntityKey, SourceName};
use crate::order::{OrderClass, OrderKey};
use crate::request::{Headers, RawRequest};
use crate::text::IdText;
use crate::time::UnixNanos;

/// Most events that one request may carry.
pub const ITEMS_MAX: usize = 1000;
/// Type of an envelope whose request could not be read.
pub const UNREADABLE_TYPE: &str = "ledgerline.unreadable";
/// Type of an envelope that holds the original of a split request.
pub const REQUEST_TYPE: &str = "ledgerline.request";

/// One place to look at.
#[derive(Debug)]
pub(super) enum Place {
    Slot(usize),
    Header(String),
    TypePrefix,
    Literal(String),
    Many(Box<Many<Vec<Place>>>),
}

#[derive(Debug)]
struct EntityPlan {
    types: Vec<String>,
    kind: String,
    kind_at: Vec<Place>,
    id: Vec<Place>,
}

impl EntityPlan {
    fn new(rule: &EntityRule, places: &mut dyn FnMut(&[Written]) -> Vec<Place>) -> Self {
        Self {
            types: rule.types.clone(),
            kind: rule.kind.clone(),
            kind_at: places(&rule.kind_at),
            id: places(&rule.id),
        }
    }
}

/// What `identify` needs of a provider file, with its pointers gathered into one set.
#[derive(Debug)]
pub(super) struct IdentifyPlan {
    body: BodyPlan,
    pointers: Pointers,
    id: Vec<Place>,
    event_type: Vec<Place>,
    time: Vec<Place>,
    time_unit: TimeUnit,
    time_without_zone: Option<Zone>,
    split: Option<Pointers>,
    order: OrderPlan,
    /// Event types with an order of their own.
    families: Vec<(Vec<String>, OrderPlan)>,
    entities: Vec<EntityPlan>,
}

#[derive(Debug)]
struct OrderPlan {
    class: ClassName,
    first: i64,
    at: Vec<Place>,
    fallback: Option<ClassName>,
}

/// What went wrong with one event, in words without any of its content.
type Reason = String;

impl IdentifyPlan {
    pub(super) fn new(file: &ProviderFile) -> Self {
        let mut pointers = Pointers::default();
        let mut places = |list: &[Written]| planned(list, &mut pointers);
        let order = &file.order;
        Self {
            // The check has made sure that it can be planned.
            body: BodyPlan::new(file.body.as_ref()).unwrap_or_default(),
            id: places(&file.event.id),
            event_type: places(&file.event.event_type),
            time: places(&file.event.time),
            time_unit: file.event.time_unit,
            time_without_zone: file.event.time_without_zone,
            split: file.split.as_ref().map(|split| {
                let mut items = Pointers::default();
                items.insert(&split.items);
                items
            }),
            order: OrderPlan {
                class: order.class,
                first: order.first.unwrap_or_default(),
                at: places(&order.at),
                fallback: order.fallback,
            },
            families: order
                .family
                .iter()
                .map(|f| {
                    let (class, first, fallback) = (f.class, f.first.unwrap_or_default(), f.fallback);
                    (f.types.clone(), OrderPlan { class, first, at: places(&f.at), fallback })
                })
                .collect(),
            entities: file.entity.iter().map(|rule| EntityPlan::new(rule, &mut places)).collect(),
            pointers,
        }
    }

    /// For events that were fetched: their id and time are the notification's, their type is written
    /// where [`hydrate`](super::hydrate) puts it, and the log orders them.
    pub(super) fn of_fetched(file: &ProviderFile) -> Self {
        let mut pointers = Pointers::default();
        let mut places = |list: &[Written]| planned(list, &mut pointers);
        let at = |pointer: &str| [Written::One(pointer.to_owned())];
        Self {
            // Our own body is JSON.
            body: BodyPlan::new(None).unwrap_or_default(),
            id: places(&at("/notification/id")),
            event_type: places(&at("/type")),
            time: places(&at("/notification/time")),
            time_unit: TimeUnit::Seconds,
            time_without_zone: None,
            split: None,
            order: OrderPlan { class: ClassName::Arrival, first: 0, at: Vec::new(), fallback: None },
            families: Vec::new(),
            entities: file.entity.iter().map(|rule| EntityPlan::new(rule, &mut places)).collect(),
            pointers,
        }
    }

    pub(super) fn identify(&self, source: &SourceName, raw: RawRequest<'_>) -> Vec<Identified> {
        let Some(split) = &self.split else {
            return vec![self.one(source, raw, raw.body.clone(), None)];
        };
        let items = match self.body.json(raw.body).and_then(|json| items(split, &bytes_of(json, raw.body))) {
            Ok(items) => items,
            Err(reason) => return vec![unreadable(source, raw.body.clone(), None, reason)],
        };
        let digest: CompactString = hex::encode(Sha256::digest(raw.body)).into();
        let mut events: Vec<_> = (0_u32..)
            .zip(items)
            .map(|(index, item)| self.one(source, raw, item, Some(RequestPart { digest: digest.clone(), index })))
            .collect();
        events.push(original(source, raw.body.clone(), digest));
        events
    }

    pub(super) fn one(
        &self,
        source: &SourceName,
        raw: RawRequest<'_>,
        body: Bytes,
        part: Option<RequestPart>,
    ) -> Identified {
        // An item of a split request is JSON, whatever the request was.
        let json = if part.is_some() { Ok(Cow::Borrowed(body.as_ref())) } else { self.body.json(&body) };
        let read =
            json.and_then(|json| self.pointers.find(&json).and_then(|found| self.read(source, raw.headers, &found)));
        match read {
            Ok((id, event_type, entity, order, occurred_at)) => {
                Identified { id, event_type, entity, order, occurred_at, body, part, unreadable: None }
            }
            Err(reason) => unreadable(source, body, part, reason),
        }
    }

    fn read(
        &self,
        source: &SourceName,
        headers: &dyn Headers,
        found: &Found<'_>,
    ) -> Result<(IdText, CompactString, EntityKey, OrderKey, Option<UnixNanos>), Reason> {
        let id = first_text(&self.id, found, headers, "").ok_or("no event id where the provider file looks for it")?;
        if id.len() > EVENT_ID_BYTES_MAX {
            return Err(format!("the event id is longer than {EVENT_ID_BYTES_MAX} bytes"));
        }
        let event_type = first_text(&self.event_type, found, headers, "")
            .ok_or("no event type where the provider file looks for it")?;
        if event_type.len() > EVENT_TYPE_BYTES_MAX {
            return Err(format!("the event type is longer than {EVENT_TYPE_BYTES_MAX} bytes"));
        }
        let occurred_at = match first_text(&self.time, found, headers, "") {
            Some(text) => Some(self.time(&text)?),
            None => None,
        };
        let order = self.order_of(&event_type).order(found, headers, occurred_at)?;
        let rule = self
            .entities
            .iter()
            .find(|rule| rule.types.iter().any(|t| fits(t, &event_type)))
            .ok_or("no [[entity]] rule of the provider file fits its type")?;
        let kind = first_text(&rule.kind_at, found, headers, &event_type);
        let kind = kind.filter(|k| is_kind(k) && !is_reserved(k)).unwrap_or(Cow::Borrowed(&rule.kind));
        let entity_id =
            first_text(&rule.id, found, headers, "").ok_or("no entity id where the provider file looks for it")?;
        let entity = EntityKey::new(source, &kind, &entity_id).map_err(|e| e.to_string())?;
        Ok((id.as_ref().into(), event_type.as_ref().into(), entity, order, occurred_at))
    }

    fn time(&self, text: &str) -> Result<UnixNanos, Reason> {
        let number = text.parse::<i64>().ok();
        let time = match (number, self.time_unit) {
            (Some(number), TimeUnit::Seconds) => UnixNanos::from_seconds(number),
            (Some(number), TimeUnit::Milliseconds) => UnixNanos::from_millis(number),
            (None, _) => UnixNanos::parse_rfc3339(text).ok().or_else(|| self.zoneless(text)),
        };
        time.ok_or_else(|| "the event's time is neither a number of its unit nor RFC 3339".to_owned())
    }

    /// A time such as `2026-11-24 09:30:00`, where the file says which zone it is in.
    fn zoneless(&self, text: &str) -> Option<UnixNanos> {
        let Zone::Utc = self.time_without_zone?;
        UnixNanos::parse_rfc3339(&format!("{text}Z")).ok()
    }

    fn order_of(&self, event_type: &str) -> &OrderPlan {
        let family = self.families.iter().find(|(types, _)| types.iter().any(|t| fits(t, event_type)));
        family.map_or(&self.order, |(_, order)| order)
    }
}

impl OrderPlan {
    fn order(&self, found: &Found<'_>, headers: &dyn Headers, time: Option<UnixNanos>) -> Result<OrderKey, Reason> {
        match self.order_in(self.class, found, headers, time)? {
            Some(order) => Ok(order),
            None => match self.fallback {
                Some(fallback) => self
                    .order_in(fallback, found, headers, time)?
                    .ok_or_else(|| "the event has neither number nor time".to_owned()),
                None => Err(match self.class {
                    ClassName::Timestamp => "no time where the provider file looks for it".to_owned(),
                    _ => "no sequence number where the provider file looks for it".to_owned(),
                }),
            },
        }
    }

    fn order_in(
        &self,
        class: ClassName,
        found: &Found<'_>,
        headers: &dyn Headers,
        time: Option<UnixNanos>,
    ) -> Result<Option<OrderKey>, Reason> {
        let number = || match first_text(&self.at, found, headers, "") {
            Some(text) => match text.parse::<i64>() {
                Ok(number) if number >= 0 => Ok(Some(number)),
                _ => Err("the sequence number is no whole number from 0 to 2^63-1".to_owned()),
            },
            None => Ok(None),
        };
        let key = |class, value| Some(OrderKey { class, value });
        Ok(match class {
            ClassName::Contiguous => match number()? {
                Some(value) if value < self.first => {
                    return Err(format!(
                        "the sequence number is below {}, the first of this contiguous provider",
                        self.first
                    ));
                }
                value => value.and_then(|value| key(OrderClass::Contiguous { first: self.first }, value)),
            },
            ClassName::Monotonic => number()?.and_then(|value| key(OrderClass::Monotonic, value)),
            ClassName::Timestamp => time.and_then(|time| key(OrderClass::Timestamp, time.nanos())),
            ClassName::Arrival => key(OrderClass::Arrival, 0),
        })
    }
}

/// The places of a list, their pointers gathered in `pointers`.
pub(super) fn planned(list: &[Written], pointers: &mut Pointers) -> Vec<Place> {
    let mut one = |place: &String| match (place.strip_prefix("header:"), place.strip_prefix('=')) {
        _ if place == "type-prefix" => Place::TypePrefix,
        (Some(header), _) => Place::Header(header.to_owned()),
        (_, Some(literal)) => Place::Literal(literal.to_owned()),
        _ => Place::Slot(pointers.insert(place)),
    };
    let plan = |written: &Written| match written {
        Written::One(place) => one(place),
        Written::Many(many) => {
            let parts = many.parts.iter().map(|part| part.iter().map(&mut one).collect()).collect();
            Place::Many(Box::new(Many { rule: many.rule.clone(), parts }))
        }
    };
    list.iter().map(plan).collect()
}

pub(super) fn first_text<'a>(
    places: &'a [Place],
    found: &'a Found<'_>,
    headers: &'a dyn Headers,
    event_type: &'a str,
) -> Option<Cow<'a, str>> {
    places.iter().find_map(|place| match place {
        Place::Slot(slot) => scalar(found.get(*slot).and_then(Option::as_ref)),
        Place::Header(name) => {
            headers.get(name).and_then(|v| std::str::from_utf8(v).ok()).filter(|v| !v.is_empty()).map(Cow::Borrowed)
        }
        Place::TypePrefix => event_type.split(['.', '/', '#']).next().filter(|p| !p.is_empty()).map(Cow::Borrowed),
        Place::Literal(text) => Some(Cow::Borrowed(text)),
        Place::Many(many) => many.text(|part| first_text(part, found, headers, event_type)).map(Cow::Owned),
    })
}

/// JSON as bytes that can be shared: the body's own, where it is JSON itself.
fn bytes_of(json: Cow<'_, [u8]>, body: &Bytes) -> Bytes {
    match json {
        Cow::Borrowed(_) => body.clone(),
        Cow::Owned(json) => json.into(),
    }
}

/// The exact bytes of each element of the array that carries the events.
fn items(split: &Pointers, body: &Bytes) -> Result<Vec<Bytes>, Reason> {
    let found = split.find(body)?;
    let Some(Some(Cow::Borrowed(array))) = found.first().filter(|f| f.as_ref().is_some_and(|raw| raw.starts_with('[')))
    else {
        return Err("no array of events where the provider file looks for it".into());
    };
    let elements = sonic_rs::to_array_iter(*array);
    let mut items = Vec::new();
    for element in elements {
        let element = element.map_err(|_| "the array of events is not JSON")?;
        if items.len() == ITEMS_MAX {
            return Err(format!("more than {ITEMS_MAX} events in one request"));
        }
        items.push(match element.as_raw_cow() {
            Cow::Borrowed(raw) => body.slice_ref(raw.as_bytes()),
            Cow::Owned(raw) => Bytes::from(raw),
        });
    }
    if items.is_empty() { Err("the array of events is empty".into()) } else { Ok(items) }
}

/// What stands for bytes that cannot be read: parked whole, with the reason.
fn unreadable(source: &SourceName, body: Bytes, part: Option<RequestPart>, reason: Reason) -> Identified {
    let digest: CompactString = hex::encode(Sha256::digest(&body)).into();
    own(source, UNREADABLE_KIND, UNREADABLE_TYPE, digest, body, part, Some(reason))
}

/// The original bytes of a split request.
fn original(source: &SourceName, body: Bytes, digest: CompactString) -> Identified {
    own(source, REQUEST_KIND, REQUEST_TYPE, digest, body, None, None)
}

fn own(
    source: &SourceName,
    kind: &str,
    event_type: &str,
    digest: CompactString,
    body: Bytes,
    part: Option<RequestPart>,
    unreadable: Option<Reason>,
) -> Identified {
    let entity = EntityKey::digest(source, kind, &digest);
    let order = OrderKey { class: OrderClass::Arrival, value: 0 };
    Identified {
        id: digest.into(),
        event_type: event_type.into(),
        entity,
        order,
        occurred_at: None,
        body,
        part,
        unreadable,
    }
}
