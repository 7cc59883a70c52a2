//! All records, page by page, in the order of the table's hashes. Parts of them are the segments of a parallel scan.

use std::sync::Arc;

use ledgerline_domain::Result;
use ledgerline_domain::ports::{StoredPage, StoredPart};

use super::item::{get_text, text};
use super::load::stored;
use super::tables::LISTING;
use super::{Inner, call};
use crate::aws::retry::repeat;

/// One page behind the key `after`. A page that DynamoDB cuts at a megabyte is shorter than `limit`.
pub async fn page(store: &Arc<Inner>, part: StoredPart, after: Option<&str>, limit: usize) -> Result<StoredPage> {
    let table = &store.tables.records;
    let number = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    let limit = i32::try_from(limit.max(1)).unwrap_or(i32::MAX);
    let mut after = after.map(str::to_owned);
    loop {
        let scanned = repeat(&store.retries, || async {
            // Chunks have no revision.
            let scan = store.client.scan().table_name(table).limit(limit).consistent_read(true);
            let scan = scan.filter_expression("attribute_exists(#revision)");
            let scan = scan.expression_attribute_names("#revision", "revision");
            let scan = match part {
                StoredPart { of: 0 | 1, .. } => scan,
                part => scan.segment(number(part.number)).total_segments(number(part.of)),
            };
            let scan = match &after {
                Some(after) => scan.exclusive_start_key("key", text(after)),
                None => scan,
            };
            scan.send().await.map_err(|e| call("read all records", "dynamodb:Scan", table).failed(&e))
        });
        let scanned = scanned.await?;
        let next = scanned.last_evaluated_key.and_then(|last| get_text(&last, "key").map(str::to_owned));
        let mut records = Vec::new();
        for head in scanned.items.unwrap_or_default() {
            records.push(stored(store, head).await?);
        }
        if !records.is_empty() || next.is_none() {
            return Ok(StoredPage { records, next });
        }
        after = next;
    }
}

/// How many entities there are, as DynamoDB counted them last: each has one entry in the listing.
pub async fn count(store: &Inner) -> Result<u64> {
    let table = &store.tables.records;
    let described = repeat(&store.retries, || async {
        let describe = store.client.describe_table().table_name(table).send().await;
        describe.map_err(|e| call("count the records", "dynamodb:DescribeTable", table).failed(&e))
    });
    let described = described.await?.table;
    let indexes = described.as_ref().map(|table| table.global_secondary_indexes()).unwrap_or_default();
    let listing = indexes.iter().find(|index| index.index_name() == Some(LISTING));
    Ok(listing.and_then(|index| index.item_count()).map_or(0, i64::unsigned_abs))
}
