//! Bounds of size, time and number, and callers that leave half-way.

use std::time::Duration;

use ledgerline_domain::ErrorKind;
use ledgerline_ingest::Settings;

use crate::support::*;

fn small() -> Settings {
    Settings { body_bytes_max: 4096, ..Settings::default() }
}

/// A genuine event of exactly so many bytes.
fn event_of(bytes: usize) -> String {
    let event = EVENT.replace("\"pi_1\"", "\"pi_1\",\"pad\":\"\"");
    event.replace("\"pad\":\"\"", &format!("\"pad\":\"{}\"", "x".repeat(bytes - event.len())))
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_however_it_comes() {
    let door = serve(small()).await;
    assert_eq!(door.ask(signed("stripe-eu", event_of(4096))).await.status, 200);

    let over = event_of(4097);
    let reply = door.ask(signed("stripe-eu", over.clone())).await;
    assert_eq!((reply.status, reply.body.as_str()), (413, r#"{"error":"the body is too large"}"#));

    // Announced: answered before the body is there.
    let head =
        "POST /webhooks/stripe-eu HTTP/1.1\r\nhost: t\r\ncontent-length: 99999999\r\nexpect: 100-continue\r\n\r\n";
    assert_eq!(door.ask(head).await.status, 413);

    // Not announced: in chunks.
    let mut client = door.connect().await;
    let signature = signature("stripe-eu", over.as_bytes(), NOW);
    client
        .send(format!("POST /webhooks/stripe-eu HTTP/1.1\r\nhost: t\r\n{signature}transfer-encoding: chunked\r\n\r\n"))
        .await;
    for chunk in over.as_bytes().chunks(1000) {
        client.send(format!("{:x}\r\n{}\r\n", chunk.len(), std::str::from_utf8(chunk).unwrap())).await;
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(client.reply().await.unwrap().status, 413);
    assert_eq!(door.log.envelopes().len(), 1);
}

#[tokio::test]
async fn a_body_in_many_pieces_is_put_together() {
    let door = serve(Settings::default()).await;
    let body = event_of(50_000);
    let mut client = door.connect().await;
    for piece in signed("stripe-eu", body.clone()).chunks(7_001) {
        client.send(piece).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(client.reply().await.unwrap().status, 200);
    assert_eq!(door.log.envelopes()[0][0].event.body, body.as_bytes());

    let signature = signature("stripe-eu", EVENT.as_bytes(), NOW);
    let (one, two) = EVENT.split_at(10);
    let mut client = door.connect().await;
    client
        .send(format!("POST /webhooks/stripe-eu HTTP/1.1\r\nhost: t\r\n{signature}transfer-encoding: chunked\r\n\r\n"))
        .await;
    client.send(format!("{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n", one.len(), two.len())).await;
    assert_eq!(client.reply().await.unwrap().status, 200);
    assert_eq!(door.log.envelopes()[1][0].event.body, EVENT.as_bytes());
}

#[tokio::test]
async fn slow_bodies_and_heads_are_cut_off() {
    let short = Duration::from_millis(50);
    let door = serve(Settings { body_read_timeout: short, ..small() }).await;
    let reply = door.ask("POST /webhooks/stripe-eu HTTP/1.1\r\nhost: t\r\ncontent-length: 10\r\n\r\n{").await;
    assert_eq!((reply.status, reply.header("connection")), (408, Some("close")));

    let door = serve(Settings { head_read_timeout: short, ..small() }).await;
    let mut client = door.connect().await;
    client.send("POST /webhooks/str").await;
    assert!(client.reply().await.is_none(), "the connection was closed");
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_nothing() {
    let door = serve(Settings::default()).await;
    let mut client = door.connect().await;
    let request = signed("stripe-eu", EVENT);
    client.send(&request[..request.len() - 1]).await;
    drop(client);
    assert_eq!(
        door.ask("POST /webhooks/stripe-eu HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n")
            .await
            .status,
        400
    );
    assert!(door.log.envelopes().is_empty());
}

#[tokio::test]
async fn a_caller_that_hangs_up_does_not_stop_its_append() {
    let door = serve(Settings::default()).await;
    door.log.set(Mood::Slow);
    let mut client = door.connect().await;
    client.send(signed("stripe-eu", EVENT)).await;
    door.begun(1).await;
    drop(client);
    // Long enough for the server to notice.
    tokio::time::sleep(Duration::from_millis(50)).await;
    door.log.release(1);
    until(async || door.log.envelopes().len() == 1).await;
}

#[tokio::test]
async fn a_slow_log_is_503_and_the_append_still_ends() {
    let door = serve(Settings { append_timeout: Duration::from_millis(50), ..small() }).await;
    door.log.set(Mood::Slow);
    let reply = door.ask(signed("stripe-eu", EVENT)).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("5")));
    assert!(door.log.envelopes().is_empty());
    door.log.release(1);
    until(async || door.log.envelopes().len() == 1).await;
}

#[tokio::test]
async fn requests_past_the_limit_are_503_and_those_inside_are_kept() {
    let door = serve(Settings { in_flight_max: 2, ..small() }).await;
    door.log.set(Mood::Slow);
    let (mut one, mut two) = (door.connect().await, door.connect().await);
    one.send(signed("stripe-eu", EVENT)).await;
    two.send(signed("stripe-eu", EVENT)).await;
    door.begun(2).await;
    for _ in 0..5 {
        let reply = door.ask(signed("stripe-eu", EVENT)).await;
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("5")));
        assert_eq!(reply.body, r#"{"error":"too many requests in flight"}"#);
    }
    // A caller that leaves does not free its place: its append is still held.
    drop(one);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(door.ask(signed("stripe-eu", EVENT)).await.status, 503);
    door.log.set(Mood::Well);
    door.log.release(2);
    assert_eq!(two.reply().await.unwrap().status, 200);
    until(async || door.ask(signed("stripe-eu", EVENT)).await.status == 200).await;
}

#[tokio::test]
async fn bytes_past_the_limit_are_503() {
    let door = serve(Settings { body_bytes_max: 4096, in_flight_bytes_max: 6000, ..Settings::default() }).await;
    door.log.set(Mood::Slow);
    let mut one = door.connect().await;
    one.send(signed("stripe-eu", event_of(4000))).await;
    door.begun(1).await;
    assert_eq!(door.ask(signed("stripe-eu", event_of(4000))).await.status, 503);
    door.log.release(1);
    assert_eq!(one.reply().await.unwrap().status, 200);
    door.log.set(Mood::Well);
    assert_eq!(door.ask(signed("stripe-eu", event_of(4000))).await.status, 200);
}

#[tokio::test]
async fn connections_past_the_limit_wait() {
    let door = serve(Settings { connections_max: 1, ..small() }).await;
    let mut first = door.connect().await;
    first.send(signed("stripe-eu", EVENT)).await;
    assert_eq!(first.reply().await.unwrap().status, 200);
    let mut second = door.connect().await;
    second.send(signed("stripe-eu", EVENT)).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(door.log.envelopes().len(), 1);
    drop(first);
    assert_eq!(second.reply().await.unwrap().status, 200);
}

#[tokio::test]
async fn a_door_that_cannot_work_does_not_open() {
    let log = serve(Settings::default()).await.log;
    let open = |settings: Settings, sources, secrets: TestSecrets| {
        TestDoor::new(settings, sources, log.clone(), secrets.into(), FixedClock.into(), hooks(Ok(())))
    };
    let twice = || sources().into_iter().chain(sources()).collect::<Vec<_>>();
    let none = TestSecrets(Vec::new().into());
    let large = Settings { body_bytes_max: 4096, record_bytes_max: 4096, ..Settings::default() };
    for (door, words) in [
        (open(Settings::default(), twice(), secrets()), "configured twice"),
        (open(Settings::default(), sources(), none), "no secrets"),
        (open(large, sources(), secrets()), "body_bytes_max"),
    ] {
        let error = door.err().unwrap();
        assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains(words), "{error}");
    }
}
