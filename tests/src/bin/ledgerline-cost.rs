//! `ledgerline cost` against the services of this package, in its own process: no account, no network.
//!
//! `cargo run -p ledgerline-tests --bin ledgerline-cost -- --events 30000`

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use ledgerline::commands::cost::route::Places;
use ledgerline::commands::cost::{CostLoad, run_at};
use ledgerline::output::Output;
use ledgerline_adapters::aws::Endpoints;
use ledgerline_adapters::aws::kinesis::KinesisSettings;
use ledgerline_tests::aws::{LocalDynamo, LocalKinesis, LocalS3, quick_log, reach};

/// The load, and how many shards the stream has.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    load: CostLoad,
    /// Shards of the stream
    #[arg(long, default_value_t = 1)]
    shards: i32,
}

fn main() -> ExitCode {
    let Arguments { load, shards } = Arguments::parse();
    ledgerline::telemetry::log(None, "warn").expect("a log");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let outcome = runtime.block_on(async {
        let (kinesis, dynamo) = (LocalKinesis::start(shards).await, LocalDynamo::start().await);
        let s3 = LocalS3::start(Duration::ZERO).await;
        let endpoints = Endpoints {
            kinesis: kinesis.endpoints().kinesis,
            dynamodb: dynamo.endpoints().dynamodb,
            s3: s3.endpoints().s3,
            secrets_manager: None,
        };
        let aws = reach(endpoints, None).await;
        // The service's own pace of reading; sizes as the stand-in takes them.
        let local = quick_log();
        let stream = KinesisSettings {
            request_bytes_max: local.request_bytes_max,
            record_bytes_max: local.record_bytes_max,
            ..KinesisSettings::new(&local.stream)
        };
        let places =
            Places { stream, tables: "ledgerline-cost".into(), bucket: "archive".into(), prefix: "cost".into() };
        run_at(&aws, &places, &load, &mut Output::stdout()).await
    });
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("ledgerline-cost: failed to {failure}");
            failure.exit.into()
        }
    }
}
