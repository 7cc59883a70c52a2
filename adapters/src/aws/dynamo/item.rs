//! A record as an item, and what items hold.
//!
//! | attribute | what |
//! | --- | --- |
//! | `key` | the entity |
//! | `state` | the readable state, JSON text |
//! | `status` | its status word |
//! | `revision` | counts the writes |
//! | `record` | the whole record in its binary form, version first, packed: an item up to 1 KB costs one write unit |
//! | `part` | its part of the index `listing` |
//! | `attention` | the same part, only where somebody should look: the index of that name is sparse |
//! | `token` | which write made it so |

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use ledgerline_domain::ids::EntityKey;
use ledgerline_domain::ports::{EntityWrite, Stored};
use ledgerline_domain::record::{EntityRecord, expanded, squeezed};
use ledgerline_domain::{Error, Result};

use super::tables::{PARTS, part_name};
use crate::aws::retry::unique;

/// An item's attributes.
pub type Item = HashMap<String, AttributeValue>;

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
}

impl Row {
    /// Encodes a write. [`Invalid`](ledgerline_domain::ErrorKind::Invalid) when its revision is not the next one,
    /// or when it does not fit an item.
    pub fn encode(write: &EntityWrite) -> Result<Self> {
        let EntityWrite { record, expected_revision } = write;
        let key = &record.key;
        if expected_revision.checked_add(1) != Some(record.revision) {
            return Err(Error::invalid(format!(
                "write revision {} of {key} over revision {expected_revision}: it must be one higher",
                record.revision
            )));
        }
        let stored = record.encode()?;
        let part = part_name(key.part_of(PARTS));
        let token = unique();
        let mut all = item([
            ("key", text(key.as_str())),
            ("state", text(stored.state_json)),
            ("status", text(record.status())),
            ("revision", number(record.revision)),
            ("record", bytes(squeezed(stored.binary))),
            ("part", text(part.clone())),
            ("token", text(token.clone())),
        ]);
        if record.needs_attention() {
            all.insert("attention".into(), text(part));
        }
        let size = size(&all);
        if size > ITEM_BYTES_MAX {
            return Err(Error::invalid(format!(
                "write {key}: its history of {} events takes {size} bytes and a DynamoDB item holds {ITEM_BYTES_MAX}; \
                 histories in several items are not there yet: leave this entity's events to a source on one machine",
                record.entries.len()
            )));
        }
        Ok(Self { key: key.clone(), expected_revision: *expected_revision, token, item: all })
    }
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

/// What an item holds; [`Data`](ledgerline_domain::ErrorKind::Data) when it is not one of ours.
pub fn stored(mut item: Item) -> Result<Stored> {
    let named = get_text(&item, "key").unwrap_or_default().to_owned();
    let damaged = || Error::data(format!("read the item of {named:?}: it is damaged, or not of this program"));
    let key = EntityKey::parse(&named).map_err(|_| damaged())?;
    let revision = get_number(&item, "revision").ok_or_else(damaged)?;
    let binary = expanded(take_bytes(&mut item, "record").ok_or_else(damaged)?)?;
    Ok(Stored { key, revision, binary })
}

/// The record in an item.
pub fn record(item: Item) -> Result<EntityRecord> {
    let stored = stored(item)?;
    let record = EntityRecord::decode(&stored.binary)?;
    if record.revision == stored.revision && record.key == stored.key {
        Ok(record)
    } else {
        Err(Error::data(format!("read the item of {}: key or revision is not its record's", stored.key)))
    }
}
