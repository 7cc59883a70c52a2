//! The registered consumer that a role reads through. The deployment makes it; the program only looks it up.

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::ConsumerStatus;
use ledgerline_domain::{Error, Result};

use crate::aws::kinesis::failure::Failure;

/// The ARN of an active consumer. Errors: `Invalid` when there is none, or it is being deleted; `Retry` when it is
/// being made, or the service does not answer.
pub(crate) async fn find(client: &Client, stream_arn: &str, name: &str) -> Result<String> {
    let action = format!("find the consumer {name} of the stream");
    let answer = client.describe_stream_consumer().stream_arn(stream_arn).consumer_name(name).send().await;
    let found = match answer.map_err(Failure::from) {
        Ok(answer) => answer.consumer_description,
        Err(failure) if failure.code.as_deref() == Some("ResourceNotFoundException") => None,
        Err(failure) => return Err(failure.during(action)),
    };
    let Some(found) = found else {
        return Err(Error::invalid(format!("{action}: there is none; {}", fix(stream_arn, name))));
    };
    match found.consumer_status {
        ConsumerStatus::Active => Ok(found.consumer_arn),
        ConsumerStatus::Deleting => {
            Err(Error::invalid(format!("{action}: it is being deleted; wait, then {}", fix(stream_arn, name))))
        }
        status => Err(Error::retry(format!("{action}: it is {status}; wait until it is ACTIVE"))),
    }
}

/// What to do where there is none.
pub(crate) fn fix(stream_arn: &str, name: &str) -> String {
    format!(
        "register it (aws kinesis register-stream-consumer --stream-arn {stream_arn} --consumer-name {name}), or take it \
         out of log.fan_out to read by polling"
    )
}
