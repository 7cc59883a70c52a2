//! Which shards this worker reads: it takes leases, runs a job per lease, and keeps the leases alive.
//!
//! Two tasks share a table of what is held:
//!
//! - the **seeker** looks at all leases now and then: makes leases for new shards, takes what is free or
//!   expired, steals politely, removes what is of no use any more;
//! - the **keeper** writes every lease that is held, often enough to keep it, and with it the job's progress.
//!   It is a task of its own, so that no slow read or scan costs a lease.
//!
//! A lease that was lost, or could not be renewed in time, stops its job and nothing else. What the job
//! does until it has stopped is harmless (I10). A job that fails gives its lease back and is left to others
//! for a while; the process goes on. At the end of a closed shard the lease says so, and the shards behind
//! it become readable.
//!
//! The decisions are those of [`ledgerline_domain::lease`].

mod board;
mod both;
mod keeper;
mod seeker;
mod several;
mod table;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use ledgerline_domain::ids::ShardId;
use ledgerline_domain::lease::{Checkpoint, Leases};
use ledgerline_domain::ports::Log;
use ledgerline_domain::{Error, Result};
use tokio::sync::watch;

pub use board::{LeaseBoard, LeaseView};
pub use both::Both;
pub use several::{JobName, JobSet, Several};

use keeper::Keeper;
use seeker::Seeker;
use table::Table;

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was told to stop.
    Stopped,
    /// The shard is closed and all of it is applied.
    ShardEnd,
}

/// What is done with a shard while its lease is held.
pub trait ShardJob: Send + Sync + 'static {
    /// Reads the shard until `stop` becomes true or the shard ends. It knows itself where to begin. It is all
    /// that is done with the shard: at its end the lease is over, and nobody takes it again. Two readers of
    /// a shard make one job by [`Both`], a set of them that changes by [`Several`].
    fn run(&self, shard: ShardId, stop: watch::Receiver<bool>) -> impl Future<Output = Result<End>> + Send;

    /// How far the shard is applied: the lease shows it. Never ahead of what is durable.
    fn progress(&self, shard: &ShardId) -> Option<Checkpoint>;
}

/// Times of the leases. Plain data.
#[derive(Clone, Debug)]
pub struct LeaseSettings {
    /// Name of this worker. It must be another one in every run of every process: host and process id are
    /// not enough, a random part is.
    pub worker: String,
    /// A lease that was seen unchanged for longer is free to take.
    pub lasts: Duration,
    /// Time between two writes of a held lease; a third of `lasts` leaves room for two that fail.
    pub renew_every: Duration,
    /// Time between two looks at all leases.
    pub seek_every: Duration,
    /// How long a shard is left to other workers after its job failed here.
    pub failed_rest: Duration,
    /// How long a shutdown waits for the jobs to finish what they have in hand.
    pub shutdown_wait: Duration,
}

impl LeaseSettings {
    /// The defaults: a worker that is gone is replaced within about 20 seconds.
    pub fn new(worker: impl Into<String>) -> Self {
        Self {
            worker: worker.into(),
            lasts: Duration::from_secs(10),
            renew_every: Duration::from_secs(3),
            seek_every: Duration::from_secs(5),
            failed_rest: Duration::from_secs(60),
            shutdown_wait: Duration::from_secs(10),
        }
    }

    fn check(&self) -> Result<()> {
        if self.worker.is_empty() {
            return Err(Error::invalid("accept an empty name of a worker"));
        }
        if self.renew_every.is_zero() || self.seek_every.is_zero() || self.renew_every * 2 > self.lasts {
            return Err(Error::invalid(
                "accept the times of the leases: renew_every and seek_every must be above zero, and lasts at least \
                 twice renew_every",
            ));
        }
        Ok(())
    }
}

/// Works until `shutdown` becomes true; then stops the jobs and gives their leases back, so that others can
/// take them at once. Errors of the log or the leases are waited out; only settings can end it early.
pub async fn run_leases<L: Log, S: Leases, J: ShardJob>(
    log: Arc<L>,
    leases: Arc<S>,
    job: Arc<J>,
    settings: LeaseSettings,
    board: Arc<LeaseBoard>,
    mut shutdown: watch::Receiver<bool>,
) -> Result<()> {
    settings.check()?;
    let settings = Arc::new(settings);
    let table = Arc::new(Table::default());
    let keeper = Keeper { leases: leases.clone(), job: job.clone(), settings: settings.clone(), table: table.clone() };
    let keeper = tokio::spawn(keeper.run(shutdown.clone()));
    let mut seeker = Seeker::new(log, leases, job, settings.clone(), table.clone(), board);
    while !*shutdown.borrow() {
        tokio::select! {
            () = seeker.look() => {}
            // A lease that was just taken is given back by the keeper, or expires.
            _ = shutdown.changed() => break,
        }
        tokio::select! {
            () = tokio::time::sleep(settings.seek_every) => {}
            () = table.something_ended() => {}
            _ = shutdown.changed() => break,
        }
    }
    let kept = keeper.await.map_err(|e| Error::internal("keep the leases").because(e));
    // Of a lease that was taken while the keeper left; it expires by itself.
    table.stop_all();
    kept
}
