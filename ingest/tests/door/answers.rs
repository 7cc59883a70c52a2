//! Every row of the table of answers, and what each left in the log.

use std::time::Duration;

use ledgerline_domain::envelope::{REQUEST_KIND, UNREADABLE_KIND};
use ledgerline_domain::ports::Secrets as _;
use ledgerline_domain::signature::reverify;
use ledgerline_ingest::Settings;
use tokio::io::AsyncWriteExt as _;

use crate::support::*;

#[tokio::test]
async fn a_genuine_event_is_durable_before_its_answer() {
    let door = serve(Settings::default()).await;
    let request = post(
        "stripe-eu",
        &format!("content-type: application/json\r\n{}", signature("stripe-eu", EVENT.as_bytes(), NOW)),
        EVENT.as_bytes(),
    );
    let reply = door.ask(&request).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, r#"{"accepted":1}"#));
    assert_eq!(reply.header("content-type"), Some("application/json"));

    let envelopes = door.log.envelopes();
    let envelope = &envelopes[0][0];
    assert_eq!(envelope.event.entity.as_str(), "stripe-eu/payment/pi_1");
    assert_eq!((envelope.event.id.as_str(), envelope.event.body.as_ref()), ("evt_1", EVENT.as_bytes()));
    assert_eq!((envelope.received_at.seconds(), envelope.content_type.as_str()), (NOW, "application/json"));
    // I7: what is stored proves itself.
    let scheme = sources()[0].scheme.clone();
    let secrets = door.secrets.secrets("stripe-eu").unwrap();
    assert!(reverify(&scheme, &secrets, envelope).unwrap().is_ok());

    // A duplicate is answered like the first, on the same connection too.
    let mut client = door.connect().await;
    for _ in 0..3 {
        client.send(&request).await;
        assert_eq!(client.reply().await.unwrap().status, 200);
    }
    assert_eq!(door.log.envelopes().len(), 4);
}

