//! Why the state is what it is, in sentences: what was late, what counts, what waits.
//!
//! Everything here is read off the record: the order of its entries, their places in the log and
//! their facts. Times are UTC.

use ledgerline_domain::fact::{Fact, FactKind, SubStatus};
use ledgerline_domain::money;
use ledgerline_domain::order::OrderClass;
use ledgerline_domain::payment::{Payment, PaymentStatus};
use ledgerline_domain::record::{EntityRecord, Entry, State};
use serde::Serialize;

use crate::{timeline, words};

/// Most sentences about late events; the rest is counted.
const LATE_MAX: usize = 8;

/// What there is to say about a record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Why the state is what it is.
    pub state: Vec<String>,
    /// What came late and where it was put.
    pub late: Vec<String>,
    /// Copies, ties, held and quarantined events, and what does not add up.
    pub notes: Vec<String>,
}

/// Explains a record.
pub fn explain(record: &EntityRecord) -> Explanation {
    Explanation { state: state(record), late: late(&record.entries), notes: notes(record) }
}

fn state(record: &EntityRecord) -> Vec<String> {
    let mut said = Vec::new();
    match &record.state {
        _ if record.entries.is_empty() => {
            said.push("unread: every event about it is in the quarantine, so nothing counts yet".into());
        }
        _ if record.folded == 0 => {
            said.push("held: its first event is missing, and what came waits for it".into());
        }
        State::Payment(payment) => {
            said.push(format!("{}: {}", payment.status().as_str(), why(payment)));
            let failed = record.entries.iter().take(record.folded).filter(|e| says(e, FactKind::Failed)).count();
            if failed > 0 && payment.captured() > 0 {
                let attempts = if failed == 1 { "a failed attempt" } else { "failed attempts" };
                said.push(format!("{attempts} came before; the later one succeeded, and money taken counts more"));
            }
            let currency = payment.currency().unwrap_or_default();
            for (id, refund) in payment.refunds() {
                if matches!(refund.status, SubStatus::Failed | SubStatus::Canceled | SubStatus::Pending) {
                    said.push(format!(
                        "refund {id} of {} is {} and does not count as gone back",
                        money::format(refund.amount, currency),
                        words::sub_status(refund.status)
                    ));
                }
            }
        }
        State::Document(document) => {
            let status = document.status.as_deref().map(|s| format!("status {s}, ")).unwrap_or_default();
            said.push(format!("{status}last told by {}", document.last_type));
        }
    }
    said
}

fn why(payment: &Payment) -> String {
    let currency = payment.currency().unwrap_or_default();
    let amount = |minor: i128| money::format(minor, currency);
    let captured = amount(payment.captured());
    let refunds = payment.refunds().values().filter(|r| r.status == SubStatus::Succeeded).count() as u64;
    let in_refunds = match refunds {
        0 => String::new(),
        n => format!(" in {}", words::count(n, "refund", "refunds")),
    };
    match payment.status() {
        PaymentStatus::Pending => format!("{} is asked for and nothing happened yet", amount(payment.requested())),
        PaymentStatus::RequiresAction => "the payer must act before anything can be taken".into(),
        PaymentStatus::Processing => "the provider is working on it".into(),
        PaymentStatus::Failed => "the last attempt failed and nothing was taken".into(),
        PaymentStatus::Authorized => format!("{} is reserved and nothing was taken yet", amount(payment.authorized())),
        PaymentStatus::Canceled => "it was cancelled before anything was taken".into(),
        PaymentStatus::Captured if payment.captured() == 0 => {
            "it was captured; this provider's events do not say how much".into()
        }
        PaymentStatus::Captured => format!("{captured} was captured and nothing went back"),
        PaymentStatus::PartiallyRefunded => {
            format!("{captured} was captured and {} of it went back{in_refunds}", amount(payment.refunded()))
        }
        PaymentStatus::Refunded => format!("{captured} was captured and all of it went back{in_refunds}"),
        PaymentStatus::Disputed => {
            format!("{} of {captured} captured is in an open dispute", amount(payment.disputed()))
        }
        PaymentStatus::ChargedBack => {
            format!("a dispute was lost: {} of {captured} captured went back to the payer", amount(payment.disputed()))
        }
    }
}

/// The fact that an event is told for: the last thing that can happen among what it says.
fn telling(entry: &Entry) -> Option<&Fact> {
    let weight = |fact: &Fact| match fact.kind {
        FactKind::Dispute => 9,
        FactKind::Refund => 8,
        FactKind::Canceled | FactKind::CaptureFailed => 7,
        FactKind::Captured => 6,
        FactKind::Failed => 5,
        FactKind::Authorized => 4,
        FactKind::Fee => 3,
        FactKind::Processing | FactKind::RequiresAction => 2,
        FactKind::Requested => 1,
    };
    entry.meaning.facts.iter().max_by_key(|fact| weight(fact))
}

fn says(entry: &Entry, kind: FactKind) -> bool {
    telling(entry).is_some_and(|fact| fact.kind == kind)
}

