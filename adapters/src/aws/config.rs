//! One way to reach AWS: region, credentials, endpoints, HTTP client and time limits for all services.
//!
//! - Credentials come from the SDK's own chain (environment, profile, container, instance), or are given for
//!   services on this machine.
//! - TLS is rustls with ring, with the machine's root certificates.
//! - The SDK's retries are off: the adapters repeat calls themselves, since only they know what a call that
//!   may have been done means.
//! - Every call has a limit for the connection, for one attempt, and for all of the operation. (The SDK's own
//!   default has none but for the connection.)

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use ledgerline_domain::{Error, Result};

use super::Meter;
pub use super::apart::subscriptions_apart;

/// How AWS is reached. Plain data.
#[derive(Clone, Debug, Default)]
pub struct AwsOptions {
    /// The region; the SDK's chain decides when nothing is said.
    pub region: Option<String>,
    /// Other addresses than AWS's.
    pub endpoints: Endpoints,
    /// Limits of every call.
    pub timeouts: Timeouts,
    /// Takes made-up credentials instead of looking for real ones: for services on this machine. Their access key id is
    /// what `AWS_ACCESS_KEY_ID` says, where it is set, so that such a service can tell processes apart.
    pub local: bool,
}

/// Addresses of the services, such as `http://127.0.0.1:8000`; AWS's own where there is none.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    /// DynamoDB.
    pub dynamodb: Option<String>,
    /// Kinesis.
    pub kinesis: Option<String>,
    /// S3; buckets then stand in the path, not in the name of the host.
    pub s3: Option<String>,
    /// Secrets Manager.
    pub secrets_manager: Option<String>,
}

/// Longest times of one call.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Until a connection stands.
    pub connect: Duration,
    /// One attempt, up to the head of the answer.
    pub attempt: Duration,
    /// The whole operation, credentials included.
    pub operation: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(2), attempt: Duration::from_secs(10), operation: Duration::from_secs(15) }
    }
}

/// AWS as it was found: gives clients of its services. Clones share connections, credentials and meter.
#[derive(Clone, Debug)]
pub struct AwsConfig {
    shared: SdkConfig,
    endpoints: Endpoints,
    meter: Meter,
}

impl AwsConfig {
    /// Finds region and credentials. [`Invalid`](ledgerline_domain::ErrorKind::Invalid) without a region.
    pub async fn load(options: &AwsOptions) -> Result<Self> {
        Self::load_with(options, https_client()).await
    }

    /// The same over another HTTP client: for tests that break connections.
    pub async fn load_with(options: &AwsOptions, http: SharedHttpClient) -> Result<Self> {
        let Timeouts { connect, attempt, operation } = options.timeouts;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(connect)
            .read_timeout(attempt)
            .operation_attempt_timeout(attempt)
            .operation_timeout(operation)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts);
        if let Some(region) = &options.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if options.local {
            loader = loader.credentials_provider(SharedCredentialsProvider::new(made_up()));
        }
        let shared = loader.load().await;
        if shared.region().is_none() {
            return Err(Error::invalid("find the AWS region: set AWS_REGION, such as AWS_REGION=eu-central-1"));
        }
        Ok(Self { shared, endpoints: options.endpoints.clone(), meter: Meter::default() })
    }

    /// Where it looks, for messages.
    pub fn region(&self) -> &str {
        self.shared.region().map_or("", |region| region.as_ref())
    }

    /// What counts the calls of all its clients.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// A client of DynamoDB.
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        let mut config = aws_sdk_dynamodb::config::Builder::from(&self.shared).interceptor(self.meter.clone());
        if let Some(endpoint) = &self.endpoints.dynamodb {
            config = config.endpoint_url(endpoint);
        }
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }

    /// A client of S3.
    pub fn s3(&self) -> aws_sdk_s3::Client {
        let mut config = aws_sdk_s3::config::Builder::from(&self.shared).interceptor(self.meter.clone());
        if let Some(endpoint) = &self.endpoints.s3 {
            config = config.endpoint_url(endpoint).force_path_style(true);
        }
        aws_sdk_s3::Client::from_conf(config.build())
    }

    /// A client of Kinesis.
    pub fn kinesis(&self) -> aws_sdk_kinesis::Client {
        let mut config = aws_sdk_kinesis::config::Builder::from(&self.shared).interceptor(self.meter.clone());
        if let Some(endpoint) = &self.endpoints.kinesis {
            config = config.endpoint_url(endpoint);
        }
        aws_sdk_kinesis::Client::from_conf(config.build())
    }

    /// A client of Secrets Manager.
    pub fn secrets_manager(&self) -> aws_sdk_secretsmanager::Client {
        let mut config = aws_sdk_secretsmanager::config::Builder::from(&self.shared).interceptor(self.meter.clone());
        if let Some(endpoint) = &self.endpoints.secrets_manager {
            config = config.endpoint_url(endpoint);
        }
        aws_sdk_secretsmanager::Client::from_conf(config.build())
    }
}

/// The credentials of `local`. The secret is never a real one, whatever the environment holds.
fn made_up() -> Credentials {
    let id = std::env::var("AWS_ACCESS_KEY_ID").ok().filter(|id| !id.is_empty());
    Credentials::new(id.unwrap_or_else(|| "local".to_owned()), "local", None, None, "local")
}

/// HTTPS by rustls with ring; subscriptions have connections of their own.
pub fn https_client() -> SharedHttpClient {
    subscriptions_apart(one_https_client)
}

fn one_https_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}
