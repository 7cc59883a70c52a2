//! Looks at all leases and takes what this worker should have.

use std::sync::Arc;
use std::time::Instant;

use ledgerline_domain::Result;
use ledgerline_domain::lease::{
    Lease, LeaseWrite, Leases, Observed, Refused, holes, judge_refused, missing, removable, wish,
};
use ledgerline_domain::ports::{Log, ShardInfo};

use super::board::{LeaseBoard, LeaseView};
use super::table::Table;
use super::{LeaseSettings, ShardJob};

pub(super) struct Seeker<L, S, J> {
    log: Arc<L>,
    leases: Arc<S>,
    job: Arc<J>,
    settings: Arc<LeaseSettings>,
    table: Arc<Table>,
    board: Arc<LeaseBoard>,
    began: Instant,
    observed: Observed,
    /// Shards as the log last listed them. Asked anew while nothing is known, every few looks, and when
    /// one came to its end.
    shards: Vec<ShardInfo>,
    /// Looks so far, beginning at a number of this worker's own.
    looks: usize,
}

/// Looks between two questions to the log.
const LOOKS_PER_LISTING: usize = 6;

impl<L: Log, S: Leases, J: ShardJob> Seeker<L, S, J> {
    pub fn new(
        log: Arc<L>,
        leases: Arc<S>,
        job: Arc<J>,
        settings: Arc<LeaseSettings>,
        table: Arc<Table>,
        board: Arc<LeaseBoard>,
    ) -> Self {
        let looks = settings.worker.bytes().fold(7_usize, |sum, b| sum.wrapping_mul(31).wrapping_add(b.into()));
        Self {
            log,
            leases,
            job,
            settings,
            table,
            board,
            began: Instant::now(),
            observed: Observed::default(),
            shards: Vec::new(),
            looks,
        }
    }

    /// One look. What fails is said and tried at the next one.
    pub async fn look(&mut self) {
        if let Err(error) = self.try_look().await {
            tracing::warn!(%error, "this worker could not look at the leases");
        }
    }

    async fn try_look(&mut self) -> Result<()> {
        self.looks = self.looks.wrapping_add(1);
        let mut leases = self.leases.all().await?;
        let settled = leases.iter().any(|lease| self.listed_open(lease) && lease.checkpoint.is_shard_end());
        if self.shards.is_empty()
            || settled
            || !holes(&leases).is_empty()
            || self.looks.is_multiple_of(LOOKS_PER_LISTING)
        {
            self.shards = self.log.lineage().await?;
        }
        let new = missing(&self.shards, &leases);
        for lease in &new {
            // Another worker may have made it; then the next look finds it.
            if self.leases.create(lease).await? {
                leases.push(lease.clone());
            }
        }
        for lease in removable(&leases, &self.shards) {
            self.leases.remove(lease).await?;
        }
        let now = self.began.elapsed();
        self.observed.see(now, &leases);
        self.show(&leases);
        let standing = |lease: &Lease| self.observed.standing(now, self.settings.lasts, lease);
        let wish = wish(&self.settings.worker, &leases, &self.shards, standing, self.looks);
        for shard in wish.shards() {
            if let Some(lease) = leases.iter().find(|lease| lease.shard == shard)
                && self.table.may_take(&shard, Instant::now())
            {
                self.take(lease).await?;
            }
        }
        Ok(())
    }

    /// Whether the last listing has the shard as one that takes records.
    fn listed_open(&self, lease: &Lease) -> bool {
        self.shards.iter().any(|shard| shard.id == lease.shard && !shard.closed)
    }

    async fn take(&self, lease: &Lease) -> Result<()> {
        let began = Instant::now();
        let taken = lease.taken(&self.settings.worker);
        let mine = match self.leases.write(&taken).await? {
            LeaseWrite::Done => true,
            LeaseWrite::Refused(found) => judge_refused(&taken, found.as_ref()) == Refused::WasMine,
        };
        if !mine {
            return Ok(());
        }
        let shard = taken.shard.clone();
        tracing::info!(%shard, from = lease.owner.as_deref().unwrap_or("nobody"), "this worker took a shard");
        metrics::counter!("ledgerline_leases_taken_total").increment(1);
        let (token, stopped) = self.table.insert(taken, began);
        let (job, table, rest) = (self.job.clone(), self.table.clone(), self.settings.failed_rest);
        tokio::spawn(async move {
            // In a task of its own, so that a panic of the job is an end like another.
            let work = tokio::spawn({
                let shard = shard.clone();
                async move { job.run(shard, stopped).await }
            });
            let end = match work.await {
                Ok(Ok(end)) => Some(end),
                Ok(Err(error)) => {
                    tracing::error!(%shard, %error, "the job of a shard failed; others may try it");
                    None
                }
                Err(error) => {
                    tracing::error!(%shard, %error, "the job of a shard broke off; others may try it");
                    None
                }
            };
            table.job_ended(&shard, token, end, Instant::now() + rest);
        });
        Ok(())
    }

    fn show(&self, leases: &[Lease]) {
        let now = self.began.elapsed();
        let view = |lease: &Lease| LeaseView {
            lease: lease.clone(),
            standing: self.observed.standing(now, self.settings.lasts, lease),
            age: self.observed.age(now, lease).unwrap_or_default(),
        };
        self.board.set(leases.iter().map(view).collect(), holes(leases));
    }
}
