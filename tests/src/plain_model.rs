//! What a payment adds up to, said a second time and in the plainest way: sets, sorts and sums over plain
//! events. It shares no line with the product, is slow, and is there to be obviously right.
//!
//! Times are nanoseconds since the epoch, amounts minor units.

use std::collections::{BTreeMap, BTreeSet};

/// How a source's events are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By number, without holes from 1.
    Contiguous,
    /// By number; holes are legal.
    Rising,
    /// By time; events without one come after all others, as the log has them.
    Time,
    /// As the log has them.
    Arrival,
}

/// What an event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Says {
    /// `created`, `authorized`, `captured` (a step), `captured_total`, `capture_failed`, `failed`,
    /// `canceled`, `fee`, `refund` or `dispute`.
    pub what: &'static str,
    /// Amount and currency.
    pub amount: Option<(i128, &'static str)>,
    /// The refund or dispute.
    pub reference: &'static str,
    /// Its state, such as `succeeded` or `open`.
    pub status: &'static str,
}

/// One record of the log about a payment.
#[derive(Clone, Debug)]
pub struct Copy {
    /// The event's id.
    pub id: String,
    /// What it says; nothing when it cannot be read.
    pub says: Option<Says>,
    /// The provider's number.
    pub number: i64,
    /// When it happened, if the provider says so.
    pub time: Option<i64>,
    /// When this copy was received.
    pub received: i64,
}

/// What is known of a payment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The status word.
    pub status: String,
    /// The currency.
    pub currency: Option<String>,
    /// Requested, authorized, captured, refunded, disputed, fees.
    pub money: [i128; 6],
    /// Events that count.
    pub events: usize,
    /// Events behind a hole.
    pub held: usize,
}

/// An event, once its copies are one.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    /// The copy that stands: the first in the log.
    pub copy: &'a Copy,
    /// Its place in the log.
    pub position: usize,
    /// What it says.
    pub says: &'a Says,
    /// Earliest receipt of the copies that say the same.
    pub received: i64,
}

impl Event<'_> {
    /// When it happened; its receipt stands in where nobody says.
    pub fn happened(&self) -> i64 {
        self.copy.time.unwrap_or(self.received)
    }
}

/// Whether two copies under one id say the same: type, place in the order, facts.
fn same(order: Order, a: &Copy, b: &Copy) -> bool {
    let place = |c: &Copy| match order {
        Order::Contiguous | Order::Rising => Some(c.number),
        Order::Time => c.time,
        Order::Arrival => None,
    };
    a.says == b.says && place(a) == place(b)
}

/// The events of a payment: each id once.
pub fn events(order: Order, log: &[Copy]) -> Vec<Event<'_>> {
    let ids: BTreeSet<&str> = log.iter().map(|c| c.id.as_str()).collect();
    let mut events = Vec::new();
    for id in ids {
        let readable = || log.iter().enumerate().filter(|(_, c)| c.id == id && c.says.is_some());
        let Some((position, copy)) = readable().next() else { continue };
        let received = readable().filter(|(_, c)| same(order, c, copy)).map(|(_, c)| c.received).min();
        if let (Some(says), Some(received)) = (&copy.says, received) {
            events.push(Event { copy, position, says, received });
        }
    }
    events
}

/// What was true at `as_of` as known at `known_at`, both inclusive; nothing when no event counts.
pub fn state(order: Order, log: &[Copy], as_of: Option<i64>, known_at: Option<i64>) -> Option<Known> {
    let mut events = events(order, log);
    events.retain(|e| as_of.is_none_or(|t| e.happened() <= t));
    events.retain(|e| known_at.is_none_or(|k| e.received <= k));
    if events.is_empty() {
        return None;
    }
    events.sort_by_key(|e| place(order, e));
    let all = events.len();
    if order == Order::Contiguous {
        let mut next = 1;
        let hole = events.iter().position(|e| {
            let behind = e.copy.number > next;
            next = next.max(e.copy.number + 1);
            behind
        });
        events.truncate(hole.unwrap_or(all));
    }
    let mut known = sums(&events);
    known.events = events.len();
    known.held = all - events.len();
    if events.is_empty() {
        known.status = "held".into();
    }
    Some(known)
}

