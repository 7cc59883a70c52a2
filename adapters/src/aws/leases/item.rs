//! A lease as an item of the table.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::lease::{Checkpoint, Lease};
use ledgerline_domain::ports::HashRange;
use ledgerline_domain::{Error, Result};

pub(super) const KEY: &str = "leaseKey";
pub(super) const OWNER: &str = "leaseOwner";
pub(super) const COUNTER: &str = "leaseCounter";
const SWITCHES: &str = "ownerSwitchesSinceCheckpoint";
const CHECKPOINT: &str = "checkpoint";
const SUB_SEQUENCE: &str = "checkpointSubSequenceNumber";
const PARENTS: &str = "parentShardId";
const FIRST_HASH: &str = "startingHashKey";
const LAST_HASH: &str = "endingHashKey";
/// Attributes of KCL 3 alone.
const ENTITY_TYPE: &str = "entityType";
const CHECKPOINT_OWNER: &str = "checkpointOwner";

const TRIM_HORIZON: &str = "TRIM_HORIZON";

type Item = HashMap<String, AttributeValue>;

/// All attributes that this program writes.
pub(super) fn put_attributes(lease: &Lease) -> Item {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let number = |number: u64| AttributeValue::N(number.to_string());
    let mut item = Item::from([
        (KEY.to_owned(), text(lease.shard.as_str())),
        (COUNTER.to_owned(), number(lease.counter)),
        (SWITCHES.to_owned(), number(lease.owner_switches)),
        (CHECKPOINT.to_owned(), text(lease.checkpoint.position().map_or(TRIM_HORIZON, SequenceNumber::as_str))),
        (SUB_SEQUENCE.to_owned(), number(0)),
    ]);
    if let Some(owner) = &lease.owner {
        item.insert(OWNER.to_owned(), text(owner));
    }
    // A set may not be empty.
    if !lease.parents.is_empty() {
        item.insert(PARENTS.to_owned(), AttributeValue::Ss(lease.parents.iter().map(ShardId::to_string).collect()));
    }
    if let Some(range) = lease.hash_range {
        item.insert(FIRST_HASH.to_owned(), text(&range.first.to_string()));
        item.insert(LAST_HASH.to_owned(), text(&range.last.to_string()));
    }
    item
}

/// Reads an item. `Invalid` when it shows that KCL 3, or a KCL of many streams, works in the table.
pub(super) fn lease(item: &Item, table: &str) -> Result<Lease> {
    let key = text(item, KEY).ok_or_else(|| Error::data(format!("read a lease in {table}: no {KEY}")))?;
    let entity = text(item, ENTITY_TYPE).filter(|entity| *entity != "LEASE");
    if entity.is_some() || item.contains_key(CHECKPOINT_OWNER) || key.contains(':') {
        return Err(Error::invalid(format!(
            "use the table {table}: the item {key:?} is of a Kinesis Client Library 3 fleet or of one that reads \
             several streams, which this program cannot share leases with; give it a table of its own"
        )));
    }
    let damaged = |name: &str| Error::data(format!("read {name} of the lease of {key} in {table}"));
    let number = |name: &str| match item.get(name) {
        Some(value) => value.as_n().ok().and_then(|n| n.parse().ok()).ok_or_else(|| damaged(name)),
        None => Ok(0),
    };
    let checkpoint = match text(item, CHECKPOINT) {
        None | Some(TRIM_HORIZON) => Checkpoint::TrimHorizon,
        Some("SHARD_END") => Checkpoint::shard_end(),
        Some(digits) => Checkpoint::At(
            super::super::kinesis::position::position(digits).map_err(|e| damaged(CHECKPOINT).because(e))?,
        ),
    };
    let hash = |name: &str| text(item, name).map(|key| key.parse().map_err(|_| damaged(name))).transpose();
    let mut parents: Vec<ShardId> = match item.get(PARENTS) {
        Some(value) => value.as_ss().map_err(|_| damaged(PARENTS))?.iter().map(ShardId::new).collect(),
        None => Vec::new(),
    };
    parents.sort_unstable();
    Ok(Lease {
        shard: ShardId::new(key),
        owner: text(item, OWNER).map(Into::into),
        counter: number(COUNTER)?,
        owner_switches: number(SWITCHES)?,
        checkpoint,
        parents,
        hash_range: match (hash(FIRST_HASH)?, hash(LAST_HASH)?) {
            (Some(first), Some(last)) => Some(HashRange { first, last }),
            _ => None,
        },
    })
}

fn text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name).and_then(|value| value.as_s().ok()).map(String::as_str)
}
