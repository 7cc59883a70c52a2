//! One pass over the archive: objects are fetched some at a time, ahead of the threads that read,
//! interpret and fold them.
//!
//! Segments of all shards are read side by side, those of one shard in the order of its chain. Every
//! entity's events lie in one shard, so its events are taken in the order of the archive whatever the
//! number of threads, and the outcome is the same. Where an entity has events in two shards after all (a
//! log that was split up anew), that is noticed, and the archive is folded again in its own order, shard
//! after shard, on one thread.

use std::path::PathBuf;

use ledgerline_domain::fold::{Fate, Incoming};
use ledgerline_domain::ids::{EntityKey, ShardId};
use ledgerline_domain::interpret::{Reading, interpret};
use ledgerline_domain::ports::Archive;
use ledgerline_domain::segment::Scratch;
use ledgerline_domain::segment::keys::SegmentKey;
use ledgerline_domain::{Error, Result};

use crate::chain::{ChainReport, OnProgress};
use crate::crew::{Crew, reader_of};
use crate::fetch::{Ahead, Fetched, Inspected};
use crate::histories::{Bounds, Histories};
use crate::rebuild::{Counts, Input, Signatures};
use crate::walk::Walk;
use crate::within::{Seen, SeenAs, Within};

/// Objects that are fetched at once hold about so many bytes per thread.
const BATCH_BYTES: u64 = 8 * 1024 * 1024;
/// Most objects fetched at once, per thread. At the end of a batch threads wait for each other, so batches of small
/// segments are long.
const BATCH_OBJECTS_MAX: u64 = 64;
/// Objects of each thread that are fetched first, when their size is not known.
const FIRST_OBJECTS: usize = 2;
/// Parts of the histories of all threads; a thread has some at least.
const PARTS: usize = 64;
const PARTS_MIN: usize = 8;

/// What a pass gave.
pub(crate) struct Pass {
    /// The histories of each thread, finished.
    pub histories: Vec<Histories>,
    pub shards: Shards,
    /// Where what does not fit into memory goes.
    pub dir: PathBuf,
    /// What was read; what became of the events is counted in the histories.
    pub counts: Counts,
    pub signatures: Option<Signatures>,
    pub chain: ChainReport,
}

/// In which order the segments of several shards are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Side by side, on as many threads as are allowed.
    SideBySide,
    /// Shard after shard, on one thread.
    OneByOne,
}

/// The shards by number.
#[derive(Debug, Default)]
pub(crate) struct Shards(Vec<ShardId>);

impl Shards {
    fn number(&mut self, shard: &ShardId) -> Result<u16> {
        let number = self.0.iter().position(|known| known == shard).unwrap_or_else(|| {
            self.0.push(shard.clone());
            self.0.len() - 1
        });
        u16::try_from(number).map_err(|_| Error::data("read an archive of more than 65536 shards"))
    }

    /// The shard of that number.
    pub fn get(&self, number: u16) -> Option<&ShardId> {
        self.0.get(usize::from(number))
    }
}

/// What came of reading one object.
pub(crate) struct Read {
    pub inspected: Inspected,
    pub counts: Counts,
    pub signatures: Option<Signatures>,
    /// Why its rows cannot be read to their end.
    pub damage: Option<Error>,
}

/// A segment to read: its place in the archive, the number of its shard, its key.
type Listed = (usize, u16, SegmentKey);

/// Numbers the shards and puts the segments in order, for each thread those that it reads.
fn listed(keys: Vec<SegmentKey>, shards: &mut Shards, order: Order, threads: usize) -> Result<Vec<Vec<Listed>>> {
    let mut lengths: Vec<u64> = Vec::new();
    let mut listed = Vec::with_capacity(keys.len());
    for (place, key) in keys.into_iter().enumerate() {
        let shard = shards.number(&key.shard)?;
        lengths.resize(shards.0.len(), 0);
        let Some(length) = lengths.get_mut(usize::from(shard)) else { continue };
        *length += 1;
        listed.push((*length, (place, shard, key)));
    }
    if order == Order::SideBySide {
        // Of each shard the same share at any time, whatever its length.
        let share = |at: u64, shard: u16| {
            let length = lengths.get(usize::from(shard)).copied().unwrap_or(1).max(1);
            ((2 * at - 1) << 24) / length
        };
        listed.sort_by_key(|(at, (_, shard, _))| (share(*at, *shard), *shard));
    }
    let mut by_reader: Vec<Vec<Listed>> = (0..threads).map(|_| Vec::new()).collect();
    for (_, listed) in listed {
        if let Some(own) = by_reader.get_mut(reader_of(listed.1, shards.0.len(), threads)) {
            own.push(listed);
        }
    }
    Ok(by_reader)
}

