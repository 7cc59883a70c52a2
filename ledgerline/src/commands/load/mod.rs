//! `load`: signed requests as fast as the connections carry them, and how long each took.

mod bodies;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ledgerline_domain::ports::Clock as _;
use serde::Serialize;
use tokio::task::JoinSet;

use self::bodies::Bodies;
use self::wire::Wire;
use crate::cli::LoadArgs;
use crate::client::{Pace, Target};
use crate::commands::send;
use crate::exit::{Exit, Failure, Outcome};
use crate::latency::Latencies;
use crate::output::{self, Output};
use crate::payments::Shape;
use crate::sender::Signer;
use crate::settings::Loaded;
use crate::wiring::SystemClock;
use crate::words;

/// What was measured. Latencies are microseconds.
#[derive(Debug, Serialize)]
struct Report {
    connections: u16,
    seconds: f64,
    requests: u64,
    requests_per_second: f64,
    p50_us: u64,
    p90_us: u64,
    p99_us: u64,
    p999_us: u64,
    max_us: u64,
    /// Requests by status code; `no answer` where the network failed.
    answers: BTreeMap<String, u64>,
}

/// Runs the command. Code 5 when a request was answered with something else than 2xx, 429 or 503.
pub async fn run(loaded: &Loaded, args: &LoadArgs, out: &mut Output) -> Outcome {
    let source = loaded.source(&args.source)?;
    let shape = match source.provider.as_str() {
        "stripe" => Shape::Stripe,
        "generic" => Shape::Plain,
        other => {
            return Err(Failure::usage(format!(
                "make load for provider {other:?}: there are made-up payments for stripe and generic only; use `send`"
            )));
        }
    };
    let signer = Signer::of(loaded, &args.source)?;
    let target = Target::parse(&send::url(loaded, &args.source, args.url.as_deref()))?;
    let bodies = Arc::new(Bodies::make(shape, args.payments as usize, args.seed));
    let pace = Arc::new(Pace::new(args.rate));
    let began = Instant::now();
    let until = began + Duration::from_secs(args.seconds);
    let mut connections = JoinSet::new();
    for _ in 0..args.connections {
        let (bodies, pace, signer, target) = (bodies.clone(), pace.clone(), signer.clone(), target.clone());
        connections.spawn(connection(bodies, pace, signer, target, until));
    }
    let bar = output::bar("seconds", Some(args.seconds));
    let mut latencies = Latencies::default();
    let mut answers: BTreeMap<u16, u64> = BTreeMap::new();
    let mut look = tokio::time::interval(Duration::from_millis(500));
    while !connections.is_empty() {
        tokio::select! {
            _ = look.tick() => bar.set_position(began.elapsed().as_secs()),
            Some(ended) = connections.join_next() => {
                let (part, counts) = ended.map_err(|e| Failure::failed(format!("put load on the server: {e}")))??;
                latencies.add(&part);
                counts.into_iter().for_each(|(status, count)| *answers.entry(status).or_default() += count);
            }
        }
    }
    bar.finish_and_clear();
    let seconds = began.elapsed().as_secs_f64();
    let report = Report {
        connections: args.connections,
        seconds,
        requests: latencies.count(),
        requests_per_second: latencies.count() as f64 / seconds,
        p50_us: latencies.quantile(500),
        p90_us: latencies.quantile(900),
        p99_us: latencies.quantile(990),
        p999_us: latencies.quantile(999),
        max_us: latencies.max(),
        answers: answers.iter().map(|(status, count)| (name(*status), *count)).collect(),
    };
    print(&report, args.json, out)?;
    let expected = answers.keys().all(|status| matches!(status, 200..=299 | 429 | 503));
    Ok(if expected { Exit::Ok } else { Exit::Refused })
}

fn name(status: u16) -> String {
    if status == 0 { "no answer".into() } else { status.to_string() }
}

/// One connection's requests until the time is over. Status 0 stands for no answer.
async fn connection(
    bodies: Arc<Bodies>,
    pace: Arc<Option<Pace>>,
    signer: Signer,
    target: Target,
    until: Instant,
) -> Outcome<(Latencies, BTreeMap<u16, u64>)> {
    let mut wire = Wire::new(target);
    let mut latencies = Latencies::default();
    let mut answers = BTreeMap::new();
    while Instant::now() < until {
        if let Some(pace) = &*pace {
            pace.wait().await;
        }
        let (id, body) = bodies.next();
        let signed = signer.request(&id, SystemClock.now(), &body)?;
        let sent = Instant::now();
        let status = match wire.post(&signed.headers, &signed.body).await {
            Ok(status) => {
                latencies.note(u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX));
                status
            }
            Err(failure) if failure.exit == Exit::Busy => {
                tracing::debug!(%failure, "no answer");
                tokio::time::sleep(Duration::from_millis(100)).await;
                0
            }
            Err(failure) => return Err(failure),
        };
        *answers.entry(status).or_default() += 1;
    }
    Ok((latencies, answers))
}

fn print(report: &Report, json: bool, out: &mut Output) -> Outcome<()> {
    if json {
        return out.json(report);
    }
    let ms = |us: u64| format!("{:.2} ms", us as f64 / 1_000.0);
    let mut table = output::table(&["measure", ">value"]);
    table.add_row(["requests per second".to_owned(), words::thousands(report.requests_per_second as u64)]);
    table.add_row(["requests".to_owned(), words::thousands(report.requests)]);
    table.add_row(["connections".to_owned(), report.connections.to_string()]);
    for (name, value) in
        [("p50", report.p50_us), ("p90", report.p90_us), ("p99", report.p99_us), ("p99.9", report.p999_us)]
    {
        table.add_row([format!("latency {name}"), ms(value)]);
    }
    table.add_row(["longest".to_owned(), ms(report.max_us)]);
    for (answer, count) in &report.answers {
        table.add_row([format!("answered {answer}"), words::thousands(*count)]);
    }
    out.table(&table, 0)
}
