//! A life as Stripe tells it: snapshots of intents, charges, refunds and disputes, several events
//! in the same second, amounts in minor units and cumulative.

use bytes::Bytes;
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::life::{Life, Step};
use super::{Event, Moves, random_id};

/// The payment intent's id and its events.
pub(super) fn tell(life: &Life, payer: &str, goods: &str, rng: &mut StdRng) -> (String, Vec<Event>) {
    let mut teller = Teller {
        life,
        payer,
        goods,
        currency: life.currency.to_ascii_lowercase(),
        intent: random_id("pi_3", 23, rng),
        charge: random_id("ch_3", 23, rng),
        customer: random_id("cus_", 14, rng),
        refunds: (0..8).map(|_| random_id("re_3", 23, rng)).collect(),
        dispute: random_id("du_1", 23, rng),
        // A snapshot may already be later than its event's type says.
        runs_ahead: life.automatic && rng.random_bool(0.15),
        failed: 0,
        captured: 0,
        refunded: 0,
        events: Vec::new(),
    };
    for (at, step) in &life.steps {
        teller.step(*at, *step, rng);
    }
    (teller.intent, teller.events)
}

struct Teller<'a> {
    life: &'a Life,
    payer: &'a str,
    goods: &'a str,
    currency: String,
    intent: String,
    charge: String,
    customer: String,
    refunds: Vec<String>,
    dispute: String,
    runs_ahead: bool,
    failed: usize,
    captured: i64,
    refunded: i64,
    events: Vec<Event>,
}

