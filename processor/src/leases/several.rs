//! A set of jobs for each shard under one lease, which may change while the shard is held: one applier for every
//! generation of the state, for example.

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::sync::Arc;
use std::time::Duration;

use ledgerline_domain::ids::ShardId;
use ledgerline_domain::lease::Checkpoint;
use ledgerline_domain::{Error, Result};
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::{End, ShardJob};

/// The jobs that there are now, by name.
#[derive(Debug)]
pub struct JobSet<K, J> {
    /// Whose progress the lease shows, and whose failure ends the work on a shard.
    pub lead: K,
    /// All of them, the lead among them. Another job under a known name takes the place of the one before.
    pub jobs: BTreeMap<K, Arc<J>>,
}

/// Runs the jobs of a set side by side, and follows the set as it changes: one that is new begins, one that is gone is
/// stopped; the others do not notice, and the lease stays.
///
/// - A job that fails, and is not the lead, is said and begun again after a pause. When the lead fails the others are
///   stopped, and the error is the lead's.
/// - The shard is at its end when it is for all. One that comes to a shard after its end reads it through its
///   children, as [`Applier`](crate::apply::Applier) does.
pub struct Several<K, J> {
    set: watch::Receiver<Arc<JobSet<K, J>>>,
    rest: Duration,
}

impl<K, J> Several<K, J> {
    /// The set as `set` says; `rest` is the pause after a failure.
    pub fn new(set: watch::Receiver<Arc<JobSet<K, J>>>, rest: Duration) -> Self {
        Self { set, rest }
    }
}

/// A name of a job.
pub trait JobName: Ord + Clone + Debug + Display + Send + Sync + 'static {}

impl<K: Ord + Clone + Debug + Display + Send + Sync + 'static> JobName for K {}

impl<K: JobName, J: ShardJob> ShardJob for Several<K, J> {
    async fn run(&self, shard: ShardId, mut stop: watch::Receiver<bool>) -> Result<End> {
        let mut set = self.set.clone();
        let mut running = Running { shard, members: BTreeMap::new(), tasks: JoinSet::new() };
        let mut may_change = true;
        let outcome = loop {
            let now = set.borrow_and_update().clone();
            let wake = running.follow(&now);
            if running.is_over() {
                return Ok(End::ShardEnd);
            }
            tokio::select! {
                Some(ended) = running.tasks.join_next_with_id() => {
                    if let Err(error) = running.ended(ended, &now.lead, self.rest) {
                        break Err(error);
                    }
                }
                changed = set.changed(), if may_change => may_change = changed.is_ok(),
                () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
                _ = stop.wait_for(|stop| *stop) => break Ok(()),
            }
        };
        running.stop_all().await;
        outcome.map(|()| if running.is_over() { End::ShardEnd } else { End::Stopped })
    }

    fn progress(&self, shard: &ShardId) -> Option<Checkpoint> {
        let set = self.set.borrow().clone();
        set.jobs.get(&set.lead)?.progress(shard)
    }
}

/// What runs on one shard.
struct Running<K, J> {
    shard: ShardId,
    members: BTreeMap<K, Member<J>>,
    /// Those of the members, and those of former members that are told to stop.
    tasks: JoinSet<Result<End>>,
}

struct Member<J> {
    job: Arc<J>,
    state: State,
}

enum State {
    AtWork { task: Id, stop: watch::Sender<bool> },
    Resting { until: Instant },
    Ended,
}

impl<K: JobName, J: ShardJob> Running<K, J> {
    /// Begins what is new in the set or has rested, stops what is gone. Gives when the next has rested.
    fn follow(&mut self, set: &JobSet<K, J>) -> Option<Instant> {
        self.members.retain(|name, member| {
            let stays = set.jobs.get(name).is_some_and(|job| Arc::ptr_eq(job, &member.job));
            if let State::AtWork { stop, .. } = &member.state
                && !stays
            {
                stop.send_replace(true);
            }
            stays
        });
        let mut wake: Option<Instant> = None;
        for (name, job) in &set.jobs {
            match self.members.get(name).map(|member| &member.state) {
                Some(State::AtWork { .. } | State::Ended) => {}
                // One that leads now waits no longer.
                Some(State::Resting { until }) if *until > Instant::now() && *name != set.lead => {
                    wake = Some(wake.map_or(*until, |wake| wake.min(*until)));
                }
                Some(State::Resting { .. }) | None => {
                    let (stop, stopped) = watch::channel(false);
                    let (work, shard) = (job.clone(), self.shard.clone());
                    let task = self.tasks.spawn(async move { work.run(shard, stopped).await }).id();
                    self.members.insert(name.clone(), Member { job: job.clone(), state: State::AtWork { task, stop } });
                }
            }
        }
        wake
    }

    /// Whether the shard is at its end for all that there are.
    fn is_over(&self) -> bool {
        let ended = |member: &Member<J>| matches!(member.state, State::Ended);
        self.tasks.is_empty() && !self.members.is_empty() && self.members.values().all(ended)
    }

    /// Takes in that a task ended. The error is the lead's.
    fn ended(&mut self, ended: Joined, lead: &K, rest: Duration) -> Result<()> {
        let (id, end) = match ended {
            Ok((id, end)) => (id, end),
            Err(broken) => (broken.id(), Err(Error::internal("run a job of a shard").because(broken))),
        };
        let at_work = |member: &Member<J>| matches!(member.state, State::AtWork { task, .. } if task == id);
        // What a former member says is of no use any more.
        let Some((name, member)) = self.members.iter_mut().find(|(_, member)| at_work(member)) else { return Ok(()) };
        member.state = match end {
            Ok(End::ShardEnd) => State::Ended,
            Ok(End::Stopped) => State::Resting { until: Instant::now() + rest },
            Err(error) if name == lead => return Err(error),
            Err(error) => {
                let shard = &self.shard;
                tracing::error!(%shard, job = %name, %error, "one of the jobs of a shard failed; it begins again later");
                metrics::counter!("ledgerline_leases_jobs_failed_total").increment(1);
                State::Resting { until: Instant::now() + rest }
            }
        };
        Ok(())
    }

    /// Tells all to stop and waits for them.
    async fn stop_all(&mut self) {
        for member in self.members.values() {
            if let State::AtWork { stop, .. } = &member.state {
                stop.send_replace(true);
            }
        }
        while let Some(ended) = self.tasks.join_next_with_id().await {
            let Ok((id, Ok(End::ShardEnd))) = ended else { continue };
            let at_work = |member: &&mut Member<J>| matches!(member.state, State::AtWork { task, .. } if task == id);
            if let Some(member) = self.members.values_mut().find(at_work) {
                member.state = State::Ended;
            }
        }
    }
}

type Joined = std::result::Result<(Id, Result<End>), JoinError>;

#[cfg(test)]
#[path = "several_tests.rs"]
mod tests;
