//! Manifests are derived: any of them can be made again from the segments.

use std::collections::BTreeMap;

use ledgerline_domain::ids::ShardId;
use ledgerline_domain::ports::Archive;
use ledgerline_domain::segment::keys;
use ledgerline_domain::segment::{Manifest, SegmentReader, SegmentSummary, ShardManifest, digest};
use ledgerline_domain::{Error, Result};

/// Reads all segments of `hour` and says what is in them. Whether the hour is complete cannot be
/// read off segments: that is taken from the stored manifest, if it can be read. A damaged segment
/// is a [`Data`](ledgerline_domain::ErrorKind::Data) error that names it. Writes nothing.
pub async fn rebuild<A: Archive>(archive: &A, stream: &str, hour: &str) -> Result<Manifest> {
    let mut shards: BTreeMap<ShardId, Vec<SegmentSummary>> = BTreeMap::new();
    let (segments, _) = keys::chain_order(archive.list(&keys::segments_of(stream)).await?);
    for parsed in segments.into_iter().filter(|parsed| parsed.hour == hour) {
        let key = parsed.text();
        let Some(object) = archive.get(&key).await? else { continue };
        let segment =
            SegmentReader::open(object.clone()).map_err(|e| Error::new(e.kind(), format!("open {key}")).because(e))?;
        let summary = SegmentSummary::new(segment.info(), digest(&object), object.len() as u64);
        shards.entry(parsed.shard).or_default().push(summary);
    }
    let stored = archive.get(&keys::manifest(stream, hour)).await?;
    let stored = stored.and_then(|text| Manifest::decode(&text).ok()).unwrap_or_else(|| Manifest::empty(stream, hour));
    let mut rebuilt = Manifest::empty(stream, hour);
    rebuilt.complete = stored.complete;
    for (shard, segments) in shards {
        let old = stored.shards.iter().find(|s| s.shard == shard);
        let watermark = segments.last().map(|s| s.last.clone()).max(old.and_then(|s| s.watermark.clone()));
        let archived_until = old.and_then(|s| s.archived_until.clone());
        rebuilt.shards.push(ShardManifest { shard, watermark, archived_until, segments });
    }
    rebuilt.totals = rebuilt.sums();
    Ok(rebuilt)
}
