//! A life as the built-in provider `generic` tells it: one event per step, numbered from 1.

use bytes::Bytes;
use ledgerline_domain::money;
use ledgerline_domain::time::UnixNanos;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::life::{Life, Step};
use super::{Event, Moves, random_id};

/// The payment's id and its events.
pub(super) fn tell(life: &Life, n: usize, payer: &str, goods: &str, rng: &mut StdRng) -> (String, Vec<Event>) {
    let payment = format!("pay_{:05}{}", n + 1, random_id("", 6, rng));
    let refunds: Vec<String> = (0..8).map(|_| random_id("re_", 12, rng)).collect();
    let refund = |n: usize| refunds.get(n).cloned().unwrap_or_default();
    let dispute = random_id("dp_", 12, rng);
    let mut events = Vec::new();
    for (number, (at, step)) in (1_i64..).zip(&life.steps) {
        let sub = |reference: String, status: &str, amount| json!({ "reference": reference, "status": status, "amount": decimal(amount, life.currency), "currency": life.currency });
        let money = |amount| json!({ "amount": decimal(amount, life.currency), "currency": life.currency });
        let (event_type, moves, own) = match *step {
            Step::Created => {
                let mut own = money(life.amount);
                merge(&mut own, json!({ "description": goods, "customer": { "name": payer } }));
                ("payment.created", Moves::Other, own)
            }
            Step::RequiresAction => ("payment.requires_action", Moves::Other, json!({})),
            Step::Failed => ("payment.failed", Moves::Other, json!({ "reason": "declined by the issuer" })),
            Step::Authorized => ("payment.authorized", Moves::Other, money(life.amount)),
            Step::Captured(amount) => ("payment.captured", Moves::Capture, money(amount)),
            Step::Fee(amount) => ("payment.fee", Moves::Other, money(amount)),
            Step::RefundPending(n, amount) => ("refund.created", Moves::Refund, sub(refund(n), "pending", amount)),
            Step::RefundSucceeded(n, amount) => {
                ("refund.succeeded", Moves::Refund, sub(refund(n), "succeeded", amount))
            }
            Step::RefundFailed(n, amount) => ("refund.failed", Moves::Other, sub(refund(n), "failed", amount)),
            Step::DisputeOpened(amount) => ("dispute.opened", Moves::Other, sub(dispute.clone(), "open", amount)),
            Step::DisputeWon(amount) => ("dispute.closed", Moves::Other, sub(dispute.clone(), "won", amount)),
            Step::DisputeLost(amount) => ("dispute.closed", Moves::Other, sub(dispute.clone(), "lost", amount)),
            Step::Canceled => ("payment.canceled", Moves::Other, json!({})),
        };
        let event_id = random_id("le_", 20, rng);
        let time = UnixNanos::from_seconds(*at).map(|t| t.to_string());
        let mut body =
            json!({ "id": event_id, "type": event_type, "payment": payment, "sequence": number, "time": time });
        merge(&mut body, own);
        events.push(Event { id: event_id, event_type, at: *at, moves, body: Bytes::from(body.to_string()) });
    }
    (payment, events)
}

/// `1250, EUR` as `12.50`.
fn decimal(minor: i64, currency: &str) -> String {
    let text = money::format(minor.into(), currency);
    text.split(' ').next().unwrap_or_default().to_owned()
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}
