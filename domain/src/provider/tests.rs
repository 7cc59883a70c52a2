//! Provider files, identification and interpretation, by tables.
use bytes::Bytes;

use super::*;
use crate::envelope::{REQUEST_KIND, UNREADABLE_KIND};
use crate::fact::{FactKind, SubStatus};
use crate::order::{OrderClass, OrderKey};
use crate::time::UnixNanos;

const GITHUB_STYLE: &str = r#"
name = "shop"
format = 1
[signature]
scheme = "body-hmac"
header = "x-shop-signature"
hash = "sha256"
encoding = "hex"
[event]
id = ["/uid", "header:x-delivery"]
type = ["/kind"]
[split]
items = "/events"
[order]
class = "monotonic"
at = ["/version"]
[[entity]]
types = ["*"]
kind = "order"
id = ["/order"]
"#;

fn identify(provider: &Provider, headers: &[(&str, &str)], body: &str) -> Vec<Identified> {
    let headers: Vec<(String, String)> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let body = Bytes::copy_from_slice(body.as_bytes());
    let raw = RawRequest { headers: &headers, body: &body, received_at: UnixNanos::from_nanos(0) };
    provider.identify(&SourceName::new("src").unwrap(), raw)
}

fn one(provider: &Provider, body: &str) -> Identified {
    let mut events = identify(provider, &[], body);
    assert_eq!(events.len(), 1);
    events.remove(0)
}

#[test]
fn every_built_in_file_is_read() {
    for name in Provider::built_in_names() {
        let text = Provider::built_in_text(name).unwrap();
        let provider = Provider::parse(name, text).expect("a built-in file is well formed");
        assert_eq!(provider.name(), name);
    }
}

#[test]
fn errors_name_file_key_and_fix() {
    for (from, to, key) in [
        ("format = 1", "format = 2", "`format`"),
        ("name = \"shop\"", "name = \"Shop!\"", "`name`"),
        ("id = [\"/uid\", \"header:x-delivery\"]", "id = [\"uid\"]", "`event.id`"),
        ("id = [\"/uid\", \"header:x-delivery\"]", "id = []", "`event.id`"),
        ("at = [\"/version\"]", "at = []", "`order.at`"),
        ("class = \"monotonic\"", "class = \"contiguous\"", "`order.first`"),
        ("class = \"monotonic\"\nat = [\"/version\"]", "class = \"timestamp\"", "`event.time`"),
        ("kind = \"order\"", "kind = \"unreadable\"", "`entity[0].kind`"),
        ("kind = \"order\"", "kind = \"order\"\ncolour = \"red\"", "colour"),
        ("header = \"x-shop-signature\"", "", "header"),
        ("class = \"monotonic\"", "class = \"sorted\"", "sorted"),
    ] {
        let text = GITHUB_STYLE.replace(from, to);
        assert_ne!(text, GITHUB_STYLE, "{from}");
        let error = Provider::parse("shop.toml", &text).expect_err(to);
        let message = error.to_string();
        assert!(message.contains("shop.toml") && message.contains(key), "{to}: {message}");
        assert_eq!(error.kind(), crate::ErrorKind::Invalid);
    }
}

