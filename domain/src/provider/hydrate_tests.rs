//! Thin notifications: which are fetched from where, and what the answer becomes.

use bytes::Bytes;

use super::*;
use crate::envelope::UNREADABLE_KIND;
use crate::fact::{FactKind, SubStatus};
use crate::order::OrderClass;
use crate::signature::{ApiKeys, Cause, SecretSet, reverify_fetched, seal_fetched, sign, verify};
use crate::time::UnixNanos;

const AT: UnixNanos = UnixNanos::from_nanos(1_790_000_000_000_000_000);

/// A verified notification of a built-in provider.
fn notified(provider: &Provider, body: &str) -> Envelope {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let headers = sign(provider.scheme(), &"whsec_x".into(), "", AT, &body).unwrap();
    let secrets = SecretSet::new(provider.scheme(), ["whsec_x".into()]).unwrap();
    let raw = RawRequest { headers: &headers, body: &body, received_at: AT };
    let verified = verify(provider.scheme(), &secrets, raw).unwrap();
    Envelope::seal(&verified, provider.identify(&SourceName::new("src").unwrap(), raw).remove(0))
}

fn keys(texts: &[&str]) -> ApiKeys {
    ApiKeys::new(texts.iter().map(|text| (*text).into()).collect()).unwrap()
}

fn answered(provider: &Provider, notification: &str, answer: &str) -> Envelope {
    let fetch = provider.fetch(&notified(provider, notification)).unwrap().unwrap();
    seal_fetched(&fetch, provider, &keys(&["sk_1"]), answer.as_bytes(), AT).unwrap()
}

fn stripe_thin(url: &str) -> String {
    format!(
        r#"{{"id":"evt_1","object":"v2.core.event","type":"v1.payment_intent.succeeded","created":"2026-09-21T14:13:20Z",
            "related_object":{{"id":"pi_1","type":"payment_intent","url":"{url}"}}}}"#
    )
}

#[test]
fn a_notification_names_what_to_fetch() {
    let stripe = Provider::built_in("stripe").unwrap();
    let mollie = Provider::built_in("mollie-classic").unwrap();
    let address = |provider: &Provider, body: &str| {
        provider.fetch(&notified(provider, body)).map(|fetch| fetch.map(|fetch| fetch.address().to_owned()))
    };
    let fetched = |address: &str| Some(Ok(address.to_owned()));
    assert_eq!(address(&mollie, "id=tr_1%2F..%3Fx"), fetched("https://api.mollie.com/v2/payments/tr_1%2F..%3Fx"));
    assert_eq!(address(&mollie, "id=ord_1"), None);
    assert_eq!(
        address(&stripe, &stripe_thin("/v1/payment_intents/pi_1")),
        fetched("https://api.stripe.com/v1/payment_intents/pi_1")
    );
    // A snapshot is complete; an address that leaves its place is none.
    let snapshot = r#"{"id":"evt_1","type":"payment_intent.created","created":1,"data":{"object":{"id":"pi_1"}}}"#;
    assert_eq!(address(&stripe, snapshot), None);
    assert!(address(&stripe, &stripe_thin("@evil.example/")).unwrap().is_err());
    assert_eq!(address(&Provider::built_in("generic").unwrap(), "{}"), None);
}

