//! Kinesis in this process, with one stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use ferrokinesis::actions::subscribe_to_shard::execute_streaming;
use ferrokinesis::store::{Store, StoreOptions};
use http_body_util::BodyExt as _;
use ledgerline_adapters::aws::config::https_client;
use ledgerline_adapters::aws::kinesis::{KinesisLog, KinesisSettings};
use ledgerline_adapters::aws::{AwsConfig, Endpoints};
use ledgerline_domain::ids::ShardId;
use tokio::sync::RwLock;

use super::fan_out::{Subscriptions, refused};
use super::{Faults, reach, serve};

/// Name of the stream.
const STREAM: &str = "events";
const JSON: &str = "application/x-amz-json-1.1";
/// Names the address of a Kinesis to use instead of the one in this process.
pub const OTHER_KINESIS: &str = "LEDGERLINE_TEST_KINESIS";

/// A Kinesis with a stream of its own.
pub struct LocalKinesis {
    endpoints: Endpoints,
    aws: AwsConfig,
    stream: String,
    subscriptions: Subscriptions,
    /// The second of the last split or merge.
    resharded: AtomicU64,
}

/// Limits for a service on this machine: quick to ask again, and as many reads as there may be.
pub fn quick_log() -> KinesisSettings {
    KinesisSettings {
        // The stand-in takes 2 MB of text at once, which is 1.5 MB of data.
        request_bytes_max: 1 << 20,
        record_bytes_max: 1 << 19,
        backoff: (Duration::from_millis(1), Duration::from_millis(20)),
        reads_per_second: 1000,
        idle_poll: Duration::from_millis(5),
        ..KinesisSettings::new(STREAM)
    }
}

impl LocalKinesis {
    /// Starts one with `shards` open shards.
    pub async fn start(shards: i32) -> Self {
        Self::start_with(shards, StoreOptions::default()).await
    }

    /// A new stream in the other one, where the environment names it; else as `start`.
    pub async fn start_or_other(shards: i32) -> Self {
        match std::env::var(OTHER_KINESIS) {
            Ok(address) => {
                let (stream, none) =
                    (format!("{STREAM}-{:016x}", rand::random::<u64>()), Subscriptions::new(Duration::ZERO));
                Self::make_stream(address, stream, shards, none).await
            }
            Err(_) => Self::start(shards).await,
        }
    }

    /// The same with the limits of the service: 1 000 records and 1 MiB per shard and second.
    pub async fn start_with_limits(shards: i32) -> Self {
        Self::start_with(shards, StoreOptions { enforce_limits: true, ..StoreOptions::default() }).await
    }

    /// The same, with iterators that live for a second.
    pub async fn start_forgetful(shards: i32) -> Self {
        Self::start_with(shards, StoreOptions { iterator_ttl_seconds: 1, ..StoreOptions::default() }).await
    }

