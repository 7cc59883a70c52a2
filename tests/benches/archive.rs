//! The archive: writing segments against the bare Parquet writer (the same rows, columns and properties, no
//! chain, checksums or digest), and reading only a part of a million events against reading all of them;
//! DuckDB beside it on the same files.
//!
//! `taskset -c 0 cargo bench -p ledgerline-tests --bench archive [-- EVENTS]`; `LEDGERLINE_PYTHON` names a
//! Python that has duckdb.

use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use ledgerline_adapters::embedded::LocalArchive;
use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId, SourceName};
use ledgerline_domain::ports::Sequenced;
use ledgerline_domain::provider::Provider;
use ledgerline_domain::segment::{Link, Manifest, SegmentPlace, SegmentWriter, ShardManifest, keys};
use ledgerline_domain::time::UnixNanos;
use ledgerline_replay::select::{Selection, SelectionReport};
use ledgerline_replay::selector::Selector;
use ledgerline_tests::bare_parquet;
use ledgerline_tests::bodies::body;
use ledgerline_tests::limits::{Watch, median};
use ledgerline_tests::sealed::seal;
use ledgerline_tests::vault::{HOUR, HOUR_NANOS};

const ROUNDS: usize = 5;
const HOURS: usize = 24;
const SHARDS: usize = 4;
/// As the archiver cuts with four shards.
const SEGMENT_BYTES_MAX: usize = 2 * 1024 * 1024;

fn main() {
    let events = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    writing();
    runtime.block_on(reading(events));
}

/// Records of one hour, as the archiver has them in hand.
fn records(numbers: std::ops::Range<usize>, arrived_at: impl Fn(usize) -> i64) -> Vec<Sequenced<Envelope>> {
    let provider = Provider::built_in("stripe").expect("stripe is built in");
    let source = SourceName::new("stripe").expect("a good name");
    numbers
        .map(|n| Sequenced {
            sequence: SequenceNumber::from_u64(n as u64 + 1),
            arrived_at: UnixNanos::from_nanos(arrived_at(n)),
            value: seal(&provider, &source, &Bytes::from(body(n))),
        })
        .collect()
}

fn writing() {
    let records = records(0..60_000, |n| HOUR + n as i64 * 1000);
    let mut seconds = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        let began = Watch::start();
        let mut bare_bytes = 0;
        for part in records.chunks(1700) {
            bare_bytes += bare_parquet::write(part).len();
        }
        seconds[0].push(began.seconds());
        let began = Watch::start();
        let (mut after, mut bytes) = (None, 0);
        for part in records.chunks(1700) {
            let place = SegmentPlace { stream: "main".into(), shard: ShardId::numbered(0), after: after.take() };
            let mut writer = SegmentWriter::new(place).expect("a writer");
            part.iter().for_each(|record| writer.push(record).expect("pushed"));
            let segment = writer.finish().expect("a segment");
            bytes += segment.bytes.len();
            after = Some((segment.info.last.clone(), Link { key: segment.info.key(), sha256: segment.sha256 }));
        }
        seconds[1].push(began.seconds());
        assert!(bare_bytes < bytes && bytes < bare_bytes * 11 / 10, "the same rows: {bare_bytes} and {bytes} bytes");
    }
    let [bare, ours] = seconds.map(median);
    let rate = |seconds: f64| records.len() as f64 / seconds;
    println!("writing, 1700 rows a segment: bare Parquet writer {:.0} events/s", rate(bare));
    println!(
        "  segments with chain, checksums, digest {:.0} events/s, {:.2} of it (goal 0.80)",
        rate(ours),
        bare / ours
    );
}

async fn reading(events: usize) {
    let dir = tempfile::tempdir().expect("a directory");
    fill(dir.path(), events);
    let archive = LocalArchive::beside(dir.path());
    let wanted = EntityKey::parse(&format!("stripe/payment/pi_{:024}", events / 6)).expect("a key");
    let step = HOURS as i64 * HOUR_NANOS / 20;
    // Five per cent that begin and end within hours.
    let from = HOUR + 7 * step + HOUR_NANOS / 3;
    let at = |nanos| Some(UnixNanos::from_nanos(nanos));
    let selectors = [
        ("full scan", Selector::default(), None),
        ("one entity", Selector { entities: vec![wanted.clone()], ..Selector::default() }, Some(0.02)),
        ("5 % of arrival", Selector { from: at(from), to: at(from + step), ..Selector::default() }, Some(0.1)),
    ];
    let mut all = 0.0;
    for (name, selector, goal) in &selectors {
        let mut seconds = Vec::new();
        let mut report = SelectionReport::default();
        for _ in 0..if goal.is_some() { ROUNDS } else { 3 } {
            let began = Watch::start();
            let mut selection = Selection::begin(&archive, "main", selector).await.expect("begun");
            while selection.next().await.expect("a row").is_some() {}
            report = selection.finish();
            seconds.push(began.seconds());
            assert!(report.is_clean());
        }
        let seconds = median(seconds);
        let goal = goal.map(|goal| format!(" (goal {goal})")).unwrap_or_default();
        all = if all == 0.0 { seconds } else { all };
        println!(
            "{name}: {:.1} ms, {:.3} of the scan{goal}; {} rows, {} of {} segments read, {:.1} MB",
            seconds * 1000.0,
            seconds / all,
            report.rows,
            report.segments_read,
            report.segments,
            report.bytes_read as f64 / 1e6
        );
    }
    duckdb(dir.path(), wanted.as_str(), from / 1000, (from + step) / 1000);
}

