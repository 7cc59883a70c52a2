//! Records in their stored form, by key, in blocks of memory that are freed as a whole: a record costs
//! no allocation of its own, and what a table takes is known to the byte.
//!
//! The key is read out of the stored form where that shows it, so it is kept once. What is taken out
//! leaves its bytes behind until half of all are such; then the others are moved together.

use hashbrown::HashTable;
use ledgerline_domain::Result;
use ledgerline_domain::ids::EntityKey;
use ledgerline_domain::record::{EntityRecord, key_of};

/// Blocks grow with the table, between these sizes. A longer record has a block of its own.
const BLOCK_BYTES_MIN: usize = 4 * 1024;
const BLOCK_BYTES_MAX: usize = 256 * 1024;

/// Such records, each with the number of its shard.
#[derive(Debug, Default)]
pub(crate) struct Cold {
    rows: HashTable<Row>,
    blocks: Vec<Vec<u8>>,
    /// Bytes that the blocks have room for.
    room: usize,
    /// Bytes of records that were taken out.
    left_behind: usize,
}

/// Where a record lies. Before it lies its key, where the stored form is compressed and does not show it.
#[derive(Clone, Copy, Debug)]
struct Row {
    hash: u64,
    block: u32,
    at: u32,
    length: u32,
    key_length: u16,
    shard: u16,
}

/// A record that lies here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lying<'a> {
    /// The number of its shard.
    pub shard: u16,
    /// Its key.
    pub key: &'a [u8],
    /// Its stored form.
    pub binary: &'a [u8],
}

impl Row {
    fn lying(self, blocks: &[Vec<u8>]) -> Lying<'_> {
        let bytes = blocks.get(self.block as usize).map(Vec::as_slice).unwrap_or_default();
        let from = self.at as usize + usize::from(self.key_length);
        let binary = bytes.get(from..from + self.length as usize).unwrap_or_default();
        let key = match self.key_length {
            0 => key_of(binary).unwrap_or_default(),
            _ => bytes.get(self.at as usize..from).unwrap_or_default(),
        };
        Lying { shard: self.shard, key, binary }
    }

    fn is(self, blocks: &[Vec<u8>], hash: u64, key: &str) -> bool {
        self.hash == hash && self.lying(blocks).key == key.as_bytes()
    }

    fn bytes(self) -> usize {
        self.length as usize + usize::from(self.key_length)
    }
}

impl Cold {
    /// Adds a record that is not there; `hash` is its key's. Says whether that took more memory.
    pub fn insert(&mut self, hash: u64, shard: u16, key: &EntityKey, binary: &[u8]) -> bool {
        let before = (self.room, self.rows.capacity());
        let key = if key_of(binary).is_some() { "" } else { key.as_str() };
        self.append(hash, shard, key.as_bytes(), binary);
        before != (self.room, self.rows.capacity())
    }

    fn append(&mut self, hash: u64, shard: u16, key: &[u8], binary: &[u8]) {
        let length = key.len() + binary.len();
        if self.blocks.last().is_none_or(|block| block.capacity() - block.len() < length) {
            let size = (self.room / 4).clamp(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX).max(length);
            self.blocks.push(Vec::with_capacity(size));
            self.room += size;
        }
        let number = self.blocks.len() - 1;
        let Some(block) = self.blocks.last_mut() else { return };
        let at = block.len();
        block.extend_from_slice(key);
        block.extend_from_slice(binary);
        // A block is far below 4 GiB, and so is a record; keys have 256 bytes at most.
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let key_length = u16::try_from(key.len()).unwrap_or(u16::MAX);
        let row = Row { hash, block: small(number), at: small(at), length: small(binary.len()), key_length, shard };
        self.rows.insert_unique(hash, row, |row| row.hash);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The memory that they take, in bytes.
    pub fn bytes(&self) -> usize {
        self.room + self.rows.allocation_size()
    }

    /// Reads a little of a record of that hash, if there is one.
    pub fn touch(&self, hash: u64) -> u8 {
        let row = self.rows.find(hash, |row| row.hash == hash);
        let bytes = row.and_then(|row| Some((self.blocks.get(row.block as usize)?, row)));
        let at = |offset: u32| bytes.and_then(|(block, row)| block.get((row.at + offset.min(row.length)) as usize));
        [0, 64, 128].into_iter().filter_map(at).fold(0, |all, byte| all ^ byte)
    }

    /// Takes one out, which `read` is shown before.
    pub fn remove<T>(&mut self, hash: u64, key: &str, read: impl FnOnce(Lying<'_>) -> T) -> Option<T> {
        let (row, _) = self.rows.find_entry(hash, |row| row.is(&self.blocks, hash, key)).ok()?.remove();
        let read = read(row.lying(&self.blocks));
        self.left_behind += row.bytes();
        Some(read)
    }

    /// Moves the records together if as many bytes were left behind as are in use. To be called from
    /// time to time by who takes records out and puts them back.
    pub fn tidy(&mut self) {
        if self.left_behind < BLOCK_BYTES_MAX || self.left_behind * 2 < self.room {
            return;
        }
        let blocks = std::mem::take(&mut self.blocks);
        let rows = std::mem::take(&mut self.rows);
        (self.room, self.left_behind) = (0, 0);
        self.rows.reserve(rows.len(), |row| row.hash);
        for row in rows {
            let Lying { shard, key, binary } = row.lying(&blocks);
            let key = if row.key_length == 0 { &[] } else { key };
            self.append(row.hash, shard, key, binary);
        }
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = Lying<'_>> {
        self.rows.iter().map(|row| row.lying(&self.blocks))
    }
}

/// Those of several tables in the order of their keys.
pub(crate) fn sorted<'a>(parts: impl IntoIterator<Item = &'a Cold>) -> Vec<Lying<'a>> {
    let mut all: Vec<Lying<'a>> = parts.into_iter().flat_map(Cold::iter).collect();
    all.sort_unstable_by(|a, b| a.key.cmp(b.key));
    all
}

impl Lying<'_> {
    /// The record.
    pub fn record(self) -> Result<EntityRecord> {
        EntityRecord::decode(self.binary)
    }
}
