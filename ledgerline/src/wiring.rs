//! The joints: which adapter serves which role. Nothing else in the program knows both.
//!
//! A [`Machine`] is a data directory in use with everything that works on it; each role is a
//! [`Task`] that can be stopped (it finishes what it has in hand) or killed (as a crash would).

use std::collections::BTreeMap;
use std::future::Future;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ledgerline_adapters::embedded::{Embedded, EmbeddedOptions, EmbeddedReader, LocalArchive};
use ledgerline_adapters::{Trust, partition};
use ledgerline_domain::Result;
use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId};
use ledgerline_domain::ports::{Entities, Log as _, Web};
use ledgerline_ingest::{Door, Hooks, RateLimit, Source};
use ledgerline_processor::apply::Progress;
use ledgerline_processor::archiver::{self, ArchiverProgress, ArchiverSettings, STREAM_DEFAULT};
use ledgerline_processor::hydrator::{self, HydratedSource, HydratorProgress, HydratorSettings, Parts};
use ledgerline_replay::chain::OnProgress;
use ledgerline_replay::rebuild::{Input, Limits, Only, Recheck};
use ledgerline_replay::report::Report;
use ledgerline_replay::verify;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::exit::{Failure, Outcome};
use crate::generations::{self, Processors};
use crate::redrives::Redrives;
use crate::requests::Owner;
use crate::secrets::SourceSecrets;
use crate::settings::{Loaded, Settings};
use crate::{daybook, housekeeping, telemetry};

pub use ledgerline_adapters::embedded::SHARDS_MAX;
pub use ledgerline_adapters::{HttpsWeb, SystemClock};
pub use ledgerline_processor::archiver::STREAM_DEFAULT as STREAM;

/// Opens state and archive for reading, beside a server or without one.
pub async fn reader(data: &Path) -> Outcome<EmbeddedReader> {
    Ok(EmbeddedReader::open(data).await?)
}

/// Says how many requests of each source were refused since the start, by cause.
pub(crate) type Refused = Box<dyn Fn() -> BTreeMap<String, BTreeMap<&'static str, u64>> + Send + Sync>;

/// A data directory in use by this process, and what is needed to work on it.
pub struct Machine {
    /// Log, store and archive.
    pub data: Arc<Embedded>,
    /// What the processor did so far.
    pub progress: Arc<Progress>,
    /// What the archiver did so far.
    pub archived: Arc<ArchiverProgress>,
    /// What the hydrator did so far.
    pub hydrated: Arc<HydratorProgress>,
    /// The way to the processors.
    pub processors: Processors,
    /// What the door refused so far, once there is one.
    pub(crate) refused: Arc<OnceLock<Refused>>,
    loaded: Loaded,
    secrets: Arc<SourceSecrets>,
}

impl Machine {
    /// Opens the data directory and reads the secrets.
    pub async fn open(loaded: Loaded) -> Outcome<Self> {
        let secrets = Arc::new(SourceSecrets::read(&loaded)?);
        let data = Arc::new(Self::open_without_secrets(&loaded).await?);
        let taken = generations::take_settings(&data.control, &loaded.sources).await?;
        for source in taken.changed {
            tracing::warn!(
                source,
                "the provider file is not the one that the state was folded with: events that are folded already \
                 keep their reading; `ledgerline replay repair --reinterpret` or `replay rebuild` gives them the new one"
            );
        }
        for (source, generation) in taken.kept {
            tracing::warn!(
                source,
                generation,
                "the provider file of the settings is the one of another generation: the live one keeps its own; \
                 `ledgerline replay promote --generation` changes over"
            );
        }
        Ok(Self {
            data,
            progress: Arc::default(),
            archived: Arc::default(),
            hydrated: Arc::default(),
            processors: Processors::default(),
            refused: Arc::default(),
            loaded,
            secrets,
        })
    }

