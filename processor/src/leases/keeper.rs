//! Keeps what is held: writes each lease in time, with its job's progress, and gives back what is done.

use std::sync::Arc;
use std::time::Instant;

use ledgerline_domain::ids::ShardId;
use ledgerline_domain::lease::{Checkpoint, Lease, LeaseWrite, Leases, Refused, judge_refused};
use ledgerline_domain::{Error, Result};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::table::{Slot, Table};
use super::{End, LeaseSettings, ShardJob};

pub(super) struct Keeper<S, J> {
    pub leases: Arc<S>,
    pub job: Arc<J>,
    pub settings: Arc<LeaseSettings>,
    pub table: Arc<Table>,
}

/// One write to make.
struct Write {
    shard: ShardId,
    token: u64,
    wanted: Lease,
    /// The lease is not held behind it.
    last: bool,
}

impl<S: Leases, J: ShardJob> Keeper<S, J> {
    /// Until `shutdown` is true and nothing is held any more, or the wait for that is over.
    pub async fn run(self, mut shutdown: watch::Receiver<bool>) {
        let mut leave_at = None;
        loop {
            if *shutdown.borrow_and_update() {
                self.table.stop_all();
                let leave_at = *leave_at.get_or_insert_with(|| Instant::now() + self.settings.shutdown_wait);
                if self.table.is_empty() || Instant::now() >= leave_at {
                    return;
                }
            }
            self.write_due().await;
            let nap = match leave_at {
                Some(_) => self.settings.renew_every / 10,
                None => self.until_next(),
            };
            tokio::select! {
                () = tokio::time::sleep(nap) => {}
                () = self.table.job_ends() => {}
                _ = shutdown.changed(), if leave_at.is_none() => {}
            }
        }
    }

    fn until_next(&self) -> std::time::Duration {
        let due = self.table.map(|slot| Some(slot.renewed_at + self.settings.renew_every)).into_iter().min();
        let nap = due.map_or(self.settings.renew_every, |due| due.saturating_duration_since(Instant::now()));
        // A write that failed is due already; it is tried again soon, not at once.
        nap.clamp(self.settings.renew_every / 10, self.settings.renew_every)
    }

    /// All writes that are due, side by side.
    async fn write_due(&self) {
        let mut writes = JoinSet::new();
        for write in self.table.map(|slot| self.due(slot)) {
            let leases = self.leases.clone();
            writes.spawn(async move {
                let began = Instant::now();
                let written = leases.write(&write.wanted).await;
                (write, began, written)
            });
        }
        while let Some(done) = writes.join_next().await {
            match done {
                Ok((write, began, written)) => self.settle(&write, began, written),
                Err(error) => tracing::error!(%error, "a write of a lease broke off"),
            }
        }
    }

    fn due(&self, slot: &Slot) -> Option<Write> {
        let shard = slot.held.lease.shard.clone();
        // Only a job that ended says so: the end of one of its readers may come before that of another.
        let progress = self.job.progress(&shard).filter(|progress| !progress.is_shard_end());
        let token = slot.held.token;
        if let Some(end) = slot.ended {
            let progress = if end == Some(End::ShardEnd) { Some(Checkpoint::shard_end()) } else { progress };
            return Some(Write { wanted: slot.held.lease.released(progress.as_ref()), shard, token, last: true });
        }
        if slot.renewed_at.elapsed() < self.settings.renew_every {
            return None;
        }
        let wanted = slot.held.progress(token, progress.as_ref())?;
        Some(Write { shard, token, wanted, last: false })
    }

    /// Takes the outcome over, only after the table of leases said what it is.
    fn settle(&self, write: &Write, began: Instant, written: Result<LeaseWrite>) {
        let shard = &write.shard;
        self.table.update(shard, write.token, |slot| match written {
            Ok(LeaseWrite::Done) => self.written(slot, write, began),
            Ok(LeaseWrite::Refused(found)) => match judge_refused(&write.wanted, found.as_ref()) {
                Refused::WasMine => self.written(slot, write, began),
                Refused::Lost => {
                    let owner = found.as_ref().and_then(|found| found.owner.as_deref()).unwrap_or("nobody");
                    tracing::info!(%shard, owner, "the lease of a shard is another's now");
                    metrics::counter!("ledgerline_leases_lost_total").increment(1);
                    let _ = slot.stop.send(true);
                    false
                }
            },
            Err(error) => self.failed(slot, &error),
        });
    }

    fn written(&self, slot: &mut Slot, write: &Write, began: Instant) -> bool {
        slot.held.lease = write.wanted.clone();
        slot.renewed_at = began;
        !write.last
    }

    fn failed(&self, slot: &Slot, error: &Error) -> bool {
        let shard = &slot.held.lease.shard;
        tracing::warn!(%shard, %error, "a lease was not written");
        let kept = slot.renewed_at.elapsed() < self.settings.lasts;
        if !kept {
            tracing::warn!(%shard, "the lease of a shard was not renewed in time; its job stops");
            metrics::counter!("ledgerline_leases_lost_total").increment(1);
            let _ = slot.stop.send(true);
        }
        kept
    }
}
