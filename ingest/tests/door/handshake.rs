//! Braintree's challenge: answered for its sources alone, and useless for anything else.

use bytes::Bytes;
use ledgerline_domain::signature::sign_request;
use ledgerline_domain::time::UnixNanos;
use ledgerline_ingest::Settings;

use crate::support::*;

const CHALLENGE: &str = "20f9f8ed05f77439fe955c977e4c8a53";

#[tokio::test]
async fn a_challenge_is_answered_for_braintree_alone() {
    let door = serve(Settings::default()).await;
    let get = |path: String| format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n");
    let reply = door.ask(get(format!("/webhooks/braintree?bt_challenge={CHALLENGE}"))).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("text/plain"));
    // Frozen in Braintree's own libraries.
    assert_eq!(reply.body, "integration_public_key|d9b899556c966b3f06945ec21311865d35df3ce4");

    for (path, status) in [
        (format!("/webhooks/braintree?x=1&bt_challenge={CHALLENGE}"), 200),
        ("/webhooks/braintree".to_owned(), 401),
        ("/webhooks/braintree?bt_challenge=".to_owned(), 401),
        (format!("/webhooks/braintree?bt_challenge={}", CHALLENGE.to_uppercase()), 401),
        (format!("/webhooks/braintree?bt_challenge={CHALLENGE}%0A"), 401),
        (format!("/webhooks/braintree?bt_challenge={CHALLENGE}&bt_challenge={CHALLENGE}"), 401),
        ("/webhooks/braintree?bt_challenge=PG5vdGlmaWNhdGlvbi8%2B".to_owned(), 401),
        (format!("/webhooks/stripe-eu?bt_challenge={CHALLENGE}"), 405),
        (format!("/webhooks/nowhere?bt_challenge={CHALLENGE}"), 405),
    ] {
        assert_eq!(door.ask(get(path.clone())).await.status, status, "{path}");
    }
    assert!(door.log.envelopes().is_empty());
}

#[tokio::test]
async fn what_was_signed_on_demand_is_no_notification() {
    let door = serve(Settings::default()).await;
    let form = |signature: &str, payload: &str| {
        let body = format!("bt_signature={}&bt_payload={payload}", signature.replace('|', "%7C"));
        post("braintree", "content-type: application/x-www-form-urlencoded\r\n", body.as_bytes())
    };
    let reply = door.ask(format!("GET /webhooks/braintree?bt_challenge={CHALLENGE} HTTP/1.1\r\nhost: t\r\n\r\n")).await;
    for payload in [CHALLENGE.to_owned(), format!("{CHALLENGE}%0A")] {
        assert_eq!(door.ask(form(&reply.body, &payload)).await.status, 401);
    }
    // A genuine one is taken (and parked: this provider file reads no form).
    let scheme = sources()[3].scheme.clone();
    let at = UnixNanos::from_seconds(NOW).unwrap();
    let signed = sign_request(&scheme, &BRAINTREE_SECRET.into(), "", at, &Bytes::from_static(b"<x/>")).unwrap();
    let reply = door.ask(post("braintree", "", &signed.body)).await;
    assert_eq!((reply.status, door.log.envelopes().len()), (202, 1));
}
