//! What the stand-in's `SubscribeToShard` lacks: that a consumer has one subscription per shard, and ends that are not
//! in good order.
//!
//! As at AWS, a second call soon after the first one is refused with `ResourceInUseException`; a later one takes the
//! shard over, and the first stream ends with that exception. (How soon is five seconds there, and a setting here.)
//! What is left of the stand-in's own: it says that it is never behind, sends an event every 200 ms, and names the
//! children of a closed shard from the first event after the closing on, also when more records follow.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Frame, SizeHint};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::{OwnedRwLockReadGuard, RwLock, oneshot};

/// How a subscription goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StreamFault {
    /// The connection breaks between two events.
    Broken,
    /// The connection breaks within an event.
    CutEvent,
    /// The stream ends in good order within an event.
    EndedEvent,
    /// An exception comes in the stream.
    Exception,
    /// Nothing comes any more, and the connection stays.
    Silent,
    /// It ends in good order, as after five minutes.
    Over,
    /// The call is refused: another subscription is too young.
    InUse,
    /// The call is refused: too many.
    Limit,
}

impl StreamFault {
    /// All that end by themselves.
    pub const QUICK: [Self; 7] =
        [Self::Broken, Self::CutEvent, Self::EndedEvent, Self::Exception, Self::Over, Self::InUse, Self::Limit];
}

/// What is known of the subscriptions to one stand-in. Clones share it.
#[derive(Clone)]
pub struct Subscriptions(Arc<Mutex<Plan>>);

struct Plan {
    again_after: Duration,
    /// Faults of the next subscriptions, each after so many frames; the first frame of a stream is its greeting.
    next: VecDeque<(usize, StreamFault)>,
    by_chance: Option<StdRng>,
    on: BTreeMap<(String, String), Standing>,
    begun: usize,
    open: usize,
    hits: BTreeMap<StreamFault, usize>,
}

/// The last subscription of a consumer to a shard.
struct Standing {
    since: Instant,
    taken_over: oneshot::Sender<()>,
}

impl Subscriptions {
    /// Of a service that takes a second subscription after so long.
    pub fn new(again_after: Duration) -> Self {
        let (next, on, hits) = (VecDeque::new(), BTreeMap::new(), BTreeMap::new());
        Self(Arc::new(Mutex::new(Plan { again_after, next, by_chance: None, on, begun: 0, open: 0, hits })))
    }

    /// The next calls meet these, each after so many frames of its stream.
    pub fn next(&self, faults: impl IntoIterator<Item = (usize, StreamFault)>) {
        self.lock().next.extend(faults);
    }

    /// Every subscription meets one of [`StreamFault::QUICK`], after a few frames, until [`stop`](Self::stop).
    pub fn by_chance(&self, seed: u64) {
        self.lock().by_chance = Some(StdRng::seed_from_u64(seed));
    }

    /// No more faults.
    pub fn stop(&self) {
        let mut plan = self.lock();
        plan.by_chance = None;
        plan.next.clear();
    }

    /// How many were begun.
    pub fn begun(&self) -> usize {
        self.lock().begun
    }

    /// How many streams are open, as far as the service knows.
    pub fn open(&self) -> usize {
        self.lock().open
    }

    /// How often a fault was met.
    pub fn hits(&self, fault: StreamFault) -> usize {
        self.lock().hits.get(&fault).copied().unwrap_or_default()
    }

    /// How often any was.
    pub fn all_hits(&self) -> usize {
        self.lock().hits.values().sum()
    }

    fn lock(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides on a call with this body: the way its stream goes, or the code of a refusal.
    pub(super) fn decide(&self, body: &[u8]) -> Result<Fate, &'static str> {
        let text = |name: &str| {
            let body: serde_json::Value = serde_json::from_slice(body).ok()?;
            Some(body.get(name)?.as_str()?.to_owned())
        };
        let key = (text("ConsumerARN").unwrap_or_default(), text("ShardId").unwrap_or_default());
        let mut plan = self.lock();
        let now = Instant::now();
        if plan.on.get(&key).is_some_and(|on| now - on.since < plan.again_after) {
            return Err("ResourceInUseException");
        }
        let fault = plan.next.pop_front().or_else(|| {
            let random = plan.by_chance.as_mut()?;
            Some((random.random_range(1..8), StreamFault::QUICK[random.random_range(0..StreamFault::QUICK.len())]))
        });
        if let Some((_, refused @ (StreamFault::InUse | StreamFault::Limit))) = fault {
            *plan.hits.entry(refused).or_default() += 1;
            return Err(if refused == StreamFault::InUse {
                "ResourceInUseException"
            } else {
                "LimitExceededException"
            });
        }
        let (taken_over, over) = oneshot::channel();
        if let Some(former) = plan.on.insert(key, Standing { since: now, taken_over }) {
            let _ = former.taken_over.send(());
        }
        Ok(Fate { fault, over })
    }

