//! The state as it was at a time, as known at a time: time travel is a filter on events.
//!
//! An event counts when it happened by `as_of` (its time of receipt stands in where the provider
//! gives none) and its first copy was received by `known_at`. Rows are flat, one per entity in the
//! order of the keys; amounts are minor units of the row's currency, times RFC 3339 in UTC.

use std::borrow::Cow;
use std::io::{self, Write};

use ledgerline_domain::Result;
use ledgerline_domain::fold::refold;
use ledgerline_domain::record::{EntityRecord, Entry, State};
use ledgerline_domain::time::UnixNanos;
use serde::{Serialize, Serializer};

use crate::compare::FIGURES;
use crate::rebuild::Rebuilt;

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

    /// A record as it was; nothing when none of its events counts.
    pub fn of<'a>(&self, record: &'a EntityRecord) -> Option<Cow<'a, EntityRecord>> {
        // Most records are older than the cut: nothing to fold again.
        if record.entries.iter().all(|entry| self.keeps(entry)) {
            return (!record.entries.is_empty()).then_some(Cow::Borrowed(record));
        }
        let cut = refold(record, |entry| self.keeps(entry));
        (!cut.entries.is_empty()).then_some(Cow::Owned(cut))
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
    #[serde(serialize_with = "as_text")]
    pub first_at: Option<UnixNanos>,
    /// Time of the last one.
    #[serde(serialize_with = "as_text")]
    pub last_at: Option<UnixNanos>,
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
            first_at: folded.iter().filter_map(|e| e.occurred_at).min(),
            last_at: record.last_at(),
            anomalies: record.anomalies().iter().map(|a| a.in_words(currency.unwrap_or_default())).collect(),
        }
    }

    /// The figures in their order; nothing for what is no payment.
    pub(crate) fn amounts(&self) -> [Option<i128>; FIGURES.len()] {
        [self.requested, self.authorized, self.captured, self.refunded, self.disputed, self.fees]
    }
}

/// A time as RFC 3339 text, or null.
fn as_text<S: Serializer>(at: &Option<UnixNanos>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => serializer.collect_str(at),
        None => serializer.serialize_none(),
    }
}

impl Rebuilt {
    /// The records as they were, in the order of their keys; entities without events are left out.
    pub fn at(&self, cut: Cut) -> impl Iterator<Item = Result<EntityRecord>> {
        self.records().filter_map(move |record| record.map(|record| cut.of(&record).map(Cow::into_owned)).transpose())
    }
}

/// Writes one JSON object as a line.
pub fn write_json_line(row: &impl Serialize, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, row)?;
    out.write_all(b"\n")
}

/// Writes the heading of a CSV of rows.
pub fn write_csv_heading(out: &mut impl Write) -> io::Result<()> {
    let heading = ["entity", "source", "kind", "id", "status", "currency"];
    let rest = ["events", "held", "first_at", "last_at", "anomalies"];
    write!(out, "{}\r\n", heading.into_iter().chain(FIGURES).chain(rest).collect::<Vec<_>>().join(","))
}

/// Writes a row as CSV (RFC 4180: lines end with CR LF).
pub fn write_csv(row: Row, out: &mut impl Write) -> io::Result<()> {
    let amounts = row.amounts().map(|amount| amount.map(|a| a.to_string()).unwrap_or_default());
    let time = |at: Option<UnixNanos>| at.map(|at| at.to_string()).unwrap_or_default();
    let times = [time(row.first_at), time(row.last_at)];
    let mut fields = vec![row.entity, row.source, row.kind, row.id, row.status, row.currency.unwrap_or_default()];
    fields.extend(amounts);
    fields.extend([row.events.to_string(), row.held.to_string()]);
    fields.extend(times);
    fields.push(row.anomalies.join("; "));
    write_csv_line(&fields, out)
}

pub(crate) fn write_csv_line(fields: &[String], out: &mut impl Write) -> io::Result<()> {
    let quoted = fields.iter().map(|field| {
        let plain = !field.contains([',', '"', '\n', '\r']);
        if plain { field.clone() } else { format!("\"{}\"", field.replace('"', "\"\"")) }
    });
    write!(out, "{}\r\n", quoted.collect::<Vec<_>>().join(","))
}
