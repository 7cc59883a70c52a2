//! Durable, verified ingest against the ingest limit (axum + HMAC + four fields parsed, nothing kept), in
//! one run: requests per second at saturation and server CPU per request, the server pinned to one core
//! and the generator (`ledgerline load`) to the other. How much of its core a server used tells whether it
//! was saturated.
//!
//! `cargo bench -p ledgerline-tests --bench ingest [-- CONNECTIONS SECONDS ROUNDS]`

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ledgerline_tests::child::{SECRET, Served};
use ledgerline_tests::limits::median;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ledgerline-under-test");
const LIMIT: &str = env!("CARGO_BIN_EXE_ingest-limit");

/// What one round of load gave.
struct Round {
    requests_per_second: f64,
    cpu_us_per_request: f64,
    /// Share of its core that the server used.
    busy: f64,
    p99_us: f64,
}

fn main() {
    let arguments: Vec<usize> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let of = |at: usize, default: usize| arguments.get(at).copied().unwrap_or(default);
    let (connections, seconds, rounds) = (of(0, 256), of(1, 8), of(2, 5));
    let mut figures: Vec<(&str, Vec<Round>)> = vec![
        ("ingest limit: axum + HMAC + 4 fields", vec![]),
        ("ledgerline serve --role ingest", vec![]),
        ("ledgerline serve, all roles", vec![]),
    ];
    for _ in 0..rounds {
        for (name, rounds) in &mut figures {
            let dir = tempfile::tempdir().expect("a directory");
            let served = Served::prepare(PROGRAM, dir.path());
            let mut server = match *name {
                "ingest limit: axum + HMAC + 4 fields" => pinned(0, LIMIT, &[&served.address, SECRET]),
                "ledgerline serve --role ingest" => serve(&served, &["serve", "--role", "ingest"]),
                _ => serve(&served, &["serve"]),
            };
            wait(&served.address);
            let before = cpu_us(&server);
            let settings = served.settings.to_string_lossy().into_owned();
            let (seconds, connections) = (seconds.to_string(), connections.to_string());
            let load = [
                "--config",
                &settings,
                "load",
                "--source",
                "shop",
                "--seconds",
                &seconds,
                "--connections",
                &connections,
                "--json",
            ];
            let out = pinned_command(1, PROGRAM, &load).output().expect("the load runs");
            let report: serde_json::Value = serde_json::from_slice(&out.stdout)
                .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&out.stderr)));
            let requests = report["requests"].as_f64().expect("requests");
            assert_eq!(report["answers"]["200"].as_f64(), Some(requests), "{report}");
            let cpu_us = cpu_us(&server) - before;
            rounds.push(Round {
                requests_per_second: report["requests_per_second"].as_f64().expect("a rate"),
                cpu_us_per_request: cpu_us / requests,
                busy: cpu_us / 1e6 / report["seconds"].as_f64().expect("seconds"),
                p99_us: report["p99_us"].as_f64().expect("a p99"),
            });
            server.kill().expect("killed");
            server.wait().expect("ended");
        }
    }
    println!("{connections} connections, {seconds} s a round, medians of {rounds} rounds");
    let middle = |rounds: &[Round], of: &dyn Fn(&Round) -> f64| median(rounds.iter().map(of).collect());
    let limit = (middle(&figures[0].1, &|r| r.requests_per_second), middle(&figures[0].1, &|r| r.cpu_us_per_request));
    for (name, rounds) in &figures {
        let (rate, cpu) = (middle(rounds, &|r| r.requests_per_second), middle(rounds, &|r| r.cpu_us_per_request));
        println!(
            "{name:<38} {rate:>8.0} req/s ({:.2})   {cpu:>5.1} µs CPU/request ({:.2})   busy {:.2}   p99 {:>6.2} ms",
            rate / limit.0,
            cpu / limit.1,
            middle(rounds, &|r| r.busy),
            middle(rounds, &|r| r.p99_us) / 1000.0
        );
    }
}

fn serve(served: &Served, arguments: &[&str]) -> Child {
    let settings = served.settings.to_string_lossy().into_owned();
    let all: Vec<&str> =
        ["--config", &settings, "--log", "error"].into_iter().chain(arguments.iter().copied()).collect();
    pinned(0, PROGRAM, &all)
}

fn pinned_command(core: usize, program: &str, arguments: &[&str]) -> Command {
    // Without taskset the figures are of an unpinned machine, and still of one run.
    let mut command = if Command::new("taskset").arg("--version").stdout(Stdio::null()).status().is_ok() {
        let mut command = Command::new("taskset");
        command.args(["-c", &core.to_string(), program]);
        command
    } else {
        Command::new(program)
    };
    command.args(arguments).stdin(Stdio::null());
    command
}

fn pinned(core: usize, program: &str, arguments: &[&str]) -> Child {
    pinned_command(core, program, arguments).stdout(Stdio::null()).spawn().expect("it starts")
}

fn wait(address: &str) {
    for _ in 0..1000 {
        if std::net::TcpStream::connect(address).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the server does not come up");
}

/// CPU time of a process so far, in microseconds, from the kernel's clock ticks (10 ms each).
fn cpu_us(process: &Child) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).expect("Linux's /proc");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or_default();
    (ticks(11) + ticks(12)) * 10_000.0
}
