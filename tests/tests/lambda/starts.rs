//! Starts that fail, and batches that cannot be done: who is told what.

use aws_sdk_kinesis::primitives::Blob;
use ledgerline_domain::ports::Entities as _;
use ledgerline_tests::aws::lambda::{Function, Instance};
use ledgerline_tests::aws::{LocalCloud, quick_retries};
use serde_json::json;

use crate::PROGRAM;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_fails_says_why() {
    let cloud = LocalCloud::start(1).await;
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("log");
    let good = cloud.settings_text("127.0.0.1:1");
    let hydrated = good.replacen("[\"file:secret\"]\n", "[\"file:secret\"]\nhydrate = \"file:key\"\n", 1);
    for (settings, fix) in [
        ("listen = \"127.0.0.1:1\"".to_owned(), "LEDGERLINE_SETTINGS"),
        ("nonsense = 1".to_owned(), "nonsense"),
        (hydrated, "serve --role processor"),
        (good.replace("stream = \"events\"", "stream = \"other\""), "stream other"),
    ] {
        let report = Instance::start(PROGRAM, &settings, &log).await.err().expect("it does not start");
        assert_eq!(report["errorType"], "Ledgerline.Init");
        let message = report["errorMessage"].as_str().expect("a message");
        assert!(message.starts_with("failed to ") && message.contains(fix), "{message}");
    }
    let ended = std::process::Command::new(PROGRAM).arg("lambda").output().expect("it runs");
    let text = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.code() == Some(2) && text.contains("AWS_LAMBDA_RUNTIME_API"), "{text}");
}

/// A record that is none of this program's holds its shard, as it does with every processor, and is told without its
/// body. A batch of another stream is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_done_is_told_without_bodies() {
    let cloud = LocalCloud::start(1).await;
    let dir = tempfile::tempdir().expect("a directory");
    let function = Function::new(PROGRAM, cloud.settings_text("127.0.0.1:1"), dir.path());
    // As the Kinesis Producer Library packs several records into one.
    let aggregated = Blob::new([&[0xF3, 0x89, 0x9A, 0xC2][..], b"card 4242424242424242"].concat());
    let put =
        cloud.kinesis.client().put_record().stream_name(cloud.kinesis.stream()).partition_key("a").data(aggregated);
    let put = put.send().await.expect("put");
    let event = |stream: &str| {
        let record = json!({
            "kinesis": { "sequenceNumber": put.sequence_number, "partitionKey": "a", "data": "eA==" },
            "eventID": format!("{}:{}", put.shard_id, put.sequence_number),
            "eventSourceARN": format!("arn:aws:kinesis:eu-central-1:000000000000:stream/{stream}"),
        });
        json!({ "Records": [record] }).to_string()
    };
    let why = function.invoke(event("events")).await.expect_err("it cannot be read");
    assert!(why.contains("Ledgerline.Data") && why.contains(&put.sequence_number), "{why}");
    let why = function.invoke(event("other")).await.expect_err("another stream's");
    assert!(why.contains("Ledgerline.Invalid") && why.contains("stream/other"), "{why}");
    let answer = function.invoke(r#"{"Records":[]}"#.to_owned()).await.expect("nothing to do");
    assert_eq!(answer, json!({ "batchItemFailures": [] }));
    assert!(!function.log().contains("4242"), "no body is logged");
    let store = cloud.dynamo.store(None, quick_retries()).await;
    let shard = ledgerline_domain::ids::ShardId::new(put.shard_id);
    assert_eq!(store.checkpoint(&shard).await.expect("a checkpoint"), None);
}
