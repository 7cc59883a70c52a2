//! The threads of a pass. One does all by itself; several share the work segment by segment.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use ledgerline_domain::fold::Incoming;
use ledgerline_domain::ids::EntityKey;
use ledgerline_domain::segment::Scratch;
use ledgerline_domain::{Error, Result};

use crate::fetch::Fetched;
use crate::histories::{Bounds, Histories};
use crate::pass::{Read, read};
use crate::rebuild::Input;
use crate::within::Within;

/// Segments that may be read and not yet taken by all owners, beside one per thread: what bounds the
/// events in between.
const AHEAD: usize = 2;

/// The histories of each thread, and what it needs to read segments.
pub(crate) struct Crew {
    owners: Vec<Mutex<Histories>>,
    scratches: Vec<Scratch>,
    hasher: foldhash::fast::RandomState,
}

/// An event with the hash of its entity's key.
type Event = (u64, EntityKey, Incoming);

impl Crew {
    /// `threads` of them, each with room of its own.
    pub fn new(threads: usize, bounds: Bounds) -> Self {
        let hasher = foldhash::fast::RandomState::default();
        let owner = || Mutex::new(Histories::new(bounds.clone(), hasher.clone()));
        let owners = (0..threads).map(|_| owner()).collect();
        Self { owners, scratches: (0..threads).map(|_| Scratch::default()).collect(), hasher }
    }

    /// Reads and folds some objects, each with the number of its shard; gives what came of each, in
    /// their order.
    pub fn fold(&mut self, input: &Input<'_>, within: Within<'_>, batch: Vec<(u16, Fetched)>) -> Result<Vec<Read>> {
        if let ([histories], [scratch]) = (&mut *self.owners, &mut *self.scratches) {
            let histories = histories.get_mut().unwrap_or_else(PoisonError::into_inner);
            let alone = |(shard, fetched)| {
                read(input, within, fetched, scratch, &mut |key, event| {
                    histories.take(histories.hash(&key), shard, key, event)
                })
            };
            return batch.into_iter().map(alone).collect();
        }
        let board = Board::new(input, within, &self.owners, &self.hasher, batch);
        std::thread::scope(|scope| {
            let mut scratches = self.scratches.iter_mut().enumerate();
            let own = scratches.next();
            for (me, scratch) in scratches {
                let board = &board;
                scope.spawn(move || board.work(me, scratch));
            }
            if let Some((me, scratch)) = own {
                board.work(me, scratch);
            }
        });
        board.into_reads()
    }

    /// The histories, finished. To be called after the last batch.
    pub fn finish(self) -> Result<Vec<Histories>> {
        let owners = self.owners.into_iter().map(|owner| owner.into_inner().unwrap_or_else(PoisonError::into_inner));
        owners
            .map(|mut histories| {
                histories.finish()?;
                Ok(histories)
            })
            .collect()
    }
}

/// The work on one batch, and how far it is.
struct Board<'a> {
    input: &'a Input<'a>,
    within: Within<'a>,
    owners: &'a [Mutex<Histories>],
    hasher: &'a foldhash::fast::RandomState,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    segments: Vec<Segment>,
    /// The next that nobody reads yet.
    next: usize,
    /// By owner, how many segments it has taken, and whether somebody is at it.
    owners: Vec<(usize, bool)>,
    /// The first error, or a thread that panicked: all stop.
    failed: Option<Option<Error>>,
}

enum Segment {
    Waiting(u16, Fetched),
    BeingRead,
    /// By owner, the events that it has not taken.
    Read(u16, Box<Read>, Vec<Option<Vec<Event>>>),
}

enum Task {
    Read(usize, u16, Fetched),
    Take { owner: usize, shard: u16, events: Vec<Event> },
}

