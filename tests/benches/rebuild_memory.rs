//! Memory of a rebuild: 10 million events over 2 million entities, within the default limits. The five
//! events of an entity lie 20 000 entities apart, so each of them finds its record cold.
//!
//! `cargo bench -p ledgerline-tests --bench rebuild_memory [-- EVENTS]`
//!
//! The archive is written first, segment by segment with the writer of the archiver; it takes about
//! 200 bytes an event in the directory for temporary files. The rebuild runs in a process of its own,
//! whose peak resident memory the kernel reports (VmHWM). Both allocate as the program does.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use ledgerline_adapters::embedded::LocalArchive;
use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId, SourceName};
use ledgerline_domain::ports::Sequenced;
use ledgerline_domain::provider::{Provider, Sources};
use ledgerline_domain::segment::{Link, SegmentPlace, SegmentWriter};
use ledgerline_replay::rebuild::{Input, Limits, rebuild};
use ledgerline_tests::sealed::{RECEIVED_AT, seal};

/// The program's own: memory is what is measured.
#[global_allocator]
static ALLOCATOR: ledgerline::Allocator = ledgerline::Allocator;

const EVENTS: usize = 10_000_000;
const PER_ENTITY: usize = 5;
/// Entities between two events of one.
const APART: usize = 20_000;
const SHARDS: u32 = 4;
const SEGMENT_RECORDS: usize = 16_384;
const STREAM: &str = "main";
/// Set for the process that rebuilds: the directory of the archive.
const CHILD: &str = "LEDGERLINE_BENCH_ARCHIVE";

fn main() {
    if let Some(dir) = std::env::var_os(CHILD) {
        return measured(&PathBuf::from(dir));
    }
    let events = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(EVENTS);
    let dir = tempfile::tempdir().expect("a directory");
    let began = Instant::now();
    std::thread::scope(|scope| {
        for shard in 0..SHARDS {
            let dir = dir.path();
            scope.spawn(move || write_shard(dir, shard, events));
        }
    });
    println!("{events} events of {} entities archived in {:.0} s", events / PER_ENTITY, began.elapsed().as_secs_f64());
    let program = std::env::current_exe().expect("this program");
    let status = std::process::Command::new(program).env(CHILD, dir.path()).status().expect("it starts");
    assert!(status.success());
}

/// The body of event `n`: payments in blocks of [`APART`], of each block first all first events.
fn body(n: usize, entities: usize) -> (usize, String) {
    let block = n / (APART * PER_ENTITY);
    let size = APART.min(entities - block * APART);
    let within = n - block * APART * PER_ENTITY;
    let (step, payment) = (within / size, block * APART + within % size);
    let kind = ["created", "processing", "amount_capturable_updated", "succeeded", "succeeded"][step];
    let (created, amount, got) = (1_790_000_000 + n / 1000, 100 + payment % 90_000, if step < 3 { 0 } else { 100 });
    let text = format!(
        r#"{{"id":"evt_{n:024}","object":"event","created":{created},"type":"payment_intent.{kind}","data":{{"object":{{"id":"pi_{payment:024}","object":"payment_intent","amount":{amount},"amount_capturable":{amount},"amount_received":{got},"capture_method":"automatic","currency":"eur","customer":"cus_{payment:014}","latest_charge":"ch_{payment:024}","status":"{kind}"}}}}}}"#
    );
    (payment, text)
}

/// Writes the chain of one shard.
fn write_shard(dir: &Path, shard: u32, events: usize) {
    let source = SourceName::new("stripe").expect("a good name");
    let provider = Provider::built_in("stripe").expect("built in");
    let mut after = None;
    let place = |after| SegmentPlace { stream: STREAM.into(), shard: ShardId::numbered(shard), after };
    let (mut writer, mut records) = (SegmentWriter::new(place(None)).expect("a writer"), 0);
    let mut close = |writer: SegmentWriter| {
        let segment = writer.finish().expect("a segment");
        let path = dir.join(segment.info.key());
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        std::fs::write(path, &segment.bytes).expect("written");
        let link = Link { key: segment.info.key(), sha256: segment.sha256 };
        after = Some((segment.info.last, link));
        after.clone()
    };
    for n in 0..events {
        let (payment, text) = body(n, events / PER_ENTITY);
        let key = EntityKey::parse(&format!("stripe/payment/pi_{payment:024}")).expect("a key");
        if key.part_of(SHARDS) != shard {
            continue;
        }
        let value = seal(&provider, &source, &Bytes::from(text));
        let sequence = SequenceNumber::from_u64(n as u64 + 1);
        writer.push(&Sequenced { sequence, arrived_at: RECEIVED_AT, value }).expect("pushed");
        records += 1;
        if records == SEGMENT_RECORDS {
            let after = close(writer);
            (writer, records) = (SegmentWriter::new(place(after)).expect("a writer"), 0);
        }
    }
    if records > 0 {
        close(writer);
    }
}

/// Rebuilds and says what it took.
fn measured(dir: &Path) {
    let source = SourceName::new("stripe").expect("a good name");
    let mut sources = Sources::default();
    sources.insert(&source, Arc::new(Provider::built_in("stripe").expect("built in")));
    let limits = Limits { spill_dir: Some(dir), ..Limits::default() };
    let input = Input { limits, ..Input::new(STREAM, &sources) };
    let archive = LocalArchive::beside(dir);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    let began = Instant::now();
    let rebuilt = runtime.block_on(rebuild(&archive, &input, &mut |_| {})).expect("rebuilt");
    let seconds = began.elapsed().as_secs_f64();
    assert!(rebuilt.chain.is_clean() && rebuilt.counts.events == rebuilt.counts.records);
    println!(
        "rebuilt {} entities in {seconds:.0} s: {:.0} events/s; peak memory {} MiB (goal 1024)",
        rebuilt.entities(),
        rebuilt.counts.records as f64 / seconds,
        peak_mib()
    );
    let began = Instant::now();
    let mut before = None;
    let mut read = 0;
    for record in rebuilt.records() {
        let record = record.expect("a record");
        assert!(before < Some(record.key.clone()) && record.entries.len() == PER_ENTITY);
        before = Some(record.key);
        read += 1;
    }
    assert_eq!(read, rebuilt.entities());
    let seconds = began.elapsed().as_secs_f64();
    println!("read all records in the order of their keys in {seconds:.0} s; peak memory {} MiB", peak_mib());
}

/// The most resident memory that this process ever had.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") / 1024
}
