//! What wakes the function, and what it answers.
//!
//! Of a record only its place is read: the data are in the log, and are read there by the code that reads them for
//! every processor. Forms: "Using Lambda with Amazon Kinesis" and "Configuring partial batch response" of AWS's developer
//! guide.

use ledgerline_adapters::aws::kinesis::position::position;
use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::{Error, Result};
use serde::Deserialize;
use serde_json::{Value, json};

/// An invocation's payload: a batch of a mapping, or anything without `Records`, such as a schedule's event.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    #[serde(rename = "Records")]
    records: Option<Vec<Record>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    /// `shardId-000000000006:` and the sequence number.
    #[serde(rename = "eventID")]
    event_id: String,
    #[serde(rename = "eventSourceARN")]
    event_source_arn: String,
    kinesis: Kinesis,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kinesis {
    sequence_number: String,
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// All shards, as far as the log goes now.
    Everything,
    /// One shard.
    Batch(Batch),
}

/// Places of records of one shard.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// The shard.
    pub shard: ShardId,
    /// The last record.
    pub through: SequenceNumber,
    /// All of them, as positions and as the service wrote them.
    records: Vec<(SequenceNumber, String)>,
}

impl Event {
    /// Reads it; `stream` is the name of the stream that is folded. `None` when there is nothing to do. Errors: `Invalid`
    /// when it is of another stream, or no event of one.
    pub fn read(self, stream: &str) -> Result<Option<Asked>> {
        let Some(events) = self.records else { return Ok(Some(Asked::Everything)) };
        let mut batch: Option<Batch> = None;
        for event in events {
            let refused = |why: String| Error::invalid(format!("read a batch: {why}"));
            let of = event.event_source_arn.rsplit_once(":stream/").map(|(_, name)| name);
            if of.and_then(|name| name.split('/').next()) != Some(stream) {
                let arn = &event.event_source_arn;
                return Err(refused(format!("it is of {arn}, and the settings name the stream {stream}")));
            }
            let Some((shard, _)) = event.event_id.split_once(':') else {
                return Err(refused(format!("the event id {:?} names no shard", event.event_id)));
            };
            let at = position(&event.kinesis.sequence_number)?;
            let batch = batch.get_or_insert_with(|| Batch {
                shard: ShardId::new(shard),
                through: at.clone(),
                records: Vec::new(),
            });
            if batch.shard.as_str() != shard {
                return Err(refused(format!("it has records of {} and of {shard}", batch.shard)));
            }
            if batch.through < at {
                batch.through.clone_from(&at);
            }
            batch.records.push((at, event.kinesis.sequence_number));
        }
        Ok(batch.map(Asked::Batch))
    }
}

impl Batch {
    /// The number of the first record behind `done`, as the service wrote it.
    fn first_left(&self, done: Option<&SequenceNumber>) -> Option<&str> {
        let left = self.records.iter().filter(|(at, _)| done.is_none_or(|done| at > done));
        left.min_by(|a, b| a.0.cmp(&b.0)).map(|(_, number)| number.as_str())
    }

    /// Whether nothing of it is done.
    pub fn is_untouched(&self, done: Option<&SequenceNumber>) -> bool {
        self.records.iter().all(|(at, _)| done.is_none_or(|done| at > done))
    }

    /// The answer when everything up to `done` is committed: the mapping sends the rest again, in order.
    pub fn answer(&self, done: Option<&SequenceNumber>) -> Value {
        let failures: Vec<Value> =
            self.first_left(done).into_iter().map(|number| json!({ "itemIdentifier": number })).collect();
        json!({ "batchItemFailures": failures })
    }
}

#[cfg(test)]
mod tests {
    use ledgerline_domain::ErrorKind;

    use super::*;

    fn event(records: &[(&str, &str)]) -> Event {
        let record = |(shard, number): &(&str, &str)| {
            json!({
                "kinesis": {
                    "kinesisSchemaVersion": "1.0", "partitionKey": "shop/payment/pi_1", "sequenceNumber": number,
                    "data": "SGVsbG8=", "approximateArrivalTimestamp": 1545084650.987
                },
                "eventSource": "aws:kinesis", "eventVersion": "1.0", "eventID": format!("{shard}:{number}"),
                "eventName": "aws:kinesis:record", "awsRegion": "us-east-2",
                "invokeIdentityArn": "arn:aws:iam::123456789012:role/lambda-role",
                "eventSourceARN": "arn:aws:kinesis:us-east-2:123456789012:stream/events"
            })
        };
        let records: Vec<Value> = records.iter().map(record).collect();
        serde_json::from_value(json!({ "Records": records })).unwrap()
    }

    fn batch(records: &[(&str, &str)]) -> Batch {
        match event(records).read("events").unwrap() {
            Some(Asked::Batch(batch)) => batch,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_batch_is_places_of_one_shard() {
        let batch = batch(&[("shardId-000000000006", "9"), ("shardId-000000000006", "10")]);
        assert_eq!((batch.shard.as_str(), &batch.through), ("shardId-000000000006", &position("10").unwrap()));
        let other = event(&[("shardId-000000000006", "9"), ("shardId-000000000007", "10")]);
        assert_eq!(other.read("events").unwrap_err().kind(), ErrorKind::Invalid);
        let error = event(&[("shardId-000000000006", "9")]).read("event").unwrap_err().to_string();
        assert!(error.contains("stream/events") && error.ends_with("the stream event"), "{error}");
        assert!(event(&[("shardId-000000000006", "x")]).read("events").is_err());
    }

    #[test]
    fn anything_else_asks_for_everything_and_an_empty_batch_for_nothing() {
        let schedule = json!({ "source": "aws.events", "detail-type": "Scheduled Event", "resources": [] });
        let read = |value: Value| serde_json::from_value::<Event>(value).unwrap().read("events").unwrap();
        assert_eq!(read(schedule), Some(Asked::Everything));
        assert_eq!(read(json!({})), Some(Asked::Everything));
        assert_eq!(read(json!({ "Records": [] })), None);
    }

    #[test]
    fn the_answer_names_the_first_that_is_left() {
        let shard = "shardId-000000000000";
        let batch = batch(&[(shard, "9"), (shard, "10"), (shard, "11")]);
        let answer = |done: &str| batch.answer(Some(&position(done).unwrap())).to_string();
        assert_eq!(batch.answer(None).to_string(), r#"{"batchItemFailures":[{"itemIdentifier":"9"}]}"#);
        assert_eq!(answer("8"), r#"{"batchItemFailures":[{"itemIdentifier":"9"}]}"#);
        assert_eq!(answer("10"), r#"{"batchItemFailures":[{"itemIdentifier":"11"}]}"#);
        assert_eq!(answer("11"), r#"{"batchItemFailures":[]}"#);
        assert_eq!(batch.answer(Some(&SequenceNumber::shard_end())).to_string(), r#"{"batchItemFailures":[]}"#);
        assert!(batch.is_untouched(None) && batch.is_untouched(Some(&position("8").unwrap())));
        assert!(!batch.is_untouched(Some(&position("9").unwrap())));
    }
}
