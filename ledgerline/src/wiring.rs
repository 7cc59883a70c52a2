//! The joints: which adapter serves which role. Nothing else in the program knows both.
//!
//! A [`Machine`] is a data directory in use with everything that works on it; each role is a
//! [`Task`] that can be stopped (it finishes what it has in hand) or killed (as a crash would).

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ledgerline_adapters::Trust;
use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::ports::{Entities as _, Web};
use ledgerline_domain::trace::Traces;
use ledgerline_ingest::{Door, Hooks, RateLimit, Source};
use ledgerline_processor::apply::Progress;
use ledgerline_processor::archiver::{self, ArchiverProgress, ArchiverSettings};
use ledgerline_processor::hydrator::{self, HydratedSource, HydratorProgress, HydratorSettings, Parts};
use tokio::net::TcpListener;

use crate::exit::{Failure, Outcome};
use crate::generations::{self, Processors};
#[cfg(feature = "aws")]
use crate::leased;
use crate::place::{Data, ShardOf};
use crate::redrives::Redrives;
use crate::requests::Owner;
use crate::secrets::SourceSecrets;
use crate::settings::Loaded;
use crate::{daybook, housekeeping, telemetry};

pub use ledgerline_adapters::embedded::SHARDS_MAX;
pub use ledgerline_adapters::{HttpsWeb, SystemClock};

pub use crate::place::Reader;
pub use crate::replaying::{Replay, replay_limits};
pub use crate::task::{Task, wait_for};

/// Says how many requests of each source were refused since the start, by cause.
pub(crate) type Refused = Box<dyn Fn() -> BTreeMap<String, BTreeMap<&'static str, u64>> + Send + Sync>;

/// A data directory in use by this process, and what is needed to work on it.
pub struct Machine {
    /// Log, store and archive.
    pub data: Arc<Data>,
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
    traces: Traces,
    loaded: Loaded,
    secrets: Arc<SourceSecrets>,
    shard_of: ShardOf,
}

impl Machine {
    /// Opens the data directory and reads the secrets.
    pub async fn open(loaded: Loaded) -> Outcome<Self> {
        let secrets = Arc::new(SourceSecrets::read(&loaded)?);
        let data = Arc::new(Data::open(&loaded).await?);
        generations::take_settings_aloud(&data.control, &loaded.sources).await?;
        Ok(Self {
            shard_of: data.shard_of(),
            data,
            progress: Arc::default(),
            archived: Arc::default(),
            hydrated: Arc::default(),
            processors: Processors::default(),
            refused: Arc::default(),
            traces: Traces::default(),
            loaded,
            secrets,
        })
    }

    /// The same, and its roles tell what they do.
    #[must_use]
    pub fn traced(self, traces: Traces) -> Self {
        Self { traces, ..self }
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
        let door = Door::new(settings, sources, log, secrets, Arc::new(SystemClock), hooks)?;
        let door = Arc::new(door.traced(self.traces.clone()));
        let counting = door.clone();
        // A second door of one machine would be a second process; the first one counts.
        let _ = self.refused.set(Box::new(move || counting.refused()));
        Ok(Task::spawn("ingest", |stop| ledgerline_ingest::run(listener, door, wait_for(stop))))
    }

    /// Folds the log into every complete generation, and takes orders about them. Where several processes share
    /// the work it hydrates too.
    pub fn processor(&self) -> Task {
        #[cfg(feature = "aws")]
        if self.data.is_shared() {
            let (data, progress, hydrated) = (self.data.clone(), self.progress.clone(), self.hydrated.clone());
            let keys = self.secrets.clone();
            let sources = self.hydrated_sources();
            let traces = self.traces.clone();
            return Task::spawn("processor", |stop| async move {
                let hydrator = sources
                    .map(|sources| leased::hydrator(&data, HttpsWeb::new(), keys, sources, hydrated, traces.clone()));
                leased::processor(data, progress, hydrator, traces, stop).await
            });
        }
        self.processors.start(self.data.clone(), self.progress.clone(), self.traces.clone())
    }

    /// Writes the log into the archive.
    pub fn archiver(&self) -> Task {
        let (log, archive) = (self.data.log.clone(), self.data.archive.clone());
        let flush_after = Duration::from_secs(self.loaded.settings.limits.segment_age_seconds_max);
        #[cfg(feature = "aws")]
        if self.data.is_shared() {
            let (data, archived, traces) = (self.data.clone(), self.archived.clone(), self.traces.clone());
            return Task::spawn("archiver", move |stop| leased::archiver(data, flush_after, archived, traces, stop));
        }
        let (stream, traces) = (self.data.stream.to_string(), self.traces.clone());
        let settings = ArchiverSettings { stream, flush_after, traces, ..ArchiverSettings::default() };
        let (clock, archived) = (Arc::new(SystemClock), self.archived.clone());
        Task::spawn("archiver", |stop| archiver::run_archiver(log, archive, clock, settings, archived, stop))
    }

    /// Fetches what thin notifications are about, by `web`; nothing to run when no source asks for it, or when the
    /// processor does it.
    pub fn hydrator(&self, web: impl Web) -> Option<Task> {
        if self.data.is_shared() {
            return None;
        }
        self.hydrator_with(web, HydratorSettings { traces: self.traces.clone(), ..HydratorSettings::default() })
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
    /// far that is; without one nothing is forgotten. A log that forgets by age needs none.
    pub fn log_release(&self) -> Option<Task> {
        if self.data.is_shared() {
            return None;
        }
        let (data, archived) = (self.data.clone(), self.archived.clone());
        // Whether or not this process hydrates: what the log forgets is never fetched.
        let hydrated = self.loaded.settings.source.iter().filter(|source| source.hydrate.is_some());
        let hydrated = hydrated.map(|source| source.name.clone()).collect();
        Some(Task::spawn("release of the log", |stop| async move {
            tokio::select! {
                () = housekeeping::release_log(data, archived, hydrated) => {}
                () = wait_for(stop) => {}
            }
            Ok(())
        }))
    }

    /// What is looked after where several processes share the work: which generation is live, and whether the stream
    /// still keeps the order of entities. Nothing on one machine.
    pub fn shared_upkeep(&self) -> Vec<Task> {
        #[cfg(feature = "aws")]
        if let Some(opened) = self.data.aws() {
            let (data, log) = (self.data.clone(), opened.log.clone());
            return vec![
                Task::spawn("look at the live generation", |stop| crate::place::aws::follow_live(data, stop)),
                Task::spawn("look at the stream", |stop| crate::place::aws::probe(log, stop)),
            ];
        }
        Vec::new()
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
        let Self { loaded, secrets, shard_of, .. } = self;
        Replay { loaded, secrets: Some(secrets), stream: &self.data.stream, shard_of }
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
