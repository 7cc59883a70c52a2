//! The processors of one worker among several: it folds the shards that it holds leases of, into every complete
//! generation, and follows the generations as they come and go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ledgerline_adapters::embedded::ProviderTexts;
use ledgerline_domain::{Error, ErrorKind, Result};
use ledgerline_processor::apply::{Applier, ApplySettings, Progress};
use ledgerline_processor::leases::{JobSet, Several};
use tokio::sync::watch;

use super::sources_of;
use crate::place::{AnyLog, AnyStore, Data};
use crate::wiring::wait_for;

/// How often generations are looked for.
const LOOK: Duration = Duration::from_secs(2);
/// Pause before the work for a generation that is not live is begun again after it failed.
const REST: Duration = Duration::from_secs(30);

/// What folds into one generation.
pub(crate) type Fold = Applier<AnyLog, AnyStore>;
/// What is done with a shard: one fold per complete generation.
pub(crate) type Folds = Several<u32, Fold>;

/// The folds, and what keeps the set of them up to date.
pub(crate) struct Generations {
    data: Arc<Data>,
    /// The log for the live generation: it alone may read by enhanced fan-out.
    live_log: Arc<AnyLog>,
    /// Of the live generation, whichever that is.
    progress: Arc<Progress>,
    settings: ApplySettings,
    known: BTreeMap<u32, Known>,
    set: watch::Sender<Arc<JobSet<u32, Fold>>>,
}

struct Known {
    texts: ProviderTexts,
    is_live: bool,
    fold: Arc<Fold>,
}

impl Generations {
    /// Looks which there are. The live one is folded from `live_log`, others from the log of `data`.
    pub async fn find(
        data: Arc<Data>,
        live_log: Arc<AnyLog>,
        progress: Arc<Progress>,
        settings: ApplySettings,
    ) -> Result<Self> {
        let set = watch::Sender::new(Arc::new(JobSet { lead: 0, jobs: BTreeMap::new() }));
        let mut found = Self { data, live_log, progress, settings, known: BTreeMap::new(), set };
        found.look().await?;
        Ok(found)
    }

    /// The folds as they were last found.
    pub fn now(&self) -> Arc<JobSet<u32, Fold>> {
        self.set.borrow().clone()
    }

    /// The job of a shard.
    pub fn folds(&self) -> Folds {
        Several::new(self.set.subscribe(), REST)
    }

    /// Follows the generations until `stop` becomes true.
    pub async fn follow(mut self, stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = wait_for(stop.clone()) => return,
            }
            match self.look().await {
                Err(error) if error.kind() == ErrorKind::Retry => {
                    tracing::warn!(%error, "failed to look for generations; trying again");
                }
                Err(error) => tracing::error!(%error, "failed to follow the generations; those that are known go on"),
                Ok(()) => {}
            }
        }
    }

    /// Looks again which there are.
    pub async fn look(&mut self) -> Result<()> {
        let control = &self.data.control;
        let live = control.live().await?;
        let (mut found, mut changed) = (BTreeMap::new(), false);
        for generation in control.generations().await?.into_iter().filter(|g| g.status.is_complete()) {
            let (number, is_live) = (generation.number, generation.number == live);
            let texts = control.provider_texts(number).await?;
            let known = match self.known.remove(&number) {
                Some(known) if known.texts == texts && known.is_live == is_live => known,
                _ => {
                    changed = true;
                    self.begin(number, texts, is_live).await?
                }
            };
            found.insert(number, known);
        }
        // What is left there is gone.
        changed |= !self.known.is_empty();
        self.known = found;
        if !self.known.contains_key(&live) {
            return Err(Error::internal(format!("fold into generation {live}: it is live and not complete")));
        }
        if changed {
            let jobs: BTreeMap<_, _> = self.known.iter().map(|(number, known)| (*number, known.fold.clone())).collect();
            tracing::info!(live, generations = jobs.len(), "folding into the complete generations");
            self.set.send_replace(Arc::new(JobSet { lead: live, jobs }));
        }
        Ok(())
    }

    async fn begin(&self, number: u32, texts: ProviderTexts, is_live: bool) -> Result<Known> {
        let store = Arc::new(self.data.generation(number).await?);
        let sources = Arc::new(sources_of(number, &texts)?);
        let progress = if is_live { self.progress.clone() } else { Arc::new(Progress::quiet()) };
        let settings = ApplySettings { generation: number, ..self.settings.clone() };
        let log = if is_live { &self.live_log } else { &self.data.log };
        let fold = Applier::new(log.clone(), store, sources, settings, progress);
        Ok(Known { texts, is_live, fold: Arc::new(fold) })
    }
}
