//! A record as an item, and what items hold.
//!
//! | attribute | what |
//! | --- | --- |
//! | `key` | the entity |
//! | `state` | the readable state, JSON text |
//! | `status` | its status word |
//! | `revision` | counts the writes |
//! | `record` | the whole record in its binary form, version first, squeezed; a long one lies in [`chunks`](super::chunks) |
//! | `part` | its part of the index `listing` |
//! | `attention` | the same part, only where somebody should look: the index of that name is sparse |
//! | `token` | which write made it so |

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use ledgerline_domain::ids::EntityKey;
use ledgerline_domain::ports::EntityWrite;
use ledgerline_domain::record::{EntityRecord, packed, squeezed};
use ledgerline_domain::{Error, Result};

use super::chunks::{self, Chunk};
use super::tables::{PARTS, part_name};
use crate::aws::retry::unique;

/// An item's attributes.
pub type Item = HashMap<String, AttributeValue>;

/// A binary form up to this long, in bytes, is kept whole in the item: DynamoDB bills a write by the kilobyte, and
/// chunks cost reads.
const WHOLE_BYTES_MAX: usize = 8 * 1024;
/// One that is longer than this before it is compressed will not become that short.
const PLAIN_BYTES_MAX: usize = 128 * 1024;
/// A readable state that is longer is not written, in bytes.
const STATE_BYTES_MAX: usize = 128 * 1024;
/// Room that most entries need in the binary form.
const ENTRY_BYTES: usize = 192;
/// Largest item that DynamoDB takes, names included, in bytes.
pub const ITEM_BYTES_MAX: usize = 400 * 1024;

/// A text.
pub fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// A number.
pub fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// Bytes.
pub fn bytes(value: impl Into<Vec<u8>>) -> AttributeValue {
    AttributeValue::B(Blob::new(value))
}

/// An item of these attributes.
pub fn item<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Item {
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The text of an attribute.
pub fn get_text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

/// The number of an attribute.
pub fn get_number<T: std::str::FromStr>(item: &Item, name: &str) -> Option<T> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

/// The bytes of an attribute.
pub fn take_bytes(item: &mut Item, name: &str) -> Option<Vec<u8>> {
    match item.remove(name)? {
        AttributeValue::B(blob) => Some(blob.into_inner()),
        _ => None,
    }
}

/// A write that is ready to go.
pub struct Row {
    /// The entity.
    pub key: EntityKey,
    /// The revision that it replaces; 0 for none.
    pub expected_revision: u64,
    /// Tells this write from every other.
    pub token: String,
    /// The whole item.
    pub item: Item,
    /// What the item names and must be there first.
    pub chunks: Vec<Chunk>,
}

impl Row {
    /// Encodes a write. [`Invalid`](ledgerline_domain::ErrorKind::Invalid) when its revision is not the next one,
    /// or when its head does not fit an item: that takes some gigabytes of history.
    pub fn encode(write: &EntityWrite) -> Result<Self> {
        let EntityWrite { record, expected_revision } = write;
        let key = &record.key;
        if expected_revision.checked_add(1) != Some(record.revision) {
            return Err(Error::invalid(format!(
                "write revision {} of {key} over revision {expected_revision}: it must be one higher",
                record.revision
            )));
        }
        let part = part_name(key.part_of(PARTS));
        let token = unique();
        let mut all = item([
            ("key", text(key.as_str())),
            ("state", text(readable(record))),
            ("status", text(record.status())),
            ("revision", number(record.revision)),
            ("part", text(part.clone())),
            ("token", text(token.clone())),
        ]);
        if record.needs_attention() {
            all.insert("attention".into(), text(part));
        }
        let plain = record.encode_plain(Vec::with_capacity(ENTRY_BYTES * (record.entries.len() + 4)))?;
        let mut chunks = Vec::new();
        match whole(plain)? {
            // An item of up to 1 KB costs one unit a write.
            Ok(binary) => _ = all.insert("record".into(), bytes(squeezed(binary))),
            Err(plain) => {
                let laid_out = chunks::lay_out(key, plain)?;
                all.extend(laid_out.head);
                chunks = laid_out.chunks;
            }
        }
        let size = size(&all);
        if size > ITEM_BYTES_MAX {
            return Err(Error::invalid(format!(
                "write {key}: with {} events its head takes {size} bytes and a DynamoDB item holds {ITEM_BYTES_MAX}; \
                 leave this entity's events to a source on one machine",
                record.entries.len()
            )));
        }
        Ok(Self { key: key.clone(), expected_revision: *expected_revision, token, item: all, chunks })
    }
}

/// The binary form for one item, or the plain one back when that is too long to be written at every change.
fn whole(plain: Vec<u8>) -> Result<Result<Vec<u8>, Vec<u8>>> {
    if plain.len() > PLAIN_BYTES_MAX {
        return Ok(Err(plain));
    }
    let binary = packed(plain.clone())?;
    Ok(if binary.len() > WHOLE_BYTES_MAX { Err(plain) } else { Ok(binary) })
}

/// The readable state, unless it is too long to be written at every change; then how long it is.
fn readable(record: &EntityRecord) -> String {
    let state = record.state_json();
    if state.len() > STATE_BYTES_MAX { format!(r#"{{"too_long_bytes":{}}}"#, state.len()) } else { state }
}

/// An item's size as DynamoDB counts it, or a little more.
pub fn size(item: &Item) -> usize {
    let value = |value: &AttributeValue| match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::B(blob) => blob.as_ref().len(),
        _ => 21,
    };
    item.iter().map(|(name, attribute)| name.len() + value(attribute)).sum()
}
