//! `demo`: the whole route at work on one machine, and the proof that it worked.
//!
//! Made-up payments are told by two providers, signed, shuffled, copied and mixed with hostile
//! requests; they go over real HTTP into the real server on real files. Halfway the processor is
//! killed. At the end everything is compared with what only the generator knows, and with a replay
//! of the archive. Code 0 only if every check holds, else code 3.

mod checks;
mod deliver;
mod plan;
mod report;

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ledgerline_domain::ports::{Entities as _, EntityFilter, Quarantine as _};
use ledgerline_domain::record::EntityRecord;
use ledgerline_replay::chain::Progress;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::net::TcpListener;

use crate::cli::DemoArgs;
use crate::client::{Client, Target};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Output};
use crate::sender::Signer;
use crate::settings::{FILE_NAME, Loaded};
use crate::telemetry;
use crate::wiring::{Machine, Task};

use checks::Check;
use deliver::{Signers, Tally};
use plan::{Plan, SOURCES};
use report::Story;

/// Longest wait for the fold and for the archive.
const PATIENCE: Duration = Duration::from_secs(120);
/// Records per read of the store.
const PAGE: usize = 1_000;

/// Runs the demonstration in `data`, or in a folder that is thrown away; with the services that the table `[aws]`
/// of `config` names, if they are on this machine.
pub async fn run(args: &DemoArgs, data: Option<&Path>, config: Option<&Path>, out: &mut Output) -> Outcome {
    let thrown_away = tempfile::tempdir().map_err(|e| Failure::failed(format!("make a temporary folder: {e}")))?;
    let folder = data.unwrap_or(thrown_away.path());
    let settings = prepare(folder, args.seed)?;
    let plan = Plan::new(args.payments as usize, args.seed);
    report::opening(&plan, args, out)?;
    let began = Instant::now();
    let mut loaded = Loaded::read(Some(&settings))?;
    if let Some(config) = config {
        loaded.settings.aws = Loaded::read(Some(config))?.settings.aws;
        if !loaded.settings.aws.as_ref().is_some_and(|aws| aws.local) {
            return Err(Failure::usage(
                "make up payments by these settings: the demo takes a table [aws] with `local = true`, or no --config",
            ));
        }
    }
    let signers = signers(&loaded, args.seed)?;
    telemetry::count();

    let machine = Machine::open(loaded).await?;
    let tally = at_work(&machine, &plan, &signers, args.connections).await?;
    let records = all_records(&machine).await?;
    let quarantine = machine.data.store.quarantined(true, None, PAGE * 10).await?;
    let story = Story {
        tally: &tally.tally,
        causes: tally.causes,
        killed_at: tally.killed_at,
        records: &records,
        quarantine: &quarantine,
        took: began.elapsed(),
    };
    report::deliveries(&story, out)?;
    report::behind_the_door(&story, out)?;
    report::money(&story, out)?;
    report::one_payment(&story, out)?;

    let mut checks = checks::check_state(&plan, &tally.tally, &records, quarantine.len());
    checks.extend(prove(&machine, &tally.tally).await?);
    let holds = report::proof(&checks, began.elapsed(), out)?;
    report::next_steps(&story, data, holds, out)?;
    out.flush()?;
    Ok(if holds { Exit::Ok } else { Exit::Drift })
}

/// What happened while the machine ran.
struct Work {
    tally: Tally,
    /// Refusals by cause, as the server counted them.
    causes: Vec<(String, u64)>,
    /// After how many deliveries the processor was killed.
    killed_at: usize,
}