/// The next objects: of each thread the same number, so that none waits for the others while it has work.
fn next(listed: &mut [std::vec::IntoIter<Listed>], each: usize) -> Vec<Listed> {
    listed.iter_mut().flat_map(|own| own.take(each)).collect()
}

/// Reads and folds the archive.
pub(crate) async fn pass<A: Archive>(
    archive: &A,
    input: &Input<'_>,
    within: Within<'_>,
    order: Order,
    on_progress: OnProgress<'_>,
) -> Result<Pass> {
    let mut walk = Walk::begin(archive, input.stream).await?;
    let mut shards = Shards::default();
    let threads = if order == Order::OneByOne { 1 } else { input.limits.threads() };
    let listed = listed(walk.take_keys(), &mut shards, order, threads)?;
    let dir = input.limits.dir();
    let bounds = Bounds::new(input.limits.memory_bytes / threads, (PARTS / threads).max(PARTS_MIN), dir.clone());
    let mut crew = Crew::new(threads, shards.0.len(), &bounds);
    let mut reads: Vec<Option<(Inspected, Option<Error>)>> = listed.iter().flatten().map(|_| None).collect();
    let mut counts = Counts::default();
    let mut signatures: Vec<(usize, Signatures)> = Vec::new();
    let mut progress = walk.progress();
    let mut listed: Vec<_> = listed.into_iter().map(Vec::into_iter).collect();
    let mut coming = Ahead::start(fetch(archive, next(&mut listed, FIRST_OBJECTS))).await;
    loop {
        let batch = coming.wait().await?;
        if batch.is_empty() {
            break;
        }
        let size = next_size(&batch);
        coming = Ahead::start(fetch(archive, next(&mut listed, size))).await;
        for (place, read) in crew.fold(input, within, batch)? {
            counts.add(&read.counts);
            progress.segments += 1;
            progress.records += read.counts.records;
            signatures.extend(read.signatures.map(|signatures| (place, signatures)));
            if let Some(kept) = reads.get_mut(place) {
                *kept = Some((read.inspected, read.damage));
            }
            on_progress(progress);
        }
    }
    for (inspected, damage) in reads.into_iter().flatten() {
        let text = inspected.text.clone();
        walk.accept(inspected);
        if let Some(error) = &damage {
            walk.damaged(&text, error);
        }
    }
    signatures.sort_by_key(|(place, _)| *place);
    let signatures = input.recheck.map(|_| {
        let mut all = Signatures::default();
        signatures.into_iter().for_each(|(_, more)| all.add(more));
        all
    });
    let histories = crew.finish()?;
    Ok(Pass { histories, shards, dir, counts, signatures, chain: walk.end().await? })
}

/// Gets several objects at once.
async fn fetch<A: Archive>(archive: &A, listed: Vec<Listed>) -> Result<Vec<(usize, u16, Fetched)>> {
    let (numbers, keys): (Vec<_>, Vec<_>) = listed.into_iter().map(|(place, shard, key)| ((place, shard), key)).unzip();
    let objects = Fetched::get_all(archive, keys).await?;
    Ok(numbers.into_iter().zip(objects).map(|((place, shard), object)| (place, shard, object)).collect())
}

/// How many objects of each thread to fetch next, by the size of the last ones.
fn next_size(batch: &[(usize, u16, Fetched)]) -> usize {
    let bytes: u64 = batch.iter().filter_map(|(_, _, fetched)| fetched.object.as_ref()).map(|o| o.len() as u64).sum();
    let mean = bytes / batch.len() as u64;
    let fit = BATCH_BYTES.checked_div(mean).unwrap_or(BATCH_OBJECTS_MAX);
    usize::try_from(fit.clamp(1, BATCH_OBJECTS_MAX)).unwrap_or(1)
}

