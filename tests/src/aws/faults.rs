//! Faults at the SDK's HTTP connector: what no stand-in does by itself.
//!
//! A fault hits calls of a kind (`PutItem`, `PutObject`, …), by a script or by chance from a seed.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use http_body_util::BodyExt as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The connection fails; the service never hears of it.
    Unreached,
    /// The time runs out before the service hears of it.
    Late,
    /// The service does it, and the connection fails before the answer.
    Lost,
    /// The service does it, and the time runs out before the answer.
    LostLate,
    /// The service does it, and half of the answer comes.
    Cut,
    /// 500; not done.
    Broken,
    /// 500; done.
    BrokenAfter,
    /// Throttled; not done.
    Throttled,
    /// Another call on the same thing is under way; not done.
    Conflict,
    /// No answer, ever: only the time limit helps. Not done.
    Silent,
}

impl Fault {
    /// All that end by themselves.
    pub const QUICK: [Self; 9] = [
        Self::Unreached,
        Self::Late,
        Self::Lost,
        Self::LostLate,
        Self::Cut,
        Self::Broken,
        Self::BrokenAfter,
        Self::Throttled,
        Self::Conflict,
    ];

    fn reaches_the_service(self) -> bool {
        matches!(self, Self::Lost | Self::LostLate | Self::Cut | Self::BrokenAfter)
    }
}

/// Which calls are hit. Clones share the plan.
#[derive(Clone)]
pub struct Faults {
    plan: Arc<Mutex<Plan>>,
}

struct Plan {
    scripts: BTreeMap<String, VecDeque<Option<Fault>>>,
    by_chance: Option<(StdRng, u32)>,
    hits: BTreeMap<(String, Fault), usize>,
    calls: BTreeMap<String, usize>,
}

impl Faults {
    /// None, until some are asked for.
    pub fn none() -> Self {
        let plan = Plan { scripts: BTreeMap::new(), by_chance: None, hits: BTreeMap::new(), calls: BTreeMap::new() };
        Self { plan: Arc::new(Mutex::new(plan)) }
    }

    /// So many of a hundred calls, each by a fault of [`Fault::QUICK`], by chance.
    pub fn by_chance(seed: u64, per_cent: u32) -> Self {
        let faults = Self::none();
        faults.lock().by_chance = Some((StdRng::seed_from_u64(seed), per_cent));
        faults
    }

    /// The next calls of a kind meet these.
    pub fn next(&self, call: &str, faults: impl IntoIterator<Item = Fault>) {
        self.lock().scripts.entry(call.to_owned()).or_default().extend(faults.into_iter().map(Some));
    }

    /// So many calls of a kind come through, before what is asked for next.
    pub fn pass(&self, call: &str, calls: usize) {
        self.lock().scripts.entry(call.to_owned()).or_default().extend(std::iter::repeat_n(None, calls));
    }

    /// No more.
    pub fn stop(&self) {
        let mut plan = self.lock();
        plan.by_chance = None;
        plan.scripts.clear();
    }

    /// How often a fault hit a call.
    pub fn hits(&self, call: &str, fault: Fault) -> usize {
        self.lock().hits.get(&(call.to_owned(), fault)).copied().unwrap_or_default()
    }

    /// How many faults hit any call.
    pub fn all_hits(&self) -> usize {
        self.lock().hits.values().sum()
    }

    /// How many calls of a kind there were, those that were hit too.
    pub fn calls(&self, call: &str) -> usize {
        self.lock().calls.get(call).copied().unwrap_or_default()
    }

