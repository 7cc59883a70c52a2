//! What a span says. The names that it has for the world are given where it leaves the program.

use std::sync::Arc;
use std::time::Instant;

use super::{Delivery, SpanId, TraceId};
use crate::ids::{SequenceNumber, ShardId};

/// One step, done.
#[derive(Clone, Debug)]
pub struct Span {
    /// Its trace.
    pub trace: TraceId,
    /// Its id; `None` for a new one.
    pub id: Option<SpanId>,
    /// The step that it is a part of, or that caused it.
    pub parent: Option<SpanId>,
    /// Others that it has to do with, in other traces.
    pub links: Vec<Link>,
    /// The delivery, if it is about one.
    pub delivery: Option<Arc<Delivery>>,
    /// When it began.
    pub began: Instant,
    /// When it was done.
    pub ended: Instant,
    /// What it was.
    pub step: Step,
}

/// A span elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its trace.
    pub trace: TraceId,
    /// Its id.
    pub span: SpanId,
    /// Whether it is told, as far as is known.
    pub is_told: bool,
    /// Why it is linked.
    pub entry: Entry,
}

/// What a linked span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// What the caller said that it does: a `traceparent`, on nobody's word.
    Caller,
    /// The original of a request that carried several events.
    Request,
}

/// The steps of the route.
#[derive(Clone, Debug)]
pub enum Step {
    /// A request from its head to its answer. One that carried several events has this span in the trace of each.
    Receive(Answered),
    /// Verified, split and sealed; `true` when the signature was accepted.
    Verify(bool),
    /// So many records appended to the log; whether they are durable, where somebody waited to hear it.
    Append(u32, Option<bool>),
    /// Fetched what a notification is about, and appended it.
    Fetch(Fetched),
    /// Read from the log, folded and committed.
    Process(Folded),
    /// The commit of the batch, with so many records of entities.
    Commit(u32),
    /// Read from the log and put into the archive.
    Archive(Kept),
}

/// How the door answered.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The source, if the request was to one.
    pub source: Option<Box<str>>,
    /// How the request counts, as in the metrics.
    pub outcome: &'static str,
    /// Why, where that says more: what is wrong with a signature, what was full or away.
    pub cause: Option<&'static str>,
    /// Status of the answer; `None` when the caller was gone.
    pub status: Option<u16>,
    /// Bytes of the body, as far as it was read.
    pub body_bytes: u64,
    /// Events of the request; 0 when it was refused.
    pub events: u32,
}

/// What was fetched.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Attempts that failed before.
    pub failures: u32,
}

/// What the processor did with an event.
#[derive(Clone, Debug)]
pub struct Folded {
    /// Its fate, as in the metrics.
    pub fate: &'static str,
    /// Where it lies in the log.
    pub shard: ShardId,
    /// Where it lies in the log.
    pub sequence: SequenceNumber,
    /// The generation of the state; 0 where it is not known.
    pub generation: u32,
    /// Records of the batch.
    pub batch: u32,
    /// How often the batch was folded again because somebody else wrote first.
    pub conflicts: u32,
}

/// Where the archiver put an event.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Where it lies in the log.
    pub shard: ShardId,
    /// Where it lies in the log.
    pub sequence: SequenceNumber,
    /// Key of the segment.
    pub segment: Arc<str>,
    /// Records of the segment.
    pub records: u64,
}
