//! Histories that are too long for one item, or too dear to write as one.
//!
//! The binary record is laid out as `front · chunks · rest`. The front changes with every write and holds a few
//! fields; the chunks are [cut](super::cut) so that they stay the same while the record grows; the rest is what
//! follows the last cut. Each chunk is an item of its own; the entity's item, the head, holds their names:
//!
//! | attribute of the head, instead of `record` | what |
//! | --- | --- |
//! | `layout` | version of this layout |
//! | `front` | the beginning, as it is |
//! | `groups` | names of groups, 16 bytes each: the item of a group holds the names of its chunks |
//! | `chunks` | names of the chunks behind the last group, 16 bytes each |
//! | `rest` | the end, zstd |
//!
//! | attribute of a chunk or group | what |
//! | --- | --- |
//! | `key` | `#`, the name in hexadecimal, `#`, the entity; no entity's key begins so |
//! | `bytes` | its content, zstd |
//!
//! A name is the digest of the entity and the content: a chunk never changes, and putting it again changes nothing.
//! New chunks are put first; the conditional put of the head commits them, and until then nobody looks at them.
//! Nothing deletes a chunk: a reader that holds an older head, and a writer that is about to name an old one, find
//! theirs. What a crash or a change in the middle leaves over goes with the generation's tables; a rebuild has none.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use ledgerline_domain::ids::EntityKey;
use ledgerline_domain::record::entries_at;
use ledgerline_domain::{Error, Result};
use sha2::{Digest as _, Sha256};

use super::item::{Item, bytes, get_number, get_text, item, number, take_bytes, text};
use super::{Inner, call, cut, load};
use crate::aws::parallel;
use crate::aws::retry::repeat;

/// Version of the layout.
const LAYOUT: u8 = 1;
/// How hard chunks are compressed: each is written once and read often.
const LEVEL: i32 = 3;
/// Most calls under way for one record.
const AT_ONCE: usize = 16;
/// With more unknown chunks than this it is worth looking which of them are there.
const UNKNOWN_FEW: usize = 4;

/// What a chunk or group is called.
pub type Name = [u8; 16];

/// Something that lies in an item of its own.
#[derive(Clone)]
pub struct Chunk {
    /// Its name.
    pub name: Name,
    /// Its content.
    pub plain: Bytes,
}

/// A record, laid out.
pub struct LaidOut {
    /// Attributes of the head.
    pub head: Item,
    /// All chunks and groups, the groups last.
    pub chunks: Vec<Chunk>,
}

/// Begins the keys of chunks.
const MARK: char = '#';

/// Lays out a record's binary form without compression.
pub fn lay_out(key: &EntityKey, plain: Vec<u8>) -> Result<LaidOut> {
    let failed = || Error::internal(format!("lay out the record of {key}"));
    let plain = Bytes::from(plain);
    let from = entries_at(&plain).ok_or_else(failed)?;
    let behind = plain.slice(from..);
    let cuts = cut::chunks(&behind);
    let rest = behind.slice(cuts.last().map_or(0, |last| last.end)..);
    let chunk = |plain: Bytes| Chunk { name: name(key, &plain), plain };
    let mut chunks: Vec<Chunk> = cuts.into_iter().map(|at| chunk(behind.slice(at))).collect();
    let names: Vec<Name> = chunks.iter().map(|chunk| chunk.name).collect();
    let cuts = cut::groups(&names);
    let ungrouped = names.get(cuts.last().map_or(0, |last| last.end)..).unwrap_or_default().concat();
    let groups: Vec<Chunk> =
        cuts.into_iter().filter_map(|at| names.get(at)).map(|g| chunk(g.concat().into())).collect();
    let head = item([
        ("layout", number(LAYOUT)),
        ("front", bytes(plain.slice(..from))),
        ("groups", bytes(groups.iter().flat_map(|group| group.name).collect::<Vec<u8>>())),
        ("chunks", bytes(ungrouped)),
        ("rest", bytes(pack(&rest)?)),
    ]);
    chunks.extend(groups);
    Ok(LaidOut { head, chunks })
}

fn name(key: &EntityKey, plain: &[u8]) -> Name {
    let mut digest = Sha256::new();
    digest.update(key.as_str());
    digest.update([0]);
    digest.update(plain);
    let digest: [u8; 32] = digest.finalize().into();
    let mut name = Name::default();
    name.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    name
}

fn pack(plain: &[u8]) -> Result<Vec<u8>> {
    zstd::bulk::compress(plain, LEVEL).map_err(|e| Error::internal("compress a part of a record").because(e))
}

fn item_key(key: &EntityKey, name: &Name) -> String {
    let hex: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{MARK}{hex}{MARK}{key}")
}

/// Puts the chunks that are not there yet. They are there when this returns.
pub async fn put(store: &Arc<Inner>, key: &EntityKey, chunks: &[Chunk], is_new: bool) -> Result<()> {
    let unknown = |chunk: &&Chunk| !store.chunks.knows(&chunk.name);
    if !is_new && chunks.iter().filter(unknown).count() > UNKNOWN_FEW {
        // Its head names what is there; whether it is still the expected one is found out by its put.
        if let Some(mut head) = load::items(store, vec![item([("key", text(key.as_str()))])], HEAD).await?.pop()
            && head.contains_key("layout")
        {
            let names = names(store, key, &mut head).await?;
            store.chunks.note(names);
        }
    }
    let unknown: Vec<Chunk> = chunks.iter().filter(unknown).cloned().collect();
    let put = parallel::each(unknown, AT_ONCE, |chunk| {
        let (store, key) = (store.clone(), key.clone());
        async move { put_one(&store, &key, chunk).await }
    });
    put.await.map(drop)
}

