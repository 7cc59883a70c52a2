//! What the spans say of an event's way.

use std::collections::BTreeSet;

use ledgerline_domain::trace::{Sampling, TraceId};
use ledgerline_tests::child::SECRET;
use ledgerline_tests::collector::{Collector, Temper, Told};

use super::*;

fn trace_of(id: &str) -> Vec<u8> {
    TraceId::of_event("shop", id).bytes().to_vec()
}

fn of<'a>(spans: &'a [Told], trace: &[u8], name: &str) -> Vec<&'a Told> {
    spans.iter().filter(|told| told.span.trace_id == trace && told.span.name == name).collect()
}

fn named(spans: &[Told], name: &str) -> usize {
    spans.iter().filter(|told| told.span.name == name).count()
}

const DOOR: &str = "POST /webhooks/{source}";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn one_trace_holds_an_events_way_through_processes_that_do_not_know_of_each_other() {
    let (dir, collector) = (tempfile::tempdir().expect("a directory"), Collector::start(Temper::Well));
    let mut served = served(dir.path(), &collector);
    served.set_variable("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.name=unused");
    served.set_variable("OTEL_SERVICE_NAME", "payments");
    served.set_variable("OTEL_EXPORTER_OTLP_HEADERS", "x-key=of%20the%20collector");
    for role in ["ingest", "processor", "archiver"] {
        served.start_with(&["serve", "--role", role]);
        if role == "ingest" {
            served.wait_ready();
            let status =
                Caller::of(&served).post("shop", &event("evt_1", "pi_1", 100, 500), &[("traceparent", PARENT)]);
            assert_eq!(status, 200);
        } else {
            let wanted = format!("{} main", role.replace("or", "").replace("archiver", "archive"));
            collector.wait(|spans| named(spans, &wanted) > 0);
        }
        // What is left is exported at the end.
        served.stop();
    }
    let spans = collector.spans();
    let trace = trace_of("evt_1");
    assert!(spans.iter().all(|told| told.span.trace_id == trace), "{spans:#?}");
    let names: BTreeSet<&str> = spans.iter().map(|told| told.span.name.as_str()).collect();
    let wanted = ["POST /webhooks/{source}", "append main", "archive main", "commit", "process main", "verify"];
    assert_eq!(names, BTreeSet::from(wanted));
    assert_eq!(spans.len(), 6, "each once");
    let one = |name: &str| of(&spans, &trace, name)[0];
    let parents = [
        ("verify", DOOR),
        ("append main", DOOR),
        ("process main", DOOR),
        ("archive main", DOOR),
        ("commit", "process main"),
    ];
    for (child, parent) in parents {
        assert_eq!(one(child).span.parent_span_id, one(parent).span.span_id, "{child} below {parent}");
    }
    let door = one(DOOR);
    assert!(door.span.parent_span_id.is_empty(), "a caller is nobody's parent");
    let [link] = &door.span.links[..] else { panic!("{:?}", door.span.links) };
    assert_eq!(hex::encode(&link.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
    for told in &spans {
        assert!(told.span.start_time_unix_nano <= told.span.end_time_unix_nano);
        assert_eq!(told.of_process("service.name"), "payments");
        assert_eq!(told.of_process("deployment.environment.name"), "test");
        assert_eq!(told.get("ledgerline.event.id"), "evt_1");
        assert_eq!(told.get("ledgerline.source"), "shop");
    }
    for (name, key, value) in [
        (DOOR, "http.response.status_code", "200"),
        (DOOR, "ledgerline.outcome", "accepted"),
        (DOOR, "ledgerline.events", "1"),
        (DOOR, "url.path", "/webhooks/shop"),
        ("append main", "messaging.operation.type", "send"),
        ("process main", "ledgerline.fate", "appended"),
        ("process main", "ledgerline.generation", "1"),
        ("archive main", "messaging.message.id", "evt_1"),
    ] {
        assert_eq!(one(name).get(key), value, "{key} of {name}");
    }
    assert!(one("archive main").get("ledgerline.segment").starts_with("segments/"), "{spans:#?}");
    assert_eq!(one("process main").get("ledgerline.sequence"), one("archive main").get("ledgerline.sequence"));
    let processes: BTreeSet<String> = spans.iter().map(|told| told.of_process("service.instance.id")).collect();
    assert_eq!(processes.len(), 3, "three processes");
    let began: u64 = one(DOOR).span.start_time_unix_nano;
    assert!(began <= one("process main").span.start_time_unix_nano, "clocks of one machine");
    for export in collector.exports() {
        assert_eq!(export.headers["content-type"], "application/x-protobuf");
        assert_eq!(export.headers["x-key"], "of the collector");
    }
}

#[test]
fn spans_say_what_became_of_an_event_and_why_a_request_was_refused() {
    let (dir, collector) = (tempfile::tempdir().expect("a directory"), Collector::start(Temper::Well));
    let mut served = served(dir.path(), &collector);
    served.start();
    served.wait_ready();
    let mut caller = Caller::of(&served);
    let first = event("evt_first", "pi_1", 200, 500);
    for body in [&first, &first, &event("evt_late", "pi_1", 100, 400), &event("evt_first", "pi_1", 200, 999)] {
        assert_eq!(caller.post("shop", body, &[]), 200);
    }
    assert_eq!(caller.post("shop", "no JSON", &[]), 202);
    // Refused: another body than the signed one, no signature, nobody's source.
    assert_eq!(caller.send("shop", &signed("shop", &first), &first.replace("500", "501")), 401);
    assert_eq!(caller.send("shop", &[], &first), 401);
    assert_eq!(caller.send("nobody-s", &[], &first), 404);
    let spans = collector.wait(|spans| named(spans, "process main") == 5 && named(spans, DOOR) == 8);
    served.stop();
    let fates = |id: &str| -> Vec<String> {
        let spans = of(&spans, &trace_of(id), "process main");
        spans.into_iter().map(|told| told.get("ledgerline.fate")).collect()
    };
    assert_eq!(fates("evt_first"), ["appended", "duplicate", "contradiction"]);
    assert_eq!(fates("evt_late"), ["late"]);
    // Three deliveries of one event: one trace, three spans of the door with an id each, and what hangs below each.
    let doors = of(&spans, &trace_of("evt_first"), DOOR);
    let ids: Vec<_> = doors.iter().map(|told| told.span.span_id.clone()).collect();
    let parents: Vec<_> = of(&spans, &trace_of("evt_first"), "process main")
        .iter()
        .map(|told| told.span.parent_span_id.clone())
        .collect();
    assert_eq!(ids, parents);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 3);
    let unreadable: Vec<_> = spans.iter().filter(|told| told.get("ledgerline.fate") == "unreadable").collect();
    assert_eq!(unreadable.len(), 1);
    // Status 2 is an error, as quarantined events are.
    assert_eq!(unreadable[0].span.status.as_ref().map(|status| status.code), Some(2));
    let refused: Vec<_> =
        spans.iter().filter(|told| told.span.name == DOOR && told.get("ledgerline.events") == "0").collect();
    let said: Vec<_> = refused
        .iter()
        .map(|told| {
            let say = |key| told.get(key);
            assert_eq!(say("ledgerline.event.id"), "", "nothing unverified has an id");
            (
                say("http.response.status_code"),
                say("ledgerline.outcome"),
                say("ledgerline.cause"),
                say("ledgerline.request.source"),
            )
        })
        .collect();
    let wanted = [
        ("401", "rejected", "wrong", "shop"),
        ("401", "rejected", "missing", "shop"),
        ("404", "unknown_source", "", ""),
    ];
    assert_eq!(said, wanted.map(|(a, b, c, d)| (a.to_owned(), b.to_owned(), c.to_owned(), d.to_owned())));
    for told in &refused {
        let of_trace = spans.iter().filter(|other| other.span.trace_id == told.span.trace_id);
        assert!(of_trace.into_iter().all(|other| [DOOR, "verify"].contains(&other.span.name.as_str())));
    }
}

#[test]
fn the_share_that_is_told_is_the_same_at_every_step() {
    const EVENTS: usize = 600;
    let (dir, collector) = (tempfile::tempdir().expect("a directory"), Collector::start(Temper::Well));
    let mut served = served(dir.path(), &collector);
    served.set_variable("OTEL_TRACES_SAMPLER", "parentbased_traceidratio");
    served.set_variable("OTEL_TRACES_SAMPLER_ARG", "0.1");
    served.start();
    served.wait_ready();
    let mut caller = Caller::of(&served);
    let ids: Vec<String> = (0..EVENTS).map(|number| format!("evt_{number}")).collect();
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(
            caller.post("shop", &event(id, &format!("pi_{}", number % 50), 100, 500), &[("traceparent", PARENT)]),
            200
        );
    }
    let sampling = Sampling::share(0.1).expect("a share");
    let told: BTreeSet<Vec<u8>> = ids
        .iter()
        .map(|id| TraceId::of_event("shop", id))
        .filter(|trace| sampling.takes(*trace))
        .map(|trace| trace.bytes().to_vec())
        .collect();
    assert!((30..=90).contains(&told.len()), "{} of {EVENTS}", told.len());
    collector.wait(|spans| named(spans, "archive main") >= told.len() && named(spans, "process main") >= told.len());
    served.stop();
    let spans = collector.spans();
    for name in [DOOR, "verify", "append main", "process main", "commit", "archive main"] {
        let found: Vec<_> =
            spans.iter().filter(|told| told.span.name == name).map(|told| told.span.trace_id.clone()).collect();
        assert_eq!(found.len(), told.len(), "{name}");
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), told, "{name}");
    }
}

