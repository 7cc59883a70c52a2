//! AWS in this process: stand-ins on loopback ports, reached by the real SDK over real sockets, and faults
//! between the two.

mod cloud;
mod dynamo;
mod fan_out;
mod faults;
mod flaky;
mod kinesis;
pub mod lambda;
pub mod outcome;
mod s3;
mod s3_server;
mod secrets;

use std::future::Future;
use std::time::Duration;

use ledgerline_adapters::aws::config::https_client;
use ledgerline_adapters::aws::{AwsConfig, AwsOptions, Endpoints, RetrySettings, Timeouts};
use tokio::net::TcpListener;

pub use cloud::LocalCloud;
pub use dynamo::LocalDynamo;
pub use fan_out::{StreamFault, Subscriptions};
pub use faults::{Fault, Faults};
pub use flaky::flaky;
pub use kinesis::{LocalKinesis, quick_log, switched_to_auto};
pub use s3::LocalS3;
pub use secrets::LocalSecrets;

/// Limits and pauses for a network that does not leave the machine.
pub fn quick_retries() -> RetrySettings {
    RetrySettings {
        pause_first: Duration::from_millis(1),
        pause_longest: Duration::from_millis(20),
        give_up_after: Duration::from_secs(30),
    }
}

/// Patience that ends soon.
pub fn short_retries() -> RetrySettings {
    RetrySettings { give_up_after: Duration::from_millis(60), ..quick_retries() }
}

/// How the stand-ins are reached.
pub async fn reach(endpoints: Endpoints, faults: Option<&Faults>) -> AwsConfig {
    let second = Duration::from_secs(1);
    let options = AwsOptions {
        region: Some("eu-central-1".into()),
        endpoints,
        timeouts: Timeouts { connect: second * 5, attempt: second * 20, operation: second * 20 },
        local: true,
    };
    reach_with(options, faults).await
}

/// The same with options of one's own.
pub async fn reach_with(options: AwsOptions, faults: Option<&Faults>) -> AwsConfig {
    let http = match faults {
        Some(faults) => faults.between(https_client()),
        None => https_client(),
    };
    AwsConfig::load_with(&options, http).await.expect("a region")
}

/// Serves on a free loopback port until the test's runtime ends; gives the address.
async fn serve<F: Future<Output = ()> + Send + 'static>(server: impl FnOnce(TcpListener) -> F) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
    let address = format!("http://{}", listener.local_addr().expect("its address"));
    tokio::spawn(server(listener));
    address
}
