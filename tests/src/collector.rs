//! A collector of traces on a loopback port: takes OTLP over HTTP as a real one does, and keeps what it took.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

/// How the collector answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temper {
    /// Takes everything.
    Well,
    /// Answers with this status, and keeps nothing.
    Answers(u16),
    /// Answers nobody.
    Hangs,
}

/// What was posted.
#[derive(Clone, Debug)]
pub struct Export {
    /// Headers of the request.
    pub headers: HeaderMap,
    /// The bytes as they came.
    pub bytes: Bytes,
    /// What they say.
    pub request: ExportTraceServiceRequest,
}

/// A span with what it says, flat.
#[derive(Clone, Debug)]
pub struct Told {
    /// As it came.
    pub span: Span,
    /// Attributes of the process, `key=value`.
    pub resource: Vec<String>,
}

impl Told {
    /// An attribute as text; empty when it is not there.
    pub fn get(&self, key: &str) -> String {
        self.span.attributes.iter().find(|a| a.key == key).map(|a| text(a.value.as_ref())).unwrap_or_default()
    }

    /// An attribute of the process; empty when it is not there.
    pub fn of_process(&self, key: &str) -> String {
        let found = self.resource.iter().find_map(|a| a.strip_prefix(key)?.strip_prefix('='));
        found.unwrap_or_default().to_owned()
    }
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.clone()) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(yes)) => yes.to_string(),
        other => format!("{other:?}"),
    }
}

#[derive(Debug)]
struct Kept {
    temper: Mutex<Temper>,
    exports: Mutex<Vec<Export>>,
    asked: Mutex<u64>,
}

/// See the module. Ends with its owner.
pub struct Collector {
    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub endpoint: String,
    kept: Arc<Kept>,
    // Its tasks end with it.
    _runtime: tokio::runtime::Runtime,
}

impl Collector {
    /// Starts it.
    ///
    /// # Panics
    /// When there is no port.
    pub fn start(temper: Temper) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime for the collector");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let kept = Arc::new(Kept { temper: Mutex::new(temper), exports: Mutex::default(), asked: Mutex::new(0) });
        let app = axum::Router::new()
            .route("/v1/traces", axum::routing::post(take))
            .layer(axum::extract::DefaultBodyLimit::max(64 * 1024 * 1024))
            .with_state(kept.clone());
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { endpoint, kept, _runtime: runtime }
    }

    /// Changes how it answers.
    ///
    /// # Panics
    /// When another thread panicked.
    pub fn set(&self, temper: Temper) {
        *self.kept.temper.lock().expect("not poisoned") = temper;
    }

    /// Requests so far, whatever they were answered.
    ///
    /// # Panics
    /// When another thread panicked.
    pub fn asked(&self) -> u64 {
        *self.kept.asked.lock().expect("not poisoned")
    }

    /// Everything that it took.
    ///
    /// # Panics
    /// When another thread panicked.
    pub fn exports(&self) -> Vec<Export> {
        self.kept.exports.lock().expect("not poisoned").clone()
    }

    /// All spans that it took.
    pub fn spans(&self) -> Vec<Told> {
        let mut told = Vec::new();
        for of_process in self.exports().into_iter().flat_map(|export| export.request.resource_spans) {
            let attributes = of_process.resource.map(|resource| resource.attributes).unwrap_or_default();
            let pair = |a: &KeyValue| format!("{}={}", a.key, text(a.value.as_ref()));
            let resource: Vec<String> = attributes.iter().map(pair).collect();
            let spans = of_process.scope_spans.into_iter().flat_map(|scope| scope.spans);
            told.extend(spans.map(|span| Told { span, resource: resource.clone() }));
        }
        told
    }

    /// Waits until the spans are as wanted.
    ///
    /// # Panics
    /// When they are not within half a minute.
    pub fn wait(&self, wanted: impl Fn(&[Told]) -> bool) -> Vec<Told> {
        let began = Instant::now();
        loop {
            let spans = self.spans();
            if wanted(&spans) {
                return spans;
            }
            let names: Vec<_> = spans.iter().map(|told| told.span.name.clone()).collect();
            assert!(began.elapsed() < Duration::from_secs(30), "these spans came: {names:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

async fn take(State(kept): State<Arc<Kept>>, headers: HeaderMap, bytes: Bytes) -> (StatusCode, &'static str) {
    *kept.asked.lock().expect("not poisoned") += 1;
    let temper = *kept.temper.lock().expect("not poisoned");
    match temper {
        Temper::Answers(status) => {
            return (StatusCode::from_u16(status).expect("a status"), "an answer with words of the collector's");
        }
        Temper::Hangs => std::future::pending::<()>().await,
        Temper::Well => {}
    }
    match ExportTraceServiceRequest::decode(bytes.clone()) {
        Ok(request) => {
            kept.exports.lock().expect("not poisoned").push(Export { headers, bytes, request });
            (StatusCode::OK, "")
        }
        Err(_) => (StatusCode::BAD_REQUEST, "no OTLP"),
    }
}