async fn put_one(store: &Inner, key: &EntityKey, chunk: Chunk) -> Result<()> {
    let (table, packed) = (&store.tables.records, Bytes::from(pack(&chunk.plain)?));
    let action = format!("write a part of the record of {key}");
    let all = item([("key", text(item_key(key, &chunk.name))), ("bytes", bytes(packed.clone()))]);
    repeat(&store.retries, || async {
        let put = store.client.put_item().table_name(table).set_item(Some(all.clone()));
        put.send().await.map_err(|e| call(&action, "dynamodb:PutItem", table).failed(&e))
    })
    .await?;
    store.chunks.keep(chunk.name, packed);
    Ok(())
}

/// What is read of a head.
pub const HEAD: &[&str] = &["key", "revision", "record", "layout", "front", "groups", "chunks", "rest"];

fn damaged(key: &EntityKey, what: &str) -> Error {
    Error::data(format!("read the record of {key}: {what}; restore the table, or rebuild from the archive"))
}

fn take(key: &EntityKey, head: &mut Item, what: &str) -> Result<Vec<u8>> {
    take_bytes(head, what).ok_or_else(|| damaged(key, "its item is damaged"))
}

fn split(key: &EntityKey, names: &[u8]) -> Result<Vec<Name>> {
    let (names, left) = names.as_chunks();
    if left.is_empty() { Ok(names.to_vec()) } else { Err(damaged(key, "its list of chunks is damaged")) }
}

/// The names of all chunks of a head, in order, behind those of its groups.
async fn names(store: &Arc<Inner>, key: &EntityKey, head: &mut Item) -> Result<Vec<Name>> {
    let mut all = split(key, &take(key, head, "groups")?)?;
    let chunks = in_order(store, key, head, &all.clone()).await?;
    all.extend(chunks);
    Ok(all)
}

/// The names of the chunks of these groups and of those behind them.
async fn in_order(store: &Arc<Inner>, key: &EntityKey, head: &mut Item, groups: &[Name]) -> Result<Vec<Name>> {
    let mut names = Vec::new();
    for (group, packed) in groups.iter().zip(contents(store, key, groups).await?) {
        names.extend(split(key, &open(key, group, &packed)?)?);
    }
    names.extend(split(key, &take(key, head, "chunks")?)?);
    Ok(names)
}

/// Puts a record together again: its binary form without compression.
pub async fn join(store: &Arc<Inner>, key: &EntityKey, mut head: Item) -> Result<Vec<u8>> {
    let layout: Option<u8> = get_number(&head, "layout");
    if layout != Some(LAYOUT) {
        return Err(damaged(
            key,
            &format!("its layout is {layout:?} and this program knows {LAYOUT}; use a newer one"),
        ));
    }
    let mut whole = take(key, &mut head, "front")?;
    let groups = split(key, &take(key, &mut head, "groups")?)?;
    let names = in_order(store, key, &mut head, &groups).await?;
    for (chunk, packed) in names.iter().zip(contents(store, key, &names).await?) {
        whole.extend_from_slice(&open(key, chunk, &packed)?);
    }
    whole.extend(unpack(&take(key, &mut head, "rest")?).ok_or_else(|| damaged(key, "its end is damaged"))?);
    Ok(whole)
}

/// The contents of chunks or groups, compressed, in order: from memory, or read.
async fn contents(store: &Arc<Inner>, key: &EntityKey, names: &[Name]) -> Result<Vec<Bytes>> {
    let mut found: Vec<Option<Bytes>> = names.iter().map(|name| store.chunks.get(name)).collect();
    let mut missing: HashMap<String, Name> = HashMap::new();
    for (name, _) in names.iter().zip(&found).filter(|(_, content)| content.is_none()) {
        missing.insert(item_key(key, name), *name);
    }
    let keys = missing.keys().map(|item_key| item([("key", text(item_key))])).collect();
    let mut read: HashMap<Name, Bytes> = HashMap::with_capacity(missing.len());
    for mut item in load::items(store, keys, &["key", "bytes"]).await? {
        let content = take_bytes(&mut item, "bytes").map(Bytes::from);
        let name = get_text(&item, "key").and_then(|item_key| missing.get(item_key));
        if let (Some(name), Some(content)) = (name, content) {
            store.chunks.keep(*name, content.clone());
            read.insert(*name, content);
        }
    }
    for (name, content) in names.iter().zip(&mut found) {
        *content = content.take().or_else(|| read.get(name).cloned());
    }
    found.into_iter().collect::<Option<_>>().ok_or_else(|| damaged(key, "a part of it is missing"))
}

/// The content of a chunk or group, checked by its name.
fn open(key: &EntityKey, name: &Name, packed: &[u8]) -> Result<Vec<u8>> {
    let plain = unpack(packed).filter(|plain| self::name(key, plain) == *name);
    plain.ok_or_else(|| damaged(key, "a part of it is damaged"))
}

fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    zstd::bulk::decompress(packed, cut::CHUNK_BYTES_MAX).ok()
}
