//! Every provider on the payloads that were collected for it, and a provider that nobody wrote code for.

use std::collections::{BTreeMap, BTreeSet};

use ledgerline::cli::ProviderCommand;
use ledgerline::examine::{Examined, examine};
use ledgerline::exit::Exit;
use ledgerline::output::Output;
use ledgerline_domain::fold::Incoming;
use ledgerline_domain::ids::{SequenceNumber, SourceName};
use ledgerline_domain::provider::Provider;
use ledgerline_domain::record::PAYMENT_KIND;
use ledgerline_domain::time::UnixNanos;
use ledgerline_tests::payloads::{Payload, payloads};
use ledgerline_tests::permute::{About, same_in_any_order};

const PERMUTATIONS: usize = 300;

/// Payloads that cannot be read, and a part of the reason: everything else must be readable.
const UNREADABLE: &[(&str, &str)] = &[
    ("other/form/", "not JSON"),
    // Dead products and other kinds of message, which the files say they do not read.
    ("paddle/classic/", ""),
    ("other/coinbase/order-", "no event id"),
    ("paypal/ipn/", "not JSON"),
    // Not webhooks: an answer of an API, a request to one, envelopes of a cloud bus.
    ("checkout/events/events-list-order.json", "no event id"),
    ("paypal/verify-webhook-signature.request.json", "no event id"),
    ("stripe/odd/envelope-", "no event type"),
    // Really sent, and no JSON.
    ("checkout/malformed/", "not JSON"),
    // Shapes with dummy values, or cut short by whoever published them.
    ("shopify/anonymised-real/2024-01_orders_1.json", "currency"),
    ("stripe/events/opencollective/event_source_chargeable.json", "no time"),
];

fn examined(payload: &Payload, provider: &Provider) -> Vec<Examined> {
    let source = SourceName::new(&payload.group).expect("a good name");
    examine(provider, &source, &payload.headers, &payload.body)
}

fn providers() -> BTreeMap<&'static str, Provider> {
    let all = Provider::built_in_names();
    all.map(|name| (name, Provider::built_in(name).expect("a built-in file is well formed"))).collect()
}

#[derive(Default)]
struct Counts {
    files: usize,
    events: usize,
    with_facts: usize,
    facts: usize,
    without_effect: usize,
    documents: usize,
    unreadable: Vec<(String, String)>,
}

#[test]
fn every_payload_is_identified_or_kept_with_a_reason() {
    let providers = providers();
    let mut table: BTreeMap<&str, Counts> = BTreeMap::new();
    for payload in payloads() {
        let counts = table.entry(payload.provider).or_default();
        counts.files += 1;
        let events = examined(&payload, &providers[payload.provider]);
        assert!(!events.is_empty(), "{}: nothing is left of it", payload.file);
        for event in events {
            counts.events += 1;
            counts.facts += event.facts().len();
            match &event.meaning {
                Err(reason) => counts.unreadable.push((payload.file.clone(), reason.clone())),
                Ok(meaning) if !meaning.facts.is_empty() => counts.with_facts += 1,
                Ok(_) if event.entity.kind() == PAYMENT_KIND => counts.without_effect += 1,
                Ok(_) => counts.documents += 1,
            }
        }
    }
    println!("provider            files events  with facts (facts)  payment, no fact  documents  unreadable");
    for (name, c) in &table {
        println!(
            "{name:<19} {:>5} {:>6}  {:>10} {:>7}  {:>16}  {:>9}  {:>10}",
            c.files,
            c.events,
            c.with_facts,
            format!("({})", c.facts),
            c.without_effect,
            c.documents,
            c.unreadable.len()
        );
    }
    let mut unexpected = Vec::new();
    for (file, reason) in table.values().flat_map(|c| &c.unreadable) {
        println!("  unreadable: {file}: {reason}");
        if !UNREADABLE.iter().any(|(part, why)| file.contains(part) && reason.contains(why)) {
            unexpected.push(file);
        }
    }
    assert!(unexpected.is_empty(), "these became unreadable: {unexpected:#?}");
}

#[test]
fn any_delivery_of_a_providers_payloads_ends_in_one_state() {
    let providers = providers();
    let mut groups: BTreeMap<(&str, String), Vec<About>> = BTreeMap::new();
    for payload in payloads() {
        for event in examined(&payload, &providers[payload.provider]) {
            let Ok(meaning) = event.meaning else { continue };
            let incoming = Incoming {
                id: event.id.into(),
                event_type: event.event_type.into(),
                order: event.order,
                occurred_at: event.occurred_at,
                received_at: UnixNanos::from_nanos(0),
                sequence: SequenceNumber::from_u64(0),
                meaning: Some(meaning),
            };
            // Where nothing orders, the log does: those records depend on it, and say so.
            if event.order.class.basis() != "arrival" {
                groups.entry((payload.provider, payload.group.clone())).or_default().push((event.entity, incoming));
            }
        }
    }
    let mut told: BTreeMap<&str, (usize, usize, usize)> = BTreeMap::new();
    for ((provider, group), mut events) in groups {
        // One id with other facts is a contradiction, of which the first in the log stands.
        let mut seen = BTreeSet::new();
        events.retain(|(key, event)| seen.insert((key.clone(), event.id.clone())));
        let records = same_in_any_order(&group, &events, PERMUTATIONS, 7);
        let several = records.values().filter(|r| r.entries.len() > 1).count();
        let sum = told.entry(provider).or_default();
        *sum = (sum.0 + events.len(), sum.1 + records.len(), sum.2 + several);
    }
    for (provider, (events, entities, several)) in told {
        println!(
            "{provider}: {events} events of {entities} entities, {several} with several; {PERMUTATIONS} orders each"
        );
    }
}

