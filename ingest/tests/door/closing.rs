//! The end of the service: what has begun finishes, nothing new begins, and not for ever.

use std::time::Duration;

use ledgerline_ingest::Settings;
use tokio::net::TcpStream;

use crate::support::*;

#[tokio::test]
async fn a_shutdown_waits_for_what_has_begun() {
    let mut door = serve(Settings::default()).await;
    door.log.set(Mood::Slow);
    let mut idle = door.connect().await;
    let mut client = door.connect().await;
    client.send(signed("stripe-eu", EVENT)).await;
    let mut gone = door.connect().await;
    gone.send(signed("stripe-eu", EVENT)).await;
    door.begun(2).await;
    // Its caller has left; only the count of requests inside knows about this append.
    drop(gone);
    tokio::time::sleep(Duration::from_millis(50)).await;

    door.stop();
    assert!(idle.reply().await.is_none(), "an idle connection is closed at once");
    let address = door.address;
    until(async || TcpStream::connect(address).await.is_err()).await;
    assert!(door.log.envelopes().is_empty());

    let log = door.log.clone();
    log.release(1);
    log.release(1);
    assert_eq!(client.reply().await.unwrap().status, 200);
    in_time(door.ended()).await.unwrap();
    assert_eq!(log.envelopes().len(), 2);
}

#[tokio::test]
async fn while_closing_new_requests_are_turned_away_and_readyz_says_so() {
    let mut door = serve(Settings::default()).await;
    door.log.set(Mood::Slow);
    let mut client = door.connect().await;
    client.send(signed("stripe-eu", EVENT)).await;
    door.begun(1).await;
    // Heads that are half sent when the shutdown begins.
    let (mut late, mut probe) = (door.connect().await, door.connect().await);
    let request = signed("stripe-eu", EVENT);
    late.send(&request[..20]).await;
    probe.send("GET /readyz HTTP/1.1\r\n").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    door.stop();
    let address = door.address;
    until(async || TcpStream::connect(address).await.is_err()).await;

    late.send(&request[20..]).await;
    let reply = late.reply().await.unwrap();
    assert_eq!((reply.status, reply.body.as_str()), (503, r#"{"error":"shutting down"}"#));
    assert_eq!((reply.header("retry-after"), reply.header("connection")), (Some("5"), Some("close")));
    probe.send("host: t\r\n\r\n").await;
    let reply = probe.reply().await.unwrap();
    assert_eq!((reply.status, reply.body.as_str()), (503, r#"{"ready":false,"reasons":["shutting down"]}"#));

    door.log.release(1);
    assert_eq!(client.reply().await.unwrap().status, 200);
    in_time(door.ended()).await.unwrap();
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_ever() {
    let mut door = serve(Settings { drain_timeout: Duration::from_millis(50), ..Settings::default() }).await;
    door.log.set(Mood::Slow);
    let mut client = door.connect().await;
    client.send(signed("stripe-eu", EVENT)).await;
    door.begun(1).await;
    door.stop();
    let log = door.log.clone();
    let error = in_time(door.ended()).await.unwrap_err().to_string();
    assert!(error.contains("1 requests") && error.contains("none of them was acknowledged"), "{error}");
    assert!(client.reply().await.is_none(), "no answer: not acknowledged");
    // The append itself was not torn.
    log.release(1);
    until(async || log.envelopes().len() == 1).await;
}

#[tokio::test]
async fn a_head_that_never_ends_does_not_fail_the_shutdown() {
    let mut door = serve(Settings { drain_timeout: Duration::from_millis(50), ..Settings::default() }).await;
    let mut client = door.connect().await;
    client.send("POST /webhooks/").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    door.stop();
    in_time(door.ended()).await.unwrap();
    assert!(client.reply().await.is_none());
}
