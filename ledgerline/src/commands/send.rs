//! `send`: signs files as the source's provider would and posts them, like a provider that retries.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ledgerline_domain::ports::Clock as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::cli::SendArgs;
use crate::client::{Client, Pace, Target};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Output};
use crate::sender::Signer;
use crate::settings::Loaded;
use crate::wiring::SystemClock;
use crate::words;

/// How often one body is tried.
const ATTEMPTS_MAX: u32 = 7;

/// What became of what was sent.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// Bodies sent, duplicates included.
    sent: u64,
    /// Requests by status code; `no answer` where the network failed.
    answers: BTreeMap<String, u64>,
    /// Requests that were tried again after 429, 503 or a lost connection.
    tried_again: u64,
    /// How long it took.
    seconds: f64,
}

/// Runs the command. Code 5 unless every body was answered with 2xx.
pub async fn run(loaded: &Loaded, args: &SendArgs, out: &mut Output) -> Outcome {
    let signer = Signer::of(loaded, &args.source)?;
    let target = Target::parse(&url(loaded, &args.source, args.url.as_deref()))?;
    let mut rng = StdRng::seed_from_u64(args.seed);
    let plan = plan(&files(&args.paths)?, args, &mut rng);
    let bar = output::bar("sending", Some(plan.len() as u64));
    let sent = plan.len() as u64;
    let (plan, pace) = (Arc::new(Mutex::new(plan.into_iter())), Arc::new(Pace::new(args.rate)));
    let began = Instant::now();
    let mut senders = JoinSet::new();
    for _ in 0..args.connections {
        let (plan, pace, signer, bar) = (plan.clone(), pace.clone(), signer.clone(), bar.clone());
        let mut client = Client::new(target.clone());
        senders.spawn(async move {
            let mut report = Report::default();
            loop {
                let Some((path, delay)) = plan.lock().await.next() else { return Ok::<_, Failure>(report) };
                tokio::time::sleep(delay).await;
                if let Some(pace) = &*pace {
                    pace.wait().await;
                }
                let body = read(&path)?;
                let id = message_id(&body);
                let sign = || signer.request(&id, SystemClock.now(), &body);
                let answer = match client.deliver(ATTEMPTS_MAX, sign).await {
                    Ok((answer, again)) => {
                        report.tried_again += u64::from(again);
                        answer.status.to_string()
                    }
                    Err(failure) if failure.exit == Exit::Busy => {
                        tracing::warn!(file = %path.display(), %failure, "no answer");
                        report.tried_again += u64::from(ATTEMPTS_MAX - 1);
                        "no answer".to_owned()
                    }
                    Err(failure) => return Err(failure),
                };
                *report.answers.entry(answer).or_default() += 1;
                bar.inc(1);
            }
        });
    }
    let mut report = Report { sent, ..Report::default() };
    while let Some(ended) = senders.join_next().await {
        let part = ended.map_err(|e| Failure::failed(format!("send: {e}")))??;
        report.tried_again += part.tried_again;
        for (answer, count) in part.answers {
            *report.answers.entry(answer).or_default() += count;
        }
    }
    bar.finish_and_clear();
    report.seconds = began.elapsed().as_secs_f64();
    print(&report, args.json, out)?;
    let good = report.answers.iter().filter(|(answer, _)| answer.starts_with('2')).map(|(_, n)| n).sum::<u64>();
    Ok(if good == sent { Exit::Ok } else { Exit::Refused })
}

fn print(report: &Report, json: bool, out: &mut Output) -> Outcome<()> {
    if json {
        return out.json(report);
    }
    let mut table = output::table(&["answer", ">requests", "meaning"]);
    for (answer, count) in &report.answers {
        table.add_row([answer.clone(), words::thousands(*count), meaning(answer).to_owned()]);
    }
    out.table(&table, 0)?;
    out.gap()?;
    let again = match report.tried_again {
        0 => String::new(),
        n => format!(", {} tried again", words::thousands(n)),
    };
    out.line(format!("{} sent in {:.1} s{again}", words::count(report.sent, "body", "bodies"), report.seconds))
}

