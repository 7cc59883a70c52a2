//! What this worker holds, shared by the tasks. No lock is held across a wait.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ledgerline_domain::ids::ShardId;
use ledgerline_domain::lease::{Held, Lease};
use tokio::sync::{Notify, watch};

use super::End;

/// A lease that is held, and its job.
pub(super) struct Slot {
    pub held: Held,
    /// When the last write that succeeded was begun: others count from no earlier moment.
    pub renewed_at: Instant,
    pub stop: watch::Sender<bool>,
    /// How the job ended, when it did; `None` inside for one that failed.
    pub ended: Option<Option<End>>,
}

#[derive(Default)]
struct Inner {
    slots: BTreeMap<ShardId, Slot>,
    /// Shards whose jobs run, also such whose lease was lost and that have not stopped yet.
    running: BTreeSet<ShardId>,
    /// Shards whose jobs failed, and when they may be tried again here.
    resting: BTreeMap<ShardId, Instant>,
    next_token: u64,
}

/// See the module.
#[derive(Default)]
pub(super) struct Table {
    inner: Mutex<Inner>,
    /// For the keeper: a job ended.
    ended: Notify,
    /// For the seeker: a lease was given back or brought to its end.
    settled: Notify,
}

impl Table {
    /// Whether the shard may be taken: it is not held, runs no job and does not rest.
    pub fn may_take(&self, shard: &ShardId, now: Instant) -> bool {
        let inner = self.lock();
        let rests = inner.resting.get(shard).is_some_and(|until| *until > now);
        !rests && !inner.slots.contains_key(shard) && !inner.running.contains(shard)
    }

    /// Notes a lease that was taken by a write that began at `taken_at`. The answer is for its job.
    pub fn insert(&self, lease: Lease, taken_at: Instant) -> (u64, watch::Receiver<bool>) {
        let mut inner = self.lock();
        let (stop, stopped) = watch::channel(false);
        let token = inner.next_token;
        inner.next_token += 1;
        let shard = lease.shard.clone();
        inner.running.insert(shard.clone());
        let held = Held { lease, token };
        inner.slots.insert(shard, Slot { held, renewed_at: taken_at, stop, ended: None });
        (token, stopped)
    }

    /// Notes that a job ended; of an acquisition that was lost nothing is left to do.
    pub fn job_ended(&self, shard: &ShardId, token: u64, end: Option<End>, rest_until: Instant) {
        let mut inner = self.lock();
        inner.running.remove(shard);
        if end.is_none() {
            inner.resting.insert(shard.clone(), rest_until);
        }
        if let Some(slot) = inner.slots.get_mut(shard).filter(|slot| slot.held.token == token) {
            slot.ended = Some(end);
            self.ended.notify_one();
        }
    }

    /// Runs `change` on the slot of an acquisition, if it is still held. `change` says whether it goes on.
    pub fn update(&self, shard: &ShardId, token: u64, change: impl FnOnce(&mut Slot) -> bool) {
        let mut inner = self.lock();
        if let Some(slot) = inner.slots.get_mut(shard).filter(|slot| slot.held.token == token)
            && !change(slot)
        {
            inner.slots.remove(shard);
            self.settled.notify_one();
        }
    }

    /// What `look` makes of each slot.
    pub fn map<T>(&self, look: impl FnMut(&Slot) -> Option<T>) -> Vec<T> {
        self.lock().slots.values().filter_map(look).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.lock().slots.is_empty()
    }

    pub fn stop_all(&self) {
        self.lock().slots.values().for_each(|slot| {
            slot.stop.send_replace(true);
        });
    }

    pub async fn job_ends(&self) {
        self.ended.notified().await;
    }

    pub async fn something_ended(&self) {
        self.settled.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
