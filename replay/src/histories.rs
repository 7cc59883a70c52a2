//! The records that an archive folds to, in bounded memory.
//!
//! Those of recent events are kept as they are (warm), the others in their stored form (cold), which
//! takes a fraction of the memory and is what a live record is compared with. Events of one entity
//! mostly lie close together, so nearly every record is written once; a late event reads its record
//! back.
//!
//! Cold records lie in parts, by a hash of their key. When they take more memory than they may, the
//! largest part goes to a file, and what comes for it later follows it there: records as they cool,
//! and events that are not taken yet. Once the last event was read, such a part is folded alone, by
//! the same steps in the same order, so its records are byte for byte those that would have been folded
//! in memory. A part that is too large by itself is split the same way, by another hash. What cannot
//! be split is one entity's history: that is folded in memory whatever it takes.

use std::hash::BuildHasher as _;
use std::path::PathBuf;

use ledgerline_domain::Result;
use ledgerline_domain::fold::{Fate, Incoming, settle, take};
use ledgerline_domain::ids::EntityKey;
use ledgerline_domain::record::EntityRecord;

use crate::cold::Cold;
use crate::rebuild::Counts;
use crate::spill::SpillWriter;
use crate::spilled::{self, Compared};
use crate::warm::{Warm, WarmRing};

/// Records kept as they are.
const WARM_MAX: usize = 512;
/// How often a part that is too large by itself is split again: each time into [`Bounds::parts`].
const DEPTH_MAX: u32 = 3;

/// How much memory histories may take, and where the rest goes.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// Most bytes of cold records.
    pub bytes: usize,
    /// Parts; a power of two.
    pub parts: usize,
    /// Records kept as they are.
    pub warm: usize,
    /// Directory of the files.
    pub dir: PathBuf,
    /// How often what lies here was split before.
    pub depth: u32,
}

impl Bounds {
    pub fn new(bytes: usize, parts: usize, dir: PathBuf) -> Self {
        Self { bytes, parts: parts.next_power_of_two(), warm: WARM_MAX, dir, depth: 0 }
    }
}

/// Records by key, each with the number of its shard.
#[derive(Debug)]
pub(crate) struct Histories {
    bounds: Bounds,
    /// Keys come from providers, so the hash is keyed at random.
    hasher: foldhash::fast::RandomState,
    warm: WarmRing,
    /// Records that became cold since the parts were tidied.
    cooled: usize,
    parts: Vec<Part>,
    /// What became of the events so far; those in files are counted when they are folded.
    fates: Fates,
    /// What a record is written into before it is known how long it is.
    buffer: Vec<u8>,
}

/// What became of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fates {
    pub counts: Counts,
    /// Whether an entity had events in two shards. Then the order in which the shards were read counts.
    pub crossed: bool,
}

impl Fates {
    pub fn add(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        self.crossed |= other.crossed;
    }
}

/// Cold records and where they are.
#[derive(Debug)]
enum Part {
    Here(Cold),
    Away(SpillWriter),
}

impl Histories {
    /// None yet. `hasher` is the one that hashes are made with.
    pub fn new(bounds: Bounds, hasher: foldhash::fast::RandomState) -> Self {
        let parts = (0..bounds.parts.max(1)).map(|_| Part::Here(Cold::default())).collect();
        let warm = WarmRing::new(bounds.warm);
        Self { bounds, hasher, warm, cooled: 0, parts, fates: Fates::default(), buffer: Vec::new() }
    }

    /// The hash of a key, for those that ask for one.
    pub fn hash(&self, key: &EntityKey) -> u64 {
        self.hasher.hash_one(key.as_str())
    }

    /// The part of a hash. Tables use its lowest and highest bits.
    fn part(&self, hash: u64) -> usize {
        (hash >> 32) as usize & (self.parts.len() - 1)
    }