impl<'a> Board<'a> {
    fn new(
        input: &'a Input<'a>,
        within: Within<'a>,
        owners: &'a [Mutex<Histories>],
        hasher: &'a foldhash::fast::RandomState,
        batch: Vec<(u16, Fetched)>,
    ) -> Self {
        let segments = batch.into_iter().map(|(shard, fetched)| Segment::Waiting(shard, fetched)).collect();
        let state = State { segments, next: 0, owners: vec![(0, false); owners.len()], failed: None };
        Self { input, within, owners, hasher, state: Mutex::new(state), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works until all is done.
    fn work(&self, me: usize, scratch: &mut Scratch) {
        let _bell = Bell(self);
        loop {
            let Some(task) = self.task(me) else { return };
            let done = match task {
                Task::Read(at, shard, fetched) => self.read(at, shard, fetched, scratch),
                Task::Take { owner, shard, events } => self.take(owner, shard, events),
            };
            if let Err(error) = done {
                self.state().failed.get_or_insert(Some(error));
            }
            self.changed.notify_all();
        }
    }

    /// Waits for something to do. Reading comes first as long as the owners are not far behind.
    fn task(&self, me: usize) -> Option<Task> {
        let mut state = self.state();
        loop {
            if state.failed.is_some() {
                return None;
            }
            let all = state.segments.len();
            let taken = state.owners.iter().map(|(taken, _)| *taken).min().unwrap_or(all);
            if taken == all {
                return None;
            }
            if state.next < all && state.next < taken + self.owners.len() + AHEAD {
                let at = state.next;
                state.next += 1;
                if let Some(segment) = state.segments.get_mut(at)
                    && let Segment::Waiting(shard, fetched) = std::mem::replace(segment, Segment::BeingRead)
                {
                    return Some(Task::Read(at, shard, fetched));
                }
                continue;
            }
            if let Some(task) = state.to_take(me) {
                return Some(task);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn read(&self, at: usize, shard: u16, fetched: Fetched, scratch: &mut Scratch) -> Result<()> {
        let mut by_owner: Vec<Vec<Event>> = self.owners.iter().map(|_| Vec::new()).collect();
        let read = read(self.input, self.within, fetched, scratch, &mut |key, event| {
            let hash = std::hash::BuildHasher::hash_one(self.hasher, key.as_str());
            if let Some(events) = by_owner.get_mut(owner_of(hash, self.owners.len())) {
                events.push((hash, key, event));
            }
            Ok(None)
        })?;
        let by_owner = by_owner.into_iter().map(Some).collect();
        if let Some(segment) = self.state().segments.get_mut(at) {
            *segment = Segment::Read(shard, Box::new(read), by_owner);
        }
        Ok(())
    }

    fn take(&self, owner: usize, shard: u16, events: Vec<Event>) -> Result<()> {
        if let Some(histories) = self.owners.get(owner) {
            let mut histories = histories.lock().unwrap_or_else(PoisonError::into_inner);
            for (hash, key, event) in events {
                histories.take(hash, shard, key, event)?;
            }
        }
        if let Some((taken, busy)) = self.state().owners.get_mut(owner) {
            *taken += 1;
            *busy = false;
        }
        Ok(())
    }

    fn into_reads(self) -> Result<Vec<Read>> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(failed) = state.failed {
            return Err(failed.unwrap_or_else(|| Error::internal("fold the archive: a thread stopped")));
        }
        let reads = state.segments.into_iter().map(|segment| match segment {
            Segment::Read(_, read, _) => Ok(*read),
            _ => Err(Error::internal("fold the archive: a segment was left out")),
        });
        reads.collect()
    }
}

impl State {
    /// Events for an owner that nobody is at: one's own, or those of another.
    fn to_take(&mut self, me: usize) -> Option<Task> {
        let count = self.owners.len();
        for owner in (0..count).map(|offset| (me + offset) % count) {
            let Some((taken, busy)) = self.owners.get_mut(owner).filter(|(_, busy)| !busy) else { continue };
            if let Some(Segment::Read(shard, _, by_owner)) = self.segments.get_mut(*taken)
                && let Some(events) = by_owner.get_mut(owner).and_then(Option::take)
            {
                *busy = true;
                return Some(Task::Take { owner, shard: *shard, events });
            }
        }
        None
    }
}

/// Wakes the others when a thread leaves, and stops them when it panicked.
struct Bell<'a, 'b>(&'a Board<'b>);

impl Drop for Bell<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.state().failed.get_or_insert(None);
        }
        self.0.changed.notify_all();
    }
}

/// The owner of a hash. Parts and tables use other bits of it.
pub(crate) fn owner_of(hash: u64, owners: usize) -> usize {
    ((hash >> 48) as usize * owners) >> 16
}
