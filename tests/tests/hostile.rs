//! I2 nothing unverified passes, I9 one bad event stops nobody, I11 bounded: hostile input and floods
//! through the real door.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use ledgerline_domain::provider::Provider;
use ledgerline_domain::signature::sign;
use ledgerline_domain::time::UnixNanos;
use ledgerline_ingest::Settings;
use ledgerline_tests::bodies::body;
use ledgerline_tests::stack::{Spec, Stack};

const SECRET: &str = "whsec_for_tests";
const NOW: i64 = 1_790_000_000;

fn spec() -> Spec {
    let provider = Arc::new(Provider::built_in("stripe").expect("built in"));
    Spec { name: "shop".into(), scheme: provider.scheme().clone(), provider, secrets: vec![SECRET.into()] }
}

fn signed(body: &[u8], at: i64) -> Vec<(String, String)> {
    let stripe = Provider::built_in("stripe").expect("built in");
    let at = UnixNanos::from_seconds(at).expect("a time");
    sign(stripe.scheme(), &SECRET.to_owned().into(), "", at, body).expect("signed")
}

async fn start(dir: &tempfile::TempDir, settings: Settings) -> Stack {
    let stack = Stack::start(dir.path(), vec![spec()], settings).await.expect("it starts");
    stack.clock.set(NOW);
    stack
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i2_nothing_unverified_passes() {
    let dir = tempfile::tempdir().expect("a directory");
    let stack = start(&dir, Settings::default()).await;
    let good = Bytes::from(body(0));
    let mut changed = good.to_vec();
    changed[40] ^= 1;
    let truncated = good.slice(..good.len() - 1);
    let headers = signed(&good, NOW);
    let mut longer = headers.clone();
    longer[0].1.insert(0, 'x');
    let mut empty = headers.clone();
    empty[0].1.clear();
    for (what, headers, body, wanted) in [
        ("no signature", vec![], good.clone(), 401),
        ("an empty signature", empty, good.clone(), 401),
        ("a changed body", headers.clone(), Bytes::from(changed), 401),
        ("a truncated body", headers.clone(), truncated, 401),
        ("a changed header", longer, good.clone(), 401),
        ("too old", signed(&good, NOW - 301), good.clone(), 401),
        ("in the future", signed(&good, NOW + 301), good.clone(), 401),
        ("just in time", signed(&good, NOW - 300), good.clone(), 200),
    ] {
        assert_eq!(stack.post("shop", &headers, &body).await, wanted, "{what}");
    }
    assert_eq!(stack.post("nobody", &signed(&good, NOW), &good).await, 404);
    stack.settle().await;
    assert_eq!(stack.progress.counts().appended, 1, "only the verified request left a trace");
    assert!(stack.quarantine().await.is_empty());
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_of_an_unknown_type_is_kept_counted_and_changes_no_money() {
    let dir = tempfile::tempdir().expect("a directory");
    let stack = start(&dir, Settings::default()).await;
    // `charge.*` is a payment's; no rule says more of the first, `*` alone fits the second.
    let event = |id: &str, event_type: &str, object: &str| {
        Bytes::from(format!(
            r#"{{"id":"{id}","type":"{event_type}","created":{NOW},"data":{{"object":{{"object":"{object}","id":"x_1","amount":700,"currency":"eur"}}}}}}"#
        ))
    };
    let events =
        [event("evt_1", "charge.teleported", "charge"), event("evt_2", "wish.granted", "wish"), Bytes::from(body(0))];
    for body in &events {
        assert_eq!(stack.post("shop", &signed(body, NOW), body).await, 200);
    }
    stack.settle().await;
    let counts = stack.progress.counts();
    assert_eq!((counts.appended, counts.unknown), (3, 2));
    let records = stack.records("shop").await;
    let payment = records.iter().find(|r| r.key.id() == "x_1" && r.key.kind() == "payment").expect("kept");
    assert_eq!((payment.entries.len(), payment.status()), (1, "pending"));
    assert!(payment.anomalies().is_empty() && stack.quarantine().await.is_empty());
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i9_one_bad_event_stops_nobody() {
    let dir = tempfile::tempdir().expect("a directory");
    let settings = Settings::default();
    let too_large = settings.body_bytes_max + 1;
    let stack = start(&dir, settings).await;
    let event = |inside: &str| {
        format!(r#"{{"id":"evt_x","type":"charge.succeeded","created":1,"data":{{"object":{inside}}}}}"#)
    };
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    let nines = "9".repeat(5000);
    let mut parked = 0;
    for (what, bad, wanted) in [
        ("not JSON", b"} I am not JSON; 123][".to_vec(), 202),
        ("not UTF-8", vec![b'{', b'"', 0xff, 0xfe, b'"', b':', b'1', b'}'], 202),
        ("empty", Vec::new(), 202),
        ("half an object", br#"{"id":"evt_1","type":"#.to_vec(), 202),
        ("nested 100 000 deep", event(&deep(100_000)).into_bytes(), 202),
        ("only brackets", "[".repeat(500_000).into_bytes(), 202),
        ("a time that is none", br#"{"id":"e","type":"t","created":1e999}"#.to_vec(), 202),
        ("an id of 5 000 digits", event(&format!(r#"{{"id":{nines}}}"#)).into_bytes(), 202),
        // Readable at the door, unreadable behind the log: acknowledged, then parked.
        (
            "a huge amount",
            event(&format!(r#"{{"id":"ch_1","paid":true,"amount":{nines},"currency":"eur"}}"#)).into_bytes(),
            200,
        ),
        ("too large", vec![b' '; too_large], 413),
    ] {
        let bad = Bytes::from(bad);
        assert_eq!(stack.post("shop", &signed(&bad, NOW), &bad).await, wanted, "{what}");
        parked += u64::from(wanted < 300);
        // The next good event passes all the same.
        let good = Bytes::from(body(usize::try_from(parked).expect("a small number") * 3));
        assert_eq!(stack.post("shop", &signed(&good, NOW), &good).await, 200);
    }
    // Of two equal keys the first counts, everywhere alike.
    let twice = Bytes::from(event(r#"{"id":"ch_2","id":"ch_3"}"#).replace("evt_x", "evt_y"));
    assert_eq!(stack.post("shop", &signed(&twice, NOW), &twice).await, 200);
    stack.settle().await;
    let records = stack.records("shop").await;
    assert!(records.iter().any(|r| r.key.id() == "ch_2"));
    assert!(!records.iter().any(|r| r.key.id() == "ch_3"));
    let marked = records.iter().find(|r| r.key.id() == "ch_1").expect("the entity of the unreadable event");
    assert!(marked.needs_attention());
    let quarantine = stack.quarantine().await;
    assert_eq!(quarantine.len() as u64, parked, "{quarantine:?}");
    for item in &quarantine {
        assert!(!item.reason.contains("999"), "a reason says nothing of the content: {}", item.reason);
    }
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i11_a_flood_is_turned_back_and_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().expect("a directory");
    // A small house: 8 requests at once.
    let settings = Settings { in_flight_max: 8, ..Settings::default() };
    let stack = Arc::new(start(&dir, settings).await);
    let (accepted, refused, next) =
        (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (stack, accepted, refused, next) = (stack.clone(), accepted.clone(), refused.clone(), next.clone());
        callers.spawn(async move {
            for _ in 0..50 {
                let n = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).expect("a small number");
                let body = Bytes::from(body(n * 3));
                match stack.post("shop", &signed(&body, NOW), &body).await {
                    200 => accepted.fetch_add(1, Ordering::Relaxed),
                    503 | 429 => refused.fetch_add(1, Ordering::Relaxed),
                    status => panic!("{status}"),
                };
            }
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended.expect("no panic");
    }
    stack.settle().await;
    let (accepted, refused) = (accepted.load(Ordering::Relaxed), refused.load(Ordering::Relaxed));
    println!("{accepted} accepted, {refused} turned back with 503");
    assert!(refused > 0, "64 callers at a house for 8 must be turned back at times");
    assert_eq!(accepted + refused, 3200);
    let counts = stack.progress.counts();
    // A request that was turned back after its append began may be in the log; an accepted one must.
    assert!(counts.appended >= accepted, "{counts:?}");
    Arc::into_inner(stack).expect("the last user").stop().await;
}