    /// A client with the faults before it.
    pub fn between(&self, inner: SharedHttpClient) -> SharedHttpClient {
        SharedHttpClient::new(Between { inner, faults: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw(&self, call: &str) -> Option<Fault> {
        let mut plan = self.lock();
        *plan.calls.entry(call.to_owned()).or_default() += 1;
        let scripted = plan.scripts.get_mut(call).and_then(VecDeque::pop_front);
        let fault = scripted.unwrap_or_else(|| {
            let (rng, per_cent) = plan.by_chance.as_mut()?;
            let hit = rng.random_range(0..100) < *per_cent;
            hit.then(|| Fault::QUICK[rng.random_range(0..Fault::QUICK.len())])
        })?;
        *plan.hits.entry((call.to_owned(), fault)).or_default() += 1;
        Some(fault)
    }
}

#[derive(Debug)]
struct Between {
    inner: SharedHttpClient,
    faults: Faults,
}

impl HttpClient for Between {
    fn http_connector(&self, settings: &HttpConnectorSettings, parts: &RuntimeComponents) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, parts);
        SharedHttpConnector::new(Connector { inner, faults: self.faults.clone() })
    }
}

#[derive(Clone, Debug)]
struct Connector {
    inner: SharedHttpConnector,
    faults: Faults,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let is_json = request.headers().get("x-amz-target").is_some();
        let is_kinesis = request.headers().get("x-amz-target").is_some_and(|target| target.starts_with("Kinesis"));
        let Some(fault) = self.faults.draw(&call_of(&request)) else { return self.inner.call(request) };
        let inner = self.inner.clone();
        HttpConnectorFuture::new(async move {
            let answer = if fault.reaches_the_service() { Some(inner.call(request).await?) } else { None };
            match fault {
                Fault::Unreached => Err(ConnectorError::io("the connection was refused, on demand".into())),
                Fault::Lost => Err(ConnectorError::io("the connection was reset, on demand".into())),
                Fault::Late | Fault::LostLate => Err(ConnectorError::timeout("too late, on demand".into())),
                Fault::Cut => cut(answer.expect("an answer")).await,
                Fault::Broken | Fault::BrokenAfter => Ok(refusal(500, "InternalServerError", "InternalError", is_json)),
                Fault::Throttled if is_json => Ok(refusal(400, "ProvisionedThroughputExceededException", "", is_json)),
                Fault::Throttled => Ok(refusal(503, "", "SlowDown", is_json)),
                // Kinesis knows no conflicts; this is the other refusal that it gives for a while.
                Fault::Conflict if is_kinesis => Ok(refusal(400, "LimitExceededException", "", is_json)),
                Fault::Conflict if is_json => Ok(refusal(400, "TransactionConflictException", "", is_json)),
                Fault::Conflict => Ok(refusal(409, "", "ConditionalRequestConflict", is_json)),
                Fault::Silent => std::future::pending().await,
            }
        })
    }
}

/// The name of the call, as the service's documentation has it.
fn call_of(request: &HttpRequest) -> String {
    if let Some((_, name)) = request.headers().get("x-amz-target").and_then(|target| target.rsplit_once('.')) {
        return name.to_owned();
    }
    let (_, query) = request.uri().split_once('?').unwrap_or_default();
    let named = query.split('&').find_map(|pair| pair.strip_prefix("x-id="));
    let name = match request.method() {
        _ if named.is_some() => named.unwrap_or_default(),
        "HEAD" => "HeadObject",
        "GET" => "ListObjectsV2",
        "POST" if query.contains("uploadId=") => "CompleteMultipartUpload",
        "POST" => "CreateMultipartUpload",
        other => other,
    };
    name.to_owned()
}

async fn cut(answer: HttpResponse) -> Result<HttpResponse, ConnectorError> {
    let mut answer = answer;
    let whole = answer.take_body().collect().await.map_err(ConnectorError::io)?.to_bytes();
    if whole.is_empty() {
        return Err(ConnectorError::io("the connection was reset, on demand".into()));
    }
    *answer.body_mut() = SdkBody::from(whole.slice(..whole.len() / 2));
    Ok(answer)
}

fn refusal(status: u16, json: &str, xml: &str, is_json: bool) -> HttpResponse {
    let text = if is_json {
        format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{json}","message":"on demand"}}"#)
    } else {
        format!(r#"<?xml version="1.0"?><Error><Code>{xml}</Code><Message>on demand</Message></Error>"#)
    };
    HttpResponse::new(StatusCode::try_from(status).expect("a status"), SdkBody::from(text))
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faults")
    }
}
