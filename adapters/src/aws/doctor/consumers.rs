//! The consumers of enhanced fan-out that the settings name: there, active, and to be subscribed with.
//!
//! A subscription takes over from the one that is on. So the permission is tried with a shard that the stream does not
//! have: who may subscribe is told that.

use aws_sdk_kinesis::types::{ConsumerStatus, ShardIteratorType, StartingPosition};

use super::trouble::{Trouble, trouble};
use super::{Findings, State, Targets};
use crate::aws::AwsConfig;
use crate::aws::kinesis::check;
use crate::aws::kinesis::fan_out::consumer::fix;

const DESCRIBE: &str = "kinesis:DescribeStreamConsumer";
const SUBSCRIBE: &str = "kinesis:SubscribeToShard";
/// No stream has so many.
const NO_SHARD: &str = "shardId-999999999999";

pub(super) async fn examine(aws: &AwsConfig, targets: &Targets, found: &mut Findings) {
    let named = targets.consumers.iter().filter(|(part, _)| targets.has(*part));
    let names: Vec<&String> = named.map(|(_, name)| name).collect();
    if names.is_empty() {
        return;
    }
    // What is wrong with the stream has findings of its own.
    let Ok(stream) = check::describe(&aws.kinesis(), &targets.stream).await else { return };
    for name in names {
        if let Some(arn) = exists(aws, &stream.arn, name, found).await {
            subscribes(aws, &arn, name, found).await;
        }
    }
}

/// Gives the ARN of one that is there.
async fn exists(aws: &AwsConfig, stream: &str, name: &str, found: &mut Findings) -> Option<String> {
    let on = format!("consumer {name}");
    let asked = aws.kinesis().describe_stream_consumer().stream_arn(stream).consumer_name(name).send().await;
    match asked.map(|answer| answer.consumer_description) {
        Ok(Some(consumer)) => {
            let status = consumer.consumer_status.as_str();
            match consumer.consumer_status {
                ConsumerStatus::Active => found.ok(&on, "exists", status),
                ConsumerStatus::Creating => found.add(&on, "exists", State::Warning, status, "wait until it is ACTIVE"),
                _ => found.add(&on, "exists", State::Fault, status, fix(stream, name)),
            }
            return Some(consumer.consumer_arn);
        }
        Ok(None) => found.add(&on, "exists", State::NotChecked, "the answer is empty", ""),
        Err(error) => match trouble(&error, DESCRIBE, &on) {
            Trouble::Absent(code) => {
                found.add(&on, "exists", State::Fault, format!("there is none ({code})"), fix(stream, name));
            }
            Trouble::Denied(code) => {
                let fix = format!("allow {DESCRIBE} on {on}: the role that reads through it asks it at its start");
                found.add(&on, "exists", State::Fault, format!("not allowed to look ({code})"), fix);
            }
            other => other.note(found, &on, "exists", DESCRIBE),
        },
    }
    None
}

async fn subscribes(aws: &AwsConfig, arn: &str, name: &str, found: &mut Findings) {
    let on = format!("consumer {name}");
    let Ok(latest) = StartingPosition::builder().r#type(ShardIteratorType::Latest).build() else { return };
    let call = aws.kinesis().subscribe_to_shard().consumer_arn(arn).shard_id(NO_SHARD).starting_position(latest);
    match call.send().await {
        Ok(_) => found.ok(&on, SUBSCRIBE, "allowed"),
        Err(error) => match trouble(&error, SUBSCRIBE, &on) {
            Trouble::Absent(_) => found.ok(&on, SUBSCRIBE, "allowed"),
            Trouble::Denied(code) => {
                let fix = format!("allow {SUBSCRIBE} on {on} to this role; it reads by polling until then");
                found.add(&on, SUBSCRIBE, State::Fault, format!("not allowed ({code})"), fix);
            }
            other => other.note(found, &on, SUBSCRIBE, SUBSCRIBE),
        },
    }
}