/// Where an event stands: number or time or log, then rank, then id.
fn place(order: Order, e: &Event<'_>) -> (u8, i64, usize, u32, String) {
    let rank = match e.says.what {
        "created" => 100,
        "authorized" => 200,
        "captured" | "captured_total" => 300,
        "refund" => 600,
        "dispute" => 700,
        _ => 500,
    };
    let id = e.copy.id.clone();
    match (order, e.copy.time) {
        (Order::Contiguous | Order::Rising, _) => (0, e.copy.number, 0, rank, id),
        (Order::Time, Some(time)) => (1, time, 0, rank, id),
        (Order::Time, None) | (Order::Arrival, _) => (2, 0, e.position, rank, id),
    }
}

/// Adds up events that stand in their order.
fn sums(events: &[Event<'_>]) -> Known {
    let currency = events.iter().find_map(|e| e.says.amount.map(|(_, currency)| currency));
    // Amounts in another currency than the first are not added.
    let counts = |e: &&Event<'_>| e.says.amount.is_none_or(|(_, c)| Some(c) == currency);
    let of = |what: &'static str| events.iter().filter(counts).filter(move |e| e.says.what == what);
    let amount = |e: &Event<'_>| e.says.amount.map_or(0, |(minor, _)| minor);
    let sum = |what| of(what).map(amount).sum::<i128>();

    // Only what was captured after the last word that a capture failed is left.
    let failed = events.iter().rposition(|e| e.says.what == "capture_failed").map_or(0, |at| at + 1);
    let left = || events[failed..].iter().filter(counts);
    let steps: i128 = left().filter(|e| e.says.what == "captured").map(amount).sum();
    let total = left().filter(|e| e.says.what == "captured_total").map(amount).max().unwrap_or(0);
    let captured = steps.max(total);

    // A refund or dispute has its largest amount and its last state.
    let subs = |what: &'static str| -> BTreeMap<&str, (i128, &str)> {
        let names: BTreeSet<&str> = of(what).map(|e| e.says.reference).collect();
        let of_name = |name: &'static str| of(what).filter(move |e| e.says.reference == name);
        let largest = |name| of_name(name).map(amount).max().unwrap_or(0);
        let last = |name| of_name(name).next_back().map_or("", |e| e.says.status);
        names.into_iter().map(|name| (name, (largest(name), last(name)))).collect()
    };
    let (refunds, disputes) = (subs("refund"), subs("dispute"));
    let refunded: i128 = refunds.values().filter(|(_, s)| *s == "succeeded").map(|(a, _)| a).sum();
    let disputed: i128 = disputes.values().filter(|(_, s)| matches!(*s, "open" | "lost")).map(|(a, _)| a).sum();

    let stage = |e: &Event<'_>| match e.says.what {
        "authorized" => Some("authorized"),
        "failed" | "capture_failed" => Some("failed"),
        "canceled" => Some("canceled"),
        _ => None,
    };
    let has = |wanted: &str| disputes.values().any(|(_, status)| *status == wanted);
    let status = match () {
        () if has("lost") => "charged_back",
        () if has("open") => "disputed",
        () if captured > 0 && refunded >= captured => "refunded",
        () if captured > 0 && refunded > 0 => "partially_refunded",
        () if captured > 0 => "captured",
        () => events.iter().rev().find_map(stage).unwrap_or("pending"),
    };
    let requested = of("created").map(amount).max().unwrap_or(0);
    Known {
        status: status.into(),
        currency: currency.map(Into::into),
        money: [requested, sum("authorized"), captured, refunded, disputed, sum("fee")],
        ..Known::default()
    }
}
