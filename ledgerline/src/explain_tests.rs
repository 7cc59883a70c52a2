//! What is said about a few histories.

use super::*;
use bytes::Bytes;
use ledgerline_domain::fold::{Incoming, apply};
use ledgerline_domain::ids::{EntityKey, SequenceNumber, SourceName};
use ledgerline_domain::provider::Provider;
use ledgerline_domain::request::RawRequest;
use ledgerline_domain::time::UnixNanos;

/// The record after the bodies came in this order, `gap` seconds apart.
fn record(provider: &str, bodies: &[String], gap: i64) -> EntityRecord {
    let provider = Provider::built_in(provider).unwrap();
    let source = SourceName::new("shop").unwrap();
    let headers: Vec<(String, String)> = Vec::new();
    let mut key: Option<EntityKey> = None;
    let events = bodies.iter().zip(1_i64..).map(|(body, n)| {
        let body = Bytes::from(body.clone());
        let received_at = UnixNanos::from_seconds(1_790_001_000 + n * gap).unwrap();
        let found = provider.identify(&source, RawRequest { headers: &headers, body: &body, received_at }).remove(0);
        assert_eq!(found.unreadable, None);
        key = Some(found.entity.clone());
        Incoming {
            meaning: Some(provider.interpret(&found.event_type, found.entity.kind(), &found.body).unwrap()),
            id: found.id,
            event_type: found.event_type,
            order: found.order,
            occurred_at: found.occurred_at,
            received_at,
            sequence: SequenceNumber::from_u64(n as u64),
        }
    });
    let events: Vec<_> = events.collect();
    apply(&key.unwrap(), None, events).0
}

fn plain(n: i64, event_type: &str, rest: &str) -> String {
    format!(
        r#"{{"id":"e{n}","type":"{event_type}","payment":"p1","sequence":{n},"time":"2026-09-21T14:02:5{n}Z"{rest}}}"#
    )
}

const EUR: &str = r#","amount":"12.50","currency":"EUR""#;
const BACK: &str = r#","amount":"3.00","currency":"EUR","reference":"re_1""#;

#[test]
fn a_refund_before_its_capture_is_explained() {
    let created = plain(1, "payment.created", EUR);
    let authorized = plain(2, "payment.authorized", EUR);
    let captured = plain(3, "payment.captured", EUR);
    let refunded = plain(4, "refund.succeeded", BACK);
    let said = explain(&record("generic", &[refunded, created, authorized, captured], 3));
    assert_eq!(said.state, ["partially_refunded: 12.50 EUR was captured and 3.00 EUR of it went back in 1 refund"]);
    assert_eq!(
        said.late.first().unwrap(),
        "the refund re_1 of 3.00 EUR happened 2026-09-21 14:02:54 but arrived 1st, before the capture it refunds; \
         the capture of 12.50 EUR happened 2026-09-21 14:02:53 and arrived 4th, 9 s later, and was put in its place; \
         the state counts both"
    );
    assert_eq!(
        said.late.get(1).unwrap(),
        "the request of 12.50 EUR happened 2026-09-21 14:02:51 but arrived 2nd of 4: the refund re_1 of 3.00 EUR stands \
         behind it and had come before, this one came 3 s later; it was put in its place as number 1"
    );
    assert_eq!(said.notes, [""; 0]);
}

#[test]
fn events_in_order_have_nothing_late() {
    let bodies =
        [plain(1, "payment.created", EUR), plain(2, "payment.authorized", EUR), plain(3, "payment.captured", EUR)];
    let said = explain(&record("generic", &bodies, 1));
    assert_eq!(
        said,
        Explanation {
            state: vec!["captured: 12.50 EUR was captured and nothing went back".into()],
            ..Explanation::default()
        }
    );
}

#[test]
fn copies_holes_and_anomalies_are_noted() {
    let first = plain(1, "payment.captured", EUR);
    let fourth = plain(4, "refund.succeeded", BACK);
    let said = explain(&record("generic", &[first.clone(), first, fourth], 1));
    let notes = said.notes.join("\n");
    assert!(notes.contains("1 event arrived more than once (1 extra copy)"), "{notes}");
    assert!(notes.contains("1 event waits behind a missing number"), "{notes}");
    assert!(notes.contains("captured 12.50 EUR but only 0.00 EUR authorised"), "{notes}");
    assert!(notes.contains("event numbers 2 to 3 are missing"), "{notes}");
    let held = explain(&record("generic", &[plain(2, "payment.captured", EUR)], 1));
    assert!(held.state.first().unwrap().starts_with("held:"));
}

#[test]
fn lateness_is_about_the_log_not_the_clock() {
    let bodies =
        [plain(2, "payment.authorized", EUR), plain(3, "payment.captured", EUR), plain(1, "payment.created", EUR)];
    let record = record("generic", &bodies, 0);
    let rows = timeline::rows(&record);
    assert_eq!(rows.iter().map(|r| r.late).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(rows.iter().map(|r| r.arrived).collect::<Vec<_>>(), [3, 1, 2]);
    assert!(explain(&record).late.first().unwrap().contains("right after it"));
}

#[test]
fn stripe_ties_are_noted() {
    let intent = |id: &str, event_type: &str, received: i64| {
        format!(
            r#"{{"id":"{id}","type":"{event_type}","created":1790000000,"data":{{"object":{{"id":"pi_1","amount":1250,"amount_received":{received},"currency":"eur"}}}}}}"#
        )
    };
    let bodies = [intent("evt_b", "payment_intent.succeeded", 1250), intent("evt_a", "payment_intent.created", 0)];
    let said = explain(&record("stripe", &bodies, 1));
    assert!(said.notes.join("\n").contains("1 event has the same time as the event before"), "{said:?}");
    assert!(said.late.first().unwrap().starts_with("the request of 12.50 EUR happened"), "{said:?}");
}