    /// Opens the data directory for work that needs no secrets.
    pub async fn open_without_secrets(loaded: &Loaded) -> Outcome<Embedded> {
        let options = EmbeddedOptions { shards: loaded.settings.shards, ..EmbeddedOptions::default() };
        Ok(Embedded::open(&loaded.settings.data, options).await?)
    }

    /// Receives webhooks on `listener`.
    pub fn ingest(&self, listener: TcpListener) -> Outcome<Task> {
        let limits = &self.loaded.settings.limits;
        let settings = ledgerline_ingest::Settings {
            body_bytes_max: limits.body_bytes_max,
            body_read_timeout: Duration::from_secs(limits.body_seconds_max),
            in_flight_max: limits.requests_in_flight_max,
            append_timeout: Duration::from_secs(limits.append_seconds_max),
            drain_timeout: Duration::from_secs(limits.drain_seconds_max),
            ..ledgerline_ingest::Settings::default()
        };
        let mut sources = Vec::new();
        for source in &self.loaded.settings.source {
            let provider = self.loaded.sources.provider(source.name.as_str());
            let provider =
                provider.ok_or_else(|| Failure::failed(format!("open source {}: no provider", source.name)))?;
            let rate_limit = source.rate_limit_per_second.and_then(NonZeroU32::new);
            sources.push(Source {
                name: source.name.clone(),
                provider: provider.clone(),
                scheme: self.loaded.scheme(source)?,
                rate_limit: rate_limit.map(|per_second| RateLimit { per_second, burst: per_second }),
            });
        }
        let log = self.data.log.clone();
        let hooks = Hooks {
            ready: Box::new(move || log.failure().map_or(Ok(()), Err)),
            metrics: Box::new(telemetry::metrics_text),
        };
        let (log, secrets) = (self.data.log.clone(), self.secrets.clone());
        let door = Arc::new(Door::new(settings, sources, log, secrets, Arc::new(SystemClock), hooks)?);
        let counting = door.clone();
        // A second door of one machine would be a second process; the first one counts.
        let _ = self.refused.set(Box::new(move || counting.refused()));
        Ok(Task::spawn("ingest", |stop| ledgerline_ingest::run(listener, door, wait_for(stop))))
    }

    /// Folds the log into every complete generation, and takes orders about them.
    pub fn processor(&self) -> Task {
        self.processors.start(self.data.clone(), self.progress.clone())
    }

    /// Writes the log into the archive.
    pub fn archiver(&self) -> Task {
        let (log, archive) = (self.data.log.clone(), self.data.archive.clone());
        let flush_after = Duration::from_secs(self.loaded.settings.limits.segment_age_seconds_max);
        let settings = ArchiverSettings { flush_after, ..ArchiverSettings::default() };
        let (clock, archived) = (Arc::new(SystemClock), self.archived.clone());
        Task::spawn("archiver", |stop| archiver::run_archiver(log, archive, clock, settings, archived, stop))
    }

    /// Fetches what thin notifications are about, by `web`; nothing to run when no source asks for it.
    pub fn hydrator(&self, web: impl Web) -> Option<Task> {
        self.hydrator_with(web, HydratorSettings::default())
    }

    /// The same with other limits.
    pub fn hydrator_with(&self, web: impl Web, settings: HydratorSettings) -> Option<Task> {
        let sources = self.hydrated_sources()?;
        let parts = Parts {
            log: self.data.log.clone(),
            entities: self.data.store.clone(),
            web: Arc::new(web),
            keys: self.secrets.clone(),
            clock: Arc::new(SystemClock),
        };
        let hydrated = self.hydrated.clone();
        Some(Task::spawn("hydrator", |stop| hydrator::run(parts, sources, settings, hydrated, stop)))
    }

    /// The sources that ask for it; `None` without any.
    pub fn hydrated_sources(&self) -> Option<Vec<HydratedSource>> {
        let asking = self.loaded.settings.source.iter().filter(|source| source.hydrate.is_some());
        let sources: Vec<_> = asking
            .filter_map(|source| {
                let provider = self.loaded.sources.provider(source.name.as_str())?.clone();
                let per_second = NonZeroU32::new(source.hydrate_per_second)?;
                Some(HydratedSource { name: source.name.clone(), provider, per_second })
            })
            .collect();
        (!sources.is_empty()).then_some(sources)
    }