/// Reads one object and gives each event that counts. `each` says what became of it, if it is known by then.
pub(crate) fn read(
    input: &Input<'_>,
    within: Within<'_>,
    fetched: Fetched,
    scratch: &mut Scratch,
    each: &mut dyn FnMut(EntityKey, Incoming) -> Result<Option<Fate>>,
) -> Result<Read> {
    let (inspected, segment) = fetched.inspect()?;
    let (mut counts, mut signatures, mut damage) =
        (Counts::default(), input.recheck.map(|_| Signatures::default()), None);
    if let Some(segment) = segment {
        let mut rows = segment.scan_with(input.recheck.is_some(), std::mem::take(scratch));
        for row in rows.by_ref() {
            let row = match row {
                Ok(row) => row,
                Err(error) => {
                    damage = Some(error);
                    break;
                }
            };
            if !within.takes(&segment.info().shard, &row.sequence) {
                continue;
            }
            counts.records += 1;
            if input.only.is_some_and(|only| !only(&row.value.event.entity)) {
                counts.skipped += 1;
                continue;
            }
            if let (Some(recheck), Some(signatures)) = (input.recheck, &mut signatures) {
                signatures.check(recheck, &segment.info().shard, &row);
            }
            let about = within.watch.map(|watch| (watch, row.value.event.entity.clone()));
            let seen = match interpret(input.sources, row.value, &row.sequence) {
                Reading::Event(event) => each(event.entity, event.incoming)?.map(SeenAs::Event),
                Reading::Original => {
                    counts.originals += 1;
                    Some(SeenAs::Original)
                }
                Reading::Unreadable(_) => {
                    counts.unreadable += 1;
                    Some(SeenAs::Event(Fate::Unreadable))
                }
            };
            if let (Some((watch, entity)), Some(seen)) = (about, seen) {
                watch(Seen { source: entity.source(), arrived_at: row.arrived_at, seen });
            }
        }
        *scratch = rows.into_scratch();
    }
    Ok(Read { inspected, counts, signatures, damage })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Segments by shard, so many of each.
    fn keys(lengths: &[usize]) -> Vec<SegmentKey> {
        let of = |(shard, length): (usize, &usize)| {
            let key = SegmentKey {
                stream: "main".to_owned(),
                shard: ShardId::new(format!("s{shard:02}")),
                start: None,
                hour: "2026-11-24T13".to_owned(),
            };
            vec![key; *length]
        };
        lengths.iter().enumerate().flat_map(of).collect()
    }

    #[test]
    fn no_thread_waits_while_it_has_segments() {
        // Large segments come one at a time for each thread.
        for (lengths, threads, each) in [(vec![3; 8], 2, 1), (vec![5, 1, 4, 2, 3, 3], 3, 2), (vec![4; 16], 4, 3)] {
            let mut shards = Shards::default();
            let listed = listed(keys(&lengths), &mut shards, Order::SideBySide, threads).unwrap();
            let all: usize = listed.iter().map(Vec::len).sum();
            assert_eq!(all, lengths.iter().sum::<usize>());
            let mut left: Vec<usize> = listed.iter().map(Vec::len).collect();
            let mut coming: Vec<_> = listed.into_iter().map(Vec::into_iter).collect();
            let mut places = Vec::new();
            loop {
                let batch = next(&mut coming, each);
                if batch.is_empty() {
                    break;
                }
                for (thread, left) in left.iter_mut().enumerate() {
                    let own = batch.iter().filter(|(_, shard, _)| reader_of(*shard, lengths.len(), threads) == thread);
                    let count = own.count();
                    assert_eq!(count, each.min(*left), "{lengths:?}, thread {thread}");
                    *left -= count;
                }
                places.extend(batch.into_iter().map(|(place, shard, _)| (shard, place)));
            }
            // Those of a shard in the order of its chain.
            for shard in 0..lengths.len() {
                let own = places.iter().filter(|(of, _)| usize::from(*of) == shard).map(|(_, place)| place);
                assert!(own.is_sorted(), "{places:?}");
            }
            places.sort_by_key(|(_, place)| *place);
            assert!(places.iter().map(|(_, place)| *place).eq(0..all), "each once");
        }
    }
}
