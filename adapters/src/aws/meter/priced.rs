//! What one call is in units: from its typed request before it is written, and from its typed answer.

use std::any::Any;
use std::collections::HashMap;

use aws_sdk_dynamodb::operation::batch_get_item::{BatchGetItemInput, BatchGetItemOutput};
use aws_sdk_dynamodb::operation::delete_item::{DeleteItemInput, DeleteItemOutput};
use aws_sdk_dynamodb::operation::get_item::{GetItemInput, GetItemOutput};
use aws_sdk_dynamodb::operation::put_item::{PutItemInput, PutItemOutput};
use aws_sdk_dynamodb::operation::query::{QueryInput, QueryOutput};
use aws_sdk_dynamodb::operation::scan::{ScanInput, ScanOutput};
use aws_sdk_dynamodb::operation::transact_write_items::{TransactWriteItemsInput, TransactWriteItemsOutput};
use aws_sdk_dynamodb::operation::update_item::{UpdateItemInput, UpdateItemOutput};
use aws_sdk_dynamodb::types::{AttributeValue, ConsumedCapacity, ReturnConsumedCapacity};
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_sdk_kinesis::operation::get_shard_iterator::GetShardIteratorInput;
use aws_sdk_kinesis::operation::list_shards::ListShardsInput;
use aws_sdk_kinesis::operation::put_records::PutRecordsInput;
use aws_sdk_s3::operation::get_object::GetObjectInput;
use aws_sdk_s3::operation::head_object::HeadObjectInput;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Input;
use aws_sdk_s3::operation::put_object::PutObjectInput;
use aws_smithy_runtime_api::client::interceptors::context::{Input, Output};

use super::units::{item_bytes, payload_units, read_units, write_units};
use super::{Counted, Outcome};

/// What a request says of its price.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Stream, table or bucket.
    pub on: String,
    records: u64,
    payload_units: u64,
    /// Size of the item to write, or none of it is said.
    item_bytes: usize,
    is_write: bool,
    consistent: bool,
}

impl Asked {
    /// Reads a request.
    pub fn of(input: &Input) -> Self {
        let on = |name: &Option<String>| Self { on: name.clone().unwrap_or_default(), ..Self::default() };
        let write = |name: &Option<String>, item_bytes| Self { is_write: true, item_bytes, records: 1, ..on(name) };
        let read = |name: &Option<String>, consistent: Option<bool>| Self {
            consistent: consistent.unwrap_or_default(),
            records: 1,
            ..on(name)
        };
        if let Some(put) = input.downcast_ref::<PutItemInput>() {
            write(&put.table_name, put.item.as_ref().map_or(0, item_bytes))
        } else if let Some(update) = input.downcast_ref::<UpdateItemInput>() {
            write(&update.table_name, 0)
        } else if let Some(delete) = input.downcast_ref::<DeleteItemInput>() {
            write(&delete.table_name, 0)
        } else if let Some(all) = input.downcast_ref::<TransactWriteItemsInput>() {
            Self { records: all.transact_items.as_ref().map_or(0, Vec::len) as u64, ..write(&None, 0) }
        } else if let Some(get) = input.downcast_ref::<GetItemInput>() {
            read(&get.table_name, get.consistent_read)
        } else if let Some(query) = input.downcast_ref::<QueryInput>() {
            read(&query.table_name, query.consistent_read)
        } else if let Some(scan) = input.downcast_ref::<ScanInput>() {
            read(&scan.table_name, scan.consistent_read)
        } else if let Some(batch) = input.downcast_ref::<BatchGetItemInput>() {
            let first = batch.request_items.iter().flatten().next();
            Self {
                on: first.map(|(table, _)| table.clone()).unwrap_or_default(),
                consistent: first.is_some_and(|(_, keys)| keys.consistent_read == Some(true)),
                records: first.map_or(0, |(_, keys)| keys.keys.len() as u64),
                ..Self::default()
            }
        } else if let Some(put) = input.downcast_ref::<PutRecordsInput>() {
            let records = put.records.as_deref().unwrap_or_default();
            Self {
                records: records.len() as u64,
                payload_units: records.iter().map(|record| payload_units(record.data.as_ref().len())).sum(),
                ..on(&put.stream_name)
            }
        } else if let Some(iterator) = input.downcast_ref::<GetShardIteratorInput>() {
            on(&iterator.stream_name)
        } else if let Some(list) = input.downcast_ref::<ListShardsInput>() {
            on(&list.stream_name)
        } else if let Some(put) = input.downcast_ref::<PutObjectInput>() {
            on(&put.bucket)
        } else if let Some(get) = input.downcast_ref::<GetObjectInput>() {
            on(&get.bucket)
        } else if let Some(head) = input.downcast_ref::<HeadObjectInput>() {
            on(&head.bucket)
        } else if let Some(list) = input.downcast_ref::<ListObjectsV2Input>() {
            on(&list.bucket)
        } else {
            Self::default()
        }
    }

    /// What the call was, with its outcome and its answer, if there is a good one.
    pub fn counted(&self, operation: &str, outcome: Outcome, answer: Option<&Output>) -> Counted {
        let mut counted = Counted { records: self.records, ..Counted::default() };
        if outcome == Outcome::Ok {
            counted.payload_units = self.payload_units;
        }
        match answer {
            Some(answer) => self.answered(answer, &mut counted),
            // A write whose condition did not hold is paid for; one without an answer may have been done.
            None if self.is_write && matches!(outcome, Outcome::Condition | Outcome::Unanswered) => {
                counted.write_units = units(write_units(self.item_bytes));
            }
            None => {}
        }
        if operation == "GetRecords" {
            counted.records = answer
                .and_then(|answer| answer.downcast_ref::<GetRecordsOutput>())
                .map_or(0, |read| read.records.len() as u64);
        }
        counted
    }

