//! An HTTP client that gives each `SubscribeToShard` a connection of its own.
//!
//! At AWS the SDK speaks HTTP/2: all calls to a service share one connection, with one window for what was sent and not
//! read yet, and a highest number of calls at a time. A subscription lasts for minutes and is not read while its
//! reader is busy. On the shared connection it would take the room of all other calls, appends among them. On its own
//! it holds up nobody, and the connection ends with it.

use std::fmt;
use std::sync::Arc;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

/// What the header `x-amz-target` of a subscription ends with.
const APART: &str = ".SubscribeToShard";

/// Clients made by `make`: one for all calls, and a new one for each subscription.
pub fn subscriptions_apart(make: impl Fn() -> SharedHttpClient + Send + Sync + 'static) -> SharedHttpClient {
    SharedHttpClient::new(Apart { shared: make(), make: Make(Arc::new(make)) })
}

#[derive(Clone)]
struct Make(Arc<dyn Fn() -> SharedHttpClient + Send + Sync>);

impl fmt::Debug for Make {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Make")
    }
}

#[derive(Debug)]
struct Apart {
    shared: SharedHttpClient,
    make: Make,
}

impl HttpClient for Apart {
    fn http_connector(&self, settings: &HttpConnectorSettings, parts: &RuntimeComponents) -> SharedHttpConnector {
        let shared = self.shared.http_connector(settings, parts);
        let (make, settings, parts) = (self.make.clone(), settings.clone(), parts.clone());
        SharedHttpConnector::new(Connector { shared, make, settings, parts })
    }
}

#[derive(Debug)]
struct Connector {
    shared: SharedHttpConnector,
    make: Make,
    settings: HttpConnectorSettings,
    parts: RuntimeComponents,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if request.headers().get("x-amz-target").is_some_and(|target| target.ends_with(APART)) {
            return (self.make.0)().http_connector(&self.settings, &self.parts).call(request);
        }
        self.shared.call(request)
    }
}
