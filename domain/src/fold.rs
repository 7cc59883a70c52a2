//! `state(entity) = fold(order(dedupe(events(entity))))`: the one idea, in one file.
//!
//! [`apply`] takes a record and the log's next events about its entity and gives the new record.
//! It reads no clock and does no I/O; the live processor and the replay call the same function.

use std::cmp::Ordering;

use crate::error::{Error, Result};
use crate::fact::Meaning;
use crate::ids::{EntityKey, SequenceNumber};
use crate::order::{OrderClass, OrderKey};
use crate::payment::Anomaly;
use crate::record::{Delivery, EntityRecord, Entry, Growing, State};
use crate::text::IdText;
use crate::time::UnixNanos;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// An event as the fold takes it: read from the log and interpreted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incoming {
    /// The provider's event id.
    pub id: IdText,
    /// The provider's event type.
    pub event_type: CompactString,
    /// Its place among the entity's events.
    pub order: OrderKey,
    /// When it happened, if known.
    pub occurred_at: Option<UnixNanos>,
    /// When this copy was received.
    pub received_at: UnixNanos,
    /// Where this copy stands in the log.
    pub sequence: SequenceNumber,
    /// What it says; nothing when it cannot be read, which parks it.
    pub meaning: Option<Meaning>,
}

impl Incoming {
    /// Appends a binary form to `out`, for a short stay outside of memory; it carries no version.
    pub fn write(&self, out: Vec<u8>) -> Result<Vec<u8>> {
        postcard::serialize_with_flavor(self, Growing(out)).map_err(|e| Error::internal("write an event").because(e))
    }

    /// Reads it back.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        postcard::from_bytes(bytes).map_err(|e| Error::data("read an event: its bytes are damaged").because(e))
    }
}

/// What became of one incoming event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is new and stands at the end.
    Appended,
    /// It is new and was put before events that came earlier: a late merge.
    Merged,
    /// Another copy of an event that is known.
    Duplicate,
    /// Its id is known with other facts: it belongs in the quarantine.
    Contradiction,
    /// It cannot be read: it belongs in the quarantine.
    Unreadable,
    /// This very log record was applied before (a re-read after a crash, or a second worker).
    Seen,
}

/// Applies `events`, in the log's order, to the record of `key`. Gives the new record (revision
/// one higher when anything changed) and the fate of every event, place by place.
pub fn apply(
    key: &EntityKey,
    record: Option<EntityRecord>,
    events: impl IntoIterator<Item = Incoming>,
) -> (EntityRecord, Vec<Fate>) {
    let events = events.into_iter();
    let mut record = record.unwrap_or_else(|| EntityRecord::empty(key.clone()));
    if record.entries.is_empty() {
        // Most histories are short and come at once: no room to spare in each of a million.
        record.entries.reserve_exact(events.size_hint().0);
    }
    let fates: Vec<Fate> = events.map(|event| take(&mut record, event)).collect();
    if fates.iter().any(|fate| *fate != Fate::Seen) {
        settle(&mut record);
        record.revision += 1;
    }
    (record, fates)
}

/// Takes one event into the history, deduped and in its place. The state is behind until
/// [`settle`]: who takes many events folds them once.
pub fn take(record: &mut EntityRecord, event: Incoming) -> Fate {
    if event.sequence <= record.through {
        return Fate::Seen;
    }
    record.through = event.sequence.clone();
    let (fate, at) = place(record, event);
    // An insertion in front of what is folded already means folding again.
    if at.is_some_and(|at| at < record.folded) {
        record.folded = 0;
        record.state = State::empty(record.key.kind());
    }
    fate
}

/// Folds the events that [`take`] put in and that stand ready.
pub fn settle(record: &mut EntityRecord) {
    while let Some(entry) = record.entries.get(record.folded) {
        let before = record.folded.checked_sub(1).and_then(|i| record.entries.get(i));
        if !is_next(before, entry) {
            break;
        }
        match &mut record.state {
            State::Payment(payment) => entry.meaning.facts.iter().for_each(|fact| payment.evolve(fact)),
            State::Document(document) => document.evolve(&entry.event_type, entry.meaning.status.as_ref()),
        }
        record.folded += 1;
    }
}

