//! Records by key, a hundred in a call, as they are at this moment (strongly consistent).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use aws_sdk_dynamodb::types::KeysAndAttributes;
use ledgerline_domain::ids::EntityKey;
use ledgerline_domain::record::EntityRecord;
use ledgerline_domain::{Error, Result};

use super::item::{Item, item, record, text};
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
    let calls = distinct.chunks(KEYS_MAX).map(|some| some.iter().map(|key| item([("key", text(key.as_str()))])));
    let calls: Vec<Vec<Item>> = calls.map(Iterator::collect).collect();
    let found = parallel::each(calls, store.at_once, |keys| {
        let store = store.clone();
        async move { some(&store, keys).await }
    });
    let mut found: HashMap<EntityKey, EntityRecord> =
        found.await?.into_iter().flatten().map(|record| (record.key.clone(), record)).collect();
    if distinct.len() == keys.len() {
        return Ok(keys.iter().map(|key| found.remove(key)).collect());
    }
    Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
}

/// Up to a hundred of them. What DynamoDB leaves out of an answer is asked for again.
async fn some(store: &Inner, mut keys: Vec<Item>) -> Result<Vec<EntityRecord>> {
    let table = &store.tables.records;
    let mut records = Vec::with_capacity(keys.len());
    let mut attempts = Attempts::new(&store.retries);
    while !keys.is_empty() {
        let ask = KeysAndAttributes::builder().set_keys(Some(keys.clone())).consistent_read(true);
        let ask = ask.projection_expression("#key, #revision, #record");
        let ask = ask.expression_attribute_names("#key", "key").expression_attribute_names("#revision", "revision");
        let ask = ask.expression_attribute_names("#record", "record").build();
        let ask = ask.map_err(|e| Error::internal("ask for records").because(e))?;
        match store.client.batch_get_item().request_items(table, ask).send().await {
            Ok(mut answer) => {
                let found = answer.responses.as_mut().and_then(|all| all.remove(table)).unwrap_or_default();
                let left = answer.unprocessed_keys.as_mut().and_then(|all| all.remove(table));
                let stuck = found.is_empty();
                for item in found {
                    records.push(record(item)?);
                }
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
    Ok(records)
}
