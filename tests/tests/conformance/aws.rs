//! The adapters for AWS. It is in this process, unless `LEDGERLINE_TEST_DYNAMODB` and `LEDGERLINE_TEST_S3` name other
//! addresses (the bucket is `archive`, the credentials are `local` and `local`): an independent opinion.

use std::sync::Arc;
use std::time::Duration;

use ledgerline_adapters::aws::dynamo::{DynamoControl, DynamoStore};
use ledgerline_adapters::aws::s3::S3Archive;
use ledgerline_tests::aws::{Faults, LocalDynamo, LocalS3, quick_retries};
use ledgerline_tests::conformance as suite;

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
    store_keeps_long_histories,
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
    store_keeps_long_histories,
    store_quarantines
);
conforms_on_aws!(
    s3_bucket,
    s3,
    0,
    archive_creates_once,
    archive_lists_hours,
    archive_gives_parts,
    archive_keeps_long_objects
);
conforms_on_aws!(
    s3_bucket_with_faults,
    s3,
    25,
    archive_creates_once,
    archive_lists_hours,
    archive_gives_parts,
    archive_keeps_long_objects
);
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