impl Teller<'_> {
    fn step(&mut self, at: i64, step: Step, rng: &mut StdRng) {
        let amount = self.life.amount;
        match step {
            Step::Created => {
                let ahead = self.runs_ahead && self.life.steps.iter().any(|(_, s)| matches!(s, Step::Captured(_)));
                let (status, received) = if ahead { ("succeeded", amount) } else { ("requires_payment_method", 0) };
                let intent = self.intent(at, status, 0, received);
                self.event(at, "payment_intent.created", Moves::Other, intent, rng);
            }
            Step::RequiresAction => {
                let intent = self.intent(at, "requires_action", 0, 0);
                self.event(at, "payment_intent.requires_action", Moves::Other, intent, rng);
            }
            Step::Failed => {
                // Each attempt is a charge of its own.
                self.failed += 1;
                let charge = random_id("ch_3", 23, rng);
                let charge = self.charge(at, &charge, false, false);
                self.event(at, "charge.failed", Moves::Other, charge, rng);
                let intent = self.intent(at, "requires_payment_method", 0, 0);
                self.event(at, "payment_intent.payment_failed", Moves::Other, intent, rng);
            }
            Step::Authorized if self.life.automatic => {}
            Step::Authorized => {
                let charge = self.charge(at, &self.charge, true, false);
                self.event(at, "charge.succeeded", Moves::Other, charge, rng);
                let intent = self.intent(at, "requires_capture", amount, 0);
                self.event(at, "payment_intent.amount_capturable_updated", Moves::Other, intent, rng);
            }
            Step::Captured(captured) => {
                self.captured += captured;
                let event_type = if self.life.automatic { "charge.succeeded" } else { "charge.captured" };
                let charge = self.charge(at, &self.charge, true, true);
                self.event(at, event_type, Moves::Capture, charge, rng);
                let intent = self.intent(at, "succeeded", 0, self.captured);
                self.event(at, "payment_intent.succeeded", Moves::Capture, intent, rng);
            }
            Step::RefundPending(n, amount) => {
                self.refunded += amount;
                let refund = self.refund(at, n, amount, "pending");
                self.event(at, "refund.created", Moves::Refund, refund, rng);
                let charge = self.charge(at, &self.charge, true, true);
                self.event(at, "charge.refunded", Moves::Refund, charge, rng);
            }
            Step::RefundSucceeded(n, amount) if self.is_pending(n) => {
                let refund = self.refund(at, n, amount, "succeeded");
                self.event(at, "refund.updated", Moves::Refund, refund, rng);
            }
            Step::RefundSucceeded(n, amount) => {
                self.refunded += amount;
                let refund = self.refund(at, n, amount, "succeeded");
                self.event(at, "refund.created", Moves::Refund, refund, rng);
                let charge = self.charge(at, &self.charge, true, true);
                self.event(at, "charge.refunded", Moves::Refund, charge, rng);
            }
            Step::RefundFailed(n, amount) => {
                self.refunded -= amount;
                let refund = self.refund(at, n, amount, "failed");
                self.event(at, "refund.failed", Moves::Other, refund, rng);
            }
            Step::DisputeOpened(amount) => {
                for event_type in ["charge.dispute.created", "charge.dispute.funds_withdrawn"] {
                    let dispute = self.dispute(at, amount, "needs_response");
                    self.event(at, event_type, Moves::Other, dispute, rng);
                }
            }
            Step::DisputeWon(amount) => {
                for event_type in ["charge.dispute.closed", "charge.dispute.funds_reinstated"] {
                    let dispute = self.dispute(at, amount, "won");
                    self.event(at, event_type, Moves::Other, dispute, rng);
                }
            }
            Step::DisputeLost(amount) => {
                let dispute = self.dispute(at, amount, "lost");
                self.event(at, "charge.dispute.closed", Moves::Other, dispute, rng);
            }
            Step::Canceled => {
                let intent = self.intent(at, "canceled", 0, 0);
                self.event(at, "payment_intent.canceled", Moves::Other, intent, rng);
            }
            // Stripe tells fees in balance transactions, which are no webhooks.
            Step::Fee(_) => {}
        }
    }

    fn is_pending(&self, n: usize) -> bool {
        self.life.steps.iter().any(|(_, s)| matches!(s, Step::RefundPending(other, _) if *other == n))
    }

    fn event(&mut self, at: i64, event_type: &'static str, moves: Moves, object: Value, rng: &mut StdRng) {
        let event_id = random_id("evt_3", 23, rng);
        let body = json!({
            "id": event_id,
            "object": "event",
            "api_version": "2024-06-20",
            "created": at,
            "data": { "object": object },
            "livemode": true,
            "pending_webhooks": 1,
            "request": { "id": random_id("req_", 14, rng), "idempotency_key": random_id("", 36, rng) },
            "type": event_type,
        });
        self.events.push(Event { id: event_id, event_type, at, moves, body: Bytes::from(body.to_string()) });
    }

    fn intent(&self, at: i64, status: &str, capturable: i64, received: i64) -> Value {
        json!({
            "id": self.intent,
            "object": "payment_intent",
            "amount": self.life.amount,
            "amount_capturable": capturable,
            "amount_received": received,
            "application": null,
            "canceled_at": if status == "canceled" { Some(at) } else { None },
            "capture_method": if self.life.automatic { "automatic" } else { "manual" },
            "client_secret": format!("{}_secret_{}", self.intent, self.customer),
            "confirmation_method": "automatic",
            "created": self.life.steps.first().map(|(at, _)| at),
            "currency": self.currency,
            "customer": self.customer,
            "description": self.goods,
            "invoice": null,
            "last_payment_error": (status == "requires_payment_method" && self.failed > 0)
                .then(|| json!({ "code": "card_declined", "type": "card_error" })),
            "latest_charge": (capturable > 0 || received > 0).then_some(&self.charge),
            "livemode": true,
            "metadata": { "channel": "web" },
            "payment_method_types": ["card"],
            "receipt_email": null,
            "shipping": null,
            "status": status,
            "transfer_group": null,
        })
    }

    fn charge(&self, at: i64, charge: &str, paid: bool, captured: bool) -> Value {
        json!({
            "id": charge,
            "object": "charge",
            "amount": self.life.amount,
            "amount_captured": if captured { self.captured } else { 0 },
            "amount_refunded": if captured { self.refunded } else { 0 },
            "balance_transaction": null,
            "billing_details": { "address": { "country": "DE" }, "email": null, "name": self.payer },
            "captured": captured,
            "created": at,
            "currency": self.currency,
            "customer": self.customer,
            "description": self.goods,
            "disputed": false,
            "failure_code": if paid { None } else { Some("card_declined") },
            "livemode": true,
            "metadata": { "channel": "web" },
            "outcome": {
                "network_status": if paid { "approved_by_network" } else { "declined_by_network" },
                "risk_level": "normal",
                "type": if paid { "authorized" } else { "issuer_declined" },
            },
            "paid": paid,
            "payment_intent": self.intent,
            "payment_method_details": { "card": { "brand": "visa", "funding": "credit", "last4": "4242" }, "type": "card" },
            "refunded": captured && self.refunded >= self.captured,
            "status": if paid { "succeeded" } else { "failed" },
        })
    }

    fn refund(&self, at: i64, n: usize, amount: i64, status: &str) -> Value {
        json!({
            "id": self.refunds.get(n),
            "object": "refund",
            "amount": amount,
            "balance_transaction": null,
            "charge": self.charge,
            "created": at,
            "currency": self.currency,
            "destination_details": { "card": { "reference_status": "available", "type": "refund" }, "type": "card" },
            "metadata": { "channel": "web" },
            "payment_intent": self.intent,
            "reason": "requested_by_customer",
            "receipt_number": null,
            "status": status,
        })
    }

    fn dispute(&self, at: i64, amount: i64, status: &str) -> Value {
        json!({
            "id": self.dispute,
            "object": "dispute",
            "amount": amount,
            "balance_transactions": [],
            "charge": self.charge,
            "created": at,
            "currency": self.currency,
            "evidence_details": { "due_by": at + 7 * 86_400, "has_evidence": false, "past_due": false, "submission_count": 0 },
            "is_charge_refundable": false,
            "livemode": true,
            "metadata": {},
            "payment_intent": self.intent,
            "reason": "product_not_received",
            "status": status,
        })
    }
}
