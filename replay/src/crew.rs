//! The threads of a pass.
//!
//! Each owns the entities of some hashes ([`EntityKey::part_of`]) and reads the segments of some shards,
//! in the order of their chains. An event of an entity of its own it takes at once; others it hands to
//! their owner as bytes, because memory that one thread allocates and another frees costs more than
//! writing and reading them. The embedded log chooses shards by the same hash, so there most events
//! are of the reader's own entities.

use ledgerline_domain::fold::Incoming;
use ledgerline_domain::ids::EntityKey;
use ledgerline_domain::segment::Scratch;
use ledgerline_domain::{Error, Result};

use crate::fetch::Fetched;
use crate::histories::{Bounds, Histories};
use crate::pass::{Read, read};
use crate::rebuild::Input;
use crate::spilled;
use crate::within::Within;

/// The histories of each thread, and what it needs to read segments.
pub(crate) struct Crew {
    threads: Vec<Thread>,
    shards: usize,
}

struct Thread {
    histories: Histories,
    scratch: Scratch,
    /// By owner, the events for others that it read in this batch.
    outboxes: Vec<Outbox>,
}

/// Events as bytes: `shard`, and each behind its length.
#[derive(Default)]
struct Outbox(Vec<u8>);

impl Outbox {
    fn push(&mut self, shard: u16, key: &EntityKey, event: &Incoming) -> Result<()> {
        let from = self.0.len();
        self.0.extend_from_slice(&[0; 4]);
        self.0 = spilled::write_event(std::mem::take(&mut self.0), shard, key, event)?;
        let length = u32::try_from(self.0.len() - from - 4).map_err(|_| Error::internal("hand over an event"))?;
        if let Some(place) = self.0.get_mut(from..from + 4) {
            place.copy_from_slice(&length.to_le_bytes());
        }
        Ok(())
    }

    /// Takes them into the histories of their owner.
    fn deliver(&self, histories: &mut Histories) -> Result<()> {
        let mut rest = self.0.as_slice();
        while let Some((length, behind)) = rest.split_first_chunk::<4>() {
            let cut = behind.split_at_checked(u32::from_le_bytes(*length) as usize);
            let (item, behind) = cut.ok_or_else(|| Error::internal("take over an event"))?;
            spilled::take_item(histories, item)?;
            rest = behind;
        }
        Ok(())
    }
}

impl Crew {
    /// `threads` of them, each with room of its own, for an archive of so many shards.
    pub fn new(threads: usize, shards: usize, bounds: &Bounds) -> Self {
        let hasher = foldhash::fast::RandomState::default();
        let thread = || Thread {
            histories: Histories::new(bounds.clone(), hasher.clone()),
            scratch: Scratch::default(),
            outboxes: (0..threads).map(|_| Outbox::default()).collect(),
        };
        Self { threads: (0..threads).map(|_| thread()).collect(), shards }
    }

    /// Reads and folds some objects, each with its place in the archive and the number of its shard;
    /// those of a shard in the order of its chain. Gives what came of each, in no order.
    pub fn fold(
        &mut self,
        input: &Input<'_>,
        within: Within<'_>,
        batch: Vec<(usize, u16, Fetched)>,
    ) -> Result<Vec<(usize, Read)>> {
        if let [thread] = &mut *self.threads {
            return thread.work(input, within, batch, 0, 1);
        }
        let count = self.threads.len();
        let mut shares: Vec<Vec<_>> = self.threads.iter().map(|_| Vec::new()).collect();
        for object in batch {
            if let Some(share) = shares.get_mut(reader_of(object.1, self.shards, count)) {
                share.push(object);
            }
        }
        let work = self.threads.iter_mut().zip(shares).enumerate();
        let mut reads = Vec::new();
        for done in together(work, |(me, (thread, share))| thread.work(input, within, share, me, count)) {
            reads.extend(done?);
        }
        self.hand_over()?;
        Ok(reads)
    }

    /// Brings what was read for others to its owners.
    fn hand_over(&mut self) -> Result<()> {
        let mut inboxes: Vec<Vec<Outbox>> = self.threads.iter().map(|_| Vec::new()).collect();
        for thread in &mut self.threads {
            for (inbox, outbox) in inboxes.iter_mut().zip(&mut thread.outboxes) {
                if !outbox.0.is_empty() {
                    inbox.push(std::mem::take(outbox));
                }
            }
        }
        if inboxes.iter().all(Vec::is_empty) {
            return Ok(());
        }
        let work = self.threads.iter_mut().zip(inboxes);
        let deliver = |(thread, inbox): (&mut Thread, Vec<Outbox>)| {
            inbox.iter().try_for_each(|outbox| outbox.deliver(&mut thread.histories))
        };
        together(work, deliver).into_iter().collect()
    }

    /// The histories, finished. To be called after the last batch.
    pub fn finish(self) -> Result<Vec<Histories>> {
        let all = self.threads.into_iter().map(|thread| thread.histories);
        let finish = |mut histories: Histories| {
            histories.finish()?;
            Ok(histories)
        };
        together(all, finish).into_iter().collect()
    }
}

impl Thread {
    fn work(
        &mut self,
        input: &Input<'_>,
        within: Within<'_>,
        share: Vec<(usize, u16, Fetched)>,
        me: usize,
        count: usize,
    ) -> Result<Vec<(usize, Read)>> {
        let Self { histories, scratch, outboxes } = self;
        let mut one = |(place, shard, fetched)| {
            let read = read(input, within, fetched, scratch, &mut |key, event| {
                let owner = owner_of(&key, count);
                match outboxes.get_mut(owner).filter(|_| owner != me) {
                    Some(outbox) => outbox.push(shard, &key, &event).map(|()| None),
                    None => histories.take(histories.hash(&key), shard, key, event),
                }
            })?;
            Ok((place, read))
        };
        share.into_iter().map(&mut one).collect()
    }
}

/// The thread that reads a shard: neighbouring shards have the same, as the hash that chooses them is scaled.
pub(crate) fn reader_of(shard: u16, shards: usize, threads: usize) -> usize {
    (usize::from(shard) * threads / shards.max(1)).min(threads - 1)
}

/// The thread that owns an entity.
pub(crate) fn owner_of(key: &EntityKey, threads: usize) -> usize {
    // There are few threads.
    if threads == 1 { 0 } else { key.part_of(u32::try_from(threads).unwrap_or(1)) as usize }
}

/// Does several pieces of work at a time, the first of them on this thread; gives what came of each, in
/// their order.
pub(crate) fn together<W: Send, T: Send>(work: impl Iterator<Item = W>, one: impl Fn(W) -> T + Sync) -> Vec<T> {
    let mut work = work.into_iter();
    let Some(own) = work.next() else { return Vec::new() };
    std::thread::scope(|scope| {
        let one = &one;
        let others: Vec<_> = work.map(|piece| scope.spawn(move || one(piece))).collect();
        let mut done = vec![one(own)];
        // A panic of one is a panic of all.
        done.extend(others.into_iter().map(|o| o.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))));
        done
    })
}
