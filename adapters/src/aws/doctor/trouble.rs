//! What a failed call says to the doctor.

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::{Findings, State};
use crate::aws::failure::Call;

/// Why a call gave no answer to its question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The role may not make it.
    Denied(String),
    /// The thing is not there; the service's code.
    Absent(String),
    /// Whoever answers does not know the call, as stand-ins do.
    Unknown,
    /// Anything else, in words.
    Other(String),
}

/// Reads the SDK's error. `permission` and `on` are for the words.
pub(super) fn trouble<E>(error: &SdkError<E, Response>, permission: &str, on: &str) -> Trouble
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    if let SdkError::ServiceError(service) = error {
        let status = service.raw().status().as_u16();
        let code = service.err().code().unwrap_or_default();
        match (code, status) {
            ("UnknownOperationException" | "NotImplemented" | "MethodNotAllowed" | "InvalidAction", _)
            | (_, 405 | 501) => return Trouble::Unknown,
            (_, 403) => return Trouble::Denied(code.to_owned()),
            _ if code.contains("AccessDenied") => return Trouble::Denied(code.to_owned()),
            _ if status == 404 || code.contains("NotFound") || code.starts_with("NoSuch") => {
                return Trouble::Absent(code.to_owned());
            }
            // An operation that is not there is refused in many words.
            _ if code.contains("UnknownOperation") || code.contains("Unsupported") => return Trouble::Unknown,
            _ => {}
        }
    }
    let call = Call { action: "ask", permission, on };
    let words = call.failed(error).error.to_string();
    Trouble::Other(words.strip_prefix("ask: ").unwrap_or(&words).to_owned())
}

impl Trouble {
    /// Notes that something could not be found out: a fault only where nothing works without it.
    pub fn note(self, found: &mut Findings, on: &str, what: &str, permission: &str) {
        match self {
            Self::Denied(code) => {
                let fix = format!("allow {permission} on {on} to whoever runs the doctor");
                found.add(on, what, State::NotChecked, format!("not allowed to look ({code})"), fix);
            }
            Self::Unknown => found.add(on, what, State::NotChecked, "whoever answers does not know this call", ""),
            Self::Absent(code) => found.add(on, what, State::NotChecked, format!("not found ({code})"), ""),
            Self::Other(words) => found.add(on, what, State::NotChecked, words, ""),
        }
    }
}
