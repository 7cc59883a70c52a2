//! What a failed call of the SDK means for the caller. Only the service's error code, the status and
//! the kind of failure get into a message: never a body, a key or a header.

use std::fmt;

use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_types::event_stream::RawMessage;
use ledgerline_domain::{Error, ErrorKind};

/// Codes that a later call of the same kind may not get.
const PASSING: [&str; 13] = [
    "ProvisionedThroughputExceededException",
    "LimitExceededException",
    "KMSThrottlingException",
    "ThrottlingException",
    "Throttling",
    "RequestLimitExceeded",
    "ResourceInUseException",
    "InternalFailure",
    "InternalFailureException",
    "ServiceUnavailable",
    "ExpiredTokenException",
    "RequestExpired",
    "RequestTimeout",
];

/// One failed attempt.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The service's error code, if it answered with one.
    pub code: Option<String>,
    /// Whether a later attempt may go better.
    pub passes: bool,
    /// What happened, in words.
    what: String,
}

impl Failure {
    /// An answer that makes no sense, or none that can be asked for.
    pub fn of_answer(error: Error) -> Self {
        Self { code: None, passes: error.kind() == ErrorKind::Retry, what: error.to_string() }
    }

    /// Of a stream that gave nothing more, in words.
    pub fn of_stream(what: &str) -> Self {
        Self { code: None, passes: true, what: what.to_owned() }
    }

    /// Whether the service says that it is asked too much.
    pub fn is_throttle(&self) -> bool {
        self.code.as_deref().is_some_and(is_throttle)
    }

    /// As an error of an action; `action` completes "failed to …".
    pub fn during(&self, action: impl fmt::Display) -> Error {
        let kind = if self.passes { ErrorKind::Retry } else { ErrorKind::Invalid };
        let fix = match self.code.as_deref() {
            Some("ResourceNotFoundException") => "; create it, or correct the name, region or account",
            Some(code) if code.contains("AccessDenied") => "; allow the call in the role's policy",
            _ => "",
        };
        Error::new(kind, format!("{action}: {}{fix}", self.what))
    }
}

/// Whether an error code says that too much was asked.
pub(crate) fn is_throttle(code: &str) -> bool {
    code.contains("Throttling") || code.contains("LimitExceeded") || code.contains("ThroughputExceeded")
}

impl<E: ProvideErrorMetadata> From<SdkError<E, RawMessage>> for Failure {
    /// Of an event stream. All of it passes: a new stream may go better.
    fn from(error: SdkError<E, RawMessage>) -> Self {
        let failure = |what: &str| Self { code: None, passes: true, what: what.to_owned() };
        match &error {
            SdkError::ServiceError(e) => {
                let code = e.err().code().map(str::to_owned);
                let name = code.as_deref().unwrap_or("no error code");
                Self { passes: true, what: format!("the stream ended with {name}"), code }
            }
            SdkError::DispatchFailure(_) => failure("the connection broke"),
            _ => failure("an event was cut or could not be read"),
        }
    }
}

impl<E: ProvideErrorMetadata> From<SdkError<E, HttpResponse>> for Failure {
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        let failure = |what: &str| Self { code: None, passes: true, what: what.to_owned() };
        match &error {
            SdkError::TimeoutError(_) => failure("no answer came in time"),
            SdkError::DispatchFailure(e) if e.is_timeout() => failure("no connection in time"),
            SdkError::DispatchFailure(e) if e.is_io() => failure("the connection broke or could not be made"),
            SdkError::DispatchFailure(_) => failure("the request could not be sent"),
            SdkError::ConstructionFailure(_) => Self { passes: false, ..failure("the request could not be made") },
            SdkError::ServiceError(e) => {
                let status = e.raw().status().as_u16();
                let code = e.err().code().map(str::to_owned);
                // Below 400 it is an answer that was cut or is of something between here and the service.
                let passes =
                    !(400..500).contains(&status) || code.as_deref().is_some_and(|code| PASSING.contains(&code));
                let name = code.as_deref().unwrap_or("no error code");
                Self { passes, what: format!("the service answered {status} {name}"), code }
            }
            _ => failure("the answer could not be read"),
        }
    }
}
