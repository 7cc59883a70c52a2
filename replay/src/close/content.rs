//! What the archive up to given positions says about a day.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ledgerline_domain::Result;
use ledgerline_domain::fold::Fate;
use ledgerline_domain::ids::ShardId;
use ledgerline_domain::payment::Anomaly;
use ledgerline_domain::ports::Archive;
use ledgerline_domain::provider::Sources;
use ledgerline_domain::segment::keys::{self, SegmentKey};
use ledgerline_domain::segment::{SegmentReader, SegmentSummary, digest};

use super::digest::RecordsDigest;
use super::{Content, Day, DayCounts, Figure, HourSegments, OpenHole, ShardRecords, SourceSums};
use crate::chain::{ChainReport, OnProgress};
use crate::export::Cut;
use crate::rebuild::{Input, Rebuilt, rebuild_within};
use crate::totals::{Totals, figures};
use crate::within::{Bounded, Positions, Seen, SeenAs, Within};

/// Most entities with held events that a statement names; further ones are counted.
pub const HOLES_NAMED_MAX: usize = 100;

/// Makes the content, and the report on the chain that it was read from: with a fault in that, the content
/// is of what could be read.
pub(super) async fn of<A: Archive>(
    archive: &Arc<A>,
    stream: &str,
    day: &Day,
    through: &Positions,
    sources: &Sources,
    on_progress: OnProgress<'_>,
) -> Result<(Content, ChainReport)> {
    let bounded = Bounded::new(archive.clone(), through.clone());
    let counts = Mutex::new(BTreeMap::<String, DayCounts>::new());
    let watch = |seen: Seen<'_>| {
        if day.holds(seen.arrived_at) {
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            match counts.get_mut(seen.source) {
                Some(counts) => counts.add(seen.seen),
                None => counts.entry(seen.source.to_owned()).or_default().add(seen.seen),
            }
        }
    };
    let within = Within { through: Some(through), watch: Some(&watch) };
    let input = Input::new(stream, sources);
    let rebuilt = rebuild_within(&bounded, &input, within, on_progress).await?;
    let mut content = states(&rebuilt, day)?;
    content.counts = counts.into_inner().unwrap_or_else(PoisonError::into_inner);
    originals(&mut content, archive, &bounded, stream, day, through).await?;
    Ok((content, rebuilt.chain))
}

impl DayCounts {
    fn add(&mut self, seen: SeenAs) {
        self.received += 1;
        *match seen {
            SeenAs::Event(Fate::Appended | Fate::Merged) => &mut self.applied,
            SeenAs::Event(Fate::Duplicate | Fate::Seen) => &mut self.duplicates,
            SeenAs::Event(Fate::Contradiction) => &mut self.contradictions,
            SeenAs::Event(Fate::Unreadable) => &mut self.unreadable,
            SeenAs::Original => &mut self.originals,
        } += 1;
    }
}

/// Sums, holes and anomalies as of the end of the day.
fn states(rebuilt: &Rebuilt, day: &Day) -> Result<Content> {
    let cut = |until| Cut { as_of: Some(until), known_at: None };
    let (at_end, at_begin) = (cut(day.until()), cut(day.until_before()));
    let (mut end, mut before) = (Totals::default(), Totals::default());
    let mut content = Content::default();
    for record in rebuilt.records() {
        let record = record?;
        if let Some(record) = at_begin.of(&record) {
            before.add(&record);
        }
        let Some(record) = at_end.of(&record) else { continue };
        end.add(&record);
        let anomalies = record.anomalies();
        content.anomalies += u64::from(!anomalies.is_empty());
        if record.held() > 0 {
            let held = record.held() as u64;
            content.open.entities += 1;
            content.open.events += held;
            if content.open.named.len() < HOLES_NAMED_MAX {
                let hole = |anomaly: &Anomaly| match anomaly {
                    Anomaly::Hole { from, to } => Some((*from, *to)),
                    _ => None,
                };
                let (from, to) = anomalies.iter().find_map(hole).unwrap_or_default();
                content.open.named.push(OpenHole { entity: record.key.as_str().to_owned(), held, from, to });
            }
        }
    }
    for (source, currency) in end.pairs(&before) {
        let (end, before) = (end.get(source, currency), before.get(source, currency));
        let figure = |(figure, (end, before)): (&str, (i128, i128))| Figure {
            figure: figure.to_owned(),
            before: before.to_string(),
            movement: (end - before).to_string(),
            end: end.to_string(),
        };
        let amounts = end.amounts.into_iter().zip(before.amounts);
        content.sums.push(SourceSums {
            source: source.to_owned(),
            currency: currency.to_owned(),
            payments: end.payments,
            figures: figures().into_iter().zip(amounts).map(figure).collect(),
        });
    }
    Ok(content)
}

/// The digests of the day's segments and records. A segment that cannot be read has been named by the fold;
/// here it is missing from the digests.
async fn originals<A: Archive>(
    content: &mut Content,
    archive: &Arc<A>,
    bounded: &Bounded<A>,
    stream: &str,
    day: &Day,
    through: &Positions,
) -> Result<()> {
    let mut hours: BTreeMap<String, Vec<SegmentSummary>> = BTreeMap::new();
    let mut shards: BTreeMap<ShardId, RecordsDigest> = BTreeMap::new();
    let within = Within { through: Some(through), watch: None };
    for text in bounded.list(&keys::segments_of(stream)).await? {
        let Some(key) = SegmentKey::parse(&text).filter(|key| day.holds_hour(&key.hour)) else { continue };
        let Some(object) = archive.get(&text).await? else { continue };
        let (sha256, bytes) = (digest(&object), object.len() as u64);
        let Ok(segment) = SegmentReader::open(object) else { continue };
        let records = shards.entry(key.shard.clone()).or_default();
        for row in segment.rows() {
            let Ok(row) = row else { break };
            if within.takes(&key.shard, &row.sequence) {
                records.add(&row);
            }
        }
        hours.entry(key.hour).or_default().push(SegmentSummary::new(segment.info(), sha256, bytes));
    }
    for (hour, segments) in hours {
        let manifest = archive.get(&keys::manifest(stream, &hour)).await?;
        content.hours.push(HourSegments { hour, manifest_sha256: manifest.map(|text| digest(&text)), segments });
    }
    for (shard, records) in shards {
        if let Some(last) = records.last.clone() {
            content.shards.push(ShardRecords { shard, records: records.records, last, sha256: records.finish() });
        }
    }
    Ok(())
}
