//! The pure work per event against its limit, on one thread and in memory:
//! decode the envelope → interpret → dedupe, order and fold, against parse + dedupe + fold by hand.
//!
//! `cargo bench -p ledgerline-tests --bench fold`

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::fold::{Incoming, apply};
use ledgerline_domain::ids::{EntityKey, SequenceNumber, SourceName};
use ledgerline_domain::interpret::{Reading, interpret};
use ledgerline_domain::provider::{Provider, Sources};
use ledgerline_domain::record::EntityRecord;
use ledgerline_tests::bodies::body;
use ledgerline_tests::limits::{Watch, median, parse_and_fold};
use ledgerline_tests::sealed::seal;

const EVENTS: usize = 200_000;
const BATCH: usize = 4096;
const ROUNDS: usize = 5;

fn main() {
    let source = SourceName::new("stripe").expect("a good name");
    let provider = Arc::new(Provider::built_in("stripe").expect("stripe is built in"));
    let mut sources = Sources::default();
    sources.insert(&source, provider.clone());
    let bodies: Vec<Bytes> = (0..EVENTS).map(|n| Bytes::from(body(n))).collect();
    let sealed: Vec<Envelope> = bodies.iter().map(|b| seal(&provider, &source, b)).collect();
    // A key that no other body has, in the middle of each.
    let unlike = |(n, body): (usize, &Bytes)| {
        let text = String::from_utf8_lossy(body);
        Bytes::from(text.replacen("\"metadata\":{", &format!("\"metadata\":{{\"key_{n}\":1,"), 1))
    };
    let unlike: Vec<Bytes> = bodies.iter().enumerate().map(unlike).collect();
    let encoded: Vec<Bytes> = sealed.iter().map(|e| Bytes::from(e.encode())).collect();
    println!("{EVENTS} events of {} bytes, envelopes of {} bytes", bodies[0].len(), encoded[0].len());

    let rate = |work: &dyn Fn() -> usize| {
        let began = Watch::start();
        assert!(work() > 0);
        EVENTS as f64 / began.seconds()
    };
    let mut figures: Vec<Vec<f64>> = vec![Vec::new(); 6];
    for _ in 0..ROUNDS {
        figures[0].push(rate(&|| parse_and_fold(bodies.iter().map(|b| b.as_ref())).0));
        figures[1].push(rate(&|| encoded.iter().filter_map(|e| Envelope::decode(e).ok()).count()));
        figures[2].push(rate(&|| {
            sealed.iter().filter(|e| provider.interpret(&e.event.event_type, "payment", &e.event.body).is_ok()).count()
        }));
        figures[3].push(rate(&|| {
            let of_type = sealed.iter().map(|e| &e.event.event_type);
            of_type.zip(&unlike).filter(|(of_type, body)| provider.interpret(of_type, "payment", body).is_ok()).count()
        }));
        figures[4].push(rate(&|| fold(&sources, sealed.iter().cloned())));
        figures[5].push(rate(&|| fold(&sources, encoded.iter().filter_map(|e| Envelope::decode(e).ok()))));
    }
    let limit = median(figures[0].clone());
    for (name, figures) in [
        "limit: parse + dedupe + fold by hand",
        "decode the envelope",
        "interpret the body, like others of its type",
        "interpret the body, like no other",
        "interpret + fold (the replay's work without the scan)",
        "decode + interpret + fold (the processor's work without the store)",
    ]
    .iter()
    .zip(figures)
    {
        let figure = median(figures);
        println!("{name:<68} {figure:>10.0} events/s   {:.2} of the limit", figure / limit);
    }
}

fn fold(sources: &Sources, envelopes: impl Iterator<Item = Envelope>) -> usize {
    let mut records: HashMap<EntityKey, Box<EntityRecord>> = HashMap::new();
    let mut groups: HashMap<EntityKey, Vec<Incoming>> = HashMap::new();
    let mut flush = |groups: &mut HashMap<EntityKey, Vec<Incoming>>| {
        for (key, events) in groups.drain() {
            let record = apply(&key, records.remove(&key).map(|record| *record), events).0;
            records.insert(key, Box::new(record));
        }
        records.len()
    };
    let mut entities = 0;
    for (n, envelope) in (1..).zip(envelopes) {
        if let Reading::Event(event) = interpret(sources, envelope, &SequenceNumber::from_u64(n)) {
            groups.entry(event.entity).or_default().push(event.incoming);
        }
        if (n as usize).is_multiple_of(BATCH) {
            entities = flush(&mut groups);
        }
    }
    entities.max(flush(&mut groups))
}