    fn answered(&self, answer: &Output, counted: &mut Counted) {
        let told = capacity(answer);
        if told.is_empty() {
            self.computed(answer, counted);
            return;
        }
        for told in told {
            let total = told.capacity_units.unwrap_or_default();
            let indexes = told.global_secondary_indexes.iter().flatten();
            let indexes: f64 = indexes.filter_map(|(_, capacity)| capacity.capacity_units).sum();
            if self.is_write {
                counted.write_units += total - indexes;
                counted.index_write_units += indexes;
            } else {
                counted.read_units += total;
            }
        }
    }

    /// From sizes alone: of a write without the item before it and without indexes.
    fn computed(&self, answer: &Output, counted: &mut Counted) {
        let size = |items: &Option<Vec<HashMap<String, AttributeValue>>>| items.iter().flatten().map(item_bytes).sum();
        if self.is_write {
            counted.write_units = units(write_units(self.item_bytes));
        } else if let Some(got) = answer.downcast_ref::<GetItemOutput>() {
            counted.read_units = read_units(got.item.as_ref().map_or(0, item_bytes), self.consistent);
        } else if let Some(found) = answer.downcast_ref::<QueryOutput>() {
            counted.read_units = read_units(size(&found.items), self.consistent);
        } else if let Some(found) = answer.downcast_ref::<ScanOutput>() {
            counted.read_units = read_units(size(&found.items), self.consistent);
        } else if let Some(found) = answer.downcast_ref::<BatchGetItemOutput>() {
            let items = found.responses.iter().flatten().flat_map(|(_, items)| items);
            let sizes: Vec<usize> = items.map(item_bytes).collect();
            let left = found.unprocessed_keys.iter().flatten().map(|(_, keys)| keys.keys.len() as u64).sum::<u64>();
            let absent = self.records.saturating_sub(sizes.len() as u64 + left);
            let found: f64 = sizes.into_iter().map(|bytes| read_units(bytes, self.consistent)).sum();
            counted.read_units = found + units(absent) * read_units(0, self.consistent);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of one call")]
fn units(count: u64) -> f64 {
    count as f64
}

/// What DynamoDB says that it took; nothing when it was not asked.
fn capacity(answer: &Output) -> Vec<&ConsumedCapacity> {
    if let Some(put) = answer.downcast_ref::<PutItemOutput>() {
        put.consumed_capacity.iter().collect()
    } else if let Some(update) = answer.downcast_ref::<UpdateItemOutput>() {
        update.consumed_capacity.iter().collect()
    } else if let Some(delete) = answer.downcast_ref::<DeleteItemOutput>() {
        delete.consumed_capacity.iter().collect()
    } else if let Some(get) = answer.downcast_ref::<GetItemOutput>() {
        get.consumed_capacity.iter().collect()
    } else if let Some(query) = answer.downcast_ref::<QueryOutput>() {
        query.consumed_capacity.iter().collect()
    } else if let Some(scan) = answer.downcast_ref::<ScanOutput>() {
        scan.consumed_capacity.iter().collect()
    } else if let Some(batch) = answer.downcast_ref::<BatchGetItemOutput>() {
        batch.consumed_capacity.iter().flatten().collect()
    } else if let Some(all) = answer.downcast_ref::<TransactWriteItemsOutput>() {
        all.consumed_capacity.iter().flatten().collect()
    } else {
        Vec::new()
    }
}

/// Asks DynamoDB to say what the call takes, by index.
pub(super) fn ask_for_capacity(input: &mut Input) {
    fn set<T: Any + std::fmt::Debug + Send + Sync>(
        input: &mut Input,
        place: impl FnOnce(&mut T) -> &mut Option<ReturnConsumedCapacity>,
    ) {
        if let Some(input) = input.downcast_mut::<T>() {
            place(input).get_or_insert(ReturnConsumedCapacity::Indexes);
        }
    }
    set::<PutItemInput>(input, |put| &mut put.return_consumed_capacity);
    set::<UpdateItemInput>(input, |update| &mut update.return_consumed_capacity);
    set::<DeleteItemInput>(input, |delete| &mut delete.return_consumed_capacity);
    set::<GetItemInput>(input, |get| &mut get.return_consumed_capacity);
    set::<QueryInput>(input, |query| &mut query.return_consumed_capacity);
    set::<ScanInput>(input, |scan| &mut scan.return_consumed_capacity);
    set::<BatchGetItemInput>(input, |batch| &mut batch.return_consumed_capacity);
    set::<TransactWriteItemsInput>(input, |all| &mut all.return_consumed_capacity);
}

/// The class of a request to S3. Aborting an upload and deleting are free.
pub(super) fn s3(operation: &str, body: u64, counted: &mut Counted) {
    match operation {
        "AbortMultipartUpload" | "DeleteObject" | "DeleteObjects" => {}
        "PutObject" | "UploadPart" => {
            counted.s3_puts = 1;
            counted.stored_bytes = body;
        }
        "CreateMultipartUpload" | "CompleteMultipartUpload" | "CopyObject" => counted.s3_puts = 1,
        _ if operation.starts_with("List") => counted.s3_puts = 1,
        _ => counted.s3_gets = 1,
    }
}
