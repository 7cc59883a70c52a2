//! As-of and known-at against a second, plain model: random histories with late, doubled, contradicting,
//! tied, unreadable and shuffled events go the whole way (signed request, envelope, log, archiver,
//! segments, rebuild, export), and every row and every adjustment must be what the model says it is.
//!
//! `LEDGERLINE_SEED=n` runs one archive alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ledgerline_adapters::memory::{MemoryArchive, MemoryLog};
use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::ids::SourceName;
use ledgerline_domain::ports::{Log, LogRecord};
use ledgerline_domain::provider::{Provider, Sources};
use ledgerline_domain::request::RawRequest;
use ledgerline_domain::signature::{SecretSet, sign, verify};
use ledgerline_domain::time::UnixNanos;
use ledgerline_processor::archiver::{self, ArchiverProgress, ArchiverSettings};
use ledgerline_replay::adjustments::{self, Closed, Period};
use ledgerline_replay::export::{Cut, Row, write_json_line};
use ledgerline_replay::rebuild::{Input, Rebuilt, rebuild};
use ledgerline_tests::plain_model::{Copy, Known, Order, Says, events, state};
use ledgerline_tests::stack::HandClock;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::sync::watch;

/// Archives, payments per source in each, and looks at each archive.
const ARCHIVES: u64 = 40;
const PAYMENTS: usize = 10;
const LOOKS: usize = 25;
/// 2026-10-31T22:00:00Z.
const BASE: i64 = 1_793_484_000;
const SECOND: i64 = 1_000_000_000;

const SOURCES: [(&str, Order, &str); 4] = [
    ("holes", Order::Contiguous, "class = \"contiguous\"\nfirst = 1\nat = [\"/number\"]"),
    ("numbers", Order::Rising, "class = \"monotonic\"\nat = [\"/number\"]"),
    ("times", Order::Time, "class = \"timestamp\"\nfallback = \"arrival\""),
    ("log", Order::Arrival, "class = \"arrival\""),
];

fn provider(order: &str) -> Provider {
    let fact = |event: &str, kind: &str, more: &str| {
        format!("[[fact]]\ntypes = [\"{event}\"]\nkind = \"{kind}\"\ncurrency = [\"/currency\"]\n{more}\n")
    };
    let amount = "amount = [\"minor:/amount\"]";
    let each = format!("{amount}\nbasis = \"each\"");
    let sub = |map: &str| format!("{amount}\nreference = [\"/reference\"]\nstatus = [\"/status\"]\nstatus_map = {map}");
    let facts = [
        fact("created", "requested", amount),
        fact("authorized", "authorized", &each),
        fact("captured", "captured", &each),
        fact("captured_total", "captured", amount),
        fact("capture_failed", "capture_failed", ""),
        fact("failed", "failed", ""),
        fact("canceled", "canceled", ""),
        fact("fee", "fee", &each),
        fact("refund", "refund", &sub("{ pending = \"pending\", succeeded = \"succeeded\", failed = \"failed\" }")),
        fact("dispute", "dispute", &sub("{ open = \"open\", won = \"won\", lost = \"lost\" }")),
    ];
    let rank = |types: &str, rank: u32| format!("[[order.rank]]\ntypes = [{types}]\nrank = {rank}\n");
    let ranks = [
        rank("\"created\"", 100),
        rank("\"authorized\"", 200),
        rank("\"captured\", \"captured_total\"", 300),
        rank("\"refund\"", 600),
        rank("\"dispute\"", 700),
    ];
    let text = format!(
        "name = \"plain\"\nformat = 1\ndescription = \"for this test\"\n\
         [signature]\nscheme = \"hmac\"\nheader = \"x-signature\"\nhash = \"sha256\"\nencoding = \"hex\"\n\
         content = \"{{timestamp}}.{{body}}\"\ntimestamp_header = \"x-timestamp\"\ntolerance_seconds = 300\n\
         [event]\nid = [\"/id\"]\ntype = [\"/type\"]\ntime = [\"/time\"]\n\
         [order]\n{order}\n{}\n\
         [[entity]]\ntypes = [\"*\"]\nkind = \"payment\"\nid = [\"/payment\"]\n{}",
        ranks.concat(),
        facts.concat()
    );
    Provider::parse("plain.toml", &text).unwrap()
}

/// One record of the log: its source's place, its payment and what it says.
#[derive(Clone, Debug)]
struct Record {
    source: usize,
    payment: usize,
    arrived: i64,
    copy: Copy,
}

fn pick<T: Clone>(random: &mut StdRng, of: &[T]) -> T {
    of[random.random_range(0..of.len())].clone()
}