#[test]
fn the_answer_is_an_event_of_its_own() {
    let mollie = Provider::built_in("mollie-classic").unwrap();
    let payment = r#" {"id":"tr_1","status":"paid","amount":{"value":"10.00","currency":"EUR"}, "metadata":{"a": 1.0}}
"#;
    let event = answered(&mollie, "id=tr_1", payment);
    assert_eq!(event.event.entity.as_str(), "src/payment/tr_1");
    assert_eq!((event.event.event_type.as_str(), event.event.order.class), ("payment.fetched", OrderClass::Arrival));
    assert_eq!((event.received_at, event.event.occurred_at), (AT, None));
    let body = std::str::from_utf8(&event.event.body).unwrap();
    // Verbatim, but for the white space around it.
    assert!(body.ends_with(&format!(",\"payment\":{}}}", payment.trim())), "{body}");
    assert!(event.event.id.starts_with("tr_1~") && event.event.id.len() == 37, "{}", event.event.id);
    // Unchanged, it is the same event; changed, it is another one.
    assert_eq!(answered(&mollie, "id=tr_1", payment).event.id, event.event.id);
    let refunded =
        payment.replace("\"metadata\"", "\"amountRefunded\":{\"value\":\"4.00\",\"currency\":\"EUR\"},\"metadata\"");
    assert_ne!(answered(&mollie, "id=tr_1", &refunded).event.id, event.event.id);
    // It survives the log, is identified again from its body alone, and is never hydrated itself.
    let read = Envelope::decode(&event.encode().into()).unwrap();
    assert_eq!(read, event);
    let raw = RawRequest { headers: &Vec::<(String, String)>::new(), body: &event.event.body, received_at: AT };
    assert_eq!(mollie.identify_fetched(&SourceName::new("src").unwrap(), raw), event.event);
    assert!(event.is_fetched() && mollie.fetch(&event).is_none());
    assert!(!notified(&mollie, "id=tr_1").is_fetched());
}

#[test]
fn an_answer_that_is_none_is_refused_or_parked() {
    let mollie = Provider::built_in("mollie-classic").unwrap();
    let fetch = mollie.fetch(&notified(&mollie, "id=tr_1")).unwrap().unwrap();
    for answer in ["", "null", "[1]", "<html>", "{\"a\":1", "{} {}"] {
        let error = seal_fetched(&fetch, &mollie, &keys(&["k"]), answer.as_bytes(), AT).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Data, "{answer}");
    }
    let parked = answered(&mollie, "id=tr_1", "{\"error\":1}");
    assert_eq!(parked.event.entity.kind(), UNREADABLE_KIND);
    assert!(parked.event.unreadable.unwrap().contains("no entity id"));
}

