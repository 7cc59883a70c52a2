//! What is counted, by a recorder of the test's own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use ledgerline_ingest::Settings;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

use crate::support::*;

/// Counts and remembers every handle by its full name.
#[derive(Default)]
struct Book(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Book {
    fn cell(&self, key: &Key) -> Arc<AtomicU64> {
        let labels: Vec<_> = key.labels().map(|l| format!("{}={}", l.key(), l.value())).collect();
        let name = format!("{}{{{}}}", key.name(), labels.join(","));
        self.0.lock().unwrap().entry(name).or_default().clone()
    }

    /// Everything that is not 0.
    fn counts(&self) -> Vec<(String, u64)> {
        let book = self.0.lock().unwrap();
        book.iter().map(|(n, v)| (n.clone(), v.load(Ordering::SeqCst))).filter(|(_, v)| *v > 0).collect()
    }
}

impl Recorder for Book {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.cell(key))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.cell(key))
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test]
async fn requests_are_counted_by_source_and_cause_and_strangers_get_no_label() {
    let book = Book::default();
    // The handles are made when the door is, so the recorder is needed only then.
    let guard = metrics::set_default_local_recorder(&book);
    let door = serve(Settings { body_bytes_max: 4096, ..Settings::default() }).await;
    drop(guard);

    door.ask(signed("stripe-eu", EVENT)).await;
    door.ask(signed("stripe-eu", "not json")).await;
    door.ask(signed("shop", r#"{"events":[{"uid":"a","kind":"x","order":"1"},{"uid":"b","kind":"x","order":"2"}]}"#))
        .await;
    door.ask(post("stripe-eu", "", b"{}")).await;
    door.ask(post("stripe-eu", &signature("stripe-eu", b"{}", NOW - 999), b"{}")).await;
    door.ask(post("stripe-eu", &signature("stripe-eu", b"{}", NOW + 999), b"{}")).await;
    door.ask(post("stripe-eu", &signature("stripe-eu", b"{ }", NOW), b"{}")).await;
    door.ask(post("stripe-eu", "stripe-signature: t\r\n", b"{}")).await;
    door.ask(signed("stripe-eu", "x".repeat(5000))).await;
    for stranger in ["evil", "other"] {
        door.ask(post(stranger, "", b"{}")).await;
    }
    for _ in 0..3 {
        door.ask(signed("limited", EVENT)).await;
    }
    door.log.set(Mood::Full);
    door.ask(signed("shop", r#"{"events":[]}"#)).await;
    // A caller that leaves while its event is written: the event is durable all the same.
    door.log.set(Mood::Slow);
    let begun = door.log.begun.load(Ordering::SeqCst);
    let mut client = door.connect().await;
    client.send(signed("shop", r#"{"events":[{"uid":"c","kind":"x","order":"1"}]}"#)).await;
    door.begun(begun + 1).await;
    door.ask("GET /metrics HTTP/1.1\r\nhost: t\r\n\r\n").await;
    let in_flight = book.counts().into_iter().find(|(name, _)| name == "ledgerline_ingest_in_flight{}").unwrap();
    assert_eq!(f64::from_bits(in_flight.1), 1.0);
    drop(client);
    door.log.release(1);
    until(async || door.log.envelopes().iter().flatten().any(|e| e.event.id == "c")).await;
    let mut client = door.connect().await;
    client.send("POST /webhooks/shop HTTP/1.1\r\nhost: t\r\ncontent-length: 9\r\n\r\nhalf").await;
    drop(client);
    let gone = "ledgerline_ingest_requests_total{source=shop,outcome=abandoned}";
    until(async || book.counts().iter().any(|(name, _)| name == gone)).await;
    let accepted = "ledgerline_ingest_requests_total{source=shop,outcome=accepted}";
    until(async || book.counts().iter().any(|(name, count)| name == accepted && *count == 2)).await;
    door.ask("GET /metrics HTTP/1.1\r\nhost: t\r\n\r\n").await;

    let counts: Vec<_> = book.counts().into_iter().map(|(n, v)| format!("{n} {v}")).collect();
    assert_eq!(
        counts,
        [
            "ledgerline_ingest_events_total{source=limited} 2",
            "ledgerline_ingest_events_total{source=shop} 3",
            "ledgerline_ingest_events_total{source=stripe-eu} 2",
            "ledgerline_ingest_rejected_total{source=stripe-eu,cause=in_future} 1",
            "ledgerline_ingest_rejected_total{source=stripe-eu,cause=malformed} 1",
            "ledgerline_ingest_rejected_total{source=stripe-eu,cause=missing} 1",
            "ledgerline_ingest_rejected_total{source=stripe-eu,cause=too_old} 1",
            "ledgerline_ingest_rejected_total{source=stripe-eu,cause=wrong} 1",
            "ledgerline_ingest_requests_total{source=-,outcome=unknown_source} 2",
            "ledgerline_ingest_requests_total{source=limited,outcome=accepted} 2",
            "ledgerline_ingest_requests_total{source=limited,outcome=rate_limited} 1",
            "ledgerline_ingest_requests_total{source=shop,outcome=abandoned} 1",
            "ledgerline_ingest_requests_total{source=shop,outcome=accepted} 2",
            "ledgerline_ingest_requests_total{source=shop,outcome=unavailable} 1",
            "ledgerline_ingest_requests_total{source=stripe-eu,outcome=accepted} 1",
            "ledgerline_ingest_requests_total{source=stripe-eu,outcome=rejected} 5",
            "ledgerline_ingest_requests_total{source=stripe-eu,outcome=too_large} 1",
            "ledgerline_ingest_requests_total{source=stripe-eu,outcome=unreadable} 1",
        ]
    );
}
