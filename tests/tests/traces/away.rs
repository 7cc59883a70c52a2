//! A collector that is away, slow or rude: the program works on, holds little, says little, and ends in time.

use std::time::Instant;

use ledgerline_tests::collector::{Collector, Temper};

use super::*;

/// The value of a counter, over all labels.
fn counted(served: &Served, name: &str) -> u64 {
    use std::io::{Read as _, Write as _};
    let mut open = TcpStream::connect(&served.address).expect("the server is there");
    open.write_all(b"GET /metrics HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n").expect("sent");
    let mut text = String::new();
    open.read_to_string(&mut text).expect("the metrics");
    let values = text.lines().filter_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    values.sum()
}

/// Posts so many events, each of which tells five spans and more.
fn post(served: &Served, events: usize) -> Duration {
    let mut caller = Caller::of(served);
    let began = Instant::now();
    for number in 0..events {
        assert_eq!(caller.post("shop", &event(&format!("evt_{number}"), "pi_1", 100, 500), &[]), 200);
    }
    began.elapsed()
}

fn stop_within(served: &mut Served, seconds: f64) {
    let began = Instant::now();
    served.stop();
    assert!(began.elapsed().as_secs_f64() < seconds, "the end took {:?}", began.elapsed());
}

#[test]
fn where_nobody_listens_requests_are_answered_and_the_end_is_in_time() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let dir = tempfile::tempdir().expect("a directory");
    let mut served = Served::prepare(env!("CARGO_BIN_EXE_ledgerline-under-test"), dir.path());
    served.set_variable("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://127.0.0.1:{port}"));
    served.set_variable("OTEL_EXPORTER_OTLP_HEADERS", "x-key=hidden-key");
    served.set_variable("OTEL_BSP_SCHEDULE_DELAY", "20");
    served.set_variable("OTEL_BSP_MAX_QUEUE_SIZE", "100");
    served.start();
    served.wait_ready();
    post(&served, 200);
    let dropped = counted(&served, "ledgerline_traces_dropped_total");
    assert!(dropped >= 200 * 5 - 200, "only {dropped} dropped: more were kept than there is room for");
    stop_within(&mut served, 8.0);
    let log = served.log();
    assert_eq!(log.matches("failed to export traces").count(), 1, "{log}");
    assert!(!log.contains("hidden-key"), "{log}");
    // Nothing of the events was lost for it.
    let (code, out) = served.run(&["replay", "verify"]);
    assert_eq!(code, 0, "{out}");
}

#[test]
fn a_collector_that_answers_nobody_holds_up_nobody() {
    let (dir, collector) = (tempfile::tempdir().expect("a directory"), Collector::start(Temper::Hangs));
    let mut served = served(dir.path(), &collector);
    served.set_variable("OTEL_BSP_MAX_QUEUE_SIZE", "100");
    // Longer than the end may take.
    served.set_variable("OTEL_EXPORTER_OTLP_TIMEOUT", "60000");
    served.start();
    served.wait_ready();
    post(&served, 100);
    let before = served.memory_peak_bytes();
    let took = post(&served, 2000);
    assert!(took < Duration::from_secs(60), "{took:?}");
    if let (Some(before), Some(after)) = (before, served.memory_peak_bytes()) {
        assert!(after < before + 48 * 1024 * 1024, "memory grew from {before} to {after}");
    }
    assert!(counted(&served, "ledgerline_traces_dropped_total") > 8_000);
    assert_eq!(collector.asked(), 1, "one export at a time");
    stop_within(&mut served, 8.0);
    let (code, out) = served.run(&["replay", "verify"]);
    assert_eq!(code, 0, "{out}");
}

#[test]
fn what_a_collector_refuses_for_a_while_comes_later_and_what_it_refuses_for_ever_is_counted() {
    let (dir, collector) = (tempfile::tempdir().expect("a directory"), Collector::start(Temper::Answers(503)));
    let mut served = served(dir.path(), &collector);
    served.start();
    served.wait_ready();
    post(&served, 3);
    std::thread::sleep(Duration::from_millis(300));
    collector.set(Temper::Well);
    let spans = collector.wait(|spans| spans.iter().filter(|told| told.span.name == "archive main").count() == 3);
    assert_eq!(spans.len(), 18, "each once");
    assert_eq!(counted(&served, "ledgerline_traces_exported_total"), 18);
    collector.set(Temper::Answers(400));
    post(&served, 1);
    let began = Instant::now();
    while counted(&served, "ledgerline_traces_dropped_total") < 6 {
        assert!(began.elapsed() < Duration::from_secs(20), "what is refused is never counted");
        std::thread::sleep(Duration::from_millis(20));
    }
    stop_within(&mut served, 8.0);
    let log = served.log();
    assert!(log.contains("takes spans again") && log.contains("it answered 400"), "{log}");
    assert!(!log.contains("words of the collector"), "{log}");
}

#[test]
fn what_cannot_be_done_ends_the_start_and_without_an_endpoint_there_is_no_thread() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut served = Served::prepare(env!("CARGO_BIN_EXE_ledgerline-under-test"), dir.path());
    served.set_variable("OTEL_TRACES_SAMPLER", "always_on");
    served.start();
    served.wait_ready();
    post(&served, 1);
    assert_eq!(served.threads("traces"), Some(0));
    served.stop();
    served.set_variable("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
    served.start();
    served.wait_ready();
    assert_eq!(served.threads("traces"), Some(1));
    served.stop();
    served.set_variable("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let (code, out) = served.run(&["serve"]);
    assert_eq!(code, 2, "{out}");
    assert!(out.contains("OTEL_EXPORTER_OTLP_PROTOCOL") && out.contains("http/protobuf"), "{out}");
}