/// `the refund re_1 of 3.00 EUR`, or the event's type where it says nothing about money.
fn name(entry: &Entry) -> String {
    let Some(fact) = telling(entry) else { return format!("the event {}", entry.event_type) };
    let amount = fact.amount.map(|a| money::format(a.into(), fact.currency.as_deref().unwrap_or_default()));
    let of = amount.map(|a| format!(" of {a}")).unwrap_or_default();
    let id = |word: &str| match (&fact.reference, fact.status) {
        (Some(id), Some(_)) => format!("the {word} {id}{of}"),
        _ => format!("the {word}{of} in total"),
    };
    match fact.kind {
        FactKind::Requested => format!("the request{of}"),
        FactKind::RequiresAction => "the request to the payer to act".into(),
        FactKind::Processing => "the word that it is being processed".into(),
        FactKind::Failed => "the failed attempt".into(),
        FactKind::Authorized => format!("the authorisation{of}"),
        FactKind::Captured => format!("the capture{of}"),
        FactKind::Canceled => "the cancellation".into(),
        FactKind::Refund => id("refund"),
        FactKind::Dispute => id("dispute"),
        FactKind::Fee => format!("the fee{of}"),
        FactKind::CaptureFailed => format!("the word that the capture{of} failed"),
    }
}

fn happened(entry: &Entry) -> String {
    entry.occurred_at.map(|at| format!(" happened {}", words::time(at))).unwrap_or_else(|| " has no time".into())
}

/// How long after `first` the event `second` came: ` 9 s`, or nothing where the clock says nothing.
fn later(first: &Entry, second: &Entry) -> String {
    match second.received_at.since(first.received_at) {
        nanos if nanos >= 1_000_000 => format!("{} later", words::duration(nanos)),
        _ => "right after it".into(),
    }
}

fn late(entries: &[Entry]) -> Vec<String> {
    let late = timeline::late(entries);
    let arrived = timeline::arrivals(entries);
    let nth = |at: usize| words::ordinal(arrived.get(at).copied().unwrap_or_default());
    let mut told = vec![false; entries.len()];
    let mut said = Vec::new();

    // Money that went back before it was known to have been taken: the case that people ask about.
    for (back_at, back) in entries.iter().enumerate().filter(|(_, e)| says(e, FactKind::Refund)) {
        let captures = || entries.iter().enumerate().take(back_at).filter(|(_, e)| says(e, FactKind::Captured));
        let Some((taken_at, taken)) = captures().min_by_key(|(_, e)| &e.delivery.sequence) else { continue };
        if taken.delivery.sequence < back.delivery.sequence || told.get(taken_at) == Some(&true) {
            continue;
        }
        said.push(format!(
            "{}{} but arrived {}, before the capture it refunds; {}{} and arrived {}, {}, and was put in its place; the state counts both",
            name(back),
            happened(back),
            nth(back_at),
            name(taken),
            happened(taken),
            nth(taken_at),
            later(back, taken),
        ));
        if let Some(told) = told.get_mut(taken_at) {
            *told = true;
        }
    }
    for (at, entry) in entries.iter().enumerate() {
        if late.get(at) != Some(&true) || told.get(at) == Some(&true) {
            continue;
        }
        let before = entries.iter().skip(at + 1).filter(|e| e.delivery.sequence < entry.delivery.sequence);
        let Some(first) = before.min_by_key(|e| &e.delivery.sequence) else { continue };
        said.push(format!(
            "{}{} but arrived {} of {}: {} stands behind it and had come before, this one came {}; it was put in its place as number {}",
            name(entry),
            happened(entry),
            nth(at),
            entries.len(),
            name(first),
            later(first, entry),
            at + 1,
        ));
    }
    let more = said.len().saturating_sub(LATE_MAX);
    if more > 0 {
        said.truncate(LATE_MAX);
        said.push(format!("{more} more came late and were put in their places"));
    }
    said
}

fn notes(record: &EntityRecord) -> Vec<String> {
    let mut said = Vec::new();
    let extra: u64 = record.entries.iter().map(|e| u64::from(e.delivery.copies.saturating_sub(1))).sum();
    if extra > 0 {
        let events = record.entries.iter().filter(|e| e.delivery.copies > 1).count() as u64;
        said.push(format!(
            "{} arrived more than once ({}); each counts once",
            words::count(events, "event", "events"),
            words::count(extra, "extra copy", "extra copies")
        ));
    }
    let ties = record.entries.windows(2).filter(
        |pair| matches!(pair, [a, b] if a.order.class == OrderClass::Timestamp && a.order.value == b.order.value),
    );
    let ties = ties.count() as u64;
    if ties > 0 {
        said.push(format!(
            "{} the same time as the event before: the place of its type in a payment's life decides",
            words::count(ties, "event has", "events have")
        ));
    }
    if record.held() > 0 && record.folded > 0 {
        said.push(format!(
            "{} behind a missing number and will count when it arrives",
            words::count(record.held() as u64, "event waits", "events wait")
        ));
    }
    if !record.quarantined.is_empty() {
        said.push(format!(
            "{} in the quarantine and does not count: see `ledgerline quarantine list`",
            words::count(record.quarantined.len() as u64, "event is", "events are")
        ));
    }
    let currency = match &record.state {
        State::Payment(payment) => payment.currency().unwrap_or_default(),
        State::Document(_) => "",
    };
    said.extend(record.anomalies().iter().map(|anomaly| format!("does not add up: {}", anomaly.in_words(currency))));
    said
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
