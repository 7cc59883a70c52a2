//! How far the processor is on each shard. Numbers of a shard have one width, so their texts compare as they do.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::{Error, Result};

use super::item::{get_text, text};
use super::{Inner, call};
use crate::aws::retry::{Attempts, repeat};

/// The checkpoint of a shard.
pub async fn read(store: &Inner, shard: &ShardId) -> Result<Option<SequenceNumber>> {
    let table = &store.tables.checkpoints;
    let item = repeat(&store.retries, || async {
        let get = store.client.get_item().table_name(table).key("shard", text(shard.as_str())).consistent_read(true);
        get.send().await.map_err(|e| call("read a checkpoint", "dynamodb:GetItem", table).failed(&e))
    });
    Ok(item.await?.item().and_then(|item| get_text(item, "sequence")).map(SequenceNumber::new))
}

/// The checkpoints of all readers that keep theirs here.
pub async fn all(store: &Inner) -> Result<Vec<(ShardId, SequenceNumber)>> {
    let (table, mut found, mut next) = (&store.tables.checkpoints, Vec::new(), None);
    loop {
        let page = repeat(&store.retries, || async {
            let scan = store.client.scan().table_name(table).consistent_read(true);
            let scan = scan.set_exclusive_start_key(next.clone());
            scan.send().await.map_err(|e| call("read the checkpoints", "dynamodb:Scan", table).failed(&e))
        });
        let page = page.await?;
        for item in page.items() {
            let (shard, sequence) = (get_text(item, "shard"), get_text(item, "sequence"));
            let (Some(shard), Some(sequence)) = (shard, sequence) else {
                return Err(Error::data(format!("read the checkpoints: an item of {table} is damaged")));
            };
            found.push((ShardId::new(shard), SequenceNumber::new(sequence)));
        }
        next = page.last_evaluated_key;
        if next.is_none() {
            return Ok(found);
        }
    }
}

/// Moves a checkpoint forward; one that is there already, or further, stays.
pub async fn advance(store: &Inner, shard: &ShardId, to: &SequenceNumber) -> Result<()> {
    let table = &store.tables.checkpoints;
    let mut attempts = Attempts::new(&store.retries);
    loop {
        let update = store.client.update_item().table_name(table).key("shard", text(shard.as_str()));
        let update = update
            .update_expression("SET #sequence = :to")
            .condition_expression("attribute_not_exists(#sequence) OR #sequence < :to")
            .expression_attribute_names("#sequence", "sequence")
            .expression_attribute_values(":to", text(to.as_str()));
        match update.send().await {
            Ok(_) => return Ok(()),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => return Ok(()),
                _ => attempts.pause(call("move a checkpoint", "dynamodb:UpdateItem", table).failed(&error)).await?,
            },
        }
    }
}
