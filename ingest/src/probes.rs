//! Pages for operators and their machines: `/healthz`, `/readyz`, `/metrics`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use ledgerline_domain::ports::{Clock, Log, Secrets};
use serde_json::json;

use crate::answer;
use crate::door::Door;

/// The process is up: it can answer at all.
pub(crate) async fn healthz() -> Response {
    answer::json(StatusCode::OK, Bytes::from_static(br#"{"status":"up"}"#))
}

/// Whether to send requests here: 200 `{"ready":true}`, or 503 with the reasons.
pub(crate) async fn readyz<L: Log, S: Secrets, C: Clock>(State(door): State<Arc<Door<L, S, C>>>) -> Response {
    let mut reasons = Vec::new();
    if door.gate.is_closing() {
        reasons.push("shutting down".to_owned());
    }
    if let Err(reason) = (door.hooks.ready)() {
        reasons.push(reason);
    }
    if reasons.is_empty() {
        return answer::json(StatusCode::OK, Bytes::from_static(br#"{"ready":true}"#));
    }
    let body = json!({ "ready": false, "reasons": reasons }).to_string();
    answer::json(StatusCode::SERVICE_UNAVAILABLE, body.into())
}

/// All metrics of the process, as Prometheus text.
pub(crate) async fn metrics<L: Log, S: Secrets, C: Clock>(State(door): State<Arc<Door<L, S, C>>>) -> Response {
    door.meters.set_in_flight(door.gate.requests());
    let mut response = (door.hooks.metrics)().into_response();
    let prometheus = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, prometheus);
    response
}