#[test]
fn stripe_events_find_their_payment() {
    let stripe = Provider::built_in("stripe").unwrap();
    for (event_type, object, entity) in [
        ("payment_intent.created", r#"{"id":"pi_1","object":"payment_intent"}"#, "src/payment/pi_1"),
        ("charge.succeeded", r#"{"id":"ch_1","payment_intent":"pi_1"}"#, "src/payment/pi_1"),
        ("charge.succeeded", r#"{"id":"ch_1","payment_intent":{"id":"pi_2"}}"#, "src/payment/pi_2"),
        ("charge.succeeded", r#"{"id":"ch_1","payment_intent":null}"#, "src/payment/ch_1"),
        ("refund.created", r#"{"id":"re_1","payment_intent":"pi_1","charge":"ch_1"}"#, "src/payment/pi_1"),
        ("charge.dispute.closed", r#"{"id":"dp_1","charge":"ch_1"}"#, "src/payment/ch_1"),
        ("invoice.paid", r#"{"id":"in_1","object":"invoice"}"#, "src/invoice/in_1"),
        ("invoice.upcoming", r#"{"object":"invoice"}"#, "src/invoice/evt_1"),
        ("ping", "null", "src/ping/evt_1"),
    ] {
        let event = one(
            &stripe,
            &format!(r#"{{"id":"evt_1","type":"{event_type}","created":12,"data":{{"object":{object}}}}}"#),
        );
        assert_eq!(event.unreadable, None);
        assert_eq!(event.entity.as_str(), entity, "{event_type}");
        assert_eq!(event.order, OrderKey { class: OrderClass::Timestamp, value: 12_000_000_000 });
    }
}

#[test]
fn what_cannot_be_read_is_kept_whole() {
    let stripe = Provider::built_in("stripe").unwrap();
    let generic = Provider::built_in("generic").unwrap();
    for (provider, body, reason) in [
        (&stripe, "not json", "not JSON"),
        (&stripe, r#"{"type":"x","created":1}"#, "no event id"),
        (&stripe, r#"{"id":"e","created":1}"#, "no event type"),
        (&stripe, r#"{"id":"e","type":"x"}"#, "no time"),
        (&stripe, r#"{"id":"e","type":"x","created":"soon"}"#, "time"),
        (&stripe, r#"{"id":"e","type":"x","created":99999999999999999999}"#, "time"),
        (&stripe, r#"{"id":"","type":"x","created":1}"#, "no event id"),
        (&generic, r#"{"id":"e","type":"payment.created","payment":"p"}"#, "no sequence number"),
        (&generic, r#"{"id":"e","type":"payment.created","payment":"p","sequence":0}"#, "below 1"),
        (&generic, r#"{"id":"e","type":"payment.created","payment":"p","sequence":1.5}"#, "whole number"),
        (&generic, r#"{"id":"e","type":"payment.created","payment":"\u0000","sequence":1}"#, "entity key"),
    ] {
        let event = one(provider, body);
        assert!(event.unreadable.as_deref().unwrap().contains(reason), "{body}: {:?}", event.unreadable);
        assert_eq!((event.entity.kind(), event.body.as_ref()), (UNREADABLE_KIND, body.as_bytes()));
    }
    let long = "x".repeat(300);
    let event = one(&stripe, &format!(r#"{{"id":"{long}","type":"x","created":1}}"#));
    assert!(event.unreadable.unwrap().contains("longer than"));
}

#[test]
fn a_request_splits_into_its_events_and_its_original() {
    let provider = Provider::parse("shop.toml", GITHUB_STYLE).unwrap();
    let body =
        r#"{"events": [ {"uid":"a","kind":"k","order":"o1","version":1}, {"uid":"b","kind":"k","order":"o2"} , 7 ] }"#;
    let events = identify(&provider, &[], body);
    let kinds: Vec<_> = events.iter().map(|e| e.entity.kind().to_owned()).collect();
    assert_eq!(kinds, ["order", UNREADABLE_KIND, UNREADABLE_KIND, REQUEST_KIND]);
    assert_eq!(events[0].body.as_ref(), br#"{"uid":"a","kind":"k","order":"o1","version":1}"#);
    assert_eq!(events[3].body.as_ref(), body.as_bytes());
    let part = events[1].part.as_ref().unwrap();
    assert_eq!((part.index, part.digest.as_str()), (1, events[3].id.as_str()));
    for body in [r#"{"events":[]}"#, r#"{"events":7}"#, r#"{"x":[]}"#, "["] {
        assert!(one(&provider, body).unreadable.is_some(), "{body}");
    }
    let many = format!(r#"{{"events":[{}]}}"#, vec!["1"; ITEMS_MAX + 1].join(","));
    assert!(one(&provider, &many).unreadable.unwrap().contains("more than"));
}

#[test]
fn ids_may_stand_in_headers() {
    let provider = Provider::built_in("standard-webhooks").unwrap();
    let body = r#"{"type":"contact.created","timestamp":"2022-11-03T20:26:10.344522Z","data":{"id":"c_1"}}"#;
    let event = identify(&provider, &[("Webhook-Id", "msg_1")], body).remove(0);
    assert_eq!((event.id.as_str(), event.entity.as_str()), ("msg_1", "src/contact/c_1"));
    assert_eq!(event.order.class, OrderClass::Timestamp);
    let event = identify(&provider, &[("svix-id", "msg_2")], r#"{"type":"a.b"}"#).remove(0);
    assert_eq!((event.order.class, event.entity.as_str()), (OrderClass::Arrival, "src/a/msg_2"));
    assert!(one(&provider, body).unreadable.unwrap().contains("no event id"));
}

#[test]
fn stripe_facts() {
    let stripe = Provider::built_in("stripe").unwrap();
    let facts = |event_type: &str, object: &str| {
        let body = format!(r#"{{"data":{{"object":{object}}}}}"#);
        stripe.interpret(event_type, "payment", body.as_bytes()).unwrap().facts
    };
    let kinds = |event_type: &str, object: &str| -> Vec<_> {
        facts(event_type, object).into_iter().map(|f| (f.kind, f.amount.unwrap_or(-1))).collect()
    };
    let intent = r#"{"id":"pi_1","amount":500,"amount_received":0,"amount_capturable":500,"currency":"eur","status":"requires_capture"}"#;
    assert_eq!(kinds("payment_intent.created", intent), [(FactKind::Requested, 500)]);
    assert_eq!(
        kinds("payment_intent.amount_capturable_updated", intent),
        [(FactKind::Requested, 500), (FactKind::Authorized, 500)]
    );
    let ahead = r#"{"id":"pi_1","amount":500,"amount_received":500,"currency":"eur"}"#;
    assert_eq!(
        kinds("payment_intent.created", ahead),
        [(FactKind::Requested, 500), (FactKind::Authorized, 500), (FactKind::Captured, 500)]
    );
    let old_charge = r#"{"id":"ch_1","amount":700,"paid":true,"captured":true,"amount_refunded":0,"currency":"usd"}"#;
    assert_eq!(kinds("charge.succeeded", old_charge), [(FactKind::Authorized, 700), (FactKind::Captured, 700)]);
    let released = r#"{"id":"ch_1","amount":700,"paid":true,"captured":false,"amount_captured":0,"amount_refunded":700,"currency":"usd"}"#;
    assert_eq!(kinds("charge.refunded", released), [(FactKind::Authorized, 700)]);
    let refund = facts("refund.updated", r#"{"id":"re_1","amount":100,"currency":"eur","status":"requires_action"}"#);
    assert_eq!((refund[0].status, refund[0].reference.as_deref()), (Some(SubStatus::Pending), Some("re_1")));
    assert_eq!(refund[0].currency.as_deref(), Some("EUR"));
    assert_eq!(kinds("charge.something_new", old_charge), []);
}

#[test]
fn amounts_that_are_none_are_refused_not_guessed() {
    let generic = Provider::built_in("generic").unwrap();
    for (body, wanted) in [
        (r#"{"amount":"12.50","currency":"EUR"}"#, Ok(1250)),
        (r#"{"amount":12.50,"currency":"EUR"}"#, Ok(1250)),
        (r#"{"amount_minor":"1250","currency":"eur"}"#, Ok(1250)),
        (r#"{"amount":"500","currency":"JPY"}"#, Ok(500)),
        (r#"{"amount_minor":9007199254740993,"currency":"EUR"}"#, Ok(9_007_199_254_740_993)),
        (r#"{"amount":"12.505","currency":"EUR"}"#, Err("decimal")),
        (r#"{"amount":1e3,"currency":"EUR"}"#, Err("decimal")),
        (r#"{"amount_minor":-1,"currency":"EUR"}"#, Err("whole number")),
        (r#"{"amount_minor":12.5,"currency":"EUR"}"#, Err("whole number")),
        (r#"{"amount_minor":99999999999999999999999999,"currency":"EUR"}"#, Err("whole number")),
        (r#"{"amount":"1"}"#, Err("no currency")),
        (r#"{"amount":"1","currency":"€"}"#, Err("letters")),
    ] {
        let read = generic.interpret("payment.captured", "payment", body.as_bytes());
        match (read, wanted) {
            (Ok(meaning), Ok(minor)) => assert_eq!(meaning.facts[0].amount, Some(minor), "{body}"),
            (Err(reason), Err(part)) => assert!(reason.contains(part), "{body}: {reason}"),
            (read, wanted) => panic!("{body}: {read:?}, not {wanted:?}"),
        }
    }
}

#[test]
fn patterns_fit() {
    for (pattern, text, wanted) in [
        ("charge.*", "charge.refunded", true),
        ("charge.*", "charges", false),
        ("*.created", "a.b.created", true),
        ("*", "", true),
        ("a*b*c", "a-b-b-c", true),
        ("a*b*c", "a-c", false),
        ("charge.refunded", "charge.refunded", true),
        ("charge.refunded", "charge.refunded.x", false),
        ("a*a", "a", false),
        ("charge.refunded", "charge", false),
        ("", "", true),
        ("", "a", false),
        ("a", "", false),
        ("a*", "a", true),
        ("a*", "a*b", true),
        // Two letters that begin with the same byte.
        ("é*", "è", false),
        ("é*ü", "éü", true),
    ] {
        assert_eq!(file::fits(pattern, text), wanted, "{pattern} {text}");
    }
}
