//! What the processor did so far, for whoever shows it, and its metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use ledgerline_domain::ids::{SequenceNumber, ShardId};

use crate::fold_batch::Counts;

/// What the processor did and how far it is; shared with whoever shows it.
#[derive(Debug, Default)]
pub struct Progress {
    quiet: bool,
    appended: AtomicU64,
    merged: AtomicU64,
    duplicates: AtomicU64,
    contradictions: AtomicU64,
    unreadable: AtomicU64,
    unknown: AtomicU64,
    seen: AtomicU64,
    shards: std::sync::Mutex<std::collections::BTreeMap<ShardId, ShardProgress>>,
}

/// How far one shard is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardProgress {
    /// Everything up to here is committed.
    pub checkpoint: Option<SequenceNumber>,
    /// Records that the log holds behind the last batch.
    pub behind: u64,
}

impl Progress {
    /// Progress that is not told to the metrics: of a second set of records folded from the same log.
    pub fn quiet() -> Self {
        Self { quiet: true, ..Self::default() }
    }

    /// Fates since the start.
    pub fn counts(&self) -> Counts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            appended: get(&self.appended),
            merged: get(&self.merged),
            duplicates: get(&self.duplicates),
            contradictions: get(&self.contradictions),
            unreadable: get(&self.unreadable),
            unknown: get(&self.unknown),
            seen: get(&self.seen),
        }
    }

    /// Each shard's progress.
    pub fn shards(&self) -> Vec<(ShardId, ShardProgress)> {
        self.lock().iter().map(|(shard, progress)| (shard.clone(), progress.clone())).collect()
    }

    /// Records not yet folded, as far as the log knew at the last reads.
    pub fn lag(&self) -> u64 {
        self.lock().values().map(|p| p.behind).sum()
    }

    pub(super) fn lock(&self) -> std::sync::MutexGuard<'_, std::collections::BTreeMap<ShardId, ShardProgress>> {
        self.shards.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) fn note(&self, shard: &ShardId, checkpoint: Option<SequenceNumber>, behind: u64, counts: Counts) {
        for (counter, by, fate) in [
            (&self.appended, counts.appended, "appended"),
            (&self.merged, counts.merged, "late"),
            (&self.duplicates, counts.duplicates, "duplicate"),
            (&self.contradictions, counts.contradictions, "contradiction"),
            (&self.unreadable, counts.unreadable, "unreadable"),
            (&self.seen, counts.seen, "seen"),
        ] {
            if by > 0 {
                counter.fetch_add(by, Ordering::Relaxed);
                if !self.quiet {
                    metrics::counter!("ledgerline_processor_events_total", "fate" => fate).increment(by);
                }
            }
        }
        // The two fates above that end in the quarantine, under one name: an alarm knows no labels.
        let quarantined = counts.contradictions + counts.unreadable;
        if quarantined > 0 && !self.quiet {
            metrics::counter!("ledgerline_processor_quarantined_total").increment(quarantined);
        }
        if counts.unknown > 0 {
            self.unknown.fetch_add(counts.unknown, Ordering::Relaxed);
            if !self.quiet {
                metrics::counter!("ledgerline_processor_unknown_types_total").increment(counts.unknown);
            }
        }
        if !self.quiet {
            #[expect(clippy::cast_precision_loss, reason = "a gauge; exact below 2^53 records")]
            metrics::gauge!("ledgerline_processor_behind_records", "shard" => shard.to_string()).set(behind as f64);
        }
        let mut shards = self.lock();
        let entry = shards.entry(shard.clone()).or_default();
        entry.behind = behind;
        if checkpoint.is_some() {
            entry.checkpoint = checkpoint;
        }
    }
}
