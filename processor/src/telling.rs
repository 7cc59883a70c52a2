//! Tells the traces of a batch, once it is committed.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use ledgerline_domain::ids::ShardId;
use ledgerline_domain::ports::Sequenced;
use ledgerline_domain::trace::{Folded, Span, Step};

use crate::apply::ApplySettings;
use crate::fold_batch::Told;

/// How the batch went.
pub(crate) struct Committed {
    /// When its records were there.
    pub(crate) began: Instant,
    /// When the commit began.
    pub(crate) folded: Instant,
    /// How often somebody else wrote first.
    pub(crate) conflicts: u32,
    /// Records of entities in the commit.
    pub(crate) entities: usize,
}

/// Tells of each record that is told: from the batch's begin to now, with the commit below it.
pub(crate) fn tell(
    settings: &ApplySettings,
    shard: &ShardId,
    records: &[Sequenced<Bytes>],
    told: Vec<Told>,
    work: &Committed,
) {
    let (traces, now) = (&settings.traces, Instant::now());
    let count = |of: usize| u32::try_from(of).unwrap_or(u32::MAX);
    for Told { delivery, record, fate } in told {
        let Some(record) = records.get(record) else { continue };
        let (trace, parent, id) = (delivery.trace, delivery.span, traces.new_span());
        let delivery = Some(Arc::new(delivery));
        let folded = Folded {
            fate,
            shard: shard.clone(),
            sequence: record.sequence.clone(),
            generation: settings.generation,
            batch: count(records.len()),
            conflicts: work.conflicts,
        };
        let span = Span {
            trace,
            id: Some(id),
            parent: Some(parent),
            links: Vec::new(),
            delivery: delivery.clone(),
            began: work.began,
            ended: now,
            step: Step::Process(folded),
        };
        traces.tell(span);
        traces.tell(Span {
            trace,
            id: None,
            parent: Some(id),
            links: Vec::new(),
            delivery,
            began: work.folded,
            ended: now,
            step: Step::Commit(count(work.entities)),
        });
    }
}
