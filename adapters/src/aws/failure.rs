//! What went wrong with a call to AWS, by what can be done about it.
//!
//! | what | kind |
//! | --- | --- |
//! | no connection, no answer in time, an answer that was cut, 5xx | `Retry`, and the call may have been done |
//! | throttled, a conflicting call under way, expired credentials | `Retry`, and the call was not done |
//! | not allowed, no such table or bucket, no credentials | `Invalid`, with the fix in words |
//! | anything else | `Internal`, with the service's code |
//!
//! Messages hold the service's code, never its text: that may repeat what was sent.

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use ledgerline_domain::Error;

/// A failed attempt.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What the caller gets if it is not repeated.
    pub error: Error,
    /// Whether the call may have been done all the same.
    pub unsure: bool,
    /// The service's code, where it gave one.
    pub code: Option<String>,
}

/// What a call is about, for messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    /// Completes "failed to …": `create the archive object a/b`.
    pub action: &'a str,
    /// The permission that it needs: `s3:PutObject`.
    pub permission: &'a str,
    /// On what: `bucket payments-archive`.
    pub on: &'a str,
}

impl Failure {
    /// Certainly not done.
    pub fn refused(error: Error) -> Self {
        Self { error, unsure: false, code: None }
    }

    /// Maybe done.
    pub fn unsure(error: Error) -> Self {
        Self { error, unsure: true, code: None }
    }

    /// Whether the service gave this code.
    pub fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }
}

impl Call<'_> {
    /// Reads the SDK's error.
    pub fn failed<E: ProvideErrorMetadata + std::error::Error + 'static>(
        self,
        error: &SdkError<E, Response>,
    ) -> Failure {
        let Self { action, permission, on } = self;
        match error {
            SdkError::ConstructionFailure(_) if has_no_credentials(error) => Failure::refused(no_credentials(action)),
            SdkError::DispatchFailure(_) if has_no_credentials(error) => Failure::refused(no_credentials(action)),
            SdkError::ConstructionFailure(_) => {
                Failure::refused(Error::internal(format!("{action}: the SDK refused to build the request")))
            }
            SdkError::TimeoutError(_) => Failure::unsure(Error::retry(format!("{action}: no answer in time"))),
            SdkError::DispatchFailure(failure) => {
                let why = if failure.is_timeout() { "no answer in time" } else { "the connection failed" };
                Failure::unsure(Error::retry(format!("{action}: {why}")))
            }
            SdkError::ResponseError(_) => Failure::unsure(Error::retry(format!("{action}: the answer was cut"))),
            SdkError::ServiceError(service) => {
                let status = service.raw().status().as_u16();
                let code = service.err().code().unwrap_or_default();
                let (error, unsure) = match (code, status) {
                    // Only a HEAD request's answer has no code; any other was cut, or is not the service's.
                    ("", status) if !matches!(status, 403 | 404 | 429 | 500..) => {
                        (Error::retry(format!("{action}: the answer ({status}) cannot be read")), true)
                    }
                    _ if is_throttle(code) || status == 429 => {
                        (Error::retry(format!("{action}: {on} is throttled ({code})")), false)
                    }
                    ("ExpiredToken" | "ExpiredTokenException", _) => (
                        Error::retry(format!("{action}: the credentials have expired; new ones are looked for")),
                        false,
                    ),
                    ("RequestTimeTooSkewed", _) => (
                        Error::retry(format!(
                            "{action}: this machine's clock differs from AWS's by too much; set it right"
                        )),
                        false,
                    ),
                    ("ConditionalRequestConflict" | "OperationAborted" | "TransactionConflictException", _) => {
                        (Error::retry(format!("{action}: another call on it is under way ({code})")), false)
                    }
                    ("RequestTimeout" | "InternalError", _) | (_, 500..) => {
                        (Error::retry(format!("{action}: the service failed with {status} {code}")), true)
                    }
                    ("NoSuchBucket" | "ResourceNotFoundException", _) => (
                        Error::invalid(format!("{action}: there is no {on}; create it, or correct its name or region")),
                        false,
                    ),
                    (_, 403) | ("AccessDeniedException", _) => (
                        Error::invalid(format!(
                            "{action}: not allowed ({code}); allow {permission} on {on} to this role"
                        )),
                        false,
                    ),
                    ("UnrecognizedClientException" | "InvalidSignatureException" | "IncompleteSignature", _) => (
                        Error::invalid(format!("{action}: AWS does not accept the credentials ({code}); correct them")),
                        false,
                    ),
                    _ => (Error::internal(format!("{action}: the service refused with {status} {code}")), false),
                };
                Failure { error, unsure, code: Some(code.to_owned()) }
            }
            _ => Failure::unsure(Error::retry(format!("{action}: the SDK gave no reason"))),
        }
    }
}

fn is_throttle(code: &str) -> bool {
    matches!(
        code,
        "ProvisionedThroughputExceededException"
            | "ThrottlingException"
            | "Throttling"
            | "ThrottledException"
            | "RequestLimitExceeded"
            | "TooManyRequestsException"
            | "RequestThrottled"
            | "LimitExceededException"
            | "SlowDown"
    )
}

fn no_credentials(action: &str) -> Error {
    Error::invalid(format!(
        "{action}: no AWS credentials were found; give the task or instance a role, or set AWS_PROFILE"
    ))
}

/// Whether there are none at all. Credentials that could not be fetched this time are another matter.
fn has_no_credentials(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if matches!(error.downcast_ref(), Some(CredentialsError::CredentialsNotLoaded(_))) {
            return true;
        }
        next = error.source();
    }
    false
}
