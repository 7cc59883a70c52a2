//! Two readers of a shard under one lease, each with progress of its own.

use std::sync::Arc;

use ledgerline_domain::ids::ShardId;
use ledgerline_domain::lease::Checkpoint;
use ledgerline_domain::{Error, Result};
use tokio::sync::watch;

use super::{End, ShardJob};

/// Runs both side by side. The shard is at its end when it is for both: a lease that ended with the first would
/// leave the second's rest to nobody. When one fails the other is stopped; the error is the first one's.
#[derive(Debug)]
pub struct Both<A, B>(pub Arc<A>, pub Arc<B>);

impl<A: ShardJob, B: ShardJob> ShardJob for Both<A, B> {
    async fn run(&self, shard: ShardId, mut stop: watch::Receiver<bool>) -> Result<End> {
        let (ours, stopped) = watch::channel(false);
        let mut first = tokio::spawn({
            let (job, shard, stopped) = (self.0.clone(), shard.clone(), stopped.clone());
            async move { job.run(shard, stopped).await }
        });
        let mut second = tokio::spawn({
            let job = self.1.clone();
            async move { job.run(shard, stopped).await }
        });
        let (mut one, mut other) = (None, None);
        while one.is_none() || other.is_none() {
            tokio::select! {
                end = &mut first, if one.is_none() => one = Some(joined(end)),
                end = &mut second, if other.is_none() => other = Some(joined(end)),
                _ = stop.wait_for(|stop| *stop), if !*ours.borrow() => drop(ours.send_replace(true)),
            }
            if [&one, &other].into_iter().flatten().any(Result::is_err) {
                ours.send_replace(true);
            }
        }
        let (one, other) = (one.ok_or_else(broken)??, other.ok_or_else(broken)??);
        Ok(if (one, other) == (End::ShardEnd, End::ShardEnd) { End::ShardEnd } else { End::Stopped })
    }

    fn progress(&self, shard: &ShardId) -> Option<Checkpoint> {
        // What one has not done is not done.
        self.0.progress(shard).zip(self.1.progress(shard)).map(|(one, other)| one.min(other))
    }
}

fn joined(end: std::result::Result<Result<End>, tokio::task::JoinError>) -> Result<End> {
    end.map_err(|e| broken().because(e))?
}

fn broken() -> Error {
    Error::internal("run a reader of a shard")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ends as it is told, at once or when it is stopped.
    struct Ends(Option<Result<End, ()>>, u64);

    impl ShardJob for Ends {
        async fn run(&self, _: ShardId, mut stop: watch::Receiver<bool>) -> Result<End> {
            match self.0 {
                Some(end) => end.map_err(|()| Error::data("read on demand")),
                None => stop
                    .wait_for(|stop| *stop)
                    .await
                    .map(|_| End::Stopped)
                    .map_err(|e| Error::internal("wait").because(e)),
            }
        }

        fn progress(&self, _: &ShardId) -> Option<Checkpoint> {
            (self.1 > 0).then(|| Checkpoint::At(ledgerline_domain::ids::SequenceNumber::from_u64(self.1)))
        }
    }

    #[tokio::test]
    async fn the_later_end_and_the_lesser_progress_count() {
        let (end, stop) = (Some(Ok(End::ShardEnd)), Some(Ok(End::Stopped)));
        let both = |one, other| Both(Arc::new(Ends(one, 5)), Arc::new(Ends(other, 3)));
        let shard = || ShardId::numbered(0);
        let (told, stopped) = watch::channel(false);
        assert_eq!(both(end, end).run(shard(), stopped.clone()).await.unwrap(), End::ShardEnd);
        assert_eq!(both(end, stop).run(shard(), stopped.clone()).await.unwrap(), End::Stopped);
        assert!(both(Some(Err(())), None).run(shard(), stopped.clone()).await.is_err(), "the other is stopped");
        let running = tokio::spawn(async move { both(end, None).run(shard(), stopped).await });
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        assert!(!running.is_finished(), "the other has not ended");
        told.send(true).unwrap();
        assert_eq!(running.await.unwrap().unwrap(), End::Stopped);
        assert_eq!(
            both(end, end).progress(&ShardId::numbered(0)),
            Some(Checkpoint::At(ledgerline_domain::ids::SequenceNumber::from_u64(3)))
        );
        let unknown = Both(Arc::new(Ends(end, 5)), Arc::new(Ends(end, 0)));
        assert_eq!(unknown.progress(&ShardId::numbered(0)), None);
    }
}
