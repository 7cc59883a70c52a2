//! Tells the traces of a segment's events, once it is in the archive.

use std::sync::Arc;
use std::time::Instant;

use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::ports::Sequenced;
use ledgerline_domain::segment::SegmentSummary;
use ledgerline_domain::trace::{Delivery, Kept, Span, Step, Traces};

/// Most events of a segment that are told: all of them are told at once, and whoever tells them on has no room
/// for more. Those past it are counted as dropped.
const TOLD_MAX: usize = 2048;

/// The events of a segment under construction that will be told.
#[derive(Default)]
pub(super) struct Telling {
    traces: Traces,
    told: Vec<(Delivery, SequenceNumber, Instant)>,
    dropped: u64,
}

impl Telling {
    /// For a new segment.
    pub(super) fn new(traces: &Traces) -> Self {
        Self { traces: traces.clone(), ..Self::default() }
    }

    /// A record of the segment, just read.
    pub(super) fn read(&mut self, record: &Sequenced<Envelope>) {
        let Some(delivery) = self.traces.of_envelope(&record.value) else { return };
        if self.told.len() < TOLD_MAX {
            self.told.push((delivery, record.sequence.clone(), Instant::now()));
        } else {
            self.dropped += 1;
        }
    }

    /// The segment is in the archive.
    pub(super) fn put(self, shard: &ShardId, summary: &SegmentSummary) {
        let now = Instant::now();
        let segment: Arc<str> = summary.key.as_str().into();
        self.traces.dropped(self.dropped);
        for (delivery, sequence, read_at) in self.told {
            let kept = Kept { shard: shard.clone(), sequence, segment: segment.clone(), records: summary.count };
            self.traces.tell(Span {
                trace: delivery.trace,
                id: None,
                parent: Some(delivery.span),
                links: Vec::new(),
                delivery: Some(Arc::new(delivery)),
                began: read_at,
                ended: now,
                step: Step::Archive(kept),
            });
        }
    }
}
