//! Folds the whole archive into entity records: the live path with the archive as its log.

use std::borrow::Cow;
use std::num::NonZero;
use std::path::{Path, PathBuf};

use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::fold::Fate;
use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId};
use ledgerline_domain::ports::{Archive, Sequenced};
use ledgerline_domain::provider::Sources;
use ledgerline_domain::record::EntityRecord;
use ledgerline_domain::{Error, Result};
use serde::Serialize;

use crate::chain::{ChainReport, OnProgress};
use crate::pass::{Order, Pass, Shards, pass};
use crate::records::Records;
use crate::within::Within;

/// Most threads.
const THREADS_MAX: usize = 64;
/// Most bad signatures kept by name; further ones are counted.
pub const BAD_SIGNATURES_MAX: usize = 100;

/// Checks an archived signature again: `None` when the envelope cannot be checked by itself (it is
/// a part of a request, whose original is checked), else the reason why it does not fit.
pub type Recheck<'a> = &'a (dyn Fn(&Envelope) -> Option<Result<(), String>> + Send + Sync);

/// Says which entities are meant. It is asked for every record, before anything of it is interpreted.
pub type Only<'a> = &'a (dyn Fn(&EntityKey) -> bool + Send + Sync);

/// What is read, and how.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The stream.
    pub stream: &'a str,
    /// Providers of the sources, as they are today.
    pub sources: &'a Sources,
    /// Checks every signature again, if given.
    pub recheck: Option<Recheck<'a>>,
    /// Only these entities, if given. The chain is checked for all.
    pub only: Option<Only<'a>>,
    /// What it may use.
    pub limits: Limits<'a>,
}

impl<'a> Input<'a> {
    /// All of a stream, without its signatures, within the default limits.
    pub fn new(stream: &'a str, sources: &'a Sources) -> Self {
        Self { stream, sources, recheck: None, only: None, limits: Limits::default() }
    }
}

/// What a fold may use of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Limits<'a> {
    /// Threads; 0 means one per core that the process may use. The outcome is the same for any number.
    pub threads: usize,
    /// Most bytes of entity records in memory, of all threads together. What is beyond goes to files.
    /// Not counted: some segments with their events (about 64 MiB with two threads), the records of the
    /// last events (512 per thread), and the history of an entity that is larger than this by itself.
    pub memory_bytes: usize,
    /// Directory of these files, which must exist; without one the system's for temporary files. They
    /// have no names, so nothing is left of them however the process ends. They may take as much as the
    /// archive does, twice.
    pub spill_dir: Option<&'a Path>,
}

impl Default for Limits<'_> {
    fn default() -> Self {
        Self { threads: 0, memory_bytes: 256 * 1024 * 1024, spill_dir: None }
    }
}

impl Limits<'_> {
    /// How many threads that is.
    pub(crate) fn threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX),
            threads => threads.min(THREADS_MAX),
        }
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.spill_dir.map_or_else(std::env::temp_dir, Path::to_owned)
    }
}

/// What became of the archived records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Records in all.
    pub records: u64,
    /// Events that count, each once.
    pub events: u64,
    /// Further copies of them.
    pub duplicates: u64,
    /// Same id, other facts.
    pub contradictions: u64,
    /// Not readable.
    pub unreadable: u64,
    /// Originals of split requests; they fold into nothing.
    pub originals: u64,
    /// Records that lie in two segments. Only a broken chain has any.
    pub repeated: u64,
    /// Records about entities that were not meant.
    pub skipped: u64,
}

impl Counts {
    pub(crate) fn count(&mut self, fate: Fate) {
        *match fate {
            Fate::Appended | Fate::Merged => &mut self.events,
            Fate::Duplicate => &mut self.duplicates,
            Fate::Contradiction => &mut self.contradictions,
            Fate::Unreadable => &mut self.unreadable,
            Fate::Seen => &mut self.repeated,
        } += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.events += other.events;
        self.duplicates += other.duplicates;
        self.contradictions += other.contradictions;
        self.unreadable += other.unreadable;
        self.originals += other.originals;
        self.repeated += other.repeated;
        self.skipped += other.skipped;
    }
}

/// What the check of the signatures found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Signatures {
    /// Signatures that fit.
    pub good: u64,
    /// Envelopes that are covered by the original of their request.
    pub covered: u64,
    /// Signatures that do not fit.
    pub bad_total: u64,
    /// The first [`BAD_SIGNATURES_MAX`] of them.
    pub bad: Vec<BadSignature>,
}

