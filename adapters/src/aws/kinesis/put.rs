//! One `PutRecords`: what became of each of its records.

use std::sync::atomic::Ordering;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::put_records::PutRecordsOutput;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use ledgerline_domain::ids::{EntityKey, ShardId};
use ledgerline_domain::ports::Appended;
use ledgerline_domain::{Error, Result};

use super::counts::KinesisCounts;
use super::failure::{Failure, is_throttle};
use super::lanes::Put;
use super::position::position;

/// What became of a record.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is in the log.
    Appended(Appended),
    /// It is not, or nobody knows: send it again.
    Again,
    /// It will never be.
    Refused(String),
}

/// Sends the records once. The answer has the outcome of each, in their order.
pub(super) async fn put(
    client: &Client,
    stream: &str,
    records: Vec<Put>,
    counts: &KinesisCounts,
) -> Vec<(EntityKey, Outcome)> {
    let entries = records.iter().map(|record| {
        PutRecordsRequestEntry::builder()
            .partition_key(record.key.as_str())
            .data(Blob::new(record.data.as_ref()))
            .build()
            .map_err(|e| Error::internal("make a record for PutRecords").because(e))
    });
    let entries: Vec<_> = match entries.collect::<Result<_>>() {
        Ok(entries) => entries,
        Err(error) => {
            let reason = error.to_string();
            return records.into_iter().map(|r| (r.key, Outcome::Refused(reason.clone()))).collect();
        }
    };
    counts.put_calls.fetch_add(1, Ordering::Relaxed);
    counts.put_records.fetch_add(records.len() as u64, Ordering::Relaxed);
    let sent = client.put_records().stream_name(stream).set_records(Some(entries)).send().await;
    let keys = records.into_iter().map(|record| record.key);
    match sent {
        Ok(answer) => sort_out(keys.collect(), answer, counts),
        Err(error) => {
            let failure = Failure::from(error);
            if failure.is_throttle() {
                counts.put_throttles.fetch_add(1, Ordering::Relaxed);
            }
            let error = failure.during(format!("append to the stream {stream}"));
            if failure.passes {
                tracing::warn!(%error, "a put is tried again");
                counts.put_retries.fetch_add(keys.len() as u64, Ordering::Relaxed);
                keys.map(|key| (key, Outcome::Again)).collect()
            } else {
                keys.map(|key| (key, Outcome::Refused(error.to_string()))).collect()
            }
        }
    }
}

/// The answer's places are the request's. An answer that does not fit the request says nothing about
/// any record.
fn sort_out(keys: Vec<EntityKey>, answer: PutRecordsOutput, counts: &KinesisCounts) -> Vec<(EntityKey, Outcome)> {
    if answer.records.len() != keys.len() {
        tracing::error!(sent = keys.len(), answered = answer.records.len(), "PutRecords answered for other records");
        return keys.into_iter().map(|key| (key, Outcome::Again)).collect();
    }
    let mut failed = 0_u64;
    let outcomes = keys.into_iter().zip(answer.records).map(|(key, entry)| {
        let place = match (entry.shard_id, entry.sequence_number) {
            (Some(shard), Some(number)) if entry.error_code.is_none() => Some((shard, number)),
            _ => None,
        };
        let Some((shard, number)) = place else {
            failed += 1;
            if entry.error_code.as_deref().is_some_and(is_throttle) {
                counts.put_throttles.fetch_add(1, Ordering::Relaxed);
            }
            return (key, Outcome::Again);
        };
        let outcome = match position(&number) {
            Ok(sequence) => Outcome::Appended(Appended { shard: ShardId::new(shard), sequence }),
            Err(error) => Outcome::Refused(error.to_string()),
        };
        (key, outcome)
    });
    let outcomes = outcomes.collect();
    counts.put_retries.fetch_add(failed, Ordering::Relaxed);
    outcomes
}
