//! I7 bytes are exact: whatever body was verified comes back byte for byte, and the attributes with it.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

use std::collections::BTreeMap;

use bytes::Bytes;
use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::ids::SourceName;
use ledgerline_domain::provider::Provider;
use ledgerline_domain::request::RawRequest;
use ledgerline_domain::signature::{SecretSet, reverify, sign, verify};
use ledgerline_domain::time::UnixNanos;
use proptest::prelude::*;
use serde_json::value::RawValue;

const SECRET: &str = "whsec_for_tests";
const NOW: UnixNanos = UnixNanos::from_nanos(1_790_000_000_123_456_789);

fn sealed(body: &[u8], content_type: &str) -> Vec<Envelope> {
    let stripe = Provider::built_in("stripe").unwrap();
    let secrets = SecretSet::new(stripe.scheme(), [SECRET.to_owned().into()]).unwrap();
    let mut headers = sign(stripe.scheme(), &SECRET.to_owned().into(), "", NOW, body).unwrap();
    headers.push(("content-type".into(), content_type.into()));
    let body = Bytes::copy_from_slice(body);
    let raw = RawRequest { headers: &headers, body: &body, received_at: NOW };
    let verified = verify(stripe.scheme(), &secrets, raw).unwrap();
    let events = stripe.identify(&SourceName::new("src").unwrap(), raw);
    events.into_iter().map(|event| Envelope::seal(&verified, event)).collect()
}

fn round_trip(body: &[u8], content_type: &str) -> Envelope {
    let envelope = sealed(body, content_type).remove(0);
    let text = Bytes::from(envelope.encode());
    let parsed: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(&text).unwrap();
    assert_eq!(parsed["specversion"].get(), "\"1.0\"");
    for attribute in ["id", "source", "type", "subject", "receivedat"] {
        assert!(serde_json::from_str::<String>(parsed[attribute].get()).is_ok(), "{attribute}");
    }
    let again = Envelope::decode(&text).unwrap();
    assert_eq!(again, envelope);
    assert_eq!(again.event.body.as_ref(), body);
    let redriven = again.clone().redriven("2026-11-24T12-00-00Z-redrive-3f2a");
    let text = Bytes::from(redriven.encode());
    assert_eq!(Envelope::decode(&text).unwrap(), redriven);
    assert_eq!(Envelope::decode_without_evidence(&text).unwrap().event, again.event);
    let stripe = Provider::built_in("stripe").unwrap();
    let secrets = SecretSet::new(stripe.scheme(), [SECRET.to_owned().into()]).unwrap();
    assert!(reverify(stripe.scheme(), &secrets, &again).is_some_and(|verdict| verdict.is_ok()));
    again
}

#[test]
fn bodies_of_every_kind_come_back() {
    let event = r#"{"id":"evt_1","type":"charge.succeeded","created":1,"data":{"object":{"id":"ch_1"}}}"#;
    for body in [
        event.to_owned(),
        format!("\n\t  {event}  \r\n"),
        event.replace(':', " :\n "),
        event.replace("ch_1", "ch\\u005f1 \\ud800 é"),
        // The mark of the body's beginning, in a string of an attribute.
        event.replace("evt_1", r#"x,\"data\":{"#),
        event.replace("evt_1", r#"x,"#),
        event.replace("{\"object", "{\"data\":1,\"object"),
        "null".into(),
        " null ".into(),
        "7".into(),
        "\"text\"".into(),
        "not json".into(),
        "{\"a\":1}}".into(),
        String::new(),
        "[".repeat(3000),
        format!("{}{}", "[".repeat(3000), "]".repeat(3000)),
        r#"{"id":"a","id":"b","type":"x","created":1e999}"#.into(),
        format!(r#"{{"id":"a","type":"x","created":1,"n":{}}}"#, "9".repeat(5000)),
    ] {
        round_trip(body.as_bytes(), "application/json");
    }
    round_trip(&[0xff, 0xfe, 0, 1, 2], "");
    round_trip("\u{feff}{}".as_bytes(), "text/plain; charset=\"utf-8\"");
}

#[test]
fn debug_shows_no_body_and_no_signature() {
    let envelope = round_trip(br#"{"id":"evt_1","type":"t","created":1,"email":"someone@example.org"}"#, "");
    let shown = format!("{envelope:?}");
    assert!(!shown.contains("someone") && !shown.contains("v1="), "{shown}");
}

#[test]
fn a_newer_envelope_is_refused_with_the_fix() {
    let envelope = round_trip(b"{}", "");
    let newer = String::from_utf8(envelope.encode())
        .unwrap()
        .replace("\"ledgerlineversion\":\"1\"", "\"ledgerlineversion\":\"2\"");
    let message = Envelope::decode(&Bytes::from(newer)).unwrap_err().to_string();
    assert!(message.contains("version 2") && message.contains("newer"), "{message}");
}

proptest! {
    #[test]
    fn any_bytes_come_back(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        round_trip(&body, "application/octet-stream");
    }

    #[test]
    fn any_text_of_an_id_comes_back(id in "\\PC{1,40}", body_space in "[ \t\r\n]{0,4}") {
        let id = serde_json::to_string(&id).unwrap();
        round_trip(format!(r#"{body_space}{{"id":{id},"type":"a.b","created":5,"data":{{"object":{{"id":{id}}}}}}}{body_space}"#).as_bytes(), "");
    }
}
