//! An entity's history as rows: where each event stands, when it came and what it says.
//!
//! Lateness is computed, never stored: an event is late when the log holds it behind an event that
//! stands after it in order.

use ledgerline_domain::order::OrderClass;
use ledgerline_domain::record::{EntityRecord, Entry};
use serde::Serialize;

use crate::words;

/// One event of a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its place in order, from 1.
    pub place: usize,
    /// Its place in the order of arrival, from 1.
    pub arrived: usize,
    /// When it happened (RFC 3339), if known.
    pub occurred_at: Option<String>,
    /// When its first copy was received (RFC 3339).
    pub received_at: String,
    /// The provider's type.
    pub event_type: String,
    /// The provider's id.
    pub id: String,
    /// What decided its place: `number`, `time` or `arrival`.
    pub basis: &'static str,
    /// The number, for numbered providers.
    pub number: Option<i64>,
    /// Whether it came after an event that stands behind it.
    pub late: bool,
    /// How many copies came.
    pub copies: u32,
    /// Whether it waits behind a hole and does not count yet.
    pub held: bool,
    /// Its place in the log.
    pub sequence: String,
    /// What it says, in words.
    pub facts: String,
}

/// The history of `record`, in order.
pub fn rows(record: &EntityRecord) -> Vec<Row> {
    let late = late(&record.entries);
    let arrived = arrivals(&record.entries);
    let row = |(at, ((entry, late), arrived)): (usize, ((&Entry, bool), usize))| Row {
        place: at + 1,
        arrived,
        occurred_at: entry.occurred_at.map(|t| t.to_string()),
        received_at: entry.received_at.to_string(),
        event_type: entry.event_type.to_string(),
        id: entry.id.to_string(),
        basis: entry.order.class.basis(),
        number: match entry.order.class {
            OrderClass::Contiguous { .. } | OrderClass::Monotonic => Some(entry.order.value),
            OrderClass::Timestamp | OrderClass::Arrival => None,
        },
        late,
        copies: entry.delivery.copies,
        held: at >= record.folded,
        sequence: entry.delivery.sequence.to_string(),
        facts: match &entry.meaning.status {
            Some(status) if entry.meaning.facts.is_empty() => format!("status {status}"),
            _ => words::facts(&entry.meaning.facts),
        },
    };
    record.entries.iter().zip(late).zip(arrived).enumerate().map(row).collect()
}

/// Per entry, whether it came after one that stands behind it.
pub fn late(entries: &[Entry]) -> Vec<bool> {
    let mut late = vec![false; entries.len()];
    let mut earliest = None;
    for (entry, late) in entries.iter().zip(&mut late).rev() {
        let sequence = &entry.delivery.sequence;
        *late = earliest.is_some_and(|earliest| sequence > earliest);
        if earliest.is_none_or(|earliest| sequence < earliest) {
            earliest = Some(sequence);
        }
    }
    late
}

/// Per entry, its place in the order of arrival, from 1.
pub fn arrivals(entries: &[Entry]) -> Vec<usize> {
    let mut by_arrival: Vec<usize> = (0..entries.len()).collect();
    by_arrival.sort_by_key(|at| entries.get(*at).map(|e| &e.delivery.sequence));
    let mut arrived = vec![0; entries.len()];
    for (nth, at) in by_arrival.into_iter().enumerate() {
        if let Some(place) = arrived.get_mut(at) {
            *place = nth + 1;
        }
    }
    arrived
}
