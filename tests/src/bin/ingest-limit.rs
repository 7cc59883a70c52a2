//! The ingest limit: a bare axum handler that checks the HMAC of a Stripe-signed body and reads four of
//! its fields with sonic-rs, and keeps nothing. What `ledgerline serve` is compared with.
//!
//! `ingest-limit ADDRESS SECRET`

use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;

#[derive(Deserialize)]
struct Event<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    created: i64,
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    object: Object<'a>,
}

#[derive(Deserialize)]
struct Object<'a> {
    id: &'a str,
}

async fn receive(State(key): State<Arc<Hmac<Sha256>>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let Some(header) = headers.get("stripe-signature").and_then(|v| v.to_str().ok()) else {
        return StatusCode::UNAUTHORIZED;
    };
    let part = |name: &str| header.split(',').find_map(|p| p.strip_prefix(name));
    let (Some(time), Some(signature)) = (part("t="), part("v1=")) else { return StatusCode::UNAUTHORIZED };
    let mut mac = Hmac::clone(&key);
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(&body);
    let Ok(signature) = hex::decode(signature) else { return StatusCode::UNAUTHORIZED };
    if mac.verify_slice(&signature).is_err() {
        return StatusCode::UNAUTHORIZED;
    }
    match sonic_rs::from_slice::<Event<'_>>(&body) {
        Ok(event) if !event.id.is_empty() && !event.event_type.is_empty() && event.created > 0 => {
            std::hint::black_box(event.data.object.id);
            StatusCode::OK
        }
        _ => StatusCode::BAD_REQUEST,
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(secret)) = (arguments.next(), arguments.next()) else { return ExitCode::from(2) };
    let Ok(key) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return ExitCode::from(2) };
    let app = Router::new().route("/webhooks/{source}", post(receive)).with_state(Arc::new(key));
    let Ok(listener) = tokio::net::TcpListener::bind(address).await else { return ExitCode::FAILURE };
    match axum::serve(listener, app).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
