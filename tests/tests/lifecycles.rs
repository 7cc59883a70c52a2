//! Real Stripe event streams: the same state for any order of delivery, and the right one.
//!
//! Object ids start again in every stream, so each is a source of its own. Their `created` was
//! normalised by whoever published them (all equal, or renumbered backwards) and is no time any
//! more, so every event of a stream gets the same one here: each stream is one big tie, the hardest
//! case for the lifecycle ranks.

use std::sync::Arc;

use ledgerline_domain::fold::Incoming;
use ledgerline_domain::ids::{EntityKey, SequenceNumber, SourceName};
use ledgerline_domain::order::OrderKey;
use ledgerline_domain::provider::Provider;
use ledgerline_domain::record::{EntityRecord, State};
use ledgerline_domain::request::RawRequest;
use ledgerline_domain::time::UnixNanos;
use ledgerline_tests::fixtures::{Lifecycle, lifecycles};
use ledgerline_tests::permute::same_in_any_order;

const PERMUTATIONS: usize = 1000;

fn events(provider: &Provider, stream: &Lifecycle) -> Vec<(EntityKey, Incoming)> {
    let source = SourceName::new("stripe-test").expect("a good name");
    let headers: Vec<(String, String)> = Vec::new();
    let mut found = Vec::new();
    for (n, body) in (0..).zip(&stream.bodies) {
        let raw = RawRequest { headers: &headers, body, received_at: UnixNanos::from_nanos(n) };
        for event in provider.identify(&source, raw) {
            assert_eq!(event.unreadable, None, "{}: event {n}", stream.name);
            let meaning = provider.interpret(&event.event_type, event.entity.kind(), &event.body);
            let incoming = Incoming {
                id: event.id,
                event_type: event.event_type,
                order: OrderKey { class: event.order.class, value: 0 },
                occurred_at: None,
                received_at: raw.received_at,
                sequence: SequenceNumber::from_u64(0),
                meaning: Some(meaning.expect("a real payload is readable")),
            };
            found.push((event.entity, incoming));
        }
    }
    found
}

/// Whether our status says the same as the provider's word for the furthest state it showed.
fn agrees(record: &EntityRecord, provider_says: &str) -> bool {
    match (&record.state, provider_says) {
        (State::Payment(_), "requires_payment_method") => matches!(record.status(), "pending" | "failed"),
        (State::Payment(_), "succeeded") => record.status() == "captured",
        (State::Payment(_), "failed") => record.status() == "failed",
        (State::Payment(_), _) => false,
        (State::Document(_), word) => record.status() == word,
    }
}

#[test]
fn any_delivery_ends_in_the_state_that_the_stream_itself_shows() {
    let provider = Arc::new(Provider::built_in("stripe").expect("stripe is built in"));
    for stream in lifecycles() {
        let events = events(&provider, &stream);
        let plain = same_in_any_order(&stream.name, &events, PERMUTATIONS, 20_261_124);
        let mut compared = 0;
        for (object, status) in &stream.final_status {
            // A charge is part of its intent's payment, which is compared as a whole.
            let Some(record) = plain.values().find(|r| r.key.id() == object) else { continue };
            assert!(
                agrees(record, status),
                "{}: {object} is {:?}, the stream ends at {status:?}",
                stream.name,
                record.status()
            );
            compared += 1;
        }
        println!(
            "{}: {} events, {} entities, {PERMUTATIONS} permutations, {compared} final states agree",
            stream.name,
            events.len(),
            plain.len()
        );
    }
}
