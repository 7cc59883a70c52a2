//! A shard has one subscription of a consumer. Who reads it goes from worker to worker, and other readers look too.

use super::*;

async fn warm(reader: &mut Reader, log: &KinesisLog) {
    let before = log.counts().subscription_events;
    let began = Instant::now();
    while log.counts().subscription_events == before {
        reader.read(log, 0).await;
        assert!(began.elapsed() < Duration::from_secs(20), "it comes on: {:?}", log.counts());
    }
}

async fn until(what: &str, done: impl Fn() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(10), "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_worker_takes_over_from_one_that_reads_no_more() {
    let local = start(1).await;
    let (log, first) = both(&local, quick_fan_out()).await;
    let (_, second) = both(&local, quick_fan_out()).await;
    let mut reader = Reader::of(log.shards().remove(0));
    write(&log, 2, 10, Duration::ZERO).await;
    reader.until(&first, 20).await;
    warm(&mut reader, &first).await;
    // The lease is lost: the second one goes on from what was committed, and the first reads no more.
    let writing = tokio::spawn(async move {
        for n in 10..60 {
            log.append(vec![record(0, n), record(1, n)]).await.expect("appended");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    warm(&mut reader, &second).await;
    until("the first one's ends", || first.counts().subscriptions_ended == first.counts().subscriptions).await;
    reader.until(&second, 120).await;
    writing.await.expect("the writer");
    assert_all(std::mem::take(&mut reader.got), 2, 60);
    tokio::time::sleep(Duration::from_millis(500)).await;
    reader.read(&second, 0).await;
    assert_eq!(first.counts().subscriptions, 1, "it does not come back");
    assert_eq!(local.subscriptions().open(), 1);
    assert_eq!((second.counts().subscriptions, second.counts().subscriptions_ended), (1, 0), "not disturbed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_nobody_reads_ends_soon() {
    let local = start(1).await;
    let mut settings = quick_fan_out();
    settings.fan_out.unasked_max = Duration::from_millis(300);
    let (log, fanned) = both(&local, settings).await;
    let mut reader = Reader::of(log.shards().remove(0));
    warm(&mut reader, &fanned).await;
    assert_eq!(local.subscriptions().open(), 1);
    until("the service sees the end", || local.subscriptions().open() == 0).await;
    assert_eq!(fanned.counts().subscriptions_ended, 1);
    // And when the reader comes back, all that came meanwhile is there.
    write(&log, 1, 50, Duration::ZERO).await;
    warm(&mut reader, &fanned).await;
    reader.until(&fanned, 50).await;
    assert_all(reader.got, 1, 50);
    // One that is dropped ends at once.
    drop(fanned);
    until("the service sees the end", || local.subscriptions().open() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_reader_of_the_shard_polls() {
    let local = start(1).await;
    let (log, fanned) = both(&local, quick_fan_out()).await;
    let shard = log.shards().remove(0);
    write(&log, 1, 100, Duration::ZERO).await;
    let mut reader = Reader::of(shard.clone());
    reader.until(&fanned, 100).await;
    warm(&mut reader, &fanned).await;
    // Through the same consumer, from the start, and through none: a look from somewhere, and the tip.
    let mut other = Reader::of(shard.clone());
    while other.got.len() < 100 {
        other.read(&fanned, 0).await;
        reader.read(&fanned, 0).await;
    }
    assert_all(other.got, 1, 100);
    let mut plain = Reader::of(shard.clone());
    plain.until(&log, 100).await;
    assert_eq!(fanned.tip(&shard).await.expect("a tip"), reader.after);
    let counts = fanned.counts();
    assert_eq!((counts.subscriptions, counts.subscriptions_ended), (1, 0), "nobody fights for it: {counts:?}");
}

/// A worker that was stopped, and does not know yet that its lease is gone, reads on beside the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_at_once_both_get_everything() {
    let local = start(1).await;
    let (log, first) = both(&local, quick_fan_out()).await;
    let (_, second) = both(&local, quick_fan_out()).await;
    let shard = log.shards().remove(0);
    let writing = tokio::spawn(async move { write(&log, 2, 100, Duration::from_millis(15)).await });
    let readers: Vec<_> = [first, second]
        .into_iter()
        .map(|log| {
            let mut reader = Reader::of(shard.clone());
            tokio::spawn(async move {
                reader.until(&log, 200).await;
                (reader.got, log)
            })
        })
        .collect();
    for reader in readers {
        let (got, log) = reader.await.expect("a reader");
        assert_all(got, 2, 100);
        assert!(log.counts().subscriptions > 0);
    }
    writing.await.expect("the writer");
}
