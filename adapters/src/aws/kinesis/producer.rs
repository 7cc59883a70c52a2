//! The writing side: one task that keeps the lanes, and up to
//! [`requests_in_flight_max`](super::KinesisSettings::requests_in_flight_max) requests at a time.
//!
//! An append is answered when each of its records has its own sequence number, when the log refused one
//! for good, or with `Retry` when its time is over. A record is sent again after every outcome that does
//! not say "it is in the log", so a lost answer makes a duplicate in the log, which is dropped behind it;
//! it never makes a hole or another order.
//!
//! Bounded: what waits takes room from two semaphores, and an append that finds none is refused.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use aws_sdk_kinesis::Client;
use ledgerline_domain::ids::EntityKey;
use ledgerline_domain::ports::{Appended, LogRecord};
use ledgerline_domain::{Error, ErrorKind, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc, oneshot};
use tokio::task::JoinSet;

use super::KinesisSettings;
use super::counts::KinesisCounts;
use super::lanes::{Lanes, Waiting};
use super::pause::pause;
use super::put::{Outcome, put};

/// Hands appends to the task. The task ends when this is dropped and nothing waits any more.
pub(super) struct Producer {
    appends: mpsc::UnboundedSender<Append>,
    room: Room,
    settings: Arc<KinesisSettings>,
}

struct Room {
    records: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

struct Append {
    records: Vec<LogRecord>,
    answer: oneshot::Sender<Result<Vec<Appended>>>,
    /// Given back when the append is answered.
    room: [OwnedSemaphorePermit; 2],
}

impl Producer {
    /// Starts the task on the current runtime.
    pub fn start(client: Client, settings: Arc<KinesisSettings>, counts: Arc<KinesisCounts>) -> Self {
        let (appends, receiver) = mpsc::unbounded_channel();
        let room = Room {
            records: Arc::new(Semaphore::new(settings.queue_records_max)),
            bytes: Arc::new(Semaphore::new(settings.queue_bytes_max)),
        };
        let task = Task {
            client,
            settings: settings.clone(),
            counts,
            lanes: Lanes::default(),
            open: HashMap::new(),
            next: 0,
            requests: JoinSet::new(),
        };
        tokio::spawn(task.run(receiver));
        Self { appends, room, settings }
    }

    /// See [`Log::append`](ledgerline_domain::ports::Log::append).
    pub async fn append(&self, records: Vec<LogRecord>) -> Result<Vec<Appended>> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let mut bytes = 0;
        for record in &records {
            let size = record.key.as_str().len() + record.data.len();
            if size > self.settings.record_bytes_max {
                return Err(Error::invalid(format!(
                    "append a record of {size} bytes about {}: the stream's limit is {}; raise the stream's \
                     MaxRecordSize and record_bytes_max, or keep large bodies in the archive store",
                    record.key, self.settings.record_bytes_max
                )));
            }
            bytes += size;
        }
        let room = self.room.take(records.len(), bytes, &self.settings)?;
        let (answer, answered) = oneshot::channel();
        let ended = || Error::internal("append to the log: its writer has ended");
        self.appends.send(Append { records, answer, room }).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

impl Room {
    fn take(&self, records: usize, bytes: usize, settings: &KinesisSettings) -> Result<[OwnedSemaphorePermit; 2]> {
        let take = |semaphore: &Arc<Semaphore>, wanted: usize, most: usize, unit: &str| {
            if wanted > most {
                return Err(Error::invalid(format!("append {wanted} {unit} at once: the queue holds {most}")));
            }
            let wanted = u32::try_from(wanted).map_err(|e| Error::invalid("append to the log").because(e))?;
            semaphore.clone().try_acquire_many_owned(wanted).map_err(|e| match e {
                TryAcquireError::NoPermits => {
                    Error::retry(format!("append to the log: its queue is full ({most} {unit})"))
                }
                TryAcquireError::Closed => Error::internal("append to the log: its writer has ended"),
            })
        };
        Ok([
            take(&self.records, records, settings.queue_records_max, "records")?,
            take(&self.bytes, bytes, settings.queue_bytes_max, "bytes")?,
        ])
    }
}

/// An append with records in the lanes.
struct Open {
    places: Vec<Option<Appended>>,
    /// Records that are in the lanes.
    left: usize,
    /// Gone when it was answered with an error.
    answer: Option<oneshot::Sender<Result<Vec<Appended>>>>,
    _room: [OwnedSemaphorePermit; 2],
}

struct Task {
    client: Client,
    settings: Arc<KinesisSettings>,
    counts: Arc<KinesisCounts>,
    lanes: Lanes,
    open: HashMap<u64, Open>,
    next: u64,
    requests: JoinSet<Vec<(EntityKey, Outcome)>>,
}

impl Task {
    async fn run(mut self, mut appends: mpsc::UnboundedReceiver<Append>) {
        let mut ended = false;
        loop {
            // All that came meanwhile, so that requests are as full as they can be.
            while let Ok(append) = appends.try_recv() {
                self.accept(append);
            }
            self.send();
            if ended && self.open.is_empty() && self.requests.is_empty() {
                return;
            }
            let pause_ends = self.lanes.next_pause_ends().unwrap_or_else(far);
            tokio::select! {
                append = appends.recv(), if !ended => match append {
                    Some(append) => self.accept(append),
                    None => ended = true,
                },
                Some(outcomes) = self.requests.join_next() => match outcomes {
                    Ok(outcomes) => outcomes.into_iter().for_each(|(key, outcome)| self.settle(key, outcome)),
                    // Its lanes would stay closed for ever. Callers hear that the writer has ended.
                    Err(error) => {
                        tracing::error!(%error, "a request to the log broke off; its writer ends");
                        return;
                    }
                },
                () = tokio::time::sleep_until(pause_ends.into()) => {}
            }
        }
    }

