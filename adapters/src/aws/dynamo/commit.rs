//! A batch, as many conditional writes: parked items, records, checkpoint, in this order.
//!
//! The order is what keeps it safe, wherever it stops:
//! - Parked items first: a record that has seen an event never reports it again, so the item must be there by
//!   then. Putting one again under its id changes nothing.
//! - The records side by side, of each its new chunks before its head. A conflict lets those under way end; the others are not begun.
//! - The checkpoint when every record is written: what it covers is there.

use std::collections::HashSet;
use std::sync::Arc;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure::AllOld;
use ledgerline_domain::ports::Commit;
use ledgerline_domain::record::EntityRecord;
use ledgerline_domain::{Error, ErrorKind, Result};

use super::item::{Row, get_text, number};
use super::{Inner, call, checkpoints, chunks, quarantine};
use crate::aws::parallel;
use crate::aws::retry::Attempts;

pub async fn commit(store: &Arc<Inner>, commit: Commit) -> Result<Vec<EntityRecord>> {
    // Before anything is written: what cannot be written whole is not begun.
    let rows = commit.writes.iter().map(Row::encode).collect::<Result<Vec<_>>>()?;
    let mut keys = HashSet::with_capacity(rows.len());
    if let Some(twice) = rows.iter().find(|row| !keys.insert(row.key.as_str())) {
        return Err(Error::invalid(format!("commit {} twice in one batch", twice.key)));
    }
    quarantine::park(store, commit.parked.clone()).await?;
    parallel::each(rows, store.at_once, |row| {
        let store = store.clone();
        async move { write(&store, row).await }
    })
    .await?;
    checkpoints::advance(store, &commit.shard, &commit.checkpoint).await?;
    Ok(commit.into_records())
}

/// One record, if its revision is still the expected one.
async fn write(store: &Arc<Inner>, row: Row) -> Result<()> {
    chunks::put(store, &row.key, &row.chunks, row.expected_revision == 0).await?;
    let table = &store.tables.records;
    let mut attempts = Attempts::new(&store.retries);
    loop {
        let put = store.client.put_item().table_name(table).set_item(Some(row.item.clone()));
        let put = put.return_values_on_condition_check_failure(AllOld);
        let put = if row.expected_revision == 0 {
            put.condition_expression("attribute_not_exists(#key)").expression_attribute_names("#key", "key")
        } else {
            put.condition_expression("#revision = :expected")
                .expression_attribute_names("#revision", "revision")
                .expression_attribute_values(":expected", number(row.expected_revision))
        };
        let Err(error) = put.send().await else { return Ok(()) };
        if let Some(PutItemError::ConditionalCheckFailedException(found)) = error.as_service_error() {
            // An earlier attempt of this very write may have been done.
            let ours = found.item().and_then(|item| get_text(item, "token")) == Some(row.token.as_str());
            return if ours { Ok(()) } else { Err(conflict(&row)) };
        }
        let action = format!("write the record of {}", row.key);
        attempts.pause(call(&action, "dynamodb:PutItem", table).failed(&error)).await?;
    }
}

fn conflict(row: &Row) -> Error {
    let text = format!("write {} over revision {}: it was changed in between", row.key, row.expected_revision);
    Error::new(ErrorKind::Conflict, text)
}