#[tokio::test]
async fn a_request_of_many_events_is_one_append() {
    let door = serve(Settings::default()).await;
    let body = r#"{"events":[{"uid":"a","kind":"x","order":"1"},{"uid":"b","kind":"x","order":"2"}]}"#;
    let reply = door.ask(signed("shop", body)).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, r#"{"accepted":2}"#));
    let envelopes = door.log.envelopes();
    let kinds: Vec<_> = envelopes[0].iter().map(|e| e.event.entity.kind().to_owned()).collect();
    assert_eq!((envelopes.len(), kinds), (1, vec!["order".into(), "order".into(), REQUEST_KIND.to_owned()]));

    // One unreadable item does not hold up its siblings.
    let reply = door.ask(signed("shop", r#"{"events":[{"uid":"c","kind":"x","order":"1"},{"kind":"x"}]}"#)).await;
    assert_eq!((reply.status, reply.body.as_str()), (202, r#"{"accepted":2}"#));
    assert_eq!(door.log.envelopes()[1].len(), 3);
}

#[tokio::test]
async fn what_is_genuine_and_unreadable_is_kept() {
    let door = serve(Settings::default()).await;
    let deep = "[".repeat(100_000);
    let bodies: [&[u8]; 8] = [
        b"",
        b"not json",
        b"{}",
        b"null",
        b"\xff\xfe\x00",
        deep.as_bytes(),
        br#"{"id":"evt_1","type":"x","created":1e999}"#,
        br#"{"id":12345678901234567890123456789012345678901234567890,"type":"x"}"#,
    ];
    for body in bodies {
        let reply = door.ask(signed("stripe-eu", body)).await;
        assert_eq!((reply.status, reply.body.as_str()), (202, r#"{"accepted":1}"#), "{:?}", body.get(..40));
        let envelopes = door.log.envelopes();
        let event = &envelopes.last().unwrap()[0].event;
        assert_eq!((event.entity.kind(), event.body.as_ref()), (UNREADABLE_KIND, body));
        assert!(event.unreadable.is_some());
    }
}

#[tokio::test]
async fn every_refused_signature_reads_alike_and_leaves_nothing() {
    let door = serve(Settings::default()).await;
    let body = EVENT.as_bytes();
    let genuine = signature("stripe-eu", body, NOW);
    for (what, headers) in [
        ("missing", String::new()),
        ("empty", "stripe-signature:\r\n".to_owned()),
        ("malformed", "stripe-signature: potato\r\n".to_owned()),
        ("not text", "stripe-signature: t=1,v1=\u{e9}\r\n".to_owned()),
        ("of another body", signature("stripe-eu", b"{}", NOW)),
        ("of another scheme", signature("shop", body, NOW)),
        ("too old", signature("stripe-eu", body, NOW - 301)),
        ("from the future", signature("stripe-eu", body, NOW + 301)),
        ("changed", genuine.replace("v1=", "v1=00")),
        ("renamed", genuine.replace("stripe-signature", "stripe-signatures")),
    ] {
        let reply = door.ask(post("stripe-eu", &headers, body)).await;
        let expected = (401, r#"{"error":"the signature was not accepted"}"#);
        assert_eq!((reply.status, reply.body.as_str()), expected, "{what}");
    }
    assert!(door.log.envelopes().is_empty());
    // Within the tolerance, both ways.
    for seconds in [NOW - 300, NOW + 300] {
        assert_eq!(door.ask(post("stripe-eu", &signature("stripe-eu", body, seconds), body)).await.status, 200);
    }
}

#[tokio::test]
async fn wrong_addresses_and_methods() {
    let door = serve(Settings::default()).await;
    for path in ["/webhooks/nobody", "/webhooks/Stripe-eu", "/webhooks/stripe%2Deu"] {
        let reply = door.ask(format!("POST {path} HTTP/1.1\r\nhost: t\r\ncontent-length: 0\r\n\r\n")).await;
        assert_eq!((reply.status, reply.body.as_str()), (404, r#"{"error":"unknown source"}"#), "{path}");
    }
    for path in ["/", "/webhooks", "/webhooks/", "/webhooks/stripe-eu/", "/webhooks/a/b", "/metricsx"] {
        let reply = door.ask(format!("POST {path} HTTP/1.1\r\nhost: t\r\ncontent-length: 0\r\n\r\n")).await;
        assert_eq!((reply.status, reply.body.as_str()), (404, r#"{"error":"not found"}"#), "{path}");
    }
    for (method, path, allow) in [
        ("GET", "/webhooks/stripe-eu", "post"),
        ("PUT", "/webhooks/stripe-eu", "post"),
        ("DELETE", "/webhooks/nobody", "post"),
        ("POST", "/healthz", "get,head"),
        ("POST", "/readyz", "get,head"),
        ("POST", "/metrics", "get,head"),
    ] {
        let reply = door.ask(format!("{method} {path} HTTP/1.1\r\nhost: t\r\ncontent-length: 0\r\n\r\n")).await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some(allow)), "{method} {path}");
        assert_eq!(reply.body, r#"{"error":"method not allowed"}"#);
    }
}

#[tokio::test]
async fn a_log_that_cannot_take_it_says_when_to_come_again() {
    let door = serve(Settings::default()).await;
    for mood in [Mood::Full, Mood::Broken] {
        door.log.set(mood);
        let reply = door.ask(signed("stripe-eu", EVENT)).await;
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("5")), "{mood:?}");
        assert_eq!(reply.body, r#"{"error":"the log cannot take the event now"}"#);
    }
    door.log.set(Mood::Well);
    assert_eq!(door.ask(signed("stripe-eu", EVENT)).await.status, 200);
    assert_eq!(door.log.envelopes().len(), 1);
    // Secrets that went away are our fault, not the caller's.
    door.secrets.0.lock().unwrap().clear();
    assert_eq!(door.ask(signed("stripe-eu", EVENT)).await.status, 503);
}

#[tokio::test]
async fn a_rate_limit_counts_genuine_requests_only() {
    let door = serve(Settings::default()).await;
    for _ in 0..20 {
        assert_eq!(door.ask(post("limited", "", b"{}")).await.status, 401);
    }
    let mut answers = Vec::new();
    for _ in 0..10 {
        answers.push(door.ask(signed("limited", EVENT)).await);
    }
    assert_eq!(answers[..2].iter().map(|r| r.status).collect::<Vec<_>>(), [200, 200], "the burst");
    let last = answers.last().unwrap();
    assert_eq!((last.status, last.header("retry-after")), (429, Some("1")));
    assert_eq!(last.body, r#"{"error":"too many requests for this source"}"#);
    assert_eq!(door.ask(signed("stripe-eu", EVENT)).await.status, 200, "other sources are not limited");
}

#[tokio::test]
async fn probes() {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n");
    let door = serve(Settings::default()).await;
    let health = door.ask(get("/healthz")).await;
    assert_eq!((health.status, health.body.as_str()), (200, r#"{"status":"up"}"#));
    let ready = door.ask(get("/readyz")).await;
    assert_eq!((ready.status, ready.body.as_str()), (200, r#"{"ready":true}"#));
    let metrics = door.ask(get("/metrics")).await;
    assert_eq!((metrics.status, metrics.body.as_str()), (200, "# metrics\n"));
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));

    let ill = serve_with(Settings::default(), Err("the log's disk is \"full\"".into())).await;
    let ready = ill.ask(get("/readyz")).await;
    let body = r#"{"ready":false,"reasons":["the log's disk is \"full\""]}"#;
    assert_eq!((ready.status, ready.body.as_str()), (503, body));
    assert_eq!(ill.ask(get("/healthz")).await.status, 200);
}

#[tokio::test]
async fn a_long_content_type_does_not_swell_the_envelope() {
    let door = serve(Settings::default()).await;
    let headers = format!("content-type: {}\r\n{}", "x".repeat(10_000), signature("stripe-eu", EVENT.as_bytes(), NOW));
    assert_eq!(door.ask(post("stripe-eu", &headers, EVENT.as_bytes())).await.status, 200);
    assert_eq!(door.log.envelopes()[0][0].content_type, "");
}

#[tokio::test]
async fn who_closes_its_side_behind_its_request_still_gets_the_answer() {
    let door = serve(Settings::default()).await;
    door.log.set(Mood::Slow);
    let mut client = door.connect().await;
    client.send(signed("stripe-eu", EVENT)).await;
    door.begun(1).await;
    client.0.shutdown().await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    door.log.release(1);
    assert_eq!(client.reply().await.unwrap().status, 200);
    assert!(client.reply().await.is_none(), "and then the connection ends");
}
