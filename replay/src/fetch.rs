//! Gets the objects of the archive some at a time, ahead of the work on them.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use ledgerline_domain::ports::Archive;
use ledgerline_domain::segment::keys::SegmentKey;
use ledgerline_domain::segment::{Diagnosis, SegmentInfo, SegmentReader, diagnose, digest};
use ledgerline_domain::{ErrorKind, Result};

/// What lies under the key of a segment.
pub(crate) struct Fetched {
    pub key: SegmentKey,
    pub text: String,
    /// None when the archive lists the key and does not have the object.
    pub object: Option<Bytes>,
}

/// The same, looked into.
pub(crate) struct Inspected {
    pub key: SegmentKey,
    pub text: String,
    pub found: Option<Found>,
}

/// An object that is there.
pub(crate) struct Found {
    /// Its digest, lower-case hex.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    pub opened: Opened,
}

/// Whether it is the segment that its key names.
pub(crate) enum Opened {
    Segment(SegmentInfo),
    /// It is the segment of this other key.
    Misplaced(String),
    /// No segment, or none of a version that is known.
    Damaged(Diagnosis),
}

impl Fetched {
    /// Gets one object.
    pub async fn get<A: Archive>(archive: &A, key: SegmentKey) -> Result<Self> {
        let text = key.text();
        let object = archive.get(&text).await?;
        Ok(Self { key, text, object })
    }

    /// Gets several at once, in their order.
    pub async fn get_all<A: Archive>(archive: &A, keys: Vec<SegmentKey>) -> Result<Vec<Self>> {
        let mut all: Vec<_> = keys.into_iter().map(|key| (Box::pin(Self::get(archive, key)), None)).collect();
        poll_fn(|context| {
            let mut waiting = false;
            for (get, got) in &mut all {
                if got.is_none() {
                    match get.as_mut().poll(context) {
                        Poll::Ready(ready) => *got = Some(ready),
                        Poll::Pending => waiting = true,
                    }
                }
            }
            if waiting { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        all.into_iter().filter_map(|(_, got)| got).collect()
    }

    /// Takes the digest, checks the checksum and reads the footer: work for a thread of the fold.
    /// Gives the segment too, if it can be read.
    pub fn inspect(self) -> Result<(Inspected, Option<SegmentReader>)> {
        let Self { key, text, object } = self;
        let Some(object) = object else { return Ok((Inspected { key, text, found: None }, None)) };
        let (sha256, bytes) = (digest(&object), object.len() as u64);
        let (opened, segment) = match SegmentReader::open(object.clone()) {
            Ok(segment) => match segment.info().key() {
                own if own == text => (Opened::Segment(segment.info().clone()), Some(segment)),
                own => (Opened::Misplaced(own), None),
            },
            Err(error) if error.kind() == ErrorKind::Data => (Opened::Damaged(diagnose(&object)), None),
            Err(error) => return Err(error),
        };
        Ok((Inspected { key, text, found: Some(Found { sha256, bytes, opened }) }, segment))
    }
}

/// A future that may be started before it is waited for.
pub(crate) enum Ahead<F: Future> {
    Pending(Pin<Box<F>>),
    Ready(F::Output),
}

impl<F: Future> Ahead<F> {
    /// Polls it once: what it asks of other threads or machines is under way from now on.
    pub async fn start(future: F) -> Self {
        let mut future = Box::pin(future);
        let ready = poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(ready) => Poll::Ready(Some(ready)),
            Poll::Pending => Poll::Ready(None),
        })
        .await;
        ready.map_or(Self::Pending(future), Self::Ready)
    }

    /// Its result.
    pub async fn wait(self) -> F::Output {
        match self {
            Self::Pending(future) => future.await,
            Self::Ready(ready) => ready,
        }
    }
}