    /// Lets the log forget what is archived and folded, and hydrated where a source asks for it. Only the archiver of this process says how
    /// far that is; without one nothing is forgotten.
    pub fn log_release(&self) -> Task {
        let (data, archived) = (self.data.clone(), self.archived.clone());
        // Whether or not this process hydrates: what the log forgets is never fetched.
        let hydrated = self.loaded.settings.source.iter().filter(|source| source.hydrate.is_some());
        let hydrated = hydrated.map(|source| source.name.clone()).collect();
        Task::spawn("release of the log", |stop| async move {
            tokio::select! {
                () = housekeeping::release_log(data, archived, hydrated) => {}
                () = wait_for(stop) => {}
            }
            Ok(())
        })
    }

    /// Writes down what a close of the day will want to know.
    pub fn daybook(&self) -> Task {
        let (data, archived, refused) = (self.data.clone(), self.archived.clone(), self.refused.clone());
        Task::spawn("daybook", |stop| daybook::run(data, archived, refused, stop))
    }

    /// Sums up metrics.
    pub fn metrics_upkeep(&self) -> Task {
        Task::spawn("upkeep of the metrics", |stop| async move {
            tokio::select! {
                () = telemetry::upkeep() => {}
                () = wait_for(stop) => {}
            }
            Ok(())
        })
    }

    /// Looks at secret files for changes.
    pub fn secrets_watch(&self) -> Task {
        let secrets = self.secrets.clone();
        Task::spawn("secrets", |stop| async move {
            tokio::select! {
                () = secrets.watch(crate::secrets::POLL) => {}
                () = wait_for(stop) => {}
            }
            Ok(())
        })
    }

    /// Fetches keys of providers that publish them: certificates and token keys.
    pub fn keys_fetch<W: Web>(&self, web: Arc<W>) -> Task {
        let secrets = self.secrets.clone();
        Task::spawn("keys", |stop| async move {
            tokio::select! {
                () = secrets.fetch(web, Arc::new(Trust::public()), Arc::new(SystemClock)) => {}
                () = wait_for(stop) => {}
            }
            Ok(())
        })
    }

    /// Carries out what the command line asks for.
    pub fn requests_watch(&self) -> Task {
        let owner = Owner {
            data: self.data.clone(),
            loaded: self.loaded.clone(),
            processors: self.processors.clone(),
            redrives: Redrives::default(),
        };
        Task::spawn("requests", |stop| async move {
            tokio::select! {
                () = housekeeping::requests(owner) => {}
                () = wait_for(stop) => {}
            }
            Ok(())
        })
    }

    /// What folds this machine's archive again; signatures are checked too.
    pub fn replay(&self) -> Replay<'_> {
        let shards = u32::try_from(self.data.log.shards().len()).unwrap_or(u32::MAX);
        Replay { loaded: &self.loaded, secrets: Some(&self.secrets), shards }
    }

    /// Position of the newest record of each shard that has one.
    pub async fn tips(&self) -> Outcome<Vec<(ShardId, SequenceNumber)>> {
        Ok(daybook::tips(&self.data).await?)
    }

    /// Whether everything that the log holds is folded.
    pub async fn is_folded(&self) -> Outcome<bool> {
        for (shard, tip) in self.tips().await? {
            if self.data.store.checkpoint(&shard).await?.is_none_or(|done| done < tip) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether everything that the log holds is archived.
    pub async fn is_archived(&self) -> Outcome<bool> {
        Ok(daybook::is_archived(&self.data, &self.archived).await?)
    }
}

/// The archive folded again, with the providers of the settings.
#[derive(Clone, Copy)]
pub struct Replay<'a> {
    /// The settings.
    pub loaded: &'a Loaded,
    /// Checks every archived signature again, if given.
    pub secrets: Option<&'a SourceSecrets>,
    /// Shards of the log.
    pub shards: u32,
}