    fn accept(&mut self, append: Append) {
        let id = self.next;
        self.next += 1;
        let deadline = Instant::now() + self.settings.append_timeout;
        let left = append.records.len();
        let open = Open { places: vec![None; left], left, answer: Some(append.answer), _room: append.room };
        self.open.insert(id, open);
        for (place, record) in append.records.into_iter().enumerate() {
            self.lanes.push(record.key, Waiting { append: id, place, data: record.data, deadline });
        }
    }

    fn send(&mut self) {
        while self.requests.len() < self.settings.requests_in_flight_max {
            let (records, given_up) =
                self.lanes.take(Instant::now(), self.settings.request_records_max, self.settings.request_bytes_max);
            for record in given_up {
                let waited = self.settings.append_timeout.as_secs_f32();
                let late = format!("append to the log within {waited} seconds: the stream is slow or away");
                self.leave(record.append, Some(Error::retry(late)));
            }
            if records.is_empty() {
                return;
            }
            let (client, counts, settings) = (self.client.clone(), self.counts.clone(), self.settings.clone());
            self.requests.spawn(async move { put(&client, &settings.stream, records, &counts).await });
        }
    }

    fn settle(&mut self, key: EntityKey, outcome: Outcome) {
        match outcome {
            Outcome::Appended(appended) => {
                let Some(record) = self.lanes.appended(key) else { return };
                if let Some(place) = self.open.get_mut(&record.append).and_then(|o| o.places.get_mut(record.place)) {
                    *place = Some(appended);
                }
                self.leave(record.append, None);
            }
            Outcome::Again => {
                let backoff = self.settings.backoff;
                self.lanes.failed(key, |failures| Instant::now() + pause(backoff, failures));
            }
            Outcome::Refused(reason) => {
                for record in self.lanes.refused(key) {
                    self.leave(record.append, Some(Error::new(ErrorKind::Invalid, reason.clone())));
                }
            }
        }
    }

    /// A record left its lane. Its append is answered when that was the last one, or with the first
    /// error; what it has in other lanes still goes its way.
    fn leave(&mut self, append: u64, error: Option<Error>) {
        let Some(open) = self.open.get_mut(&append) else { return };
        open.left -= 1;
        // Nobody to answer is no problem: whoever asked has gone away.
        if let Some(error) = error {
            let _ = open.answer.take().map(|answer| answer.send(Err(error)));
        }
        if open.left == 0
            && let Some(open) = self.open.remove(&append)
            && let Some(answer) = open.answer
        {
            let _ = answer.send(Ok(open.places.into_iter().flatten().collect()));
        }
    }
}

/// A moment that does not come; "no pause" has none.
fn far() -> Instant {
    Instant::now() + std::time::Duration::from_secs(3600)
}
