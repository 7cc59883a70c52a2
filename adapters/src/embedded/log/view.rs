//! What readers may see: the durable part of the log, its segments, and the newest records in memory.
//!
//! The writer adds a batch after its sync; readers ask for a plan and read without the lock.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use ledgerline_domain::{Error, Result};

use super::segment::{Before, Segment};

/// Most batches of the tail that one read looks at.
const BLOCKS_MAX: usize = 256;
/// Most batches kept in memory, however small.
const TAIL_BLOCKS_MAX: usize = 4096;
/// Most segments that one read goes through.
const PARTS_MAX: usize = 4;
/// Places remembered for readers that go on where they stopped.
const CURSORS_MAX: usize = 256;

/// A batch as it was written.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// Position of its first frame.
    pub first: u64,
    /// The frames.
    pub bytes: Bytes,
    /// Per shard the position of its last record in it; 0 when it has none.
    pub lasts: Arc<[u64]>,
}

/// A place between two frames of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// First position of the segment.
    pub segment: u64,
    /// Where the next frame begins.
    pub offset: u64,
    /// The next frame's position.
    pub position: u64,
    /// How many records of the reader's shard lie before, if known.
    pub ordinal: Option<u64>,
}

/// A stretch of one segment.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub segment: Arc<Segment>,
    pub from: Cursor,
    /// The shard's last record in it.
    pub last: u64,
}

/// How to read on.
#[derive(Debug)]
pub(crate) enum Plan {
    /// There is nothing newer.
    CaughtUp,
    /// It is in memory, strictly after the position.
    Memory(u64, Vec<Block>),
    /// It is in these files, strictly after the position.
    Disk(u64, Vec<Part>),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct View {
    /// The segments, oldest first; the last one is being written.
    pub segments: VecDeque<Arc<Segment>>,
    /// The next position; everything before it is durable.
    pub next: u64,
    /// Per shard, everything durable.
    pub shards: Vec<Before>,
    released: Vec<u64>,
    tail: VecDeque<Block>,
    tail_bytes: usize,
    tail_bytes_max: usize,
    /// Per shard, position of its last record that is not in the tail.
    before_tail: Vec<u64>,
    cursors: HashMap<(u16, u64), Cursor>,
    cursor_order: VecDeque<(u16, u64)>,
}

impl View {
    pub fn new(segments: VecDeque<Arc<Segment>>, next: u64, shards: Vec<Before>, tail_bytes_max: usize) -> Self {
        let before_tail = shards.iter().map(|s| s.last).collect();
        let released = vec![0; shards.len()];
        Self {
            segments,
            next,
            shards,
            released,
            tail: VecDeque::new(),
            tail_bytes: 0,
            tail_bytes_max,
            before_tail,
            cursors: HashMap::new(),
            cursor_order: VecDeque::new(),
        }
    }

    /// Adds a batch that is durable now.
    pub fn add(&mut self, block: Block, next: u64, shards: &[Before]) {
        self.next = next;
        self.shards.clear();
        self.shards.extend_from_slice(shards);
        self.tail_bytes += block.bytes.len();
        self.tail.push_back(block);
        while self.tail_bytes > self.tail_bytes_max || self.tail.len() > TAIL_BLOCKS_MAX {
            let Some(oldest) = self.tail.pop_front() else { break };
            self.tail_bytes -= oldest.bytes.len();
            for (before, last) in self.before_tail.iter_mut().zip(oldest.lasts.iter()) {
                *before = (*before).max(*last);
            }
        }
    }

    /// How many records of a shard there are and what the newest is.
    pub fn shard(&self, shard: u16) -> Before {
        self.shards.get(usize::from(shard)).copied().unwrap_or_default()
    }

    /// What to read for `shard` strictly after `after`; from the oldest kept record when `None`.
    pub fn plan(&self, shard: u16, after: Option<u64>) -> Result<Plan> {
        let newest = self.shard(shard).last;
        // Every segment knows what lies before it, so the first one knows what was forgotten.
        let forgotten = self.segments.front().map_or(0, |s| last_before(s, shard));
        let after = after.unwrap_or(forgotten);
        if after < forgotten {
            return Err(Error::data(format!(
                "read the log after {after}: records up to {forgotten} were released; read them from the archive"
            )));
        }
        if after >= self.next {
            return Err(Error::data(format!(
                "read the log after {after}: it ends at {}; log files were lost, restore them",
                self.next - 1
            )));
        }
        if newest <= after {
            return Ok(Plan::CaughtUp);
        }
        let before_tail = self.before_tail.get(usize::from(shard)).copied().unwrap_or_default();
        if before_tail <= after {
            let start = self.tail.partition_point(|block| block.first <= after).saturating_sub(1);
            let has_news = |b: &&Block| b.lasts.get(usize::from(shard)).is_some_and(|last| *last > after);
            let blocks = self.tail.iter().skip(start).filter(has_news).take(BLOCKS_MAX).cloned().collect();
            return Ok(Plan::Memory(after, blocks));
        }
        Ok(Plan::Disk(after, self.parts(shard, after, before_tail)))
    }

    /// The segments that hold records of `shard` after `after`, up to `last`.
    fn parts(&self, shard: u16, after: u64, last: u64) -> Vec<Part> {
        let start = self.segments.partition_point(|s| last_before(s, shard) <= after).saturating_sub(1);
        let mut parts = Vec::new();
        let mut behind = after;
        for (at, segment) in self.segments.iter().enumerate().skip(start) {
            let last_here = self.segments.get(at + 1).map_or(last, |next| last_before(next, shard).min(last));
            if last_here <= behind {
                continue;
            }
            let known = self.cursors.get(&(shard, behind)).filter(|c| c.segment == segment.first);
            let from = known.copied().unwrap_or_else(|| {
                let (position, offset) = segment.nearest(behind + 1);
                let whole = position == segment.first;
                let ordinal = whole.then(|| segment.before.get(usize::from(shard)).map_or(0, |b| b.count));
                Cursor { segment: segment.first, offset, position, ordinal }
            });
            parts.push(Part { segment: segment.clone(), from, last: last_here });
            behind = last_here;
            if parts.len() == PARTS_MAX {
                break;
            }
        }
        parts
    }

    /// Remembers where the records of `shard` after `after` begin.
    pub fn remember(&mut self, shard: u16, after: u64, cursor: Cursor) {
        if self.cursors.insert((shard, after), cursor).is_none() {
            self.cursor_order.push_back((shard, after));
        }
        if self.cursor_order.len() > CURSORS_MAX
            && let Some(oldest) = self.cursor_order.pop_front()
        {
            self.cursors.remove(&oldest);
        }
    }

    /// Notes that everything of `shard` up to `through` may go.
    pub fn release(&mut self, shard: u16, through: u64) {
        if let Some(released) = self.released.get_mut(usize::from(shard)) {
            *released = (*released).max(through);
        }
    }

    /// Takes the oldest segment out when every shard has released everything in it; never the one
    /// that is being written.
    pub fn take_released(&mut self) -> Option<Arc<Segment>> {
        let next = self.segments.get(1)?;
        let free = next.before.iter().zip(&self.released).all(|(before, released)| before.last <= *released);
        if free { self.segments.pop_front() } else { None }
    }
}

fn last_before(segment: &Segment, shard: u16) -> u64 {
    segment.before.get(usize::from(shard)).map_or(0, |b| b.last)
}
