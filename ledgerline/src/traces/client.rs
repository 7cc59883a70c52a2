//! The way to the collector: `ureq`, as for every other page of others, on the exporter's own thread.
//!
//! Plain HTTP goes straight there; HTTPS by Mozilla's roots, and by a proxy where the environment names one. No redirect is
//! followed: the headers may hold a key. What the collector answers is not read, and stands in no message.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use ureq::Agent;

/// Longest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// Why the last export failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// In words.
    pub words: String,
    /// Whether waiting can mend it.
    pub is_passing: bool,
}

/// The client; copies share what failed last.
#[derive(Clone)]
pub(super) struct Client {
    plain: Agent,
    secured: Agent,
    last: Arc<Mutex<Option<Refusal>>>,
}

impl Client {
    /// Each request takes at most `timeout`.
    pub(super) fn new(timeout: Duration) -> Self {
        let config = || {
            Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .max_idle_connections(1)
                .max_response_header_size(HEAD_BYTES_MAX)
                .timeout_global(Some(timeout))
                .user_agent(concat!("ledgerline/", env!("CARGO_PKG_VERSION")))
        };
        Self { plain: config().proxy(None).build().into(), secured: config().build().into(), last: Arc::default() }
    }

    /// Why the last request failed.
    pub(super) fn take_refusal(&self) -> Option<Refusal> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn post(&self, request: Request<Bytes>) -> Result<(), Refusal> {
        let agent = if request.uri().scheme_str() == Some("https") { &self.secured } else { &self.plain };
        let (head, body) = request.into_parts();
        let passing = |words: String| Refusal { words, is_passing: true };
        let answer = agent.run(Request::from_parts(head, &body[..])).map_err(|error| passing(in_words(&error)))?;
        match answer.status().as_u16() {
            200..=299 => Ok(()),
            status @ (429 | 500..=599) => Err(passing(format!("it answered {status}"))),
            status => Err(Refusal {
                words: format!("it answered {status}; check its address and OTEL_EXPORTER_OTLP_HEADERS"),
                is_passing: false,
            }),
        }
    }
}

/// Words of our own where the client's could quote the answer.
fn in_words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "no answer in time".into(),
        ureq::Error::HostNotFound => "its host is not found".into(),
        ureq::Error::Io(error) => format!("no connection: {}", error.kind()),
        ureq::Error::Rustls(_) | ureq::Error::Tls(_) => "TLS failed".into(),
        _ => "the answer is no good HTTP, or the connection broke".into(),
    }
}

#[async_trait]
impl HttpClient for Client {
    /// Blocks; only the exporter's thread calls it.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        match self.post(request) {
            Ok(()) => Ok(Response::new(Bytes::new())),
            Err(refusal) => {
                self.last.lock().unwrap_or_else(PoisonError::into_inner).replace(refusal);
                Err("the export failed".into())
            }
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}
