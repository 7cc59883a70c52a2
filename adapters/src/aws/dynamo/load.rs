//! Records by key, a hundred in a call, as they are at this moment (strongly consistent).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use aws_sdk_dynamodb::types::KeysAndAttributes;
use ledgerline_domain::ids::EntityKey;
use ledgerline_domain::ports::Stored;
use ledgerline_domain::record::{EntityRecord, expanded, packed};
use ledgerline_domain::{Error, Result};

use super::chunks::{self, HEAD};
use super::item::{Item, get_number, get_text, item, take_bytes, text};
use super::{Inner, call};
use crate::aws::failure::Failure;
use crate::aws::parallel;
use crate::aws::retry::Attempts;

/// Most keys that one call takes.
const KEYS_MAX: usize = 100;

/// One place per key.
pub async fn load(store: &Arc<Inner>, keys: &[EntityKey]) -> Result<Vec<Option<EntityRecord>>> {
    let mut seen = HashSet::new();
    // A call that names a key twice is refused.
    let distinct: Vec<&EntityKey> = keys.iter().filter(|key| seen.insert(key.as_str())).collect();
    let asked = distinct.iter().map(|key| item([("key", text(key.as_str()))])).collect();
    let mut found = HashMap::with_capacity(distinct.len());
    for head in items(store, asked, HEAD).await? {
        let record = record(stored(store, head).await?)?;
        found.insert(record.key.clone(), record);
    }
    if distinct.len() == keys.len() {
        return Ok(keys.iter().map(|key| found.remove(key)).collect());
    }
    Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
}

/// Items of the table of records, those attributes of them; distinct keys, and no order.
pub async fn items(store: &Arc<Inner>, keys: Vec<Item>, attributes: &'static [&str]) -> Result<Vec<Item>> {
    let calls: Vec<Vec<Item>> = keys.chunks(KEYS_MAX).map(<[_]>::to_vec).collect();
    let found = parallel::each(calls, store.at_once, |keys| {
        let store = store.clone();
        async move { some(&store, keys, attributes).await }
    });
    Ok(found.await?.into_iter().flatten().collect())
}

/// Up to a hundred of them. What DynamoDB leaves out of an answer is asked for again.
async fn some(store: &Inner, mut keys: Vec<Item>, attributes: &[&str]) -> Result<Vec<Item>> {
    let table = &store.tables.records;
    let mut items = Vec::with_capacity(keys.len());
    let mut attempts = Attempts::new(&store.retries);
    let names: Vec<String> = (0..attributes.len()).map(|n| format!("#{n}")).collect();
    while !keys.is_empty() {
        let mut ask = KeysAndAttributes::builder().set_keys(Some(keys.clone())).consistent_read(true);
        ask = ask.projection_expression(names.join(", "));
        for (name, attribute) in names.iter().zip(attributes) {
            ask = ask.expression_attribute_names(name, *attribute);
        }
        let ask = ask.build().map_err(|e| Error::internal("ask for records").because(e))?;
        match store.client.batch_get_item().request_items(table, ask).send().await {
            Ok(mut answer) => {
                let found = answer.responses.as_mut().and_then(|all| all.remove(table)).unwrap_or_default();
                let left = answer.unprocessed_keys.as_mut().and_then(|all| all.remove(table));
                let stuck = found.is_empty();
                items.extend(found);
                keys = left.map(|left| left.keys).unwrap_or_default();
                if stuck && !keys.is_empty() {
                    let text = format!("load records: {table} is throttled");
                    attempts.pause(Failure::refused(Error::retry(text))).await?;
                }
            }
            Err(error) => {
                attempts.pause(call("load records", "dynamodb:BatchGetItem", table).failed(&error)).await?;
            }
        }
    }
    Ok(items)
}

/// A record as it is kept, out of its item and its chunks; [`Data`](ledgerline_domain::ErrorKind::Data) when it is
/// not one of ours.
pub async fn stored(store: &Arc<Inner>, mut head: Item) -> Result<Stored> {
    let named = get_text(&head, "key").unwrap_or_default().to_owned();
    let damaged = || Error::data(format!("read the item of {named:?}: it is damaged, or not of this program"));
    let key = EntityKey::parse(&named).map_err(|_| damaged())?;
    let revision = get_number(&head, "revision").ok_or_else(damaged)?;
    let binary = match take_bytes(&mut head, "record") {
        Some(binary) => expanded(binary)?,
        None if head.contains_key("layout") => packed(chunks::join(store, &key, head).await?)?,
        None => return Err(damaged()),
    };
    Ok(Stored { key, revision, binary: binary.into() })
}

fn record(stored: Stored) -> Result<EntityRecord> {
    let record = EntityRecord::decode(&stored.binary)?;
    if record.revision == stored.revision && record.key == stored.key {
        Ok(record)
    } else {
        Err(Error::data(format!("read the item of {}: key or revision is not its record's", stored.key)))
    }
}
