//! The records of a rebuild, in the order of their keys: in memory, or as sorted files that are merged
//! while they are read.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::Path;

use ledgerline_domain::ids::EntityKey;
use ledgerline_domain::record::EntityRecord;
use ledgerline_domain::{Error, Result};

use crate::cold::{Cold, Lying, sorted};
use crate::crew::together;
use crate::histories::{Fates, Histories};
use crate::spill::{SpillReader, SpillWriter};

/// Most sorted files of one thread: when there are so many, they are merged into one.
const RUNS_MAX: usize = 32;

/// Where they are.
#[derive(Debug)]
pub(crate) enum Records {
    /// All in memory.
    Memory(Vec<Cold>),
    /// In files, each in the order of its keys, and how many there are in all.
    Runs(Vec<SpillReader>, usize),
}

impl Default for Records {
    fn default() -> Self {
        Self::Memory(Vec::new())
    }
}

impl Records {
    /// Of the histories of all threads, finished. Gives what became of all events too. Where any went to
    /// files, all do: what is in memory first, so that each part has the room to itself.
    pub fn of(all: Vec<Histories>, dir: &Path) -> Result<(Self, Fates)> {
        let mut fates = Fates::default();
        if all.iter().all(|histories| histories.bytes_away() == 0) {
            let mut tables = Vec::new();
            for histories in all {
                let own = histories.into_tables(&mut |cold| {
                    tables.push(cold);
                    Ok(())
                })?;
                fates.add(&own);
            }
            return Ok((Self::Memory(tables), fates));
        }
        let (mut runs, mut entities) = (Vec::new(), 0);
        for written in together(all.into_iter(), |histories| to_runs(histories, dir)) {
            let (files, number, own) = written?;
            runs.extend(files);
            entities += number;
            fates.add(&own);
        }
        Ok((Self::Runs(runs, entities), fates))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Memory(tables) => tables.iter().map(Cold::len).sum(),
            Self::Runs(_, entities) => *entities,
        }
    }

    /// All of them, each with the number of its shard and in its stored form, in the order of the keys.
    pub fn stored(&self) -> Box<dyn Iterator<Item = Result<(u16, Cow<'_, [u8]>)>> + '_> {
        match self {
            Self::Memory(tables) => {
                let all = sorted(tables).into_iter();
                Box::new(all.map(|lying| Ok((lying.shard, Cow::Borrowed(lying.binary)))))
            }
            Self::Runs(runs, _) => {
                let merge = Merge::of(runs.iter().map(SpillReader::again).collect());
                Box::new(merge.map(|run| run.map(|run| (run.shard, Cow::Owned(run.binary)))))
            }
        }
    }

    /// One of them. In files it is looked for from the beginning.
    pub fn get(&self, key: &EntityKey) -> Option<Result<EntityRecord>> {
        match self {
            Self::Memory(tables) => {
                let mut all = tables.iter().flat_map(Cold::iter);
                all.find(|lying| lying.key == key.as_str().as_bytes()).map(Lying::record)
            }
            Self::Runs(runs, _) => {
                let merge = Merge::of(runs.iter().map(SpillReader::again).collect());
                merge.map(|run| run.map(|run| (run.key == key.as_str().as_bytes(), run.binary))).find_map(|run| {
                    match run {
                        Ok((true, binary)) => Some(EntityRecord::decode(&binary)),
                        Ok((false, _)) => None,
                        Err(error) => Some(Err(error)),
                    }
                })
            }
        }
    }
}

/// Writes the histories of one thread as sorted files.
fn to_runs(histories: Histories, dir: &Path) -> Result<(Vec<SpillReader>, usize, Fates)> {
    let (mut runs, mut entities) = (Vec::new(), 0);
    let fates = histories.into_tables(&mut |cold| {
        entities += cold.len();
        let mut file = SpillWriter::create(dir)?;
        sorted([&cold]).into_iter().try_for_each(|l| push(&mut file, l.shard, l.key, l.binary))?;
        runs.push(file.finish()?);
        if runs.len() >= RUNS_MAX {
            let mut file = SpillWriter::create(dir)?;
            for run in Merge::of(std::mem::take(&mut runs)) {
                let run = run?;
                push(&mut file, run.shard, &run.key, &run.binary)?;
            }
            runs.push(file.finish()?);
        }
        Ok(())
    })?;
    Ok((runs, entities, fates))
}

/// Adds a record: shard, length of the key, key, stored form.
fn push(file: &mut SpillWriter, shard: u16, key: &[u8], binary: &[u8]) -> Result<()> {
    file.push(|mut out| {
        out.extend_from_slice(&shard.to_le_bytes());
        // Keys have 256 bytes at most.
        out.extend_from_slice(&u16::try_from(key.len()).unwrap_or(u16::MAX).to_le_bytes());
        out.extend_from_slice(key);
        out.extend_from_slice(binary);
        Ok(out)
    })
}

/// A record of a sorted file.
struct InRun {
    shard: u16,
    key: Vec<u8>,
    binary: Vec<u8>,
}

fn next_of(run: &mut SpillReader) -> Result<Option<InRun>> {
    let Some(item) = run.peek()? else { return Ok(None) };
    let parsed = item.split_first_chunk::<2>().and_then(|(shard, rest)| {
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (key, binary) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        Some(InRun { shard: u16::from_le_bytes(*shard), key: key.to_vec(), binary: binary.to_vec() })
    });
    let found = parsed.ok_or_else(|| Error::internal("read back a temporary file: an item in it is no record"))?;
    run.pass();
    Ok(Some(found))
}

/// Several sorted files as one; ends with the first error.
struct Merge {
    runs: Vec<SpillReader>,
    heads: BinaryHeap<Reverse<(Vec<u8>, usize)>>,
    /// The other parts of the heads, by run.
    bodies: Vec<Option<(u16, Vec<u8>)>>,
    failed: Option<Error>,
}

impl Merge {
    fn of(runs: Vec<SpillReader>) -> Self {
        let bodies = runs.iter().map(|_| None).collect();
        let mut merge = Self { heads: BinaryHeap::with_capacity(runs.len()), bodies, runs, failed: None };
        for run in 0..merge.runs.len() {
            merge.advance(run);
        }
        merge
    }

    fn advance(&mut self, at: usize) {
        let Some(run) = self.runs.get_mut(at) else { return };
        match next_of(run) {
            Ok(Some(InRun { shard, key, binary })) => {
                self.heads.push(Reverse((key, at)));
                if let Some(body) = self.bodies.get_mut(at) {
                    *body = Some((shard, binary));
                }
            }
            Ok(None) => {}
            Err(error) => self.failed = Some(error),
        }
    }
}

impl Iterator for Merge {
    type Item = Result<InRun>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.failed.take() {
            self.heads.clear();
            return Some(Err(error));
        }
        let Reverse((key, at)) = self.heads.pop()?;
        let (shard, binary) = self.bodies.get_mut(at)?.take()?;
        self.advance(at);
        Some(Ok(InRun { shard, key, binary }))
    }
}
