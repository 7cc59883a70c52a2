//! Workers over a stream whose shards split and merge.

use super::*;

/// A worker that begins with a child, without any lease and with an empty store, applies the parents' events first:
/// behind the child's they would be taken for seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_is_never_applied_before_its_ancestors() {
    const EVENTS: usize = 60;
    let kinesis = LocalKinesis::start(1).await;
    let log = Arc::new(kinesis.log(quick_log(), None).await);
    let source = SourceName::new("stripe").expect("a name");
    let provider = Arc::new(Provider::built_in("stripe").expect("built in"));
    let mut sources = Sources::default();
    sources.insert(&source, provider.clone());
    // The three events of a payment in three generations of shards.
    for part in 0..3 {
        for n in (0..EVENTS).filter(|n| n % 3 == part) {
            log.append(vec![record(&provider, &source, &Bytes::from(body(n)))]).await.expect("appended");
        }
        if part < 2 {
            let open = log.lineage().await.expect("shards").into_iter().filter(|shard| !shard.closed);
            for shard in open.collect::<Vec<_>>() {
                kinesis.split(&shard.id).await;
            }
        }
    }
    let shards = log.lineage().await.expect("shards");
    assert_eq!(shards.len(), 7);
    let store = Arc::new(MemoryStore::new());
    let settings = ApplySettings { wait: Duration::from_millis(20), ..ApplySettings::default() };
    let progress = Arc::new(Progress::default());
    let job = Arc::new(Applier::new(log.clone(), store.clone(), Arc::new(sources), settings, progress));
    let (stop, stopped) = watch::channel(false);
    let open: Vec<_> = shards.iter().filter(|shard| !shard.closed).map(|shard| shard.id.clone()).collect();
    let running: Vec<_> = open
        .iter()
        .map(|shard| {
            let (job, shard, stopped) = (job.clone(), shard.clone(), stopped.clone());
            tokio::spawn(async move { job.run(shard, stopped).await })
        })
        .collect();
    let began = Instant::now();
    for shard in &open {
        let tip = log.tip(shard).await.expect("a tip");
        while store.checkpoint(shard).await.expect("a checkpoint") != tip {
            assert!(began.elapsed() < Duration::from_secs(30), "{shard}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    stop.send(true).expect("they run");
    for job in running {
        assert_eq!(job.await.expect("no panic").expect("a good end"), End::Stopped);
    }
    let records = store.list(&EntityFilter::default(), None, 1000).await.expect("records");
    assert_eq!(records.iter().map(|record| record.entries.len()).sum::<usize>(), EVENTS);
    for shard in shards.iter().filter(|shard| shard.closed) {
        let at = store.checkpoint(&shard.id).await.expect("a checkpoint");
        assert_eq!(at, Some(SequenceNumber::shard_end()), "{}", shard.id);
    }
}

/// A stream that splits and merges, workers that die and one that is a zombie: every event is applied, and the
/// state is that of one worker alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_follow_a_stream_that_splits_and_merges() {
    const EVENTS: usize = 400;
    let (kinesis, dynamo) = (LocalKinesis::start(2).await, LocalDynamo::start().await);
    let leases = Arc::new(dynamo_leases(&dynamo, None).await);
    let log = Arc::new(kinesis.log(quick_log(), None).await);
    let store = Arc::new(MemoryStore::new());
    let source = SourceName::new("stripe").expect("a name");
    let provider = Arc::new(Provider::built_in("stripe").expect("built in"));
    let mut sources = Sources::default();
    sources.insert(&source, provider.clone());
    let sources = Arc::new(sources);
    let settings = ApplySettings {
        batch_records_max: 20,
        wait: Duration::from_millis(20),
        backoff: (Duration::from_millis(1), Duration::from_millis(20)),
        ..ApplySettings::default()
    };
    let job = |log: &Arc<KinesisLog>, store: &Arc<MemoryStore>| {
        Applier::new(log.clone(), store.clone(), sources.clone(), settings.clone(), Arc::new(Progress::default()))
    };
    let patient = |name: &str| LeaseSettings {
        lasts: Duration::from_secs(2),
        renew_every: Duration::from_millis(300),
        ..quick(name)
    };
    let mut workers: Vec<_> =
        (0..3).map(|n| start(&log, &leases, job(&log, &store), patient(&format!("w{n}")))).collect();
    let zombie_stop = watch::channel(false);

    let append = async |from: usize, to: usize| {
        for n in from..to {
            log.append(vec![record(&provider, &source, &Bytes::from(body(n)))]).await.expect("appended");
        }
    };
    append(0, 100).await;
    let open = async || -> Vec<ShardId> {
        let shards = log.lineage().await.expect("shards");
        let mut open: Vec<_> = shards.into_iter().filter(|shard| !shard.closed).collect();
        open.sort_by_key(|shard| shard.hash_range);
        open.into_iter().map(|shard| shard.id).collect()
    };
    kinesis.split(&open().await[0]).await;
    append(100, 200).await;
    // A worker stops, and a zombie works on a shard without a lease.
    let gone = workers.remove(0);
    gone.stop.send(true).expect("it runs");
    let zombie = tokio::spawn({
        let (zombie, shard, stop) = (job(&log, &store), open().await.remove(0), zombie_stop.1);
        async move { zombie.run(shard, stop).await }
    });
    let now = open().await;
    kinesis.merge(&now[1], &now[2]).await;
    append(200, 300).await;
    workers.push(start(&log, &leases, job(&log, &store), patient("w3")));
    kinesis.split(&open().await[1]).await;
    append(300, EVENTS).await;

    // Every closed shard is at its end, every open one at its tip.
    let began = Instant::now();
    loop {
        let shards = log.lineage().await.expect("shards");
        let held = leases.all().await.expect("leases");
        let mut left: BTreeMap<ShardId, String> = BTreeMap::new();
        for shard in &shards {
            let at = store.checkpoint(&shard.id).await.expect("a checkpoint");
            let wanted =
                if shard.closed { Some(SequenceNumber::shard_end()) } else { log.tip(&shard.id).await.expect("a tip") };
            let lease = held.iter().find(|lease| lease.shard == shard.id);
            let lease_ended = lease.is_some_and(|lease| lease.checkpoint.is_shard_end());
            if at != wanted || lease_ended != shard.closed {
                left.insert(shard.id.clone(), format!("at {at:?} of {wanted:?}, lease {lease:?}"));
            }
        }
        if left.is_empty() {
            assert_eq!(shards.len(), 7);
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "left: {left:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    until("no holes", || workers[0].board.holes().is_empty()).await;
    zombie_stop.0.send(true).expect("it runs");
    zombie.await.expect("no panic").expect("a good end");
    for worker in workers {
        worker.stop.send(true).expect("it runs");
        worker.task.await.expect("no panic").expect("a good end");
    }

    let alone = Arc::new(MemoryStore::new());
    let (one, one_log) = (Arc::new(MemoryLeases::new()), Arc::new(MemoryLog::new(1)));
    for n in 0..EVENTS {
        one_log.append(vec![record(&provider, &source, &Bytes::from(body(n)))]).await.expect("appended");
    }
    let worker = {
        let job = Applier::new(
            one_log.clone(),
            alone.clone(),
            sources.clone(),
            settings.clone(),
            Arc::new(Progress::default()),
        );
        start(&one_log, &one, job, quick("alone"))
    };
    let shard = one_log.shards().remove(0);
    while alone.checkpoint(&shard).await.expect("a checkpoint") != one_log.tip(&shard).await.expect("a tip") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(worker);
    let states = async |store: &MemoryStore| {
        let records = store.list(&EntityFilter::default(), None, usize::MAX).await.expect("records");
        records
            .into_iter()
            .map(|record| {
                let events: Vec<_> = record.entries.iter().map(|entry| entry.id.to_string()).collect();
                (record.key.clone(), (record.status().to_owned(), events))
            })
            .collect::<BTreeMap<_, _>>()
    };
    let (found, expected) = (states(&store).await, states(&alone).await);
    assert_eq!(found.values().map(|(_, events)| events.len()).sum::<usize>(), EVENTS, "each once");
    assert_eq!(found, expected);
}