/// An archived envelope whose signature does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BadSignature {
    /// The shard.
    pub shard: ShardId,
    /// The position in it.
    pub sequence: SequenceNumber,
    /// What it is about.
    pub entity: EntityKey,
    /// Why.
    pub reason: String,
}

impl Signatures {
    pub(crate) fn check(&mut self, recheck: Recheck<'_>, shard: &ShardId, row: &Sequenced<Envelope>) {
        match recheck(&row.value) {
            None => self.covered += 1,
            Some(Ok(())) => self.good += 1,
            Some(Err(reason)) => {
                self.bad_total += 1;
                if self.bad.len() < BAD_SIGNATURES_MAX {
                    let (sequence, entity) = (row.sequence.clone(), row.value.event.entity.clone());
                    self.bad.push(BadSignature { shard: shard.clone(), sequence, entity, reason });
                }
            }
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.good += other.good;
        self.covered += other.covered;
        self.bad_total += other.bad_total;
        let room = BAD_SIGNATURES_MAX - self.bad.len();
        self.bad.extend(other.bad.into_iter().take(room));
    }
}

/// The archive, folded. Its records are in memory or in files, by [`Limits`].
#[derive(Debug, Default)]
pub struct Rebuilt {
    records: Records,
    shards: Shards,
    /// What became of the records.
    pub counts: Counts,
    /// The signatures, if they were checked.
    pub signatures: Option<Signatures>,
    /// The chain that was read.
    pub chain: ChainReport,
}

/// A record as it is stored, and the shard of its entity's first event.
#[derive(Clone, Debug)]
pub struct Folded<'a> {
    /// The shard.
    pub shard: &'a ShardId,
    /// The binary form, of revision 0; [`EntityRecord::decode`] reads it.
    pub binary: Cow<'a, [u8]>,
}

impl Rebuilt {
    /// How many entities there are.
    pub fn entities(&self) -> usize {
        self.records.len()
    }

    /// One entity's record. Takes as long as reading many.
    pub fn record(&self, key: &EntityKey) -> Option<Result<EntityRecord>> {
        self.records.get(key)
    }

    /// All records, in the order of their keys. In bounded memory: what lies in files is read on the way.
    pub fn records(&self) -> impl Iterator<Item = Result<EntityRecord>> {
        self.records.stored().map(|record| EntityRecord::decode(&record?.1))
    }

    /// The same in their stored form.
    pub fn stored(&self) -> impl Iterator<Item = Result<Folded<'_>>> {
        self.records.stored().map(|record| {
            let (shard, binary) = record?;
            let shard = self.shards.get(shard).ok_or_else(|| Error::internal("name the shard of a record"))?;
            Ok(Folded { shard, binary })
        })
    }
}

/// Reads and folds the archive. A broken chain is no error: what can be read is folded, and
/// [`Rebuilt::chain`] names the faults. Errors are those of the archive and of the files
/// ([`Retry`](ledgerline_domain::ErrorKind::Retry) when the disk is full).
///
/// It keeps its thread busy for tenths of a second at a time.
pub async fn rebuild<A: Archive>(archive: &A, input: &Input<'_>, on_progress: OnProgress<'_>) -> Result<Rebuilt> {
    rebuild_within(archive, input, Within::default(), on_progress).await
}

/// The same up to positions, telling what becomes of each record. Who wants to be told has it folded by
/// one thread, in memory: what becomes of an event that lies in a file is known too late.
pub async fn rebuild_within<A: Archive>(
    archive: &A,
    input: &Input<'_>,
    within: Within<'_>,
    on_progress: OnProgress<'_>,
) -> Result<Rebuilt> {
    let (mut input, mut orders) = (*input, [Order::SideBySide, Order::OneByOne].as_slice());
    if within.watch.is_some() {
        input.limits = Limits { threads: 1, memory_bytes: usize::MAX, ..input.limits };
        orders = &[Order::OneByOne];
    }
    for order in orders {
        let pass = pass(archive, &input, within, *order, &mut *on_progress).await?;
        let Pass { histories, shards, dir, mut counts, signatures, chain } = pass;
        let (records, fates) = Records::of(histories, &dir)?;
        if fates.crossed && *order == Order::SideBySide {
            continue;
        }
        counts.add(&fates.counts);
        return Ok(Rebuilt { records, shards, counts, signatures, chain });
    }
    Err(Error::internal("fold the archive: no order was tried"))
}
