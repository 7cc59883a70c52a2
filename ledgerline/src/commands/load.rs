//! `load`: signed requests as fast as the connections carry them, and how long each took.
//!
//! Bodies are made before the clock starts. When all have been sent they come again as new payments:
//! the last six characters of payment and event ids are replaced, so that no request is a duplicate.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ledgerline_domain::ports::Clock as _;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::cli::LoadArgs;
use crate::client::{Client, Pace, Target};
use crate::commands::send;
use crate::exit::{Exit, Failure, Outcome};
use crate::latency::Latencies;
use crate::output::{self, Output};
use crate::payments::{self, Shape};
use crate::sender::Signer;
use crate::settings::Loaded;
use crate::wiring::SystemClock;
use crate::words;

/// Characters of an id that change from round to round.
const TAIL: usize = 6;

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
    let mut client = Client::new(target);
    let mut latencies = Latencies::default();
    let mut answers = BTreeMap::new();
    while Instant::now() < until {
        if let Some(pace) = &*pace {
            pace.wait().await;
        }
        let (id, body) = bodies.next();
        let signed = signer.request(&id, SystemClock.now(), &body)?;
        let sent = Instant::now();
        let status = match client.post(&signed.headers, signed.body).await {
            Ok(answer) => {
                latencies.note(u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX));
                answer.status
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

/// Prepared bodies and whose turn it is.
struct Bodies {
    templates: Vec<Template>,
    turn: AtomicUsize,
}

/// One body, and where in it the tails of ids are.
struct Template {
    id: String,
    body: Bytes,
    tails: Vec<usize>,
}

impl Bodies {
    fn make(shape: Shape, payments: usize, seed: u64) -> Self {
        let mut templates = Vec::new();
        for story in payments::stories(shape, payments, seed) {
            for event in story.events {
                let mut tails = Vec::new();
                for id in [story.payment.as_bytes(), event.id.as_bytes()] {
                    let found = event.body.windows(id.len()).enumerate().filter(|(_, window)| *window == id);
                    tails.extend(found.map(|(at, _)| at + id.len() - TAIL));
                }
                templates.push(Template { id: event.id, body: event.body, tails });
            }
        }
        Self { templates, turn: AtomicUsize::new(0) }
    }

    /// The next request's id and body.
    fn next(&self) -> (String, Bytes) {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let round = turn / self.templates.len().max(1);
        let Some(template) = self.templates.get(turn % self.templates.len().max(1)) else {
            return (String::new(), Bytes::new());
        };
        if round == 0 {
            return (template.id.clone(), template.body.clone());
        }
        let tail = tail(round);
        let mut body = template.body.to_vec();
        for at in &template.tails {
            if let Some(place) = body.get_mut(*at..*at + TAIL) {
                place.copy_from_slice(&tail);
            }
        }
        (format!("{}{round}", template.id), body.into())
    }
}

/// The tail of ids in a round. Rounds repeat after 100 000, which is billions of requests.
fn tail(round: usize) -> [u8; TAIL] {
    let mut tail = *b"r00000";
    let digits = format!("{:05}", round % 100_000);
    for (place, digit) in tail.iter_mut().skip(1).zip(digits.bytes()) {
        *place = digit;
    }
    tail
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_body_comes_twice_and_rounds_stay_readable() {
        for shape in [Shape::Stripe, Shape::Plain] {
            let bodies = Bodies::make(shape, 30, 1);
            let count = bodies.templates.len();
            let all: HashSet<Bytes> = (0..count * 3).map(|_| bodies.next().1).collect();
            assert_eq!(all.len(), count * 3);
            for body in &all {
                assert!(serde_json::from_slice::<serde_json::Value>(body).is_ok());
            }
            let ids: HashSet<String> = all
                .iter()
                .filter_map(|b| {
                    serde_json::from_slice::<serde_json::Value>(b).ok()?.get("id")?.as_str().map(str::to_owned)
                })
                .collect();
            assert_eq!(ids.len(), count * 3, "event ids are new in every round");
        }
    }
}
