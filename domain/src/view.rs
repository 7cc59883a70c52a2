//! The readable state of a record: the JSON text that people and queries see. Field order is the order
//! in the text.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::{Serialize, Serializer};

use crate::payment::{Anomaly, Payment, SubObject};
use crate::record::{EntityRecord, PAYMENT_KIND};
use crate::text::IdText;
use crate::time::UnixNanos;

/// A document as its readers see it.
#[derive(Serialize)]
pub(crate) struct DocumentView<'a> {
    pub kind: &'a str,
    pub counts: &'a BTreeMap<CompactString, u64>,
    pub anomalies: &'a [Anomaly],
    #[serde(flatten)]
    pub common: CommonView<'a>,
}

/// A payment as its readers see it. Written out in full, not flattened: every commit makes one.
#[derive(Serialize)]
pub(crate) struct PaymentView<'a> {
    kind: &'static str,
    currency: Option<&'a str>,
    requested: i128,
    authorized: i128,
    captured: i128,
    refunded: i128,
    disputed: i128,
    fees: i128,
    refunds: &'a BTreeMap<IdText, SubObject>,
    disputes: &'a BTreeMap<IdText, SubObject>,
    anomalies: &'a [Anomaly],
    events: usize,
    first_at: Moment,
    held: usize,
    last_at: Moment,
    last_type: Option<&'a str>,
    status: &'a str,
}

/// What every record shows.
#[derive(Serialize)]
pub(crate) struct CommonView<'a> {
    events: usize,
    first_at: Moment,
    held: usize,
    last_at: Moment,
    last_type: Option<&'a str>,
    status: &'a str,
}

impl<'a> CommonView<'a> {
    pub(crate) fn of(record: &'a EntityRecord) -> Self {
        let folded = &record.entries[..record.folded];
        Self {
            events: folded.len(),
            first_at: Moment(folded.iter().filter_map(|e| e.occurred_at).min()),
            held: record.held(),
            last_at: Moment(record.last_at()),
            last_type: folded.last().map(|e| e.event_type.as_str()),
            status: record.status(),
        }
    }
}

impl<'a> PaymentView<'a> {
    pub(crate) fn of(payment: &'a Payment, anomalies: &'a [Anomaly], common: CommonView<'a>) -> Self {
        let CommonView { events, first_at, held, last_at, last_type, status } = common;
        Self {
            kind: PAYMENT_KIND,
            currency: payment.currency(),
            requested: payment.requested(),
            authorized: payment.authorized(),
            captured: payment.captured(),
            refunded: payment.refunded(),
            disputed: payment.disputed(),
            fees: payment.fees(),
            refunds: payment.refunds(),
            disputes: payment.disputes(),
            anomalies,
            events,
            first_at,
            held,
            last_at,
            last_type,
            status,
        }
    }
}

/// A time as RFC 3339 text, or null.
struct Moment(Option<UnixNanos>);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(at) => serializer.collect_str(&at),
            None => serializer.serialize_none(),
        }
    }
}