/// Puts one event in its place; the place is given when it is new.
fn place(record: &mut EntityRecord, event: Incoming) -> (Fate, Option<usize>) {
    let Some(meaning) = event.meaning else {
        park(record, event.id);
        return (Fate::Unreadable, None);
    };
    let digest = meaning.digest(&event.event_type, &event.order);
    if let Some(known) = record.entries.iter_mut().find(|e| e.id == event.id) {
        if known.digest != digest {
            let id = released_id(&event.id, &digest);
            if !record.entries.iter().any(|e| e.id == id) {
                park(record, id);
            }
            return (Fate::Contradiction, None);
        }
        known.delivery.copies = known.delivery.copies.saturating_add(1);
        known.received_at = known.received_at.min(event.received_at);
        return (Fate::Duplicate, None);
    }
    if let Ok(at) = record.quarantined.binary_search(&event.id) {
        record.quarantined.remove(at);
    }
    let entry = Entry {
        id: event.id,
        event_type: event.event_type,
        order: event.order,
        occurred_at: event.occurred_at,
        received_at: event.received_at,
        meaning,
        digest,
        delivery: Delivery { sequence: event.sequence, copies: 1 },
    };
    let at = record.entries.partition_point(|e| cmp_entries(e, &entry) == Ordering::Less);
    let fate = if at == record.entries.len() { Fate::Appended } else { Fate::Merged };
    record.entries.insert(at, entry);
    (fate, Some(at))
}

fn park(record: &mut EntityRecord, id: IdText) {
    if let Err(at) = record.quarantined.binary_search(&id) {
        record.quarantined.insert(at, id);
    }
}

/// The id under which a contradiction is released: the event's id and the digest of what it says,
/// so that it becomes an event of its own.
pub fn released_id(event_id: &str, digest: &[u8; 8]) -> IdText {
    format!("{event_id}#{:016x}", u64::from_be_bytes(*digest)).into()
}

/// The total order of an entity's events: order value, then lifecycle rank, then event id. Among
/// events of class `arrival` the log decides before rank and id.
pub fn cmp_entries(a: &Entry, b: &Entry) -> Ordering {
    let by_arrival = || match (a.order.class, b.order.class) {
        (OrderClass::Arrival, OrderClass::Arrival) => a.delivery.sequence.cmp(&b.delivery.sequence),
        _ => Ordering::Equal,
    };
    a.order
        .cmp_value(&b.order)
        .then_with(by_arrival)
        .then_with(|| a.meaning.rank.cmp(&b.meaning.rank))
        .then_with(|| a.id.cmp(&b.id))
}

/// Whether `entry` may be folded right behind `before`: always, but for contiguous numbers.
fn is_next(before: Option<&Entry>, entry: &Entry) -> bool {
    match (entry.order.class, before.map(|b| b.order)) {
        (OrderClass::Contiguous { first }, None) => entry.order.value <= first,
        (OrderClass::Contiguous { .. }, Some(before)) => entry.order.value <= before.value.saturating_add(1),
        _ => true,
    }
}

/// Holes and twice-claimed numbers of a contiguous history.
pub(crate) fn number_anomalies(entries: &[Entry], folded: usize) -> Vec<Anomaly> {
    let mut found = Vec::new();
    let contiguous = |e: &Entry| matches!(e.order.class, OrderClass::Contiguous { .. });
    for pair in entries.windows(2) {
        if let [a, b] = pair
            && contiguous(a)
            && a.order == b.order
        {
            let twice = Anomaly::NumberTwice { number: a.order.value };
            if found.last() != Some(&twice) {
                found.push(twice);
            }
        }
    }
    if let Some(held) = entries.get(folded)
        && let OrderClass::Contiguous { first } = held.order.class
    {
        let from = match folded.checked_sub(1).and_then(|i| entries.get(i)) {
            Some(last) => last.order.value.saturating_add(1),
            None => first,
        };
        found.push(Anomaly::Hole { from, to: held.order.value.saturating_sub(1) });
    }
    found
}

/// The record as it would be with only the events that `keep` accepts: time travel is a filter.
pub fn refold(record: &EntityRecord, keep: impl Fn(&Entry) -> bool) -> EntityRecord {
    let mut filtered = EntityRecord {
        revision: record.revision,
        through: record.through.clone(),
        entries: record.entries.iter().filter(|e| keep(e)).cloned().collect(),
        quarantined: record.quarantined.clone(),
        ..EntityRecord::empty(record.key.clone())
    };
    settle(&mut filtered);
    filtered
}
