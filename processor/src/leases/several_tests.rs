use std::sync::atomic::{AtomicUsize, Ordering};

use ledgerline_domain::ids::SequenceNumber;

use super::*;

/// Ends or fails when it is told to, or when it is stopped.
struct Scripted {
    tell: watch::Sender<Option<std::result::Result<End, &'static str>>>,
    begun: AtomicUsize,
    at_work: AtomicUsize,
    progress: u64,
}

impl Scripted {
    fn new(progress: u64) -> Arc<Self> {
        let tell = watch::Sender::new(None);
        Arc::new(Self { tell, begun: AtomicUsize::new(0), at_work: AtomicUsize::new(0), progress })
    }

    fn tell(&self, what: std::result::Result<End, &'static str>) {
        self.tell.send_replace(Some(what));
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    fn at_work(&self) -> usize {
        self.at_work.load(Ordering::SeqCst)
    }
}

impl ShardJob for Scripted {
    async fn run(&self, _: ShardId, mut stop: watch::Receiver<bool>) -> Result<End> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.at_work.fetch_add(1, Ordering::SeqCst);
        let mut told = self.tell.subscribe();
        let end = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => Ok(End::Stopped),
            told = told.wait_for(Option::is_some) => match told.unwrap().unwrap() {
                Ok(end) => Ok(end),
                Err("panic") => panic!("on demand"),
                Err(text) => Err(Error::data(text)),
            },
        };
        self.at_work.fetch_sub(1, Ordering::SeqCst);
        end
    }

    fn progress(&self, _: &ShardId) -> Option<Checkpoint> {
        Some(Checkpoint::At(SequenceNumber::from_u64(self.progress)))
    }
}

fn set(lead: u32, jobs: &[(u32, &Arc<Scripted>)]) -> Arc<JobSet<u32, Scripted>> {
    Arc::new(JobSet { lead, jobs: jobs.iter().map(|(name, job)| (*name, (*job).clone())).collect() })
}

async fn until(mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

struct World {
    sets: watch::Sender<Arc<JobSet<u32, Scripted>>>,
    several: Arc<Several<u32, Scripted>>,
    stop: watch::Sender<bool>,
    run: tokio::task::JoinHandle<Result<End>>,
}

fn begin(first: Arc<JobSet<u32, Scripted>>, rest: Duration) -> World {
    let (sets, set) = watch::channel(first);
    let several = Arc::new(Several::new(set, rest));
    let (stop, stopped) = watch::channel(false);
    let run = tokio::spawn({
        let several = several.clone();
        async move { several.run(ShardId::numbered(0), stopped).await }
    });
    World { sets, several, stop, run }
}

const SHORT: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn the_set_changes_while_the_shard_is_held() {
    let (one, two, three) = (Scripted::new(1), Scripted::new(2), Scripted::new(3));
    let world = begin(set(1, &[(1, &one)]), LONG);
    until(|| one.at_work() == 1).await;
    world.sets.send_replace(set(1, &[(1, &one), (2, &two)]));
    until(|| two.at_work() == 1).await;
    assert_eq!(world.several.progress(&ShardId::numbered(0)), one.progress(&ShardId::numbered(0)));
    world.sets.send_replace(set(2, &[(2, &two), (3, &three)]));
    until(|| one.at_work() == 0 && three.at_work() == 1).await;
    assert_eq!(world.several.progress(&ShardId::numbered(0)), two.progress(&ShardId::numbered(0)));
    // Another job under the name of one that is there.
    let other = Scripted::new(4);
    world.sets.send_replace(set(2, &[(2, &two), (3, &other)]));
    until(|| three.at_work() == 0 && other.at_work() == 1).await;
    assert_eq!((one.begun(), two.begun(), three.begun()), (1, 1, 1), "the others did not notice");
    world.stop.send_replace(true);
    assert_eq!(world.run.await.unwrap().unwrap(), End::Stopped);
    assert_eq!((two.at_work(), other.at_work()), (0, 0));
}

#[tokio::test]
async fn a_failure_of_one_that_does_not_lead_ends_nobody_else() {
    for failure in ["on demand", "panic"] {
        let (lead, other) = (Scripted::new(1), Scripted::new(2));
        let world = begin(set(1, &[(1, &lead), (2, &other)]), SHORT);
        until(|| other.at_work() == 1).await;
        other.tell(Err(failure));
        until(|| other.begun() > 2).await;
        assert_eq!((lead.at_work(), lead.begun()), (1, 1));
        other.tell.send_replace(None);
        let begun = other.begun();
        until(|| other.begun() > begun || other.tell.receiver_count() > 0).await;
        // It leads now, and its failure is the end.
        world.sets.send_replace(set(2, &[(1, &lead), (2, &other)]));
        tokio::time::sleep(SHORT * 4).await;
        assert!(!world.run.is_finished());
        other.tell(Err(failure));
        assert!(world.run.await.unwrap().is_err());
        assert_eq!(lead.at_work(), 0, "stopped");
    }
}

#[tokio::test]
async fn one_that_is_made_the_lead_rests_no_longer() {
    let (lead, other) = (Scripted::new(1), Scripted::new(2));
    let world = begin(set(1, &[(1, &lead), (2, &other)]), LONG);
    until(|| other.at_work() == 1).await;
    other.tell(Err("on demand"));
    until(|| other.at_work() == 0).await;
    other.tell.send_replace(None);
    tokio::time::sleep(SHORT).await;
    assert_eq!(other.begun(), 1, "it rests");
    world.sets.send_replace(set(2, &[(1, &lead), (2, &other)]));
    until(|| other.begun() == 2).await;
}

#[tokio::test]
async fn the_shard_ends_when_it_has_ended_for_all() {
    let (one, two, gone) = (Scripted::new(1), Scripted::new(2), Scripted::new(3));
    let world = begin(set(1, &[(1, &one), (2, &two), (3, &gone)]), LONG);
    until(|| one.at_work() + two.at_work() + gone.at_work() == 3).await;
    one.tell(Ok(End::ShardEnd));
    until(|| one.at_work() == 0).await;
    world.sets.send_replace(set(1, &[(1, &one), (2, &two)]));
    until(|| gone.at_work() == 0).await;
    tokio::time::sleep(SHORT).await;
    assert!(!world.run.is_finished() && one.begun() == 1, "one has not ended");
    // Nobody changes the set any more.
    drop(world.sets);
    tokio::time::sleep(SHORT).await;
    two.tell(Ok(End::ShardEnd));
    assert_eq!(world.run.await.unwrap().unwrap(), End::ShardEnd);
    drop(world.stop);
}
