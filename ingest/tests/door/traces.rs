//! What the door tells of requests, however they end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ledgerline_domain::time::UnixNanos;
use ledgerline_domain::trace::{Answered, Entry, Sampling, Span, SpanId, SpanSink, Step, TraceId, Traces};
use ledgerline_ingest::Settings;

use crate::support::*;

/// Keeps what it is told.
#[derive(Default)]
struct Kept(Mutex<Vec<Span>>, AtomicU64);

impl SpanSink for Kept {
    fn take(&self, span: Span) {
        self.0.lock().unwrap().push(span);
    }

    fn random(&self) -> u128 {
        (u128::from(self.1.fetch_add(1, Ordering::SeqCst)) + 1) << 70 | 7
    }

    fn dropped(&self, _: u64) {}
}

impl Kept {
    fn spans(&self) -> Vec<Span> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

async fn traced(settings: Settings) -> (Running, Arc<Kept>) {
    let kept = Arc::new(Kept::default());
    (serve_traced(settings, Traces::new(Sampling::ALL, kept.clone())).await, kept)
}

/// The answers told, with their traces.
fn answers(spans: &[Span]) -> Vec<(TraceId, Answered)> {
    let answer = |span: &Span| match &span.step {
        Step::Receive(answered) => Some((span.trace, answered.clone())),
        _ => None,
    };
    spans.iter().filter_map(answer).collect()
}

#[tokio::test]
async fn each_event_of_a_request_has_the_request_in_its_trace_and_a_link_to_the_whole() {
    let (door, kept) = traced(Settings::default()).await;
    let body = r#"{"events":[{"uid":"a","kind":"x","order":"1"},{"uid":"b","kind":"x","order":"2"}]}"#;
    assert_eq!(door.ask(signed("shop", body)).await.status, 200);
    let spans = kept.spans();
    let envelopes = door.log.envelopes().remove(0);
    assert_eq!(spans.len(), 9, "answer, verdict and append for two events and the original");
    let whole = TraceId::of_event("shop", envelopes[2].event.id.as_str());
    for envelope in &envelopes {
        let trace = TraceId::of_event("shop", envelope.event.id.as_str());
        let own: Vec<_> = spans.iter().filter(|span| span.trace == trace).collect();
        let span = SpanId::of_delivery(trace, UnixNanos::from_seconds(NOW).unwrap());
        assert_eq!((own.len(), own[0].id, own[0].parent), (3, Some(span), None));
        assert!(own[1..].iter().all(|child| child.parent == Some(span)));
        assert!(matches!(own[2].step, Step::Append(3, Some(true))));
        let links: Vec<_> = own[0].links.iter().map(|link| (link.trace, link.entry)).collect();
        assert_eq!(links, if trace == whole { vec![] } else { vec![(whole, Entry::Request)] });
        let delivery = own[0].delivery.as_ref().unwrap();
        assert_eq!((&*delivery.source, &delivery.id), ("shop", &envelope.event.id));
    }
    assert!(answers(&spans).iter().all(|(_, answered)| (answered.events, answered.status) == (2, Some(200))));
}

#[tokio::test]
async fn what_a_caller_says_of_its_trace_is_a_link_and_no_more() {
    let (door, kept) = traced(Settings::default()).await;
    let said = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00\r\n";
    for (headers, status, links) in [
        (format!("{said}{}", signature("stripe-eu", EVENT.as_bytes(), NOW)), 200, 1),
        (said.to_owned(), 401, 1),
        (signature("stripe-eu", EVENT.as_bytes(), NOW).replace("stripe-", "traceparent: 00-no\r\nstripe-"), 200, 0),
    ] {
        assert_eq!(door.ask(post("stripe-eu", &headers, EVENT.as_bytes())).await.status, status);
        let spans = kept.spans();
        assert_eq!(spans[0].links.len(), links);
        assert!(spans[0].links.iter().all(|link| link.entry == Entry::Caller && !link.is_told));
        assert_ne!(spans[0].trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(spans[0].parent.is_none());
    }
}

#[tokio::test]
async fn an_attempt_that_failed_is_in_the_trace_of_the_event_that_comes_again() {
    let (door, kept) = traced(Settings::default()).await;
    for (mood, status, outcome, cause, durable) in [
        (Mood::Full, 503, "unavailable", Some("log_away"), Some(false)),
        (Mood::Well, 200, "accepted", None, Some(true)),
    ] {
        door.log.set(mood);
        assert_eq!(door.ask(signed("stripe-eu", EVENT)).await.status, status);
        let spans = kept.spans();
        let [(trace, answered)] = &answers(&spans)[..] else { panic!("{spans:?}") };
        assert_eq!(*trace, TraceId::of_event("stripe-eu", "evt_1"));
        assert_eq!((answered.outcome, answered.cause, answered.status), (outcome, cause, Some(status)));
        assert!(spans.iter().any(|span| matches!(span.step, Step::Append(1, is_durable) if is_durable == durable)));
    }
}

#[tokio::test]
async fn a_request_that_the_shutdown_cut_off_is_told_of_too() {
    let settings = Settings { drain_timeout: Duration::from_millis(20), ..Settings::default() };
    let (mut door, kept) = traced(settings).await;
    door.log.set(Mood::Slow);
    let mut client = door.connect().await;
    client.send(signed("stripe-eu", EVENT)).await;
    door.begun(1).await;
    door.stop();
    assert!(door.ended().await.is_err());
    let spans = kept.spans();
    let (trace, answered) = answers(&spans).remove(0);
    assert_eq!(trace, TraceId::of_event("stripe-eu", "evt_1"));
    assert_eq!((answered.outcome, answered.status), ("abandoned", None));
    assert!(spans.iter().any(|span| matches!(span.step, Step::Append(1, None))), "nobody waited");
}

#[tokio::test]
async fn what_ends_before_there_are_events_has_a_trace_that_is_nobodys() {
    let settings = Settings { body_read_timeout: Duration::from_millis(50), ..Settings::default() };
    let (door, kept) = traced(settings).await;
    let large = vec![b' '; Settings::default().body_bytes_max + 1];
    let half = "POST /webhooks/stripe-eu HTTP/1.1\r\nhost: t\r\ncontent-length: 9\r\n\r\nhalf";
    let limited = signed("limited", EVENT);
    for (request, status, outcome, cause) in [
        (post("nobody", "", b"{}"), 404, "unknown_source", None),
        (post("stripe-eu", "", &large), 413, "too_large", None),
        (half.into(), 408, "too_slow", None),
        (post("stripe-eu", "", EVENT.as_bytes()), 401, "rejected", Some("missing")),
        (post("stripe-eu", &signature("stripe-eu", b"{}", NOW), EVENT.as_bytes()), 401, "rejected", Some("wrong")),
        (limited.clone(), 200, "accepted", None),
        (limited.clone(), 200, "accepted", None),
        (limited, 429, "rate_limited", None),
    ] {
        assert_eq!(door.ask(&request).await.status, status);
        let spans = kept.spans();
        let [(trace, answered)] = &answers(&spans)[..] else { panic!("{spans:?}") };
        assert_eq!((answered.outcome, answered.cause, answered.status), (outcome, cause, Some(status)));
        let is_of_event = [TraceId::of_event("limited", "evt_1")].contains(trace);
        assert_eq!(is_of_event, status == 200, "{outcome}");
        assert_eq!(spans[0].delivery.is_some(), status == 200);
    }
}

#[tokio::test]
async fn what_is_not_sampled_is_not_told() {
    let kept = Arc::new(Kept::default());
    let half = Sampling::share(0.5).unwrap();
    let door = serve_traced(Settings::default(), Traces::new(half, kept.clone())).await;
    let mut told = 0;
    for number in 0..40 {
        let id = format!("evt_{number}");
        assert_eq!(door.ask(signed("stripe-eu", EVENT.replace("evt_1", &id))).await.status, 200);
        let wanted = half.takes(TraceId::of_event("stripe-eu", &id));
        assert_eq!(kept.spans().len(), if wanted { 3 } else { 0 });
        told += usize::from(wanted);
    }
    assert!((5..=35).contains(&told), "{told} of 40");
}
