//! Folds the whole archive into entity records: the live path with the archive as its log.

use ledgerline_domain::Result;
use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::fold::Fate;
use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId};
use ledgerline_domain::interpret::{Reading, interpret};
use ledgerline_domain::ports::{Archive, Sequenced};
use ledgerline_domain::provider::Sources;
use ledgerline_domain::record::EntityRecord;
use serde::Serialize;

use crate::chain::{ChainReport, OnProgress};
use crate::histories::Histories;
use crate::walk::Walk;
use crate::within::{Seen, SeenAs, Within};

/// Most bad signatures kept by name; further ones are counted.
pub const BAD_SIGNATURES_MAX: usize = 100;

/// Checks an archived signature again: `None` when the envelope cannot be checked by itself (it is
/// a part of a request, whose original is checked), else the reason why it does not fit.
pub type Recheck<'a> = &'a (dyn Fn(&Envelope) -> Option<Result<(), String>> + Send + Sync);

/// What is read, and how.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The stream.
    pub stream: &'a str,
    /// Providers of the sources, as they are today.
    pub sources: &'a Sources,
    /// Checks every signature again, if given.
    pub recheck: Option<Recheck<'a>>,
}

/// What became of the archived records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Records in all.
    pub records: u64,
    /// Events that count, each once.
    pub events: u64,
    /// Further copies of them.
    pub duplicates: u64,
    /// Same id, other facts.
    pub contradictions: u64,
    /// Not readable.
    pub unreadable: u64,
    /// Originals of split requests; they fold into nothing.
    pub originals: u64,
    /// Records that lie in two segments. Only a broken chain has any.
    pub repeated: u64,
}

/// What the check of the signatures found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Signatures {
    /// Signatures that fit.
    pub good: u64,
    /// Envelopes that are covered by the original of their request.
    pub covered: u64,
    /// Signatures that do not fit.
    pub bad_total: u64,
    /// The first [`BAD_SIGNATURES_MAX`] of them.
    pub bad: Vec<BadSignature>,
}

/// An archived envelope whose signature does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BadSignature {
    /// The shard.
    pub shard: ShardId,
    /// The position in it.
    pub sequence: SequenceNumber,
    /// What it is about.
    pub entity: EntityKey,
    /// Why.
    pub reason: String,
}

/// The archive, folded.
#[derive(Debug, Default)]
pub struct Rebuilt {
    pub(crate) records: Histories,
    /// What became of the records.
    pub counts: Counts,
    /// The signatures, if they were checked.
    pub signatures: Option<Signatures>,
    /// The chain that was read.
    pub chain: ChainReport,
}

impl Rebuilt {
    /// How many entities there are.
    pub fn entities(&self) -> usize {
        self.records.len()
    }

    /// One entity's record.
    pub fn record(&self, key: &EntityKey) -> Option<Result<EntityRecord>> {
        self.records.get(key)
    }

    /// All records, in the order of their keys.
    pub fn records(&self) -> impl Iterator<Item = Result<EntityRecord>> {
        self.records.sorted()
    }

    fn count(&mut self, fate: Fate) {
        *match fate {
            Fate::Appended | Fate::Merged => &mut self.counts.events,
            Fate::Duplicate => &mut self.counts.duplicates,
            Fate::Contradiction => &mut self.counts.contradictions,
            Fate::Unreadable => &mut self.counts.unreadable,
            Fate::Seen => &mut self.counts.repeated,
        } += 1;
    }

    fn recheck(&mut self, recheck: Recheck<'_>, shard: &ShardId, row: &Sequenced<Envelope>) {
        let signatures = self.signatures.get_or_insert_default();
        match recheck(&row.value) {
            None => signatures.covered += 1,
            Some(Ok(())) => signatures.good += 1,
            Some(Err(reason)) => {
                signatures.bad_total += 1;
                if signatures.bad.len() < BAD_SIGNATURES_MAX {
                    let (sequence, entity) = (row.sequence.clone(), row.value.event.entity.clone());
                    signatures.bad.push(BadSignature { shard: shard.clone(), sequence, entity, reason });
                }
            }
        }
    }
}

/// Reads and folds the archive. A broken chain is no error: what can be read is folded, and
/// [`Rebuilt::chain`] names the faults.
pub async fn rebuild<A: Archive>(archive: &A, input: &Input<'_>, on_progress: OnProgress<'_>) -> Result<Rebuilt> {
    rebuild_within(archive, input, Within::default(), on_progress).await
}

/// The same up to positions, telling what becomes of each record.
pub async fn rebuild_within<A: Archive>(
    archive: &A,
    input: &Input<'_>,
    within: Within<'_>,
    on_progress: OnProgress<'_>,
) -> Result<Rebuilt> {
    let mut walk = Walk::begin(archive, input.stream).await?;
    let mut rebuilt = Rebuilt::default();
    if input.recheck.is_some() {
        rebuilt.signatures = Some(Signatures::default());
    }
    while let Some(segment) = walk.next().await? {
        let here = segment.info().shard.clone();
        let number = rebuilt.records.shard(&here);
        let rows = if input.recheck.is_some() { segment.rows() } else { segment.rows_without_evidence() };
        for row in rows {
            let row = match row {
                Ok(row) => row,
                Err(error) => {
                    walk.damaged(&segment.info().key(), &error);
                    break;
                }
            };
            walk.count_record();
            if !within.takes(&here, &row.sequence) {
                continue;
            }
            rebuilt.counts.records += 1;
            if let Some(recheck) = input.recheck {
                rebuilt.recheck(recheck, &here, &row);
            }
            let about = within.watch.map(|watch| (watch, row.value.event.entity.clone()));
            let seen = match interpret(input.sources, row.value, &row.sequence) {
                Reading::Event(event) => {
                    let fate = rebuilt.records.take(number, event.entity, event.incoming)?;
                    rebuilt.count(fate);
                    SeenAs::Event(fate)
                }
                Reading::Original => {
                    rebuilt.counts.originals += 1;
                    SeenAs::Original
                }
                Reading::Unreadable(_) => {
                    rebuilt.counts.unreadable += 1;
                    SeenAs::Event(Fate::Unreadable)
                }
            };
            if let Some((watch, entity)) = about {
                watch(Seen { source: entity.source(), arrived_at: row.arrived_at, seen });
            }
        }
        on_progress(walk.progress());
    }
    rebuilt.records.finish()?;
    rebuilt.chain = walk.end().await?;
    Ok(rebuilt)
}