#[test]
fn nothing_that_is_secret_or_personal_leaves_in_a_span() {
    let (dir, collector) = (tempfile::tempdir().expect("a directory"), Collector::start(Temper::Well));
    let mut served = served(dir.path(), &collector);
    served.start();
    served.wait_ready();
    let body = event("evt_1", "pi_of_somebody", 100, 7_654_321)
        .replace(r#""currency""#, r#""receipt_email":"somebody@example.com","currency""#);
    let headers = signed("shop", &body);
    let further = [
        ("user-agent", "agent-of-somebody"),
        ("cookie", "biscuit"),
        ("authorization", "Bearer of-somebody"),
        ("tracestate", "vendor=word"),
    ];
    let mut all = headers.clone();
    all.extend(further.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let mut caller = Caller::of(&served);
    assert_eq!(caller.send("shop", &all, &body), 200);
    assert_eq!(caller.send("shop", &all, &body.replace("evt_1", "evt_forged")), 401);
    assert_eq!(caller.send("path-of-somebody", &all, &body), 404);
    collector.wait(|spans| named(spans, "archive main") == 1 && named(spans, DOOR) == 3);
    served.stop();
    let bytes: Vec<u8> = collector.exports().iter().flat_map(|export| export.bytes.to_vec()).collect();
    let has = |word: &str| bytes.windows(word.len()).any(|window| window == word.as_bytes());
    assert!(has("evt_1") && has("payment_intent.succeeded"), "this is how it would be found");
    let signature = headers[0].1.split("v1=").nth(1).expect("a signature").to_owned();
    let key_id = &hex::encode(<sha2::Sha256 as sha2::Digest>::digest(SECRET))[..8];
    for word in [
        SECRET,
        &signature,
        "stripe-signature",
        "somebody",
        "7654321",
        "biscuit",
        "Bearer",
        "evt_forged",
        "vendor",
        key_id,
        "127.0.0.1",
    ] {
        assert!(!has(word), "{word} left");
    }
}