/// Something a provider might say.
fn says(random: &mut StdRng) -> Says {
    let what = pick(
        random,
        &[
            "created",
            "authorized",
            "captured",
            "captured",
            "captured_total",
            "capture_failed",
            "failed",
            "canceled",
            "fee",
            "refund",
            "refund",
            "refund",
            "dispute",
            "dispute",
        ],
    );
    let has_amount = !matches!(what, "capture_failed" | "failed" | "canceled");
    let currency = if random.random_ratio(1, 15) { "JPY" } else { "EUR" };
    let amount = has_amount.then(|| (i128::from(random.random_range(0..20) * 100), currency));
    let (reference, status) = match what {
        "refund" => (pick(random, &["r1", "r2", "r3"]), pick(random, &["pending", "succeeded", "succeeded", "failed"])),
        "dispute" => (pick(random, &["d1", "d2"]), pick(random, &["open", "won", "lost"])),
        _ => ("", ""),
    };
    Says { what, amount, reference, status }
}

/// The history of one payment, in any order.
fn history(random: &mut StdRng, source: usize, payment: usize) -> Vec<Record> {
    let mut records = Vec::new();
    let events = random.random_range(1..9);
    for number in 1..=events {
        // A coarse grid, so that ties are normal; minutes over three hours, across a month's end.
        let happened = (BASE + random.random_range(0..30) * 360) * SECOND;
        let time = (!random.random_ratio(1, 8)).then_some(happened);
        let number = if random.random_ratio(1, 10) { random.random_range(1..=events + 2) } else { number };
        let said = says(random);
        let id = format!("{}{}", pick(random, &["a", "b", "c", "z"]), random.random_range(0..30));
        for again in 0..[1, 1, 1, 2, 3][random.random_range(0..5_usize)] {
            let late = [1, 5, 360, 7200, 86_400][random.random_range(0..5_usize)];
            let received = happened + random.random_range(0..=late) * SECOND + random.random_range(0..2);
            let mut copy = Copy { id: id.clone(), says: Some(said.clone()), number, time, received };
            if again > 0 && random.random_ratio(1, 4) {
                copy.says = Some(says(random));
            }
            if again > 0 && random.random_ratio(1, 10) {
                copy.time = Some((BASE + random.random_range(0..30) * 360) * SECOND);
            }
            if random.random_ratio(1, 25) {
                copy.says = None;
            }
            // The log takes it a little later, and not in the order of receipt.
            let arrived = received + random.random_range(0..20) * SECOND;
            records.push(Record { source, payment, arrived, copy });
        }
    }
    records
}

/// The whole log of an archive.
fn log(seed: u64) -> Vec<Record> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut records: Vec<Record> = (0..SOURCES.len() * PAYMENTS)
        .flat_map(|n| history(&mut random, n % SOURCES.len(), n / SOURCES.len()))
        .collect();
    records.sort_by_key(|record| record.arrived);
    records
}

/// The signed request of a record, verified and sealed as the door does it.
fn envelope(providers: &[Arc<Provider>], secrets: &SecretSet, record: &Record) -> Envelope {
    let provider = &providers[record.source];
    let copy = &record.copy;
    let mut body = json!({ "id": copy.id, "payment": format!("p{}", record.payment), "number": copy.number });
    match &copy.says {
        // An amount that no provider may send: it goes to the quarantine.
        None => (body["type"], body["amount"], body["currency"]) = (json!("captured"), json!(-5), json!("EUR")),
        Some(says) => {
            body["type"] = json!(says.what);
            if let Some((amount, currency)) = says.amount {
                (body["amount"], body["currency"]) = (json!(i64::try_from(amount).unwrap()), json!(currency));
            }
            if !says.reference.is_empty() {
                (body["reference"], body["status"]) = (json!(says.reference), json!(says.status));
            }
        }
    }
    if let Some(time) = copy.time {
        body["time"] = json!(UnixNanos::from_nanos(time).to_string());
    }
    let (body, received_at) = (Bytes::from(body.to_string()), UnixNanos::from_nanos(copy.received));
    let headers =
        sign(provider.scheme(), &"secret of the test, long".to_owned().into(), "", received_at, &body).unwrap();
    let raw = RawRequest { headers: &headers, body: &body, received_at };
    let verified = verify(provider.scheme(), secrets, raw).unwrap();
    let name = SourceName::new(SOURCES[record.source].0).unwrap();
    Envelope::seal(&verified, provider.identify(&name, raw).remove(0))
}

