//! Every adapter through one suite: what holds for the reference in memory holds on disk and on AWS.

#![expect(clippy::expect_used, reason = "without a data directory there is no test")]

#[cfg(feature = "aws")]
mod aws;

use std::sync::Arc;

use ledgerline_adapters::embedded::{Embedded, EmbeddedOptions, LogOptions};
use ledgerline_adapters::memory::{MemoryArchive, MemoryLog, MemoryStore};
use ledgerline_tests::conformance as suite;

/// Small segments and hardly any tail in memory: reads go through the files.
async fn embedded(dir: &tempfile::TempDir) -> Embedded {
    let log = LogOptions { segment_bytes: 64 * 1024, tail_bytes_max: 256, ..LogOptions::default() };
    Embedded::open(dir.path(), EmbeddedOptions { shards: Some(3), log }).await.expect("a data directory")
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
    store_keeps_long_histories,
    store_quarantines
);
conforms!(
    archive,
    MemoryArchive::new(),
    archive_creates_once,
    archive_lists_and_replaces,
    archive_exchanges_what_is_known,
    archive_lists_hours,
    archive_gives_parts,
    archive_keeps_long_objects,
    archive_creates_long_objects_once
);

conforms_on_one_machine!(
    control,
    generations_come_and_go,
    provider_files_are_kept_verbatim,
    racing_changes_leave_one_live
);