/// Runs the server, delivers everything, kills the processor halfway, waits until all is done.
async fn at_work(machine: &Machine, plan: &Plan, signers: &Signers, connections: u16) -> Outcome<Work> {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .map_err(|e| Failure::failed(format!("listen on a loopback port: {e}")))?;
    let address = listener.local_addr().map_err(|e| Failure::failed(format!("listen on a loopback port: {e}")))?;
    let server = Target::parse(&format!("http://{address}/"))?;
    let ingest = machine.ingest(listener)?;
    let archiver = machine.archiver();
    let mut processor = machine.processor();

    let deliveries = Arc::new(plan.deliveries.clone());
    let half = deliveries.len() / 2;
    let done = Arc::new(AtomicUsize::new(0));
    let bar = output::bar("delivering", Some((plan.deliveries.len() + plan.contradictions.len()) as u64));
    let sending = deliver::deliver(deliveries, signers, &server, connections, done.clone(), &bar);
    let crash = async {
        while done.load(Ordering::Relaxed) < half {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let killed_at = done.load(Ordering::Relaxed);
        processor.kill().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        (machine.processor(), killed_at)
    };
    let (tally, crashed) = tokio::join!(sending, crash);
    let mut tally = tally?;
    let killed_at = crashed.1;
    processor = crashed.0;
    // Contradictions come after what they contradict was accepted: which of two is first is the one
    // thing that the log decides.
    let contradictions = Arc::new(plan.contradictions.clone());
    tally.add(deliver::deliver(contradictions, signers, &server, 1, done, &bar).await?);
    bar.finish_and_clear();

    settled(machine, &processor).await?;
    let metrics = Client::new(server).get("/metrics").await?;
    let causes = refusals(&String::from_utf8_lossy(&metrics.body));
    ingest.stop().await?;
    processor.stop().await?;
    archiver.stop().await?;
    Ok(Work { tally, causes, killed_at })
}

/// Waits until everything is folded.
async fn settled(machine: &Machine, processor: &Task) -> Outcome<()> {
    let bar = output::bar("waiting until everything is folded", None);
    let began = Instant::now();
    while !machine.is_folded().await? {
        if processor.has_ended() || began.elapsed() > PATIENCE {
            return Err(Failure::failed(format!(
                "fold everything within {} s: {} records are left",
                PATIENCE.as_secs(),
                machine.progress.lag()
            )));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bar.finish_and_clear();
    Ok(())
}

/// Replays the archive and checks chain, state and signatures.
async fn prove(machine: &Machine, tally: &Tally) -> Outcome<Vec<Check>> {
    let bar = output::bar("replaying the archive", Some(0));
    let mut tell = |now: Progress| {
        bar.set_length(now.segments_total);
        bar.set_position(now.segments);
    };
    let data = &machine.data;
    let is_archived = machine.is_archived().await?;
    let report = machine.replay().verify(&data.archive, &*data.store, &mut tell).await?;
    bar.finish_and_clear();
    Ok(checks::check_replay(&report, tally, is_archived))
}

async fn all_records(machine: &Machine) -> Outcome<Vec<EntityRecord>> {
    let mut records: Vec<EntityRecord> = Vec::new();
    loop {
        let after = records.last().map(|record| record.key.clone());
        let page = machine.data.store.list(&EntityFilter::default(), after.as_ref(), PAGE).await?;
        if page.is_empty() {
            return Ok(records);
        }
        records.extend(page);
    }
}

/// `ledgerline_ingest_rejected_total{source="…",cause="…"} n` lines, summed by cause.
fn refusals(metrics: &str) -> Vec<(String, u64)> {
    let mut causes = std::collections::BTreeMap::new();
    for line in metrics.lines().filter(|line| line.starts_with("ledgerline_ingest_rejected_total{")) {
        let cause = line.split("cause=\"").nth(1).and_then(|rest| rest.split('"').next());
        let count = line.rsplit(' ').next().and_then(|n| n.parse::<f64>().ok());
        if let (Some(cause), Some(count)) = (cause, count)
            && count > 0.0
        {
            *causes.entry(cause.to_owned()).or_insert(0) += count as u64;
        }
    }
    causes.into_iter().collect()
}

/// Writes settings and secrets into `folder`, which must be new or empty. Gives the settings file.
fn prepare(folder: &Path, seed: u64) -> Outcome<PathBuf> {
    let shown = folder.display();
    let failed = |e: std::io::Error| Failure::usage(format!("prepare the folder {shown}: {e}"));
    std::fs::create_dir_all(folder).map_err(failed)?;
    if std::fs::read_dir(folder).map_err(failed)?.next().is_some() {
        return Err(Failure::usage(format!("use the folder {shown}: it is not empty; name a new one with --data")));
    }
    let mut text = String::from(
        "# Written by `ledgerline demo`. Try: ledgerline --config THIS-FILE list\n\ndata = \"data\"\n\n[limits]\nsegment_age_seconds_max = 1\n",
    );
    let mut rng = StdRng::seed_from_u64(seed ^ 0x005E_C12E7);
    for (name, shape) in SOURCES {
        let provider = match shape {
            crate::payments::Shape::Stripe => "stripe",
            crate::payments::Shape::Plain => "generic",
        };
        let secret: String = (0..32).map(|_| char::from(rng.random_range(b'a'..=b'z'))).collect();
        let file = folder.join(format!("{name}.secret"));
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(failed)?;
        writeln!(file, "whsec_{secret}").map_err(failed)?;
        text.push_str(&format!(
            "\n[[source]]\nname = \"{name}\"\nprovider = \"{provider}\"\nsecrets = [\"file:{name}.secret\"]\n"
        ));
    }
    let file = folder.join(FILE_NAME);
    std::fs::write(&file, text).map_err(failed)?;
    Ok(file)
}

fn signers(loaded: &Loaded, seed: u64) -> Outcome<Signers> {
    let mut signers = Signers { genuine: Vec::new(), forger: Vec::new() };
    for (name, _) in SOURCES {
        signers.genuine.push(Signer::of(loaded, name)?);
        let scheme = loaded.scheme(loaded.source(name)?)?;
        signers.forger.push(Signer::new(scheme, format!("whsec_a_forger's_guess_{seed}").into()));
    }
    Ok(signers)
}
