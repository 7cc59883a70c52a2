//! The stream: there, in order, kept for long enough, encrypted.

use aws_sdk_kinesis::types::EncryptionType;

use super::trouble::{Trouble, trouble};
use super::{Findings, State};
use crate::aws::AwsConfig;
use crate::aws::kinesis::{KinesisSettings, check};

/// A reader may be stopped over a weekend.
const RETENTION_HOURS_MIN: i32 = 72;
const DESCRIBE: &str = "kinesis:DescribeStreamSummary";

/// Gives the retention in hours, if the stream tells.
pub(super) async fn examine(aws: &AwsConfig, settings: &KinesisSettings, found: &mut Findings) -> Option<i32> {
    let name = &settings.stream;
    let on = format!("stream {name}");
    let client = aws.kinesis();
    let described = client.describe_stream_summary().stream_name(name).send().await;
    let summary = match described.map(|answer| answer.stream_description_summary) {
        Ok(Some(summary)) => summary,
        Ok(None) => {
            found.add(&on, "exists", State::NotChecked, "the answer is empty", "");
            return None;
        }
        Err(error) => {
            match trouble(&error, DESCRIBE, &on) {
                Trouble::Absent(code) => {
                    let fix = format!(
                        "create it (aws kinesis create-stream --stream-name {name} --shard-count 1), or correct name or region"
                    );
                    found.add(&on, "exists", State::Fault, format!("there is none ({code})"), fix);
                }
                Trouble::Denied(code) => {
                    let fix = format!("allow {DESCRIBE} on {on}: every role asks it at its start");
                    found.add(&on, "exists", State::Fault, format!("not allowed to look ({code})"), fix);
                }
                Trouble::Other(words) => found.add(&on, "exists", State::Fault, words, "make AWS reachable from here"),
                unknown => unknown.note(found, &on, "exists", DESCRIBE),
            }
            return None;
        }
    };
    found.ok(&on, "exists", summary.stream_status.as_str());
    mode(&on, summary.stream_mode_details.as_ref().map(|mode| mode.stream_mode.as_str()), found);
    // The program's own check at the start; of its errors only this one is left here.
    match check::describe(&client, name).await {
        Err(error) if error.to_string().contains("ignores partition keys") => found.add(
            &on,
            "record distribution",
            State::Fault,
            "AUTO: partition keys are ignored, and the events of one entity lose their order",
            "set USER_PARTITION_KEY (aws kinesis update-stream-record-distribution-strategy) or use a provisioned stream; \
             deny kinesis:UpdateStreamRecordDistributionStrategy",
        ),
        Ok(facts) => {
            found.ok(&on, "record distribution", facts.distribution.unwrap_or_else(|| "by partition key".into()));
        }
        Err(error) => found.add(&on, "record distribution", State::NotChecked, error.to_string(), ""),
    }
    let hours = summary.retention_period_hours;
    if hours < RETENTION_HOURS_MIN {
        let fix = format!(
            "aws kinesis increase-stream-retention-period --stream-name {name} --retention-period-hours 168: what a \
             stopped reader has not read by then is lost"
        );
        found.add(&on, "retention", State::Warning, format!("{hours} hours"), fix);
    } else {
        found.ok(&on, "retention", format!("{hours} hours"));
    }
    if matches!(summary.encryption_type, Some(EncryptionType::Kms)) {
        found.ok(&on, "encryption", "KMS");
    } else {
        let fix = format!(
            "aws kinesis start-stream-encryption --stream-name {name} --encryption-type KMS --key-id alias/aws/kinesis"
        );
        found.add(&on, "encryption", State::Warning, "none", fix);
    }
    Some(hours)
}

fn mode(on: &str, mode: Option<&str>, found: &mut Findings) {
    match mode {
        Some("ON_DEMAND") => found.add(
            on,
            "mode",
            State::Warning,
            "ON_DEMAND: it can be switched to AUTO distribution, which loses order, at any time",
            "use PROVISIONED, or deny kinesis:UpdateStreamRecordDistributionStrategy to everybody",
        ),
        Some(mode) => found.ok(on, "mode", mode),
        None => found.add(on, "mode", State::NotChecked, "the stream does not tell", ""),
    }
}
