//! The archive folded again and compared with the live state, with what the settings say.

use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::ports::Entities;
use ledgerline_replay::chain::OnProgress;
use ledgerline_replay::rebuild::{Input, Limits, Only, Recheck};
use ledgerline_replay::report::Report;
use ledgerline_replay::verify;

use crate::exit::Outcome;
use crate::place::{AnyArchive, ShardOf};
use crate::secrets::SourceSecrets;
use crate::settings::{Loaded, Settings};

/// The archive folded again, with the providers of the settings.
#[derive(Clone, Copy)]
pub struct Replay<'a> {
    /// The settings.
    pub loaded: &'a Loaded,
    /// Checks every archived signature again, if given.
    pub secrets: Option<&'a SourceSecrets>,
    /// First part of the archive's keys.
    pub stream: &'a str,
    /// In which shard an entity's events lie.
    pub shard_of: &'a ShardOf,
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
        Input { recheck, limits, ..Input::new(self.stream, &self.loaded.sources) }
    }

    /// Folds the archive and compares with the live state.
    pub async fn verify<E: Entities>(
        &self,
        archive: &AnyArchive,
        store: &E,
        on_progress: OnProgress<'_>,
    ) -> Outcome<Report> {
        self.verify_only(archive, store, None, on_progress).await
    }

    /// The same for some of the entities.
    pub async fn verify_only<E: Entities>(
        &self,
        archive: &AnyArchive,
        store: &E,
        only: Option<Only<'_>>,
        on_progress: OnProgress<'_>,
    ) -> Outcome<Report> {
        let recheck = |envelope: &Envelope| self.secrets.and_then(|secrets| secrets.recheck(envelope));
        let input = Input { only, ..self.input(self.secrets.is_some().then_some(&recheck)) };
        Ok(verify::verify(archive, store, &input, &**self.shard_of, on_progress).await?)
    }
}
