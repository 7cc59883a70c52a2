//! The roles at AWS, where several processes share the shards out by leases.

use std::sync::Arc;
use std::time::Duration;

use ledgerline_domain::Result;
use ledgerline_domain::ports::Web;
use ledgerline_domain::trace::Traces;
use ledgerline_processor::apply::{ApplySettings, Progress};
use ledgerline_processor::archiver::{ArchiverJob, ArchiverProgress, ArchiverSettings};
use ledgerline_processor::hydrator::{HydratedSource, HydratorJob, HydratorProgress, HydratorSettings, Parts};
use ledgerline_processor::leases::{Both, LeaseBoard, ShardJob, run_leases};
use tokio::sync::watch;

use crate::generations::Generations;
use crate::place::aws::{ARCHIVER, Opened, PROCESSOR};
use crate::place::{AnyLive, AnyLog, Data};
use crate::secrets::SourceSecrets;
use crate::wiring::SystemClock;

/// What hydrates the shards of a worker.
pub(crate) type Hydrator<W> = Arc<HydratorJob<AnyLog, AnyLive, W, SourceSecrets, SystemClock>>;

/// The job that fetches what thin notifications are about.
pub(crate) fn hydrator<W: Web>(
    data: &Data,
    web: W,
    keys: Arc<SourceSecrets>,
    sources: Vec<HydratedSource>,
    progress: Arc<HydratorProgress>,
    traces: Traces,
) -> Hydrator<W> {
    let (log, entities, clock) = (data.log.clone(), data.store.clone(), Arc::new(SystemClock));
    let parts = Parts { log, entities, web: Arc::new(web), keys, clock };
    let settings = HydratorSettings { traces, ..HydratorSettings::default() };
    Arc::new(HydratorJob::new(parts, sources, &settings, &progress))
}

/// Folds the shards that this process holds leases of, and hydrates them where a source asks for it.
pub(crate) async fn processor<W: Web>(
    data: Arc<Data>,
    progress: Arc<Progress>,
    hydrator: Option<Hydrator<W>>,
    traces: Traces,
    stop: watch::Receiver<bool>,
) -> Result<()> {
    let Some(opened) = data.aws() else { return Ok(()) };
    let log = Arc::new(AnyLog::Aws(opened.log_through(opened.consumers().processor.as_ref()).await?));
    let settings = ApplySettings { traces, ..opened.apply_settings() };
    let generations = Generations::find(data.clone(), log, progress, settings).await?;
    let folds = generations.folds();
    let following = tokio::spawn(generations.follow(stop.clone()));
    let done = match hydrator {
        Some(hydrator) => work(&data, opened, PROCESSOR, Both(Arc::new(folds), hydrator), stop).await,
        None => work(&data, opened, PROCESSOR, folds, stop).await,
    };
    following.abort();
    done
}

/// Archives the shards that this process holds leases of.
pub(crate) async fn archiver(
    data: Arc<Data>,
    flush_after: Duration,
    progress: Arc<ArchiverProgress>,
    traces: Traces,
    stop: watch::Receiver<bool>,
) -> Result<()> {
    let Some(opened) = data.aws() else { return Ok(()) };
    let stream = data.stream.to_string();
    let settings = ArchiverSettings { stream, flush_after, traces, ..ArchiverSettings::default() };
    let log = Arc::new(AnyLog::Aws(opened.log_through(opened.consumers().archiver.as_ref()).await?));
    let (archive, clock) = (data.archive.clone(), Arc::new(SystemClock));
    let job = ArchiverJob::new(log, archive, clock, settings, progress)?;
    work(&data, opened, ARCHIVER, job, stop).await
}

async fn work<J: ShardJob>(
    data: &Data,
    opened: &Opened,
    role: &'static str,
    job: J,
    stop: watch::Receiver<bool>,
) -> Result<()> {
    let leases = Arc::new(opened.leases(role).await?);
    let name = if role == ARCHIVER { "archiver" } else { "processor" };
    let settings = opened.lease_settings(name);
    tracing::info!(worker = settings.worker, "sharing out the shards");
    let board = Arc::new(LeaseBoard::default());
    run_leases(data.log.clone(), leases, Arc::new(job), settings, board, stop).await
}