    /// Takes an event of a shard into its entity's history. Its fate is known at once, unless it went
    /// to a file.
    pub fn take(&mut self, hash: u64, shard: u16, key: EntityKey, event: Incoming) -> Result<Option<Fate>> {
        let fate = if let Some(warm) = self.warm.get(hash, &key) {
            self.fates.crossed |= warm.shard != shard;
            take_and_fold(&mut warm.record, event)
        } else {
            let part = self.part(hash);
            let mut warm = match self.parts.get_mut(part) {
                Some(Part::Away(file)) => {
                    spilled::push_event(file, shard, &key, &event)?;
                    return Ok(None);
                }
                Some(Part::Here(cold)) => {
                    match cold.remove(hash, key.as_str(), |lying| (lying.shard, lying.record())) {
                        Some((shard, record)) => Warm { hash, shard, record: record? },
                        None => Warm { hash, shard, record: EntityRecord::empty(key) },
                    }
                }
                None => Warm { hash, shard, record: EntityRecord::empty(key) },
            };
            self.fates.crossed |= warm.shard != shard;
            let fate = take_and_fold(&mut warm.record, event);
            if let Some(old) = self.warm.put(warm) {
                self.cool(old)?;
            }
            fate
        };
        self.fates.counts.count(fate);
        Ok(Some(fate))
    }

    /// Puts back a record that is not there, in its stored form.
    pub(crate) fn restore(&mut self, shard: u16, key: &EntityKey, binary: &[u8]) -> Result<()> {
        let hash = self.hash(key);
        self.put(hash, shard, key, binary)
    }

    fn put(&mut self, hash: u64, shard: u16, key: &EntityKey, binary: &[u8]) -> Result<()> {
        let part = self.part(hash);
        match self.parts.get_mut(part) {
            Some(Part::Away(file)) => spilled::push_record(file, shard, binary),
            Some(Part::Here(cold)) => {
                let grown = cold.insert(hash, shard, key, binary);
                if grown { self.shrink() } else { Ok(()) }
            }
            None => Ok(()),
        }
    }

    /// Puts every record into its stored form. To be called after the last event.
    pub fn finish(&mut self) -> Result<()> {
        self.warm.take_all().try_for_each(|warm| self.cool(warm))
    }

    /// A record becomes cold.
    fn cool(&mut self, warm: Warm) -> Result<()> {
        let Warm { hash, shard, mut record } = warm;
        settle(&mut record);
        let binary = record.encode_binary(std::mem::take(&mut self.buffer))?;
        self.put(hash, shard, &record.key, &binary)?;
        self.buffer = binary;
        self.cooled += 1;
        if self.cooled >= self.bounds.warm {
            self.cooled = 0;
            self.parts.iter_mut().for_each(|part| {
                if let Part::Here(cold) = part {
                    cold.tidy();
                }
            });
        }
        Ok(())
    }

    /// Puts the largest parts away until the others take no more memory than they may.
    fn shrink(&mut self) -> Result<()> {
        while self.bounds.depth <= DEPTH_MAX && self.bytes() > self.bounds.bytes {
            let size = |part: &Part| match part {
                Part::Here(cold) => cold.bytes(),
                Part::Away(_) => 0,
            };
            let Some(part) = self.parts.iter_mut().max_by_key(|part| size(part)).filter(|part| size(part) > 0) else {
                break;
            };
            let mut file = SpillWriter::create(&self.bounds.dir)?;
            if let Part::Here(cold) = part {
                cold.iter().try_for_each(|lying| spilled::push_record(&mut file, lying.shard, lying.binary))?;
            }
            *part = Part::Away(file);
        }
        Ok(())
    }

    /// Memory of the cold records, in bytes.
    pub fn bytes(&self) -> usize {
        let here = self.parts.iter().map(|part| match part {
            Part::Here(cold) => cold.bytes(),
            Part::Away(_) => 0,
        });
        here.sum()
    }