    /// A stream as it was decided.
    pub(super) fn stream(&self, inner: Body, fate: Fate, puts: Arc<RwLock<()>>) -> Response {
        {
            let mut plan = self.lock();
            plan.begun += 1;
            plan.open += 1;
        }
        let body = Stream {
            inner,
            puts,
            lock: None,
            no_put: None,
            paused: true,
            fate,
            frames: 0,
            last: None,
            of: self.clone(),
        };
        ([("content-type", "application/vnd.amazon.eventstream")], Body::new(body)).into_response()
    }
}

/// How the stream of a call goes.
pub(super) struct Fate {
    fault: Option<(usize, StreamFault)>,
    over: oneshot::Receiver<()>,
}

/// A refusal.
pub(super) fn refused(code: &str) -> Response {
    let body = format!(r#"{{"__type":"{code}","message":"no"}}"#);
    (http::StatusCode::BAD_REQUEST, [("content-type", "application/x-amz-json-1.1")], body).into_response()
}

type Locking = Pin<Box<dyn Future<Output = OwnedRwLockReadGuard<()>> + Send + Sync>>;

/// The stand-in's stream. It looks for records only while no put is half done: from its pause to its next frame no put
/// begins. (It pauses behind each frame but the first, and may wait for its store while it looks.)
struct Stream {
    inner: Body,
    puts: Arc<RwLock<()>>,
    lock: Option<Locking>,
    no_put: Option<OwnedRwLockReadGuard<()>>,
    paused: bool,
    fate: Fate,
    frames: usize,
    /// What is left to say: then it ends, in good order or not.
    last: Option<Option<io::Error>>,
    of: Subscriptions,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.of.lock().open -= 1;
    }
}

impl HttpBody for Stream {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(last) = self.last.take() {
            self.last = Some(None);
            return Poll::Ready(last.map(|error| Err(axum::Error::new(error))));
        }
        if Pin::new(&mut self.fate.over).poll(context).is_ready() {
            self.last = Some(None);
            return Poll::Ready(Some(Ok(exception("ResourceInUseException"))));
        }
        if let Some((after, fault)) = self.fate.fault.filter(|(after, _)| *after <= self.frames) {
            if self.frames == after {
                // Once.
                self.frames += 1;
                *self.of.lock().hits.entry(fault).or_default() += 1;
            }
            let broken = || Some(Err(axum::Error::new(io::Error::other("broken on purpose"))));
            match fault {
                StreamFault::Broken => return Poll::Ready(broken()),
                StreamFault::Silent => return Poll::Pending,
                StreamFault::Exception => {
                    self.last = Some(None);
                    return Poll::Ready(Some(Ok(exception("InternalFailureException"))));
                }
                StreamFault::Over => {
                    self.last = Some(None);
                    return Poll::Ready(None);
                }
                _ => {}
            }
        }
        if self.no_put.is_none() {
            let puts = self.puts.clone();
            let locking = self.lock.get_or_insert_with(|| Box::pin(puts.read_owned()));
            let Poll::Ready(no_put) = locking.as_mut().poll(context) else { return Poll::Pending };
            (self.lock, self.no_put) = (None, Some(no_put));
        }
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        if frame.is_ready() || !self.paused {
            self.no_put = None;
        }
        self.paused = frame.is_pending() || self.frames == 0;
        let Poll::Ready(Some(Ok(frame))) = frame else { return frame };
        let fault = self.fate.fault.filter(|(after, _)| *after < self.frames);
        self.frames += 1;
        let (Some((_, fault)), Some(bytes)) = (fault, frame.data_ref()) else { return Poll::Ready(Some(Ok(frame))) };
        let error = (fault == StreamFault::CutEvent).then(|| io::Error::other("cut on purpose"));
        self.last = Some(error);
        Poll::Ready(Some(Ok(Frame::data(bytes.slice(..bytes.len() / 2)))))
    }

    fn is_end_stream(&self) -> bool {
        false
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

fn exception(name: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from(ferrokinesis::event_stream::encode_exception(name, "on purpose")))
}
