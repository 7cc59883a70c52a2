//! The late adjustments of a close: what came after it and changes the state as of the end of the period.
//!
//! Amounts are minor units, times RFC 3339 in UTC. Each sum of differences is what a second close of the
//! same time says more or less than the first.

use std::io::{self, Write};

use ledgerline_domain::Result;
use ledgerline_domain::fold::refold;
use ledgerline_domain::ids::EntityKey;
use ledgerline_domain::record::{EntityRecord, Entry};
use ledgerline_domain::time::UnixNanos;
use serde::Serialize;

use crate::compare::money;
use crate::export::{Cut, write_csv_line};
use crate::lineage::{ShardsOf, reach};
use crate::rebuild::Rebuilt;
use crate::report::MoneyDifference;
use crate::totals::{Totals, figures};
use crate::within::Positions;

/// What the close knew.
#[derive(Clone, Copy)]
pub enum Closed<'a> {
    /// What had been received by then, inclusive.
    At(UnixNanos),
    /// What was archived up to these positions: those of a stored statement. The function says in which
    /// shards an entity's events lie.
    Through(&'a Positions, ShardsOf<'a>),
}

impl Closed<'_> {
    fn knew(&self, key: &EntityKey, entry: &Entry) -> bool {
        match self {
            Self::At(at) => entry.received_at <= *at,
            Self::Through(positions, shards_of) => {
                // A shard that came after the close is not named; its parents are, with their ends.
                let shards = shards_of(key);
                let last = reach(&shards, |shard| positions.get(shard));
                last.is_some_and(|last| entry.delivery.sequence <= *last)
            }
        }
    }
}

/// A closed period.
#[derive(Clone, Copy)]
pub struct Period<'a> {
    /// Its first instant.
    pub from: UnixNanos,
    /// Its last instant.
    pub until: UnixNanos,
    /// What its close knew.
    pub closed: Closed<'a>,
}

/// What the state as of the end of a period is now, that it was not at the close.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Adjustment {
    /// The whole key.
    pub entity: String,
    /// The status word as known then; `unread` when nothing was known.
    pub status_then: String,
    /// The status word as known now.
    pub status_now: String,
    /// Figures that changed: `archive` is what was known then, `live` what is known now.
    #[serde(serialize_with = "then_and_now")]
    pub money: Vec<MoneyDifference>,
    /// The events that came after the close.
    pub late: Vec<LateEvent>,
}

/// An event that came after the close.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LateEvent {
    /// The provider's event id.
    pub id: String,
    /// The provider's event type.
    pub event_type: String,
    /// When it happened, if known.
    pub occurred_at: Option<String>,
    /// When it was received.
    pub received_at: String,
    /// Whether it happened in the period; else before it, which changes the state at its end as well.
    pub in_period: bool,
}

/// What all adjustments come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Entities with late events.
    pub entities: u64,
    /// Of them, those whose status or money changed.
    pub changed: u64,
    /// Late events.
    pub events: u64,
    /// Of them, those that happened before the period.
    pub events_before: u64,
    /// Sums over all payments as the close knew them.
    pub then: Totals,
    /// The same as known now.
    pub now: Totals,
}

/// A sum that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The source.
    pub source: String,
    /// ISO 4217 code, or empty.
    pub currency: String,
    /// The figure.
    pub figure: &'static str,
    /// Minor units then.
    pub then: i128,
    /// Minor units now.
    pub now: i128,
    /// Now less then.
    pub difference: i128,
}

impl Summary {
    /// The sums that changed.
    pub fn changes(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (source, currency) in self.then.pairs(&self.now) {
            let (then, now) = (self.then.get(source, currency), self.now.get(source, currency));
            for (figure, (then, now)) in figures().into_iter().zip(then.amounts.into_iter().zip(now.amounts)) {
                if then != now {
                    let (source, currency) = (source.to_owned(), currency.to_owned());
                    changes.push(Change { source, currency, figure, then, now, difference: now - then });
                }
            }
        }
        changes
    }
}