    /// Bytes that went to files.
    pub fn bytes_away(&self) -> u64 {
        let away = self.parts.iter().map(|part| match part {
            Part::Here(_) => 0,
            Part::Away(file) => file.bytes(),
        });
        away.sum()
    }

    /// How many records there are in memory.
    pub fn len(&self) -> usize {
        let cold = self.parts.iter().map(|part| match part {
            Part::Here(cold) => cold.len(),
            Part::Away(_) => 0,
        });
        self.warm.len() + cold.sum::<usize>()
    }

    /// Gives all records, finished and a table at a time; `each` keeps or drops it. Parts that are in
    /// files are folded one after the other. Gives what became of all events.
    pub fn into_tables(self, each: &mut dyn FnMut(Cold) -> Result<()>) -> Result<Fates> {
        let Self { bounds, parts, mut fates, .. } = self;
        let (here, away) = split(parts);
        here.into_iter().filter(|cold| cold.len() > 0).try_for_each(&mut *each)?;
        for file in away {
            fates.add(&spilled::fold(file.finish()?, deeper(&bounds))?.into_tables(each)?);
        }
        Ok(fates)
    }

    /// Brings records of these hashes into the processor's cache: they lie all over the memory, and waiting for
    /// several of them at a time takes as long as waiting for one.
    pub fn touch(&self, hashes: impl Iterator<Item = u64>) {
        let touched = hashes.map(|hash| match self.parts.get(self.part(hash)) {
            Some(Part::Here(cold)) => cold.touch(hash),
            _ => 0,
        });
        std::hint::black_box(touched.fold(0, u8::wrapping_add));
    }

    /// Compares a live record with what it should be, if that is in memory; else keeps it until then.
    pub fn compare(&mut self, hash: u64, key: &EntityKey, live: &[u8], compared: &mut dyn Compared) -> Result<()> {
        let part = self.part(hash);
        match self.parts.get_mut(part) {
            Some(Part::Away(file)) => spilled::push_live(file, key, live),
            Some(Part::Here(cold)) => cold
                .remove(hash, key.as_str(), |archived| compared.both(key, live, archived))
                .unwrap_or_else(|| compared.only_live(key, live)),
            None => Ok(()),
        }
    }

    /// Compares what [`compare`](Self::compare) kept, and tells of records that had no live one. Gives
    /// what became of all events, and how many entities were in files.
    pub fn finish_comparing(self, compared: &mut dyn Compared) -> Result<(Fates, u64)> {
        let Self { bounds, parts, mut fates, .. } = self;
        let (here, away) = split(parts);
        for cold in here {
            cold.iter().try_for_each(|archived| compared.only_archived(archived))?;
        }
        let mut entities = 0;
        for file in away {
            let mut items = file.finish()?;
            let mut histories = spilled::fold_until_live(&mut items, deeper(&bounds))?;
            entities += histories.len() as u64;
            spilled::compare_rest(&mut items, &mut histories, compared)?;
            let (own, more) = histories.finish_comparing(compared)?;
            fates.add(&own);
            entities += more;
        }
        Ok((fates, entities))
    }
}

fn split(parts: Vec<Part>) -> (Vec<Cold>, Vec<SpillWriter>) {
    let (mut here, mut away) = (Vec::new(), Vec::new());
    for part in parts {
        match part {
            Part::Here(cold) => here.push(cold),
            Part::Away(file) => away.push(file),
        }
    }
    (here, away)
}

fn deeper(bounds: &Bounds) -> Bounds {
    Bounds { depth: bounds.depth + 1, ..bounds.clone() }
}

/// An event at the end of a history whose state is up to date is folded while both are at hand. What
/// comes late waits, so that many late events cost one fold.
fn take_and_fold(record: &mut EntityRecord, event: Incoming) -> Fate {
    let folded = record.folded;
    let fate = take(record, event);
    if fate == Fate::Appended && record.folded == folded && folded + 1 == record.entries.len() {
        settle(record);
    }
    fate
}

#[cfg(test)]
mod tests;