#[test]
fn the_table_of_providers_is_current() {
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/providers.md")).expect("the docs");
    let table = ledgerline::commands::provider::docs();
    assert!(
        docs.contains(&table),
        "docs/providers.md is not current: put the output of `ledgerline provider docs` in it\n\n{table}"
    );
}

/// A made-up company: a form with JSON in it, several events per request, ids and types to be put
/// together, versions for one family and times for the other.
const MARKET: &str = r#"
name = "market"
format = 1
description = "A market that nobody wrote code for"
[signature]
scheme = "hmac"
header = "x-market-signature"
content = "{body}"
[body]
encoding = ["json", "form-json:payload"]
[split]
items = "/payload/changes"
[event]
id = [{ join = ["/order", "/object", "/change", "/version"], with = "-" }]
type = [{ join = ["/object", "/change"], with = "." }]
time = ["/when"]
time_without_zone = "utc"
[currency]
decimals = { ISK = 2 }
[order]
class = "timestamp"
[[order.family]]
types = ["order.*"]
class = "monotonic"
at = ["/version"]
[[order.rank]]
types = ["*.opened"]
rank = 100
[[entity]]
types = ["order.*", "return.*"]
kind = "payment"
id = ["/order"]
[[entity]]
types = ["*"]
kind_at = ["type-prefix"]
kind = "event"
id = ["/order"]
status = ["/change"]
[[fact]]
types = ["order.paid"]
kind = "authorized"
amount = ["decimal:/total"]
currency = ["/money"]
[[fact]]
types = ["order.paid"]
kind = "captured"
amount = ["decimal:/total"]
currency = ["/money"]
when = { "/state" = ["paid", "settled"], "/test" = "!*" }
[[fact]]
types = ["return.*"]
kind = "refund"
each = "/lines"
amount = ["abs:minor:/amount"]
currency = ["/money"]
reference = ["/id"]
status_default = "succeeded"
"#;

#[derive(Clone, Default)]
struct Sink(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("one thread").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn tried(provider: &str, folder: &std::path::Path, json: bool) -> (Exit, String) {
    let command = ProviderCommand::Test {
        provider: provider.to_owned(),
        paths: vec![folder.to_owned()],
        header: Vec::new(),
        json,
    };
    let sink = Sink::default();
    let exit = ledgerline::commands::provider::run(&command, &mut Output::to(sink.clone())).expect("it runs");
    let bytes = sink.0.lock().expect("one thread").clone();
    (exit, String::from_utf8(bytes).expect("text"))
}

#[test]
fn a_provider_is_one_file() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("market.toml");
    std::fs::write(&file, MARKET).expect("written");
    let payloads = folder.path().join("payloads");
    std::fs::create_dir(&payloads).expect("a directory");
    let form = |json: &str| {
        let encoded: String = json.bytes().map(|b| format!("%{b:02X}")).collect();
        format!("from=market&payload={encoded}")
    };
    let paid = r#"{"changes":[
        {"order":"o1","object":"order","change":"paid","version":9007199254740993,"state":"paid","total":"12.50","money":"eur","when":"2026-11-24 09:30:00"},
        {"order":"o1","object":"order","change":"opened","version":1},
        {"order":"s7","object":"shop","change":"moved"}
    ]}"#;
    std::fs::write(payloads.join("1.form"), form(paid)).expect("written");
    let returned = r#"{"from":"market","payload":{"changes":[{"order":"o1","object":"return","change":"made","when":"2026-11-25 10:00:00.5",
        "lines":[{"id":"r1","amount":-300,"money":"EUR"},{"id":"r2","amount":-10000,"money":"ISK"}]}]}}"#;
    std::fs::write(payloads.join("2.json"), returned).expect("written");
    std::fs::write(payloads.join("3.form"), "from=market").expect("written");

    let file = file.display().to_string();
    let (exit, text) = tried(&file, &payloads, false);
    println!("{text}");
    assert_eq!(exit, Exit::Refused, "two of them cannot be read");
    for part in [
        "o1-order-paid-9007199254740993",
        "number 9007199254740993",
        "authorised 12.50 EUR in total; captured 12.50 EUR in total",
        "time 2026-11-25 10:00:00.5",
        "refund r1 of 3.00 EUR succeeded; refund r2 of 100 ISK succeeded",
        "no time where the provider file looks for it",
        "no form with the field",
        "5 events, 2 unreadable",
    ] {
        assert!(text.contains(part), "{part}");
    }
    let (_, lines) = tried(&file, &payloads, true);
    let rows: Vec<serde_json::Value> = lines.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    assert_eq!(rows.len(), 5);
    assert_eq!(rows[0]["entity"], "payment/o1");
    assert_eq!(rows[2]["readable"], false);
    assert_eq!(tried("github", &payloads, false).0, Exit::Refused);
}