/// Finds the adjustments of a period, in the order of the entities' keys. The summary is whole once `each`
/// has been given all of them; an error of `each` ends the search.
pub fn find<E: From<ledgerline_domain::Error>>(
    rebuilt: &Rebuilt,
    period: &Period<'_>,
    mut each: impl FnMut(Adjustment) -> Result<(), E>,
) -> Result<Summary, E> {
    let mut summary = Summary::default();
    for record in rebuilt.records() {
        if let Some(adjustment) = period.look(&record?, &mut summary) {
            each(adjustment)?;
        }
    }
    Ok(summary)
}

impl Period<'_> {
    /// Adds a record to the sums, and tells what changed if anything came late.
    fn look(&self, record: &EntityRecord, summary: &mut Summary) -> Option<Adjustment> {
        let today = Cut { as_of: Some(self.until), known_at: None };
        let knew = |entry: &Entry| self.closed.knew(&record.key, entry);
        let now = today.of(record)?;
        summary.now.add(&now);
        let late: Vec<LateEvent> =
            now.entries.iter().filter(|e| !knew(e)).map(|e| LateEvent::of(e, self.from)).collect();
        if late.is_empty() {
            summary.then.add(&now);
            return None;
        }
        let then = refold(record, |entry| today.keeps(entry) && knew(entry));
        if !then.entries.is_empty() {
            summary.then.add(&then);
        }
        let money = money(Some(&now), Some(&then));
        summary.entities += 1;
        summary.changed += u64::from(!money.is_empty() || then.status() != now.status());
        summary.events += late.len() as u64;
        summary.events_before += late.iter().filter(|event| !event.in_period).count() as u64;
        let (status_then, status_now) = (then.status().to_owned(), now.status().to_owned());
        Some(Adjustment { entity: record.key.as_str().to_owned(), status_then, status_now, money, late })
    }
}

impl LateEvent {
    fn of(entry: &Entry, from: UnixNanos) -> Self {
        Self {
            id: entry.id.to_string(),
            event_type: entry.event_type.to_string(),
            occurred_at: entry.occurred_at.map(|at| at.to_string()),
            received_at: entry.received_at.to_string(),
            in_period: entry.occurred_at.unwrap_or(entry.received_at) >= from,
        }
    }
}

/// Writes the money of an adjustment with the words that fit it.
fn then_and_now<S: serde::Serializer>(money: &[MoneyDifference], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Changed<'a> {
        currency: &'a str,
        figure: &'static str,
        then: i128,
        now: i128,
        difference: i128,
    }
    serializer.collect_seq(money.iter().map(|m| Changed {
        currency: &m.currency,
        figure: m.figure,
        then: m.archive,
        now: m.live,
        difference: m.difference,
    }))
}

/// Writes the heading of a CSV of adjustments.
pub fn write_csv_heading(out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"entity,status_then,status_now,currency,figure,then,now,difference,late_events\r\n")
}

/// Writes an adjustment as CSV: a line per figure that changed, or one line without a figure where late
/// events changed none.
pub fn write_csv(row: &Adjustment, out: &mut impl Write) -> io::Result<()> {
    let late = row.late.iter().map(|event| event.id.as_str()).collect::<Vec<_>>().join("; ");
    let mut line = |money: [String; 5]| {
        let mut fields = vec![row.entity.clone(), row.status_then.clone(), row.status_now.clone()];
        fields.extend(money);
        fields.push(late.clone());
        write_csv_line(&fields, out)
    };
    if row.money.is_empty() {
        line(Default::default())?;
    }
    for m in &row.money {
        let [then, now, difference] = [m.archive, m.live, m.difference].map(|amount| amount.to_string());
        line([m.currency.clone(), m.figure.to_owned(), then, now, difference])?;
    }
    Ok(())
}
