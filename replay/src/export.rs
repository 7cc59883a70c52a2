//! The state as it was at a time, as known at a time: time travel is a filter on events.
//!
//! An event counts when it happened by `as_of` (its time of receipt stands in where the provider
//! gives none) and its first copy was received by `known_at`. Rows are flat, one per entity in the
//! order of the keys; amounts are minor units of the row's currency, times RFC 3339 in UTC.

use std::io::{self, Write};

use ledgerline_domain::Result;
use ledgerline_domain::fold::refold;
use ledgerline_domain::record::{EntityRecord, Entry, State};
use ledgerline_domain::time::UnixNanos;
use serde::Serialize;

use crate::compare::{FIGURES, money};
use crate::rebuild::Rebuilt;
use crate::report::MoneyDifference;

/// Which events count; `None` bounds nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// What happened until then, inclusive.
    pub as_of: Option<UnixNanos>,
    /// What had been received by then, inclusive.
    pub known_at: Option<UnixNanos>,
}

impl Cut {
    /// Whether an event counts.
    pub fn keeps(&self, entry: &Entry) -> bool {
        let happened = entry.occurred_at.unwrap_or(entry.received_at);
        self.as_of.is_none_or(|as_of| happened <= as_of)
            && self.known_at.is_none_or(|known_at| entry.received_at <= known_at)
    }
}

/// An entity's row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The whole key.
    pub entity: String,
    /// Its source.
    pub source: String,
    /// Its kind; only payments have amounts.
    pub kind: String,
    /// The provider's id.
    pub id: String,
    /// The status word.
    pub status: String,
    /// ISO 4217 code.
    pub currency: Option<String>,
    /// Minor units asked for.
    pub requested: Option<i128>,
    /// Minor units authorised.
    pub authorized: Option<i128>,
    /// Minor units captured.
    pub captured: Option<i128>,
    /// Minor units that went back.
    pub refunded: Option<i128>,
    /// Minor units in disputes that hold or took the money.
    pub disputed: Option<i128>,
    /// Minor units of fees.
    pub fees: Option<i128>,
    /// Events that count.
    pub events: usize,
    /// Events that are held behind a hole.
    pub held: usize,
    /// Time of the first event, if the provider gives times.
    pub first_at: Option<String>,
    /// Time of the last one.
    pub last_at: Option<String>,
    /// What does not add up, in words.
    pub anomalies: Vec<String>,
}

impl Row {
    /// The row of a record.
    pub fn of(record: &EntityRecord) -> Self {
        let payment = match &record.state {
            State::Payment(payment) => Some(payment),
            State::Document(_) => None,
        };
        let currency = payment.and_then(|p| p.currency());
        let folded = record.entries.get(..record.folded).unwrap_or_default();
        let time = |at: Option<UnixNanos>| at.map(|at| at.to_string());
        Self {
            entity: record.key.as_str().to_owned(),
            source: record.key.source().to_owned(),
            kind: record.key.kind().to_owned(),
            id: record.key.id().to_owned(),
            status: record.status().to_owned(),
            currency: currency.map(str::to_owned),
            requested: payment.map(|p| p.requested()),
            authorized: payment.map(|p| p.authorized()),
            captured: payment.map(|p| p.captured()),
            refunded: payment.map(|p| p.refunded()),
            disputed: payment.map(|p| p.disputed()),
            fees: payment.map(|p| p.fees()),
            events: folded.len(),
            held: record.held(),
            first_at: time(folded.iter().filter_map(|e| e.occurred_at).min()),
            last_at: time(record.last_at()),
            anomalies: record.anomalies().iter().map(|a| a.in_words(currency.unwrap_or_default())).collect(),
        }
    }
}

/// What a later look at the same time gives that an earlier one did not.
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
    /// The events that came after `known_at`.
    pub late: Vec<LateEvent>,
}

/// An event that was received late.
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
}

