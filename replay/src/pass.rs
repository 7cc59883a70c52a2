//! One pass over the archive: objects are fetched some at a time, ahead of the threads that read,
//! interpret and fold them.
//!
//! Each thread owns the entities of some hashes. Whoever is free reads the next segment and hands its
//! events to the owners of their entities; each owner takes them segment by segment, in the order of
//! the archive. So an entity's events are taken in that order whatever the number of threads, also
//! where they lie in several shards, and the outcome is the same.

use std::path::PathBuf;

use ledgerline_domain::fold::{Fate, Incoming};
use ledgerline_domain::ids::{EntityKey, ShardId};
use ledgerline_domain::interpret::{Reading, interpret};
use ledgerline_domain::ports::Archive;
use ledgerline_domain::segment::Scratch;
use ledgerline_domain::{Error, Result};

use crate::chain::{ChainReport, OnProgress};
use crate::crew::Crew;
use crate::fetch::{Ahead, Fetched, Inspected};
use crate::histories::{Bounds, Histories};
use crate::rebuild::{Counts, Input, Signatures};
use crate::walk::Walk;
use crate::within::{Seen, SeenAs, Within};

/// Objects that are fetched at once hold about so many bytes per thread.
const BATCH_BYTES: u64 = 8 * 1024 * 1024;
/// Most objects fetched at once, per thread.
const BATCH_OBJECTS_MAX: u64 = 16;
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

/// Reads and folds the archive.
pub(crate) async fn pass<A: Archive>(
    archive: &A,
    input: &Input<'_>,
    within: Within<'_>,
    on_progress: OnProgress<'_>,
) -> Result<Pass> {
    let threads = input.limits.threads();
    let dir = input.limits.dir();
    let parts = (PARTS / threads).max(PARTS_MIN);
    let mut crew = Crew::new(threads, Bounds::new(input.limits.memory_bytes / threads, parts, dir.clone()));
    let mut walk = Walk::begin(archive, input.stream).await?;
    let mut shards = Shards::default();
    let mut counts = Counts::default();
    let mut signatures = input.recheck.map(|_| Signatures::default());
    let mut size = threads + 1;
    let mut coming = Ahead::start(Fetched::get_all(archive, walk.next_keys(size))).await;
    loop {
        let batch = coming.wait().await?;
        if batch.is_empty() {
            break;
        }
        size = next_size(&batch, threads as u64);
        coming = Ahead::start(Fetched::get_all(archive, walk.next_keys(size))).await;
        let numbered = batch.into_iter().map(|object| Ok((shards.number(&object.key.shard)?, object)));
        for read in crew.fold(input, within, numbered.collect::<Result<_>>()?)? {
            let text = read.inspected.text.clone();
            walk.accept(read.inspected);
            if let Some(error) = &read.damage {
                walk.damaged(&text, error);
            }
            walk.count_records(read.counts.records);
            counts.add(&read.counts);
            if let (Some(all), Some(more)) = (&mut signatures, read.signatures) {
                all.add(more);
            }
            on_progress(walk.progress());
        }
    }
    let histories = crew.finish()?;
    Ok(Pass { histories, shards, dir, counts, signatures, chain: walk.end().await? })
}

/// How many objects to fetch next, by the size of the last ones.
fn next_size(batch: &[Fetched], threads: u64) -> usize {
    let bytes: u64 = batch.iter().filter_map(|fetched| fetched.object.as_ref()).map(|o| o.len() as u64).sum();
    let mean = bytes / batch.len() as u64;
    let most = BATCH_OBJECTS_MAX * threads;
    let fit = (BATCH_BYTES * threads).checked_div(mean).unwrap_or(most);
    usize::try_from(fit.clamp(1, most)).unwrap_or(1)
}

/// Reads one object and gives each event that counts. `each` says what became of it, if it is known by then.
pub(crate) fn read(
    input: &Input<'_>,
    within: Within<'_>,
    fetched: Fetched,
    scratch: &mut Scratch,
    each: &mut dyn FnMut(EntityKey, Incoming) -> Result<Option<Fate>>,
) -> Result<Read> {
    let inspected = fetched.inspect()?;
    let (mut counts, mut signatures, mut damage) =
        (Counts::default(), input.recheck.map(|_| Signatures::default()), None);
    if let Some(segment) = inspected.segment() {
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