/// Writes the archive as files, with its manifests.
fn fill(root: &Path, events: usize) {
    let mut tips = vec![None; SHARDS];
    let per_hour = events / HOURS + 1;
    for hour in 0..HOURS {
        let begin = HOUR + hour as i64 * HOUR_NANOS;
        let numbers = hour * per_hour..((hour + 1) * per_hour).min(events);
        let gap = HOUR_NANOS / per_hour as i64;
        let rows = records(numbers.clone(), |n| begin + (n - numbers.start) as i64 * gap);
        let mut manifest = Manifest::empty("main", &UnixNanos::from_nanos(begin).hour());
        manifest.complete = true;
        for (number, tip) in (0..).zip(&mut tips) {
            let shard = ShardId::numbered(number);
            let mut part = ShardManifest { shard, watermark: None, archived_until: None, segments: Vec::new() };
            let open = |after| {
                let place = SegmentPlace { stream: "main".into(), shard: ShardId::numbered(number), after };
                SegmentWriter::new(place).expect("a writer")
            };
            let mut writer = open(tip.take());
            let mut close = |writer: SegmentWriter| {
                let segment = writer.finish().expect("a segment");
                let path = root.join(segment.info.key());
                std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
                std::fs::write(path, &segment.bytes).expect("written");
                part.segments.push(segment.summary());
                (segment.info.last.clone(), Link { key: segment.info.key(), sha256: segment.sha256 })
            };
            // By payment, so that an entity lies in one shard.
            for (_, row) in numbers.clone().zip(&rows).filter(|(n, _)| n / 3 % SHARDS == number as usize) {
                if writer.raw_bytes() >= SEGMENT_BYTES_MAX {
                    let full = std::mem::replace(&mut writer, open(None));
                    writer = open(Some(close(full)));
                }
                writer.push(row).expect("pushed");
            }
            *tip = Some(close(writer));
            manifest.shards.push(part);
        }
        manifest.totals = manifest.sums();
        let path = root.join(keys::manifest("main", &manifest.hour));
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, manifest.encode().expect("a text")).expect("written");
    }
}

/// The same three questions to DuckDB on one thread.
fn duckdb(root: &Path, entity: &str, from: i64, to: i64) {
    let Ok(python) = std::env::var("LEDGERLINE_PYTHON") else {
        println!("skipped: DuckDB (LEDGERLINE_PYTHON names no Python that has it)");
        return;
    };
    let script = r#"
import duckdb, statistics, sys, time
root, entity, first, last = sys.argv[1:]
db = duckdb.connect()
db.execute("SET threads = 1")
files = f"read_parquet('{root}/segments/*/*/*/*.parquet', hive_partitioning = true, hive_types = {{'hour': VARCHAR}})"
hour = lambda micros: time.strftime('%Y-%m-%dT%H', time.gmtime(int(micros) / 1e6))
everything = "sum(octet_length(body)), sum(octet_length(signature_headers)), count(DISTINCT event_type), max(sequence)"
queries = [
    ("full scan", f"SELECT {everything} FROM {files}"),
    ("one entity", f"SELECT body, signature_headers FROM {files} WHERE entity = '{entity}'"),
    ("5 % of arrival", f"SELECT {everything} FROM {files} WHERE hour BETWEEN '{hour(first)}' AND '{hour(last)}' "
                       f"AND epoch_us(arrived_at) >= {first} AND epoch_us(arrived_at) < {last}"),
]
scan = None
for name, query in queries:
    times = []
    for _ in range(3):
        began = time.perf_counter()
        db.execute(query).fetchall()
        times.append(time.perf_counter() - began)
    seconds = statistics.median(times)
    scan = scan or seconds
    print(f"DuckDB {duckdb.__version__}, {name}: {seconds * 1000:.1f} ms, {seconds / scan:.3f} of its scan")
"#;
    let arguments = [script, &root.to_string_lossy(), entity, &from.to_string(), &to.to_string()];
    let done = Command::new(python).arg("-c").args(arguments).status();
    assert!(done.expect("python runs").success(), "DuckDB failed");
}
