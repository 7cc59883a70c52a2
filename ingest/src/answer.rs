//! Every answer of the door in one place, as DESIGN's table "Failure answers at the door" has them.
//!
//! Bodies are JSON, small and stable: `{"accepted":2}` or `{"error":"…"}`. None says more than the
//! caller may know: all refused signatures read alike.
//!
//! An answer to a webhook takes the header map of its request, emptied: no map is allocated for it, and
//! the server reads the next request into it.

use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::Full;

use crate::meters::Outcome;

/// What the door says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// So many events are durable.
    Accepted(usize),
    /// So many events are durable, of which some cannot be read.
    Unreadable(usize),
    /// The signature was refused.
    Rejected,
    /// The key that judges the signature is being fetched.
    KeyComing(Duration),
    /// There is no such source.
    UnknownSource,
    /// There is no such page.
    NotFound,
    /// The page takes other methods.
    MethodNotAllowed,
    /// The body is over the limit.
    TooLarge,
    /// The body did not arrive in time.
    TooSlow,
    /// The body broke off or is not well-formed HTTP.
    Broken,
    /// The source's rate limit is reached.
    RateLimited(Duration),
    /// The door is full.
    Full(Duration),
    /// The door is closing.
    Closing(Duration),
    /// The log is slow or down.
    LogAway(Duration),
}

impl Answer {
    /// How the answer counts.
    pub(crate) fn outcome(self) -> Outcome {
        match self {
            Self::Accepted(_) => Outcome::Accepted,
            Self::Unreadable(_) => Outcome::Unreadable,
            Self::Rejected => Outcome::Rejected,
            Self::UnknownSource | Self::NotFound | Self::MethodNotAllowed => Outcome::UnknownSource,
            Self::TooLarge => Outcome::TooLarge,
            Self::TooSlow => Outcome::TooSlow,
            Self::Broken => Outcome::Abandoned,
            Self::RateLimited(_) => Outcome::RateLimited,
            Self::Full(_) | Self::Closing(_) | Self::LogAway(_) | Self::KeyComing(_) => Outcome::Unavailable,
        }
    }

    /// What was full or away, where the outcome does not say.
    pub(crate) fn cause(self) -> Option<&'static str> {
        match self {
            Self::Broken => Some("broken"),
            Self::Full(_) => Some("full"),
            Self::Closing(_) => Some("closing"),
            Self::LogAway(_) => Some("log_away"),
            _ => None,
        }
    }
}

impl Answer {
    /// The answer as HTTP, in the map of headers given, of which nothing is kept.
    pub(crate) fn respond(self, mut headers: HeaderMap) -> http::Response<Full<Bytes>> {
        use StatusCode as S;
        let (status, body, wait) = match self {
            Self::Accepted(1) => (S::OK, Bytes::from_static(br#"{"accepted":1}"#), None),
            Self::Accepted(events) => (S::OK, accepted(events), None),
            Self::Unreadable(events) => (S::ACCEPTED, accepted(events), None),
            Self::Rejected => (S::UNAUTHORIZED, error(r#"{"error":"the signature was not accepted"}"#), None),
            Self::KeyComing(wait) => {
                (S::SERVICE_UNAVAILABLE, error(r#"{"error":"the signature cannot be checked yet"}"#), Some(wait))
            }
            Self::UnknownSource => (S::NOT_FOUND, error(r#"{"error":"unknown source"}"#), None),
            Self::NotFound => (S::NOT_FOUND, error(r#"{"error":"not found"}"#), None),
            Self::MethodNotAllowed => (S::METHOD_NOT_ALLOWED, error(r#"{"error":"method not allowed"}"#), None),
            Self::TooLarge => (S::PAYLOAD_TOO_LARGE, error(r#"{"error":"the body is too large"}"#), None),
            Self::TooSlow => (S::REQUEST_TIMEOUT, error(r#"{"error":"the body did not arrive in time"}"#), None),
            Self::Broken => (S::BAD_REQUEST, error(r#"{"error":"the body is incomplete"}"#), None),
            Self::RateLimited(wait) => {
                (S::TOO_MANY_REQUESTS, error(r#"{"error":"too many requests for this source"}"#), Some(wait))
            }
            Self::Full(wait) => {
                (S::SERVICE_UNAVAILABLE, error(r#"{"error":"too many requests in flight"}"#), Some(wait))
            }
            Self::Closing(wait) => (S::SERVICE_UNAVAILABLE, error(r#"{"error":"shutting down"}"#), Some(wait)),
            Self::LogAway(wait) => {
                (S::SERVICE_UNAVAILABLE, error(r#"{"error":"the log cannot take the event now"}"#), Some(wait))
            }
        };
        headers.clear();
        headers.insert(header::CONTENT_TYPE, JSON);
        if let Some(wait) = wait {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        // What is left of the body would only be read to be thrown away.
        if matches!(self, Self::TooLarge | Self::TooSlow | Self::Broken | Self::Closing(_)) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let mut response = http::Response::new(Full::new(body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        self.respond(HeaderMap::new()).map(Body::new)
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

fn accepted(events: usize) -> Bytes {
    Bytes::from(format!("{{\"accepted\":{events}}}"))
}

fn error(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}
