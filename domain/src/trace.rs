//! Traces: what became of an event, step by step, told to whoever collects such things.
//!
//! No trace travels. The trace of an event has the event's own id in it, so the door, the processor and the archiver
//! come to the same trace in processes that do not know of each other, and to the same answer to whether it is
//! told; the envelope stays as it is. All deliveries of an event are in one trace: each begins with a span of the door,
//! whose id follows from the time of receipt, and what is done with that delivery hangs below it.
//!
//! What a span may say is in its types: never a body, a header, an amount, or the key of an entity (I12).
//!
//! | id | is |
//! | --- | --- |
//! | trace of an event | the first 16 bytes of SHA-256 over source, `NUL`, event id |
//! | span of a delivery | the first 8 bytes of SHA-256 over the trace's id and the nanoseconds of `receivedat`, big end first |
//!
//! An id is never all zeros, as W3C's "Trace Context" asks: it would be 1 then.

mod caller;
mod span;

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::envelope::Envelope;
use crate::text::IdText;
use crate::time::UnixNanos;

pub use caller::{TRACEPARENT, read_traceparent};
pub use span::{Answered, Entry, Fetched, Folded, Kept, Link, Span, Step};

/// Id of a trace: 16 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

impl TraceId {
    /// The trace of an event.
    pub fn of_event(source: &str, id: &str) -> Self {
        let digest = Sha256::new().chain_update(source).chain_update([0]).chain_update(id).finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self::from_bytes(bytes)
    }

    /// From 16 bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(if bytes == [0; 16] { 1_u128.to_be_bytes() } else { bytes })
    }

    /// The bytes.
    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// What samplers compare: the last 63 bits.
    fn rank(self) -> u64 {
        let [.., a, b, c, d, e, f, g, h] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1
    }
}

/// Id of a span: 8 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

impl SpanId {
    /// The span of the door for one delivery.
    pub fn of_delivery(trace: TraceId, received_at: UnixNanos) -> Self {
        let digest = Sha256::new().chain_update(trace.0).chain_update(received_at.nanos().to_be_bytes()).finalize();
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&digest[..8]);
        Self::from_bytes(bytes)
    }

    /// From 8 bytes.
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(if bytes == [0; 8] { 1_u64.to_be_bytes() } else { bytes })
    }

    /// The bytes.
    pub const fn bytes(self) -> [u8; 8] {
        self.0
    }
}

/// As 32 digits in hex, as tools for traces show it.
impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// As 16 digits in hex.
impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceId({self})")
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpanId({self})")
    }
}

/// Which traces are told: a share of all ids, the same ids for everybody with the same share, and with a
/// smaller share some of those of a larger one. It is the rule of OpenTelemetry's `traceidratio` samplers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// Ranks below this; there are 2^63.
    below: u64,
}

impl Sampling {
    /// All.
    pub const ALL: Self = Self { below: 1 << 63 };
    /// None.
    pub const NONE: Self = Self { below: 0 };

    /// This share of them, from 0 to 1; `None` for anything else.
    pub fn share(share: f64) -> Option<Self> {
        if !(0.0..=1.0).contains(&share) {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 2^63")]
        let below = (share * (1_u64 << 63) as f64) as u64;
        Some(Self { below })
    }

    /// Whether this one is told.
    pub fn takes(self, trace: TraceId) -> bool {
        trace.rank() < self.below
    }
}

/// Where spans go. Both are called while a request is served or a batch is folded: they must not wait.
pub trait SpanSink: Send + Sync + 'static {
    /// Takes a span; one for which there is no room is dropped and counted.
    fn take(&self, span: Span);
    /// Random bytes, for ids.
    fn random(&self) -> u128;
    /// So many spans were not even made, because there would be no room for them.
    fn dropped(&self, spans: u64);
}

/// What tells traces, or nothing. Copies share it.
#[derive(Clone, Default)]
pub struct Traces(Option<(Sampling, Arc<dyn SpanSink>)>);

impl Traces {
    /// Tells `sink` of those that `sampling` takes.
    pub fn new(sampling: Sampling, sink: Arc<dyn SpanSink>) -> Self {
        Self((sampling != Sampling::NONE).then_some((sampling, sink)))
    }

    /// Whether any is told.
    pub const fn are_told(&self) -> bool {
        self.0.is_some()
    }

    /// The trace of an event, if it is told. Costs a hash, and nothing where none is told.
    pub fn of_event(&self, source: &str, id: &str) -> Option<TraceId> {
        let (sampling, _) = self.0.as_ref()?;
        let trace = TraceId::of_event(source, id);
        sampling.takes(trace).then_some(trace)
    }

    /// The delivery that an envelope is of, if it is told.
    pub fn of_envelope(&self, envelope: &Envelope) -> Option<Delivery> {
        let trace = self.of_event(envelope.source(), &envelope.event.id)?;
        Some(Delivery {
            trace,
            span: SpanId::of_delivery(trace, envelope.received_at),
            source: envelope.source().into(),
            id: envelope.event.id.clone(),
            event_type: envelope.event.event_type.as_str().into(),
        })
    }

    /// A trace for what is about no event, if it is told.
    pub fn of_no_event(&self) -> Option<TraceId> {
        let (sampling, sink) = self.0.as_ref()?;
        let trace = TraceId::from_bytes(sink.random().to_be_bytes());
        sampling.takes(trace).then_some(trace)
    }

    /// An id for a span that others hang below.
    pub fn new_span(&self) -> SpanId {
        let [.., a, b, c, d, e, f, g, h] = self.0.as_ref().map_or(1, |(_, sink)| sink.random()).to_be_bytes();
        SpanId::from_bytes([a, b, c, d, e, f, g, h])
    }

    /// Tells of a span.
    pub fn tell(&self, span: Span) {
        if let Some((_, sink)) = &self.0 {
            sink.take(span);
        }
    }

    /// Counts spans that are not made.
    pub fn dropped(&self, spans: u64) {
        if let Some((_, sink)) = self.0.as_ref().filter(|_| spans > 0) {
            sink.dropped(spans);
        }
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Traces").field(&self.0.as_ref().map(|(sampling, _)| sampling)).finish()
    }
}

/// One delivery of an event that is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The event's trace.
    pub trace: TraceId,
    /// The door's span for this delivery; everything that is done with it hangs below.
    pub span: SpanId,
    /// The source.
    pub source: Box<str>,
    /// The provider's id of the event.
    pub id: IdText,
    /// The provider's type of the event.
    pub event_type: Box<str>,
}

#[cfg(test)]
mod tests;