#[test]
fn mollie_payments_say_what_they_come_to() {
    let mollie = Provider::built_in("mollie-classic").unwrap();
    let facts = |payment: &str| {
        let event = answered(&mollie, "id=tr_1", &format!(r#"{{"id":"tr_1",{payment}}}"#)).event;
        mollie.interpret(&event.event_type, event.entity.kind(), &event.body).unwrap().facts
    };
    let kinds = |payment: &str| -> Vec<_> { facts(payment).iter().map(|f| (f.kind, f.amount.unwrap_or(-1))).collect() };
    let ten = r#""amount":{"value":"10.00","currency":"EUR"}"#;
    assert_eq!(kinds(&format!(r#"{ten},"status":"open""#)), [(FactKind::Requested, 1000)]);
    assert_eq!(kinds(&format!(r#"{ten},"status":"expired""#)), [(FactKind::Requested, 1000), (FactKind::Canceled, -1)]);
    let all = format!(
        r#"{ten},"status":"paid","amountCaptured":{{"value":"8.00","currency":"EUR"}},
           "amountRefunded":{{"value":"3.00","currency":"EUR"}},"amountChargedBack":{{"value":"-5.00","currency":"EUR"}}"#
    );
    assert_eq!(
        kinds(&all),
        [
            (FactKind::Requested, 1000),
            (FactKind::Authorized, 1000),
            (FactKind::Captured, 800),
            (FactKind::Refund, 300),
            (FactKind::Dispute, 500),
        ]
    );
    assert_eq!(facts(&all).last().unwrap().status, Some(SubStatus::Lost));
}

#[test]
fn a_fetched_stripe_object_reads_like_a_snapshot() {
    let stripe = Provider::built_in("stripe").unwrap();
    let thin = stripe_thin("/v1/payment_intents/pi_1");
    let intent = r#"{"id":"pi_1","object":"payment_intent","status":"succeeded","amount":500,"amount_received":500,
        "amount_capturable":0,"currency":"eur"}"#;
    let event = answered(&stripe, &thin, intent).event;
    assert_eq!((event.entity.as_str(), event.event_type.as_str()), ("src/payment/pi_1", "payment_intent.fetched"));
    assert_eq!(event.occurred_at, Some(UnixNanos::parse_rfc3339("2026-09-21T14:13:20Z").unwrap()));
    let meaning = stripe.interpret(&event.event_type, "payment", &event.body).unwrap();
    let kinds: Vec<_> = meaning.facts.iter().map(|f| (f.kind, f.amount)).collect();
    assert_eq!(
        kinds,
        [(FactKind::Requested, Some(500)), (FactKind::Authorized, Some(500)), (FactKind::Captured, Some(500))]
    );
    let refund =
        r#"{"id":"re_1","object":"refund","payment_intent":"pi_1","amount":100,"currency":"eur","status":"failed"}"#;
    let event = answered(&stripe, &thin, refund).event;
    assert_eq!((event.entity.as_str(), event.event_type.as_str()), ("src/payment/pi_1", "refund.fetched"));
    let meter = r#"{"id":"mtr_1","object":"billing.meter","status":"active"}"#;
    let event = answered(&stripe, &thin, meter).event;
    assert_eq!(event.entity.as_str(), "src/billing.meter/mtr_1");
}

#[test]
fn the_evidence_holds_for_this_address_body_and_key() {
    let mollie = Provider::built_in("mollie-classic").unwrap();
    let event = answered(&mollie, "id=tr_1", r#"{"id":"tr_1","status":"open"}"#);
    assert!(!format!("{event:?}{}", event.signature_headers).contains("sk_1"));
    let good = keys(&["sk_1"]);
    assert_eq!(reverify_fetched(&good, &event).as_deref(), Ok(event.key_id.as_str()));
    // An old key may stand behind the new one.
    assert!(reverify_fetched(&keys(&["sk_2", "sk_1"]), &event).is_ok());
    assert_eq!(reverify_fetched(&keys(&["sk_2"]), &event), Err(Cause::UnknownKey));
    let mut elsewhere = event.clone();
    elsewhere.signature_headers = event.signature_headers.replace("tr_1", "tr_2");
    assert_eq!(reverify_fetched(&good, &elsewhere), Err(Cause::Wrong));
    let mut changed = event.clone();
    changed.event.body = event.event.body.iter().map(|b| if *b == b'o' { b'a' } else { *b }).collect::<Vec<_>>().into();
    assert_eq!(reverify_fetched(&good, &changed), Err(Cause::Wrong));
    let mut bare = event;
    bare.signature_headers = String::new();
    assert_eq!(reverify_fetched(&good, &bare), Err(Cause::Missing));
    assert!(ApiKeys::new(Vec::new()).is_err());
}

#[test]
fn errors_name_file_key_and_fix() {
    let good = Provider::built_in_text("mollie-classic").unwrap();
    for (from, to, key) in [
        ("url = \"https://api.mollie.com/", "url = \"http://api.mollie.com/", "`hydrate[0].url`"),
        ("payments/{/id}", "payments/{id}", "`hydrate[0].url`"),
        ("as = \"/payment\"", "as = \"/notification/x\"", "`hydrate[0].as`"),
        ("as = \"/payment\"", "as = \"payment\"", "`hydrate[0].as`"),
        ("as = \"/payment\"", "as = \"/a//b\"", "`hydrate[0].as`"),
        ("header = \"authorization\"", "header = \"Authorization\"", "`hydrate[0].header`"),
        ("prefix = \"Bearer \"", "prefix = \"Bearer\\n\"", "`hydrate[0].prefix`"),
        ("type = [\"=payment.fetched\"]", "type = []", "`hydrate[0].type`"),
        ("type = [\"=payment.fetched\"]", "type = [\"header:x\"]", "`hydrate[0].type`"),
        ("when = { \"/id\" = \"tr_*\" }", "when = { \"id\" = \"tr_*\" }", "`hydrate[0].when`"),
        ("types = [\"classic.notification\"]", "types = []", "`hydrate[0].types`"),
        ("encoding = [\"json\", \"form\"]", "encoding = \"form\"", "`body.encoding`"),
        ("as = \"/payment\"", "colour = \"red\"", "colour"),
    ] {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good, "{from}");
        let error = Provider::parse("shop.toml", &text).expect_err(to).to_string();
        assert!(error.contains("shop.toml") && error.contains(key), "{to}: {error}");
    }
}
