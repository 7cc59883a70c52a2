//! Whether a stream keeps the order that the log promises.
//!
//! An on-demand stream can be switched to the record distribution strategy `AUTO`, at any time and
//! without an interruption. It ignores partition keys then: the records of one entity go to any shard,
//! and no order is left. Such a stream is refused, at the start and whenever the probe finds it.
//!
//! The SDK in use may be older than the strategy. So the answer of `DescribeStreamSummary` is searched as
//! it came, beside the fields that the SDK knows: a member `RecordDistributionStrategy` that says `AUTO`,
//! wherever it stands. A service that does not tell the strategy does not have it.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_kinesis::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_kinesis::error::BoxError;
use aws_sdk_kinesis::types::StreamStatus;
use ledgerline_domain::{Error, Result};
use serde_json::Value;

use super::failure::Failure;

/// What a stream says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamFacts {
    /// Its ARN.
    pub arn: String,
    /// Whole seconds since 1970 at which it was created. A stream that was deleted and created anew numbers
    /// its shards again, so this belongs into the archive's path.
    pub created_at: i64,
    /// How long it keeps records.
    pub retention_hours: i32,
    /// `PROVISIONED` or `ON_DEMAND`, as the service says it.
    pub mode: String,
    /// `USER_PARTITION_KEY`, if the service tells.
    pub distribution: Option<String>,
}

/// Asks the stream. Errors: `Invalid` when it does not exist, or ignores partition keys; `Retry` when it
/// is being created, or does not answer.
pub(crate) async fn describe(client: &Client, stream: &str) -> Result<StreamFacts> {
    let action = format!("describe the stream {stream}");
    let raw = RawAnswer::default();
    let call = client.describe_stream_summary().stream_name(stream).customize().interceptor(raw.clone());
    let answer = call.send().await.map_err(|e| Failure::from(e).during(&action))?;
    let summary =
        answer.stream_description_summary.ok_or_else(|| Error::retry(format!("{action}: the answer is empty")))?;
    if !matches!(summary.stream_status, StreamStatus::Active | StreamStatus::Updating) {
        return Err(Error::retry(format!("use the stream {stream}: it is {}", summary.stream_status)));
    }
    let distribution = raw.distribution();
    if distribution.as_deref().is_some_and(|strategy| strategy != "USER_PARTITION_KEY") {
        return Err(Error::invalid(format!(
            "use the stream {stream}: its record distribution strategy is {}, which ignores partition keys, so the \
             events of one entity would lose their order; set it to USER_PARTITION_KEY \
             (aws kinesis update-stream-record-distribution-strategy) or use a provisioned stream, and deny \
             kinesis:UpdateStreamRecordDistributionStrategy",
            distribution.as_deref().unwrap_or_default()
        )));
    }
    Ok(StreamFacts {
        arn: summary.stream_arn,
        created_at: summary.stream_creation_timestamp.secs(),
        retention_hours: summary.retention_period_hours,
        mode: summary.stream_mode_details.map(|mode| mode.stream_mode.to_string()).unwrap_or_default(),
        distribution,
    })
}

/// Keeps the body of an answer.
#[derive(Clone, Debug, Default)]
struct RawAnswer(Arc<Mutex<Vec<u8>>>);

impl RawAnswer {
    fn distribution(&self) -> Option<String> {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        find(&serde_json::from_slice(&body).ok()?)
    }
}

impl Intercept for RawAnswer {
    fn name(&self) -> &'static str {
        "RawAnswer"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> std::result::Result<(), BoxError> {
        if let Some(body) = context.response().body().bytes() {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = body.to_vec();
        }
        Ok(())
    }
}

/// The strategy, at any depth: as text, or in an object of details.
fn find(value: &Value) -> Option<String> {
    let Value::Object(members) = value else { return None };
    members.iter().find_map(|(name, value)| match value {
        Value::String(text) if name == "RecordDistributionStrategy" => Some(text.clone()),
        Value::Object(_) => find(value),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_strategy_where_it_stands() {
        let of = |text: &str| find(&serde_json::from_str(text).unwrap());
        assert_eq!(of(r#"{"A":{"RecordDistributionStrategy":"AUTO"}}"#).as_deref(), Some("AUTO"));
        assert_eq!(of(r#"{"A":{"B":1,"C":{"RecordDistributionStrategy":"X"}}}"#).as_deref(), Some("X"));
        assert_eq!(of(r#"{"A":{"StreamName":"RecordDistributionStrategy"}}"#), None);
    }
}