/// Log, archiver, segments, rebuild.
async fn folded(records: &[Record]) -> Rebuilt {
    let providers: Vec<Arc<Provider>> = SOURCES.iter().map(|(_, _, order)| Arc::new(provider(order))).collect();
    let secrets = SecretSet::new(providers[0].scheme(), ["secret of the test, long".to_owned().into()]).unwrap();
    let mut sources = Sources::default();
    for ((name, ..), provider) in SOURCES.iter().zip(&providers) {
        sources.insert(&SourceName::new(name).unwrap(), provider.clone());
    }
    let clock = Arc::new(HandClock::default());
    let (log, archive) = (Arc::new(MemoryLog::with_clock(2, clock.clone())), Arc::new(MemoryArchive::new()));
    for record in records {
        clock.set(record.arrived / SECOND);
        let envelope = envelope(&providers, &secrets, record);
        let data = envelope.encode().into();
        log.append(vec![LogRecord { key: envelope.event.entity, data }]).await.unwrap();
    }
    let settings = ArchiverSettings {
        segment_records_max: 37,
        flush_after: Duration::from_millis(1),
        wait: Duration::from_millis(1),
        ..ArchiverSettings::default()
    };
    let progress = Arc::new(ArchiverProgress::default());
    let (stop, stopped) = watch::channel(false);
    let parts = (log.clone(), archive.clone(), clock.clone(), settings, progress.clone());
    let archiver = tokio::spawn(archiver::run_archiver(parts.0, parts.1, parts.2, parts.3, parts.4, stopped));
    for shard in log.shards() {
        let Some(tip) = log.tip(&shard).await.unwrap() else { continue };
        progress.subscribe().wait_for(|done| done.get(&shard).is_some_and(|done| *done >= tip)).await.unwrap();
    }
    stop.send_replace(true);
    archiver.await.unwrap().unwrap();
    let input = Input::new(archiver::STREAM_DEFAULT, &sources);
    let rebuilt = rebuild(&*archive, &input, &mut |_| ()).await.unwrap();
    assert!(rebuilt.chain.is_clean() && rebuilt.counts.records == records.len() as u64, "{:?}", rebuilt.chain);
    assert!(rebuilt.chain.segments() > 4, "several segments");
    rebuilt
}

/// An instant to look at: mostly one of an event itself, or a nanosecond beside it.
fn instant(random: &mut StdRng, records: &[Record]) -> Option<i64> {
    let at = match records[random.random_range(0..records.len())].copy {
        Copy { time: Some(time), .. } if random.random_bool(0.5) => time,
        Copy { received, .. } => received,
    };
    match random.random_range(0..10) {
        0 => None,
        1 | 2 => Some(at - 1),
        3 | 4 => Some(at + 1),
        _ => Some(at),
    }
}

/// The rows of an export, by entity.
fn exported(rebuilt: &Rebuilt, cut: Cut) -> BTreeMap<String, Known> {
    let mut text = Vec::new();
    rebuilt.at(cut).for_each(|record| write_json_line(&Row::of(&record.unwrap()), &mut text).unwrap());
    let text = String::from_utf8(text).unwrap();
    let known = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        let count = |name: &str| usize::try_from(row[name].as_u64().unwrap()).unwrap();
        let money = FIGURES.map(|figure| i128::from(row[figure].as_i64().unwrap()));
        let known = Known {
            status: row["status"].as_str().unwrap().to_owned(),
            currency: row["currency"].as_str().map(str::to_owned),
            money,
            events: count("events"),
            held: count("held"),
        };
        (row["entity"].as_str().unwrap().to_owned(), known)
    };
    text.lines().map(known).collect()
}

/// Payments' logs by entity.
type Logs = BTreeMap<String, (Order, Vec<Copy>)>;

const FIGURES: [&str; 6] = ["requested", "authorized", "captured", "refunded", "disputed", "fees"];

/// What was received after `close` and changes `as_of`: per entity with late events the status then and now
/// and the ids of the events; and the sums of all by currency and figure, then and now.
type Found = (BTreeMap<String, (String, String, Vec<String>)>, BTreeMap<(String, String), (i128, i128)>);

