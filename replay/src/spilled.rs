//! What stands in the file of a part of the histories: records and events in the order in which they
//! came, then the live records to compare with.

use ledgerline_domain::fold::Incoming;
use ledgerline_domain::ids::EntityKey;
use ledgerline_domain::record::{EntityRecord, key_of};
use ledgerline_domain::{Error, Result};

use crate::cold::Lying;
use crate::histories::{Bounds, Histories};
use crate::spill::{SpillReader, SpillWriter};

const RECORD: u8 = 0;
const EVENT: u8 = 1;
const LIVE: u8 = 2;

/// What wants to know how the live records compare.
pub(crate) trait Compared {
    /// The live state and the archive have a record of the entity.
    fn both(&mut self, key: &EntityKey, live: &[u8], archived: Lying<'_>) -> Result<()>;
    /// Only the live state has one.
    fn only_live(&mut self, key: &EntityKey, live: &[u8]) -> Result<()>;
    /// Only the archive has one.
    fn only_archived(&mut self, archived: Lying<'_>) -> Result<()>;
}

/// Adds a record: `shard`, stored form.
pub(crate) fn push_record(file: &mut SpillWriter, shard: u16, binary: &[u8]) -> Result<()> {
    file.push(|mut out| {
        out.push(RECORD);
        out.extend_from_slice(&shard.to_le_bytes());
        out.extend_from_slice(binary);
        Ok(out)
    })
}

/// Adds an event that is not taken yet.
pub(crate) fn push_event(file: &mut SpillWriter, shard: u16, key: &EntityKey, event: &Incoming) -> Result<()> {
    file.push(|out| write_event(out, shard, key, event))
}

/// Appends an event: `shard`, key behind its length, event.
pub(crate) fn write_event(mut out: Vec<u8>, shard: u16, key: &EntityKey, event: &Incoming) -> Result<Vec<u8>> {
    out.push(EVENT);
    out.extend_from_slice(&shard.to_le_bytes());
    push_key(&mut out, key);
    event.write(out)
}

/// Takes a record or an event into histories; a live record is left alone, and that is said.
pub(crate) fn take_item(histories: &mut Histories, item: &[u8]) -> Result<bool> {
    match parse(item)? {
        Item::Record(shard, binary) => match key_of(binary).and_then(|key| std::str::from_utf8(key).ok()) {
            Some(key) => histories.restore(shard, &EntityKey::parse(key)?, binary)?,
            None => histories.restore(shard, &EntityRecord::decode(binary)?.key, binary)?,
        },
        Item::Event(shard, key, event) => {
            let hash = histories.hash(&key);
            histories.take(hash, shard, key, event)?;
        }
        Item::Live(..) => return Ok(false),
    }
    Ok(true)
}

/// Adds a live record: key behind its length, stored form.
pub(crate) fn push_live(file: &mut SpillWriter, key: &EntityKey, binary: &[u8]) -> Result<()> {
    file.push(|mut out| {
        out.push(LIVE);
        push_key(&mut out, key);
        out.extend_from_slice(binary);
        Ok(out)
    })
}

fn push_key(out: &mut Vec<u8>, key: &EntityKey) {
    let key = key.as_str().as_bytes();
    // Keys have 256 bytes at most.
    out.extend_from_slice(&u16::try_from(key.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(key);
}

enum Item<'a> {
    Record(u16, &'a [u8]),
    Event(u16, EntityKey, Incoming),
    Live(EntityKey, &'a [u8]),
}

fn parse(item: &[u8]) -> Result<Item<'_>> {
    let (kind, rest) = item.split_first().ok_or_else(unknown)?;
    match *kind {
        RECORD => {
            let (shard, binary) = number(rest)?;
            Ok(Item::Record(shard, binary))
        }
        EVENT => {
            let (shard, rest) = number(rest)?;
            let (key, event) = key(rest)?;
            Ok(Item::Event(shard, key, Incoming::read(event)?))
        }
        LIVE => {
            let (key, binary) = key(rest)?;
            Ok(Item::Live(key, binary))
        }
        _ => Err(unknown()),
    }
}

fn number(bytes: &[u8]) -> Result<(u16, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<2>().ok_or_else(unknown)?;
    Ok((u16::from_le_bytes(*number), rest))
}

fn key(bytes: &[u8]) -> Result<(EntityKey, &[u8])> {
    let (length, rest) = number(bytes)?;
    let (key, rest) = rest.split_at_checked(usize::from(length)).ok_or_else(unknown)?;
    let text = std::str::from_utf8(key).map_err(|e| unknown().because(e))?;
    Ok((EntityKey::parse(text)?, rest))
}

fn unknown() -> Error {
    Error::internal("read back a temporary file: an item in it is of no kind")
}

/// Folds all of a part.
pub(crate) fn fold(mut items: SpillReader, bounds: Bounds) -> Result<Histories> {
    fold_until_live(&mut items, bounds)
}

/// Folds a part up to its first live record, which stays the next item.
pub(crate) fn fold_until_live(items: &mut SpillReader, bounds: Bounds) -> Result<Histories> {
    // Another hash than the one that brought these together.
    let mut histories = Histories::new(bounds, foldhash::fast::RandomState::default());
    while let Some(item) = items.peek()? {
        if !take_item(&mut histories, item)? {
            break;
        }
        items.pass();
    }
    histories.finish()?;
    Ok(histories)
}

/// Compares the live records that follow.
pub(crate) fn compare_rest(
    items: &mut SpillReader,
    histories: &mut Histories,
    compared: &mut dyn Compared,
) -> Result<()> {
    while let Some(item) = items.peek()? {
        match parse(item)? {
            Item::Live(key, live) => histories.compare(histories.hash(&key), &key, live, compared)?,
            _ => return Err(Error::internal("read back a temporary file: an event stands behind a live record")),
        }
        items.pass();
    }
    Ok(())
}
