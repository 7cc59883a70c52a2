//! Records that wait for their place in the log, in one lane per entity.
//!
//! `PutRecords` keeps no order and fails in part, so an entity's records go one after the other: of a
//! lane only the head is ever in a request, in one request at a time, and the lane is closed until that
//! request has an outcome. A head that failed stays the head. Lanes do not wait for each other.
//!
//! Pure: time is handed in, nothing is sent from here.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use ledgerline_domain::ids::EntityKey;

/// A record in its lane.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// The append that it belongs to; records of one append stand together in a lane.
    pub append: u64,
    /// Its place in that append.
    pub place: usize,
    /// The bytes.
    pub data: Bytes,
    /// Not sent any more from then on.
    pub deadline: Instant,
}

/// A record for a request. Its lane is closed until [`Lanes::appended`], [`Lanes::failed`] or
/// [`Lanes::refused`].
#[derive(Clone, Debug)]
pub(super) struct Put {
    pub key: EntityKey,
    pub data: Bytes,
}

#[derive(Default)]
struct Lane {
    /// The head is the one that is sent.
    records: VecDeque<Waiting>,
    /// Failures of the head in a row.
    failures: u32,
}

/// See the module.
#[derive(Default)]
pub(super) struct Lanes {
    lanes: HashMap<EntityKey, Lane>,
    /// Lanes whose head may be sent, in turn.
    ready: VecDeque<EntityKey>,
    /// Lanes that pause.
    paused: BinaryHeap<Reverse<(Instant, EntityKey)>>,
}

impl Lanes {
    /// Puts a record at the end of its lane.
    pub fn push(&mut self, key: EntityKey, record: Waiting) {
        match self.lanes.entry(key) {
            Entry::Occupied(mut lane) => lane.get_mut().records.push_back(record),
            Entry::Vacant(place) => {
                self.ready.push_back(place.key().clone());
                place.insert(Lane { records: VecDeque::from([record]), failures: 0 });
            }
        }
    }

    /// Heads for one request, at most one of each lane, within both limits; their lanes are closed. The
    /// second answer is the records that were given up because their time was over.
    pub fn take(&mut self, now: Instant, records_max: usize, bytes_max: usize) -> (Vec<Put>, Vec<Waiting>) {
        while self.paused.peek().is_some_and(|Reverse((until, _))| *until <= now) {
            self.ready.extend(self.paused.pop().map(|Reverse((_, key))| key));
        }
        let (mut puts, mut given_up) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        while puts.len() < records_max {
            let Some(key) = self.ready.pop_front() else { break };
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            while lane.records.front().is_some_and(|head| head.deadline <= now) {
                drop_append(lane, &mut given_up);
            }
            let Some(head) = lane.records.front() else {
                self.lanes.remove(&key);
                continue;
            };
            let size = key.as_str().len() + head.data.len();
            if !puts.is_empty() && bytes + size > bytes_max {
                self.ready.push_front(key);
                break;
            }
            bytes += size;
            puts.push(Put { data: head.data.clone(), key });
        }
        (puts, given_up)
    }

    /// The head is in the log: opens the lane for the next.
    pub fn appended(&mut self, key: EntityKey) -> Option<Waiting> {
        let lane = self.lanes.get_mut(&key)?;
        lane.failures = 0;
        let head = lane.records.pop_front();
        self.reopen(key);
        head
    }

    /// The head is not in the log, or nobody knows: it stays the head. `until` tells from the failures in
    /// a row how long the lane pauses.
    pub fn failed(&mut self, key: EntityKey, until: impl FnOnce(u32) -> Instant) {
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.failures = lane.failures.saturating_add(1);
            self.paused.push(Reverse((until(lane.failures), key)));
        }
    }

    /// The log will never take the head: it goes, and with it what its append put behind it.
    pub fn refused(&mut self, key: EntityKey) -> Vec<Waiting> {
        let mut gone = Vec::new();
        if let Some(lane) = self.lanes.get_mut(&key) {
            drop_append(lane, &mut gone);
            self.reopen(key);
        }
        gone
    }

    /// When the first pause ends.
    pub fn next_pause_ends(&self) -> Option<Instant> {
        self.paused.peek().map(|Reverse((until, _))| *until)
    }

    /// Whether a head may be sent now.
    #[cfg(test)]
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    fn reopen(&mut self, key: EntityKey) {
        if self.lanes.get(&key).is_some_and(|lane| !lane.records.is_empty()) {
            self.ready.push_back(key);
        } else {
            self.lanes.remove(&key);
        }
    }
}

/// Takes out the head and all that the same append put behind it: sent alone, they would stand in the
/// log without the one before them.
fn drop_append(lane: &mut Lane, gone: &mut Vec<Waiting>) {
    lane.failures = 0;
    let Some(append) = lane.records.front().map(|head| head.append) else { return };
    while lane.records.front().is_some_and(|record| record.append == append) {
        gone.extend(lane.records.pop_front());
    }
}

#[cfg(test)]
#[path = "lanes_tests.rs"]
mod tests;