    /// The same, with subscriptions that last so long in good order, of a service that takes the next one of a consumer
    /// after `again_after`.
    pub async fn start_to_subscribe(shards: i32, lasts: Duration, again_after: Duration) -> Self {
        let options = StoreOptions {
            subscribe_to_shard_session_ms: u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX),
            subscribe_to_shard_event_record_limit: 7,
            ..StoreOptions::default()
        };
        Self::start_as(shards, options, Subscriptions::new(again_after)).await
    }

    async fn start_with(shards: i32, options: StoreOptions) -> Self {
        Self::start_as(shards, options, Subscriptions::new(Duration::from_secs(5))).await
    }

    async fn start_as(shards: i32, options: StoreOptions, subscriptions: Subscriptions) -> Self {
        let options =
            StoreOptions { create_stream_ms: 1, delete_stream_ms: 1, update_stream_ms: 1, shard_limit: 100, ..options };
        let subscriptions_of_it = subscriptions.clone();
        let address = serve(|listener| async move {
            let (app, store) = ferrokinesis::create_app(options);
            let order = InOrder { puts: Arc::default(), subscriptions: subscriptions_of_it, store };
            let app = app.layer(middleware::from_fn_with_state(order, in_order));
            let _ = ferrokinesis::serve_plain_http(listener, app, std::future::pending()).await;
        });
        Self::make_stream(address.await, STREAM.to_owned(), shards, subscriptions).await
    }

    async fn make_stream(address: String, stream: String, shards: i32, subscriptions: Subscriptions) -> Self {
        let endpoints = Endpoints { kinesis: Some(address), ..Endpoints::default() };
        let aws = reach(endpoints.clone(), None).await;
        aws.kinesis().create_stream().stream_name(&stream).shard_count(shards).send().await.expect("a stream");
        let local = Self { endpoints, aws, stream, subscriptions, resharded: AtomicU64::new(0) };
        local.until_active().await;
        local
    }

    /// Name of its stream.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// Its address.
    pub fn endpoints(&self) -> Endpoints {
        self.endpoints.clone()
    }

    /// The log.
    pub async fn log(&self, settings: KinesisSettings, faults: Option<&Faults>) -> KinesisLog {
        let aws = reach(self.endpoints(), faults).await;
        let settings = KinesisSettings { stream: self.stream.clone(), ..settings };
        KinesisLog::open(aws.kinesis().config(), settings).await.unwrap_or_else(|e| panic!("failed to {e}"))
    }

    /// What is known of the subscriptions to it, and what they meet.
    pub fn subscriptions(&self) -> &Subscriptions {
        &self.subscriptions
    }

    /// Registers a consumer of the stream; it is active then.
    pub async fn register(&self, consumer: &str) {
        let client = self.client();
        let found = client.describe_stream_summary().stream_name(&self.stream).send().await.expect("a stream");
        let arn = found.stream_description_summary().expect("a summary").stream_arn().to_owned();
        client.register_stream_consumer().stream_arn(&arn).consumer_name(consumer).send().await.expect("a consumer");
        loop {
            let found = client.describe_stream_consumer().stream_arn(&arn).consumer_name(consumer).send().await;
            let found = found.expect("a consumer").consumer_description.expect("a description");
            if found.consumer_status.as_str() == "ACTIVE" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A client without faults.
    pub fn client(&self) -> aws_sdk_kinesis::Client {
        self.aws.kinesis()
    }

    /// The open shards, with the hash keys that each takes.
    pub async fn open_shards(&self) -> Vec<(ShardId, u128, u128)> {
        let found = self.client().list_shards().stream_name(&self.stream).send().await.expect("shards");
        let open = found.shards().iter().filter(|shard| {
            shard.sequence_number_range().is_some_and(|range| range.ending_sequence_number().is_none())
        });
        let key = |text: &str| text.parse::<u128>().expect("a hash key");
        let ranges = open.filter_map(|shard| {
            let range = shard.hash_key_range()?;
            Some((ShardId::new(shard.shard_id()), key(range.starting_hash_key()), key(range.ending_hash_key())))
        });
        ranges.collect()
    }

    /// Splits an open shard in the middle of its hash keys.
    pub async fn split(&self, shard: &ShardId) {
        self.until_next_second().await;
        let found = self.client().list_shards().stream_name(&self.stream).send().await.expect("shards");
        let found = found.shards().iter().find(|s| s.shard_id() == shard.as_str()).expect("the shard").clone();
        let range = found.hash_key_range().expect("a range");
        let key = |text: &str| text.parse::<u128>().expect("a hash key");
        let (first, last) = (key(range.starting_hash_key()), key(range.ending_hash_key()));
        let call = self.client().split_shard().stream_name(&self.stream).shard_to_split(shard.as_str());
        let call = call.new_starting_hash_key((first + (last - first) / 2 + 1).to_string());
        call.send().await.expect("a split");
        self.until_active().await;
        self.resharded.store(second(), Ordering::Relaxed);
    }

    /// Merges two open shards that lie side by side.
    pub async fn merge(&self, first: &ShardId, other: &ShardId) {
        self.until_next_second().await;
        let call = self.client().merge_shards().stream_name(&self.stream).shard_to_merge(first.as_str());
        call.adjacent_shard_to_merge(other.as_str()).send().await.expect("a merge");
        self.until_active().await;
        self.resharded.store(second(), Ordering::Relaxed);
    }

    /// Waits until the second of the last split or merge is over. The stand-in's numbers begin with the second in which
    /// their shard was made: of a shard that is split in its first second, a child's could be below its own. At the
    /// service a reshard takes longer than that.
    async fn until_next_second(&self) {
        while second() <= self.resharded.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn until_active(&self) {
        loop {
            let found =
                self.client().describe_stream_summary().stream_name(&self.stream).send().await.expect("a stream");
            let status = found.stream_description_summary().map(|s| s.stream_status().as_str().to_owned());
            if status.as_deref() == Some("ACTIVE") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// The clock's second.
fn second() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock behind 1970").as_secs()
}

#[derive(Clone)]
struct InOrder {
    puts: Arc<RwLock<()>>,
    subscriptions: Subscriptions,
    store: Store,
}

/// The stand-in gives a record its number first and keeps it a moment later. A reader that came in between would pass
/// over it for good, which the service does not let happen: there, what is behind a position that was read is higher.
async fn in_order(State(order): State<InOrder>, request: Request, next: Next) -> Response {
    let InOrder { puts, subscriptions, store } = order;
    let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    if target.ends_with(".GetRecords") || target.ends_with(".GetShardIterator") {
        let _reading = puts.read().await;
        next.run(request).await
    } else if target.ends_with(".SubscribeToShard") {
        let (head, body) = request.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        match subscriptions.decide(&body) {
            // Not by its own way: that forgets the sequence number to begin with, and begins with the oldest record.
            Ok(fate) => match execute_streaming(&store, serde_json::from_slice(&body).expect("JSON"), JSON).await {
                Ok(stream) => subscriptions.stream(stream, fate, puts),
                Err(_) => next.run(Request::from_parts(head, body.into())).await,
            },
            Err(code) => refused(code),
        }
    } else {
        let _writing = puts.write().await;
        next.run(request).await
    }
}

/// A client to which every stream says that it ignores partition keys.
pub fn switched_to_auto() -> SharedHttpClient {
    SharedHttpClient::new(Switched(https_client()))
}

#[derive(Debug)]
struct Switched(SharedHttpClient);

impl HttpClient for Switched {
    fn http_connector(&self, settings: &HttpConnectorSettings, parts: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(SwitchedConnector(self.0.http_connector(settings, parts)))
    }
}

#[derive(Clone, Debug)]
struct SwitchedConnector(SharedHttpConnector);

impl HttpConnector for SwitchedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let summary = request.headers().get("x-amz-target").is_some_and(|t| t.ends_with("DescribeStreamSummary"));
        let inner = self.0.clone();
        HttpConnectorFuture::new(async move {
            let mut answer = inner.call(request).await?;
            if summary {
                let body = answer.take_body().collect().await.expect("a body").to_bytes();
                let text = String::from_utf8(body.to_vec()).expect("text");
                let text =
                    text.replacen("\"StreamStatus\"", "\"RecordDistributionStrategy\":\"AUTO\",\"StreamStatus\"", 1);
                answer.headers_mut().remove("content-length");
                *answer.body_mut() = SdkBody::from(text);
            }
            Ok(answer)
        })
    }
}
