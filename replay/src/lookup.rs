//! Finds one entity's events in the archive, by statistics and bloom filters.

use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::ids::{EntityKey, ShardId};
use ledgerline_domain::ports::{Archive, Sequenced};
use ledgerline_domain::segment::SegmentReader;
use ledgerline_domain::segment::keys;
use ledgerline_domain::{Error, Result};

use crate::narrow::{Ends, Look, look};

/// The archived originals about `entity` in the order of the log, from `shard` alone when it is
/// known. A damaged segment is a [`Data`](ledgerline_domain::ErrorKind::Data) error that names it.
pub async fn events_of<A: Archive>(
    archive: &A,
    stream: &str,
    shard: Option<&ShardId>,
    entity: &EntityKey,
) -> Result<Vec<(ShardId, Sequenced<Envelope>)>> {
    let prefix = shard.map_or_else(|| keys::segments_of(stream), |shard| keys::segments_of_shard(stream, shard));
    let mut found = Vec::new();
    let mut ends = Ends::of(keys::chain_order(archive.list(&prefix).await?).0);
    while let Some((parsed, key, end)) = ends.next(archive).await? {
        let Some(end) = end else { continue };
        let entities = std::slice::from_ref(entity);
        let rows = match look(archive, &key, end, entities, |_| true).await?.0 {
            Look::Rows(rows) => rows,
            Look::Whole => {
                let Some(object) = archive.get(&key).await? else { continue };
                SegmentReader::open(object)
                    .and_then(|segment| segment.rows_of(entity))
                    .map_err(|e| Error::new(e.kind(), format!("look into {key}")).because(e))?
            }
        };
        found.extend(rows.into_iter().map(|row| (parsed.shard.clone(), row)));
    }
    Ok(found)
}
