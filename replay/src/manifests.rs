//! Manifests are derived: any of them can be made again from the segments.

use std::collections::BTreeMap;

use bytes::Bytes;
use ledgerline_domain::ids::ShardId;
use ledgerline_domain::ports::Archive;
use ledgerline_domain::segment::keys;
use ledgerline_domain::segment::manifest::MANIFEST_VERSION;
use ledgerline_domain::segment::{Head, Manifest, SegmentReader, SegmentSummary, ShardManifest, digest};
use ledgerline_domain::time::UnixNanos;
use ledgerline_domain::{Error, Result};

/// From the beginning of an hour to when it counts as over, as the archiver has it: its end and two minutes.
const OVER_NANOS: i64 = 3_720_000_000_000;

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

/// Manifests and heads that are to be written again.
#[derive(Debug, Default)]
pub struct Renewal {
    /// Segments that were read.
    pub segments: u64,
    /// The objects, manifests first.
    pub objects: Vec<Renewed>,
}

/// One of them.
#[derive(Debug)]
pub struct Renewed {
    /// Its key.
    pub key: String,
    /// Its new text.
    pub text: Vec<u8>,
    /// Why.
    pub why: &'static str,
}

impl Renewal {
    /// Whether all are as they should be.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Writes them; nobody else may. Gives how many.
    pub async fn write<A: Archive>(self, archive: &A) -> Result<u64> {
        let mut written = 0;
        for object in self.objects {
            archive.replace(&object.key, Bytes::from(object.text)).await?;
            written += 1;
        }
        Ok(written)
    }
}

/// Reads all segments of a stream and finds the manifests and heads that are missing, damaged or not what
/// the segments say. An hour is complete when its manifest says so, or when every shard of the stream has
/// a later record. A damaged segment is a [`Data`](ledgerline_domain::ErrorKind::Data) error that names it.
pub async fn renew<A: Archive>(archive: &A, stream: &str) -> Result<Renewal> {
    let mut renewal = Renewal::default();
    let mut hours: BTreeMap<String, BTreeMap<ShardId, Vec<SegmentSummary>>> = BTreeMap::new();
    let mut newest: BTreeMap<ShardId, SegmentSummary> = BTreeMap::new();
    let mut until: BTreeMap<ShardId, UnixNanos> = BTreeMap::new();
    for parsed in keys::chain_order(archive.list(&keys::segments_of(stream)).await?).0 {
        let key = parsed.text();
        let Some(object) = archive.get(&key).await? else { continue };
        let segment =
            SegmentReader::open(object.clone()).map_err(|e| Error::new(e.kind(), format!("open {key}")).because(e))?;
        let summary = SegmentSummary::new(segment.info(), digest(&object), object.len() as u64);
        renewal.segments += 1;
        let last = summary.contents.arrived_at.last;
        until.entry(parsed.shard.clone()).and_modify(|until| *until = last.max(*until)).or_insert(last);
        newest.insert(parsed.shard.clone(), summary.clone());
        hours.entry(parsed.hour).or_default().entry(parsed.shard).or_default().push(summary);
    }
    let all_until = until.values().min().copied();
    let mut pending: BTreeMap<ShardId, Vec<String>> = BTreeMap::new();
    for (hour, shards) in hours {
        let key = keys::manifest(stream, &hour);
        let stored = archive.get(&key).await?;
        let old = stored.as_ref().and_then(|text| Manifest::decode(text).ok());
        let mut manifest = Manifest::empty(stream, &hour);
        let over = keys::hour_start(&hour).zip(all_until).is_some_and(|(start, all)| all.since(start) > OVER_NANOS);
        manifest.complete = over || old.as_ref().is_some_and(|old| old.complete);
        for (shard, segments) in shards {
            if !manifest.complete {
                pending.entry(shard.clone()).or_default().push(hour.clone());
            }
            let part = old.as_ref().and_then(|old| old.shards.iter().find(|s| s.shard == shard));
            let watermark = segments.last().map(|s| s.last.clone()).max(part.and_then(|s| s.watermark.clone()));
            let archived_until = part.and_then(|s| s.archived_until.clone());
            manifest.shards.push(ShardManifest { shard, watermark, archived_until, segments });
        }
        manifest.totals = manifest.sums();
        let same = |old: &Manifest| {
            old.complete == manifest.complete
                && old.totals == manifest.totals
                && old.stream == stream
                && old.hour == hour
                && old.segments().eq(manifest.segments())
        };
        if !old.as_ref().is_some_and(same) {
            renewal.objects.push(Renewed { key, text: manifest.encode()?, why: why(stored.is_some(), old.is_some()) });
        }
    }
    for (shard, newest) in newest {
        let key = keys::head(stream, &shard);
        let stored = archive.get(&key).await?;
        let old = stored.as_ref().and_then(|text| Head::decode(text).ok());
        if old.as_ref().is_some_and(|old| old.newest == newest) {
            continue;
        }
        let pending = pending.remove(&shard).unwrap_or_default();
        let head = Head { version: MANIFEST_VERSION, newest, pending };
        renewal.objects.push(Renewed { key, text: head.encode()?, why: why(stored.is_some(), old.is_some()) });
    }
    Ok(renewal)
}

fn why(is_there: bool, is_readable: bool) -> &'static str {
    match (is_there, is_readable) {
        (false, _) => "it is missing",
        (true, false) => "it is damaged",
        (true, true) => "it does not say what is there",
    }
}
