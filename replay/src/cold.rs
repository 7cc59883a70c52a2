//! Records in their stored form, by key. The key is read out of that form, so it is kept once.

use hashbrown::HashTable;
use ledgerline_domain::ids::EntityKey;
use ledgerline_domain::record::key_of;

/// Such records, each with the number of its shard.
#[derive(Debug, Default)]
pub(crate) struct Cold(HashTable<Row>);

#[derive(Debug)]
struct Row {
    hash: u64,
    shard: usize,
    /// Where the stored form is compressed and does not show it.
    key: Option<Box<EntityKey>>,
    binary: Box<[u8]>,
}

impl Row {
    fn key(&self) -> &[u8] {
        match &self.key {
            Some(key) => key.as_str().as_bytes(),
            None => key_of(&self.binary).unwrap_or_default(),
        }
    }

    fn is(&self, hash: u64, key: &str) -> bool {
        self.hash == hash && self.key() == key.as_bytes()
    }
}

impl Cold {
    /// Adds a record that is not there; `hash` is its key's.
    pub fn insert(&mut self, hash: u64, shard: usize, key: EntityKey, binary: Box<[u8]>) {
        let key = if key_of(&binary).is_some() { None } else { Some(Box::new(key)) };
        self.0.insert_unique(hash, Row { hash, shard, key, binary }, |row| row.hash);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// One of them.
    pub fn get(&self, hash: u64, key: &str) -> Option<&[u8]> {
        self.0.find(hash, |row| row.is(hash, key)).map(|row| &*row.binary)
    }

    /// Takes one out.
    pub fn remove(&mut self, hash: u64, key: &str) -> Option<(usize, Box<[u8]>)> {
        let (row, _) = self.0.find_entry(hash, |row| row.is(hash, key)).ok()?.remove();
        Some((row.shard, row.binary))
    }

    /// All of them in the order of their keys.
    pub fn sorted(&self) -> impl Iterator<Item = &[u8]> {
        let mut rows: Vec<&Row> = self.0.iter().collect();
        rows.sort_unstable_by(|a, b| a.key().cmp(b.key()));
        rows.into_iter().map(|row| &*row.binary)
    }

    /// All of them with their shards, in the order of their keys.
    pub fn into_sorted(self) -> impl Iterator<Item = (usize, Box<[u8]>)> {
        let mut rows: Vec<Row> = self.0.into_iter().collect();
        rows.sort_unstable_by(|a, b| a.key().cmp(b.key()));
        rows.into_iter().map(|row| (row.shard, row.binary))
    }
}