/// What an answer of the door means.
pub fn meaning(answer: &str) -> &'static str {
    match answer {
        "200" => "accepted: durable in the log",
        "202" => "accepted, but unreadable: it goes to the quarantine",
        "401" => "refused: the signature does not hold",
        "404" => "refused: no such source",
        "408" => "refused: the body came too slowly",
        "413" => "refused: the body is too large",
        "429" => "turned back: the source's rate limit",
        "503" => "turned back: overloaded or shutting down",
        "no answer" => "the server could not be reached",
        _ => "",
    }
}

/// The address of a source's endpoint.
pub fn url(loaded: &Loaded, source: &str, given: Option<&str>) -> String {
    given.map_or_else(|| format!("http://{}/webhooks/{source}", loaded.settings.listen), ToOwned::to_owned)
}

/// The id under which a body is sent: the same for copies of it.
fn message_id(body: &[u8]) -> String {
    let digest = hex::encode(Sha256::digest(body));
    format!("msg_{}", digest.get(..24).unwrap_or_default())
}

fn read(path: &Path) -> Outcome<Bytes> {
    std::fs::read(path).map(Bytes::from).map_err(|e| Failure::failed(format!("read {}: {e}", path.display())))
}

/// What to send, in order, with the pause before each.
fn plan(files: &[PathBuf], args: &SendArgs, rng: &mut StdRng) -> Vec<(PathBuf, Duration)> {
    let mut plan = Vec::with_capacity(files.len());
    for file in files {
        plan.push(file.clone());
        if rng.random_bool(args.duplicate) {
            plan.push(file.clone());
        }
    }
    if args.shuffle {
        plan.shuffle(rng);
    }
    plan.into_iter().map(|file| (file, Duration::from_millis(rng.random_range(0..=args.delay)))).collect()
}

/// The files named, and those in the folders named, in name order. Hidden ones are left out.
pub(super) fn files(paths: &[PathBuf]) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        let failed = |e: std::io::Error| Failure::usage(format!("read {}: {e}", path.display()));
        if !std::fs::metadata(path).map_err(failed)?.is_dir() {
            found.push(path.clone());
            continue;
        }
        let mut inside = Vec::new();
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if !entry.file_name().to_string_lossy().starts_with('.') {
                inside.push(entry.path());
            }
        }
        inside.sort();
        found.extend(files(&inside)?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {

    use super::*;

    fn args(shuffle: bool, duplicate: f64) -> SendArgs {
        SendArgs {
            paths: Vec::new(),
            source: "s".into(),
            url: None,
            shuffle,
            duplicate,
            delay: 0,
            seed: 1,
            rate: None,
            connections: 1,
            json: false,
        }
    }

    #[test]
    fn folders_are_read_in_name_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.json", "a.json", ".hidden", "c/d.json"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "{}").unwrap();
        }
        let found = files(&[folder.path().to_owned()]).unwrap();
        let names: Vec<_> = found.iter().map(|p| p.strip_prefix(folder.path()).unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["a.json", "b.json", "c/d.json"]);
        assert!(files(&["nowhere.json".into()]).unwrap_err().message.contains("nowhere.json"));
    }

    #[test]
    fn a_plan_keeps_every_file_and_follows_its_seed() {
        let files: Vec<PathBuf> = (0..100).map(|n| PathBuf::from(format!("{n:03}"))).collect();
        let planned = |shuffle, duplicate, seed| -> Vec<PathBuf> {
            let mut rng = StdRng::seed_from_u64(seed);
            plan(&files, &args(shuffle, duplicate), &mut rng).into_iter().map(|(path, _)| path).collect()
        };
        assert_eq!(planned(false, 0.0, 1), files);
        assert_eq!(planned(false, 1.0, 1).len(), 200);
        let shuffled = planned(true, 0.2, 1);
        assert_eq!(shuffled, planned(true, 0.2, 1));
        assert_ne!(shuffled, planned(true, 0.2, 2));
        assert!(files.iter().all(|f| shuffled.contains(f)) && (105..140).contains(&shuffled.len()));
    }

    #[test]
    fn copies_have_one_id() {
        assert_eq!(message_id(b"x"), message_id(b"x"));
        assert_ne!(message_id(b"x"), message_id(b"y"));
    }
}