impl Rebuilt {
    /// The records as they were, in the order of their keys; entities without events are left out.
    pub fn at(&self, cut: Cut) -> impl Iterator<Item = Result<EntityRecord>> {
        self.records()
            .map(move |record| Ok(refold(&record?, |entry| cut.keeps(entry))))
            .filter(|record| record.as_ref().map_or(true, |record| !record.entries.is_empty()))
    }

    /// The late adjustments of a close: what differs between `cut` and the same time as known now.
    pub fn adjustments(&self, cut: Cut) -> impl Iterator<Item = Result<Adjustment>> {
        self.records().filter_map(move |record| record.map(|record| cut.adjustment(&record)).transpose())
    }
}

impl Cut {
    /// What differs between this cut of a record and the same time as known now, if anything came late.
    fn adjustment(self, record: &EntityRecord) -> Option<Adjustment> {
        let today = Self { known_at: None, ..self };
        let now = refold(record, |entry| today.keeps(entry));
        let late: Vec<LateEvent> = now.entries.iter().filter(|e| !self.keeps(e)).map(LateEvent::of).collect();
        if late.is_empty() {
            return None;
        }
        let then = refold(record, |entry| self.keeps(entry));
        Some(Adjustment {
            entity: record.key.as_str().to_owned(),
            status_then: then.status().to_owned(),
            status_now: now.status().to_owned(),
            money: money(Some(&now), Some(&then)),
            late,
        })
    }
}

impl LateEvent {
    fn of(entry: &Entry) -> Self {
        Self {
            id: entry.id.to_string(),
            event_type: entry.event_type.to_string(),
            occurred_at: entry.occurred_at.map(|at| at.to_string()),
            received_at: entry.received_at.to_string(),
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

/// Writes one JSON object a line.
pub fn write_jsonl<T: Serialize>(rows: impl IntoIterator<Item = T>, out: &mut impl Write) -> io::Result<()> {
    for row in rows {
        serde_json::to_writer(&mut *out, &row)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// Writes rows as CSV with a heading (RFC 4180, lines end with a line feed).
pub fn write_csv(rows: impl IntoIterator<Item = Row>, out: &mut impl Write) -> io::Result<()> {
    let heading = ["entity", "source", "kind", "id", "status", "currency"];
    let rest = ["events", "held", "first_at", "last_at", "anomalies"];
    writeln!(out, "{}", heading.into_iter().chain(FIGURES).chain(rest).collect::<Vec<_>>().join(","))?;
    for row in rows {
        let amounts = [row.requested, row.authorized, row.captured, row.refunded, row.disputed, row.fees];
        let mut fields = vec![row.entity, row.source, row.kind, row.id, row.status, row.currency.unwrap_or_default()];
        fields.extend(amounts.map(|amount| amount.map(|a| a.to_string()).unwrap_or_default()));
        fields.extend([row.events.to_string(), row.held.to_string()]);
        fields.extend([row.first_at.unwrap_or_default(), row.last_at.unwrap_or_default(), row.anomalies.join("; ")]);
        write_csv_line(&fields, out)?;
    }
    Ok(())
}

/// Writes adjustments as CSV with a heading: a line per figure that changed, or one line without a
/// figure where late events changed none.
pub fn write_adjustments_csv(rows: impl IntoIterator<Item = Adjustment>, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "entity,status_then,status_now,currency,figure,then,now,difference,late_events")?;
    for row in rows {
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
            let amounts = [m.archive, m.live, m.difference].map(|amount| amount.to_string());
            let [then, now, difference] = amounts;
            line([m.currency.clone(), m.figure.to_owned(), then, now, difference])?;
        }
    }
    Ok(())
}

fn write_csv_line(fields: &[String], out: &mut impl Write) -> io::Result<()> {
    let quoted = fields.iter().map(|field| {
        let plain = !field.contains([',', '"', '\n', '\r']);
        if plain { field.clone() } else { format!("\"{}\"", field.replace('"', "\"\"")) }
    });
    writeln!(out, "{}", quoted.collect::<Vec<_>>().join(","))
}
