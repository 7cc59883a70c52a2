//! Every adapter through one suite: what holds for the reference in memory holds on disk and on AWS.
//!
//! AWS is in this process, unless `LEDGERLINE_TEST_DYNAMODB` and `LEDGERLINE_TEST_S3` name other addresses (the bucket
//! is `archive`, the credentials are `local` and `local`): an independent opinion.

#![expect(clippy::expect_used, reason = "without a data directory there is no test")]

use std::sync::Arc;
use std::time::Duration;

use ledgerline_adapters::aws::dynamo::{DynamoControl, DynamoStore};
use ledgerline_adapters::aws::s3::S3Archive;
use ledgerline_adapters::embedded::{Embedded, EmbeddedOptions, LogOptions};
use ledgerline_adapters::memory::{MemoryArchive, MemoryLog, MemoryStore};
use ledgerline_tests::aws::{Faults, LocalDynamo, LocalS3, quick_retries};
use ledgerline_tests::conformance as suite;

/// Small segments and hardly any tail in memory: reads go through the files.
async fn embedded(dir: &tempfile::TempDir) -> Embedded {
    let log = LogOptions { segment_bytes: 64 * 1024, tail_bytes_max: 256, ..LogOptions::default() };
    Embedded::open(dir.path(), EmbeddedOptions { shards: Some(3), log }).await.expect("a data directory")
}

/// A store of its own on DynamoDB.
async fn dynamo(faults: &Faults) -> DynamoStore {
    LocalDynamo::start().await.store(Some(faults), quick_retries()).await
}

/// Generations of its own on DynamoDB.
async fn dynamo_control(faults: &Faults) -> DynamoControl {
    LocalDynamo::start().await.control(Some(faults), quick_retries()).await
}

/// A bucket of its own on S3.
async fn s3(faults: &Faults) -> S3Archive {
    LocalS3::start_or_other(Duration::from_millis(2)).await.archive(Some(faults), quick_retries()).await
}

/// A bucket in this process, whatever the environment names. SeaweedFS looks before it completes an upload, instead of
/// deciding it in one step, so several creators of a long object can be first there; and its lists go folder by
/// folder, not in byte order.
async fn s3_in_this_process(faults: &Faults) -> S3Archive {
    LocalS3::start(Duration::from_millis(2)).await.archive(Some(faults), quick_retries()).await
}

macro_rules! conforms {
    ($port:ident, $memory:expr, $($test:ident),+) => {
        mod $port {
            use super::*;
            $(
                mod $test {
                    use super::*;

                    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                    async fn in_memory() {
                        suite::$test(&Arc::new($memory)).await;
                    }

                    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                    async fn embedded_in_one_machine() {
                        let dir = tempfile::tempdir().expect("a directory");
                        let data = embedded(&dir).await;
                        suite::$test(&data.$port).await;
                    }
                }
            )+
        }
    };
}

/// What memory has no use for.
macro_rules! conforms_on_one_machine {
    ($port:ident, $($test:ident),+) => {
        mod $port {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let dir = tempfile::tempdir().expect("a directory");
                    let data = embedded(&dir).await;
                    suite::$test(&Arc::new(data.$port)).await;
                }
            )+
        }
    };
}

/// On AWS, with so many of a hundred calls hit by a fault.
macro_rules! conforms_on_aws {
    ($name:ident, $service:ident, $faults:expr, $($test:ident),+) => {
        mod $name {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    for seed in 1..=if $faults > 0 { 2 } else { 1 } {
                        let faults = Faults::by_chance(seed, $faults);
                        suite::$test(&Arc::new($service(&faults).await)).await;
                        assert_eq!(faults.all_hits() > 0, $faults > 0);
                    }
                }
            )+
        }
    };
}

conforms!(log, MemoryLog::new(3), log_keeps_order_per_key, log_reads_after_a_position, log_wakes_readers, log_releases);
conforms!(
    store,
    MemoryStore::new(),
    store_gives_back_what_was_committed,
    store_conflicts_lose_nothing,
    store_commits_whole_batches,
    store_revisions_are_won_once,
    store_checkpoints_never_move_back,
    store_lists_by_filter,
    store_gives_all_records,
    store_quarantines
);
conforms!(
    archive,
    MemoryArchive::new(),
    archive_creates_once,
    archive_lists_and_replaces,
    archive_exchanges_what_is_known,
    archive_lists_hours,
    archive_keeps_long_objects,
    archive_creates_long_objects_once
);

conforms_on_aws!(
    dynamodb,
    dynamo,
    0,
    store_gives_back_what_was_committed,
    store_conflicts_lose_nothing,
    store_revisions_are_won_once,
    store_checkpoints_never_move_back,
    store_lists_by_filter,
    store_gives_all_records,
    store_quarantines
);
conforms_on_aws!(
    dynamodb_with_faults,
    dynamo,
    25,
    store_gives_back_what_was_committed,
    store_conflicts_lose_nothing,
    store_revisions_are_never_lost,
    store_checkpoints_never_move_back,
    store_lists_by_filter,
    store_gives_all_records,
    store_quarantines
);
conforms_on_aws!(s3_bucket, s3, 0, archive_creates_once, archive_lists_hours, archive_keeps_long_objects);
conforms_on_aws!(s3_bucket_with_faults, s3, 25, archive_creates_once, archive_lists_hours, archive_keeps_long_objects);
conforms_on_aws!(
    s3_strict,
    s3_in_this_process,
    0,
    archive_lists_and_replaces,
    archive_exchanges_what_is_known,
    archive_creates_long_objects_once
);
conforms_on_aws!(
    s3_strict_with_faults,
    s3_in_this_process,
    25,
    archive_lists_and_replaces,
    archive_exchanges_what_is_known,
    archive_creates_long_objects_once
);

conforms_on_one_machine!(
    control,
    generations_come_and_go,
    provider_files_are_kept_verbatim,
    racing_changes_leave_one_live
);
conforms_on_aws!(
    control_on_dynamodb,
    dynamo_control,
    0,
    generations_come_and_go,
    provider_files_are_kept_verbatim,
    racing_changes_leave_one_live
);
conforms_on_aws!(
    control_on_dynamodb_with_faults,
    dynamo_control,
    25,
    generations_come_and_go,
    provider_files_are_kept_verbatim,
    racing_changes_leave_one_live
);
