//! A bad network in front of a service, for programs in processes of their own.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::time::Duration;

use super::serve;

/// Serves what stands at `address`, late and with faults: of a hundred calls `per_cent` are answered with 500, half of
/// them after they were done, and each waits for up to `wait`. Gives the address to use instead.
pub async fn flaky(address: &str, per_cent: u32, wait: Duration) -> String {
    let authority = address.trim_start_matches("http://").to_owned();
    let client = Client::builder(TokioExecutor::new()).build_http();
    let service = Flaky { client, authority, per_cent, wait };
    let router = Router::new().fallback(pass).with_state(service);
    serve(|listener| async move { axum::serve(listener, router).await.expect("served") }).await
}

#[derive(Clone)]
struct Flaky {
    client: Client<HttpConnector, Body>,
    authority: String,
    per_cent: u32,
    wait: Duration,
}

async fn pass(State(flaky): State<Flaky>, mut request: Request) -> Response {
    let broken = || (StatusCode::INTERNAL_SERVER_ERROR, "{}").into_response();
    let drawn = rand::random_range(0..100);
    tokio::time::sleep(flaky.wait.mul_f64(rand::random())).await;
    if drawn < flaky.per_cent / 2 {
        return broken();
    }
    let uri = format!("http://{}{}", flaky.authority, request.uri().path_and_query().map_or("/", |path| path.as_str()));
    *request.uri_mut() = uri.parse::<Uri>().expect("an address");
    match flaky.client.request(request).await {
        Ok(_) if drawn < flaky.per_cent => broken(),
        Ok(answer) => answer.map(Body::new),
        Err(_) => broken(),
    }
}