/// What a replay may use of the machine.
pub fn replay_limits(settings: &Settings) -> Limits<'_> {
    // Checked to be at most a terabyte.
    let memory_bytes = usize::try_from(settings.limits.replay_memory_mib_max << 20).unwrap_or(usize::MAX);
    Limits { memory_bytes, spill_dir: Some(&settings.data), ..Limits::default() }
}

impl Replay<'_> {
    /// What is read, and how. What does not fit into memory goes to the data directory.
    pub fn input<'b>(&'b self, recheck: Option<Recheck<'b>>) -> Input<'b> {
        let limits = replay_limits(&self.loaded.settings);
        Input { recheck, limits, ..Input::new(STREAM_DEFAULT, &self.loaded.sources) }
    }

    /// In which shard an entity's events lie.
    pub fn shard_of(&self, key: &EntityKey) -> ShardId {
        ShardId::numbered(partition::shard_index(key, self.shards))
    }

    /// Folds the archive and compares with the live state.
    pub async fn verify<E: Entities>(
        &self,
        archive: &LocalArchive,
        store: &Arc<E>,
        on_progress: OnProgress<'_>,
    ) -> Outcome<Report> {
        self.verify_only(archive, store, None, on_progress).await
    }

    /// The same for some of the entities.
    pub async fn verify_only<E: Entities>(
        &self,
        archive: &LocalArchive,
        store: &Arc<E>,
        only: Option<Only<'_>>,
        on_progress: OnProgress<'_>,
    ) -> Outcome<Report> {
        let recheck = |envelope: &Envelope| self.secrets.and_then(|secrets| secrets.recheck(envelope));
        let input = Input { only, ..self.input(self.secrets.is_some().then_some(&recheck)) };
        let shard_of = shard_of(self.shards);
        Ok(verify::verify(archive, &**store, &input, &shard_of, on_progress).await?)
    }
}

/// In which of so many shards an entity's events lie.
pub fn shard_of(shards: u32) -> impl Fn(&EntityKey) -> Option<ShardId> + Copy {
    move |key| Some(ShardId::numbered(partition::shard_index(key, shards)))
}

/// A role at work.
pub struct Task {
    /// Its name, for messages.
    pub name: &'static str,
    stop: watch::Sender<bool>,
    handle: JoinHandle<Result<()>>,
}

impl Task {
    /// Starts a role; it must end soon after the watch becomes true.
    pub fn spawn<F>(name: &'static str, run: impl FnOnce(watch::Receiver<bool>) -> F) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let (stop, stopped) = watch::channel(false);
        Self { name, stop, handle: tokio::spawn(run(stopped)) }
    }

    /// Waits until it ends by itself, which only an error makes it do.
    pub async fn ended(&mut self) -> Outcome<()> {
        match (&mut self.handle).await {
            Ok(result) => Ok(result?),
            Err(error) => Err(Failure::failed(format!("run the {}: {error}", self.name))),
        }
    }

    /// Whether it ended, by itself or killed.
    pub fn has_ended(&self) -> bool {
        self.handle.is_finished()
    }

    /// Asks it to finish what it has in hand, and waits.
    pub async fn stop(mut self) -> Outcome<()> {
        self.stop.send_replace(true);
        self.ended().await
    }

    /// Has it end at once, without waiting.
    pub fn abort(&self) {
        self.handle.abort();
    }

    /// Ends it at once, wherever it is, as a crash would.
    pub async fn kill(mut self) {
        self.handle.abort();
        let _ = (&mut self.handle).await;
    }
}

/// Ready when the watch becomes true.
pub async fn wait_for(mut stop: watch::Receiver<bool>) {
    // An error means that the sender is gone: nobody is left to wait for.
    let _ = stop.wait_for(|stop| *stop).await;
}