fn adjusted(rebuilt: &Rebuilt, as_of: i64, close: i64) -> Found {
    let at = UnixNanos::from_nanos;
    let period = Period { from: at(0), until: at(as_of), closed: Closed::At(at(close)) };
    let mut rows = BTreeMap::new();
    let summary = adjustments::find(rebuilt, &period, |row| -> ledgerline_domain::Result<()> {
        let mut late: Vec<String> = row.late.into_iter().map(|event| event.id).collect();
        late.sort();
        rows.insert(row.entity, (row.status_then, row.status_now, late));
        Ok(())
    })
    .unwrap();
    let mut sums = BTreeMap::<_, (i128, i128)>::new();
    for change in summary.changes() {
        let sum = sums.entry((change.currency, change.figure.to_owned())).or_default();
        (sum.0, sum.1) = (sum.0 + change.then, sum.1 + change.now);
        assert_eq!(change.difference, change.now - change.then);
    }
    // Only of the figures that changed anywhere.
    sums.retain(|_, (then, now)| then != now);
    (rows, sums)
}

fn adjusted_plainly(logs: &Logs, as_of: i64, close: i64) -> Found {
    let (mut rows, mut sums) = (BTreeMap::new(), BTreeMap::<_, (i128, i128)>::new());
    let mut per_source = BTreeMap::<(String, String, String), (i128, i128)>::new();
    for (entity, (order, log)) in logs {
        let (then, now) = (state(*order, log, Some(as_of), Some(close)), state(*order, log, Some(as_of), None));
        let source = entity.split('/').next().unwrap();
        for (known, is_now) in [(&then, false), (&now, true)] {
            let Some(known) = known else { continue };
            for (figure, amount) in FIGURES.into_iter().zip(known.money) {
                let key = (source.to_owned(), known.currency.clone().unwrap_or_default(), figure.to_owned());
                let sum = per_source.entry(key).or_default();
                *if is_now { &mut sum.1 } else { &mut sum.0 } += amount;
            }
        }
        let late = events(*order, log).into_iter().filter(|e| e.happened() <= as_of && e.received > close);
        let late: Vec<String> = late.map(|event| event.copy.id.clone()).collect();
        if !late.is_empty() {
            let status = |known: Option<Known>| known.map_or("unread".into(), |known| known.status);
            rows.insert(entity.clone(), (status(then), status(now), late));
        }
    }
    for ((_, currency, figure), (then, now)) in per_source.into_iter().filter(|(_, (then, now))| then != now) {
        let sum = sums.entry((currency, figure)).or_default();
        (sum.0, sum.1) = (sum.0 + then, sum.1 + now);
    }
    sums.retain(|_, (then, now)| then != now);
    (rows, sums)
}

#[test]
fn every_look_is_what_a_plain_model_says() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let only = std::env::var("LEDGERLINE_SEED").ok().map(|seed| seed.parse().unwrap());
    let (mut cases, mut late, mut seen) = (0_u64, 0, BTreeMap::<String, u64>::new());
    for seed in only.map_or(0..ARCHIVES, |seed| seed..seed + 1) {
        let records = log(seed);
        let rebuilt = runtime.block_on(folded(&records));
        let mut logs = Logs::new();
        for record in &records {
            let (source, order, _) = SOURCES[record.source];
            let log = logs.entry(format!("{source}/payment/p{}", record.payment));
            log.or_insert_with(|| (order, Vec::new())).1.push(record.copy.clone());
        }
        let mut random = StdRng::seed_from_u64(seed ^ 0x7157);
        for _ in 0..LOOKS {
            let (as_of, known_at) = (instant(&mut random, &records), instant(&mut random, &records));
            let cut = Cut { as_of: as_of.map(UnixNanos::from_nanos), known_at: known_at.map(UnixNanos::from_nanos) };
            let mut rows = exported(&rebuilt, cut);
            for (entity, (order, log)) in &logs {
                let (wanted, found) = (state(*order, log, as_of, known_at), rows.remove(entity));
                assert_eq!(found, wanted, "seed {seed}, {entity} at {cut:?}: {log:#?}");
                *seen.entry(wanted.map_or("nothing".into(), |w| w.status)).or_default() += 1;
                cases += 1;
            }
            assert!(rows.is_empty(), "seed {seed}: rows of unknown entities: {rows:?}");
            if let (Some(as_of), Some(close)) = (as_of, known_at) {
                let (found, wanted) = (adjusted(&rebuilt, as_of, close), adjusted_plainly(&logs, as_of, close));
                assert_eq!(found, wanted, "seed {seed}: adjustments at {cut:?}");
                late += found.0.len();
            }
        }
    }
    println!("{cases} looks at a payment, by what they found: {seen:?}; {late} adjustments");
    assert!(only.is_some() || late > 1000, "{late} adjustments");
    // The random histories must reach what they are made for.
    for word in ["nothing", "held", "captured", "partially_refunded", "refunded", "disputed", "charged_back", "failed"]
    {
        assert!(only.is_some() || seen.get(word).is_some_and(|n| *n > 100), "{word}: {seen:?}");
    }
}
