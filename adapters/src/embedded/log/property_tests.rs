//! The log against a model, and against any damage of its file.

use ledgerline_domain::ErrorKind;
use proptest::prelude::*;

use super::tests::{ALL, append, edit, frames, open, read_all, record, small};
use super::*;

/// What a test does to a log.
#[derive(Clone, Debug)]
enum Step {
    Append(Vec<(usize, usize)>),
    Read(u32, usize, usize),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => prop::collection::vec((0..20_usize, 0..3000_usize), 1..12).prop_map(Step::Append),
        6 => (0..3_u32, 1..20_usize, 1..9000_usize).prop_map(|(s, r, b)| Step::Read(s, r, b)),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Readers that go on where they stopped, through memory, files and restarts, see exactly what
    /// was appended, and `behind` is exact.
    #[test]
    fn reads_what_was_appended(steps in steps(), tail in prop_oneof![Just(0_usize), Just(5000), Just(1_000_000)]) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let options = || LogOptions { tail_bytes_max: tail, ..small() };
            let mut log = open(dir.path(), 3, options()).unwrap();
            let mut model: Vec<Vec<(SequenceNumber, Bytes)>> = vec![Vec::new(); 3];
            let mut readers: Vec<usize> = vec![0; 3];
            for (n, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Append(sizes) => {
                        let data = |size: usize| Bytes::from(vec![n as u8 ^ size as u8; size]);
                        let records: Vec<_> = sizes.iter().map(|(id, size)| record(*id, data(*size))).collect();
                        for (place, record) in log.append(records.clone()).await.unwrap().into_iter().zip(records) {
                            let shard = log.shards().iter().position(|s| *s == place.shard).unwrap();
                            model[shard].push((place.sequence, record.data));
                        }
                    }
                    Step::Read(shard, records_max, bytes_max) => {
                        let (all, at) = (&model[shard as usize], &mut readers[shard as usize]);
                        let after = at.checked_sub(1).map(|last| all[last].0.clone());
                        let limit = ReadLimit { records_max, bytes_max, ..ALL };
                        let batch = log.read(&ShardId::numbered(shard), after.as_ref(), limit).await.unwrap();
                        let given: Vec<_> = batch.records.into_iter().map(|r| (r.sequence, r.value)).collect();
                        assert_eq!(given.is_empty(), *at == all.len());
                        assert_eq!(given, all[*at..*at + given.len()]);
                        assert!(given.len() <= records_max);
                        assert!(given.len() <= 1 || given.iter().map(|g| g.1.len()).sum::<usize>() <= bytes_max);
                        *at += given.len();
                        assert_eq!(batch.behind, (all.len() - *at) as u64);
                    }
                    Step::Reopen => {
                        drop(log);
                        log = open(dir.path(), 3, options()).unwrap();
                    }
                }
            }
            for (shard, all) in (0..).zip(&model) {
                let tip = log.tip(&ShardId::numbered(shard)).await.unwrap();
                assert_eq!(tip.as_ref(), all.last().map(|last| &last.0));
                assert_eq!(read_all(&log, shard, ALL).await.len(), all.len());
            }
        });
    }

    /// Whatever happened to the file, what is read is a beginning of what was written, or the log
    /// says that it is damaged.
    #[test]
    fn never_invents_a_record(
        batches in prop::collection::vec(prop::collection::vec(0..400_usize, 1..5), 1..8),
        edits in prop::collection::vec((0.0..1.0_f64, 1..600_usize, prop_oneof![Just(0_u8), any::<u8>()]), 1..4),
        cut in prop::option::of(0.0..1.0_f64),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let log = open(dir.path(), 1, small()).unwrap();
            let mut written = Vec::new();
            for batch in batches {
                let data = |size: usize| Bytes::from((0..size).map(|n| (n * 31 + size) as u8).collect::<Vec<_>>());
                let records: Vec<_> = batch.into_iter().map(|size| record(1, data(size))).collect();
                written.extend(records.iter().map(|r| r.data.clone()));
                log.append(records).await.unwrap();
            }
            drop(log);
            let used = frames(dir.path()).last().map(|(at, frame)| at + frame.bytes()).unwrap();
            edit(dir.path(), |bytes| {
                let place = |share: f64| segment::HEADER_BYTES + ((used - segment::HEADER_BYTES) as f64 * share) as usize;
                for (share, length, fill) in edits {
                    bytes[place(share)..place(share) + length].fill(fill);
                }
                if let Some(share) = cut {
                    bytes.truncate(place(share));
                }
            });
            match open(dir.path(), 1, small()) {
                Ok(log) => {
                    let found: Vec<_> = read_all(&log, 0, ALL).await.into_iter().map(|(_, data)| data).collect();
                    assert_eq!(found, written[..found.len()]);
                    append(&log, "goes on").await;
                    drop(log);
                    let log = open(dir.path(), 1, small()).unwrap();
                    assert_eq!(read_all(&log, 0, ALL).await.len(), found.len() + 1);
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Data),
            }
        });
    }
}
