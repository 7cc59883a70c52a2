//! Finds and checks the end of a shard's chain.
//!
//! The head says where the newest segment was some segments ago; from there each successor is
//! found by the prefix of its key. Without a sound head the shard's keys are listed: the last one
//! is the newest segment.

use bytes::Bytes;
use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::ports::Archive;
use ledgerline_domain::segment::keys::{self, SegmentKey};
use ledgerline_domain::segment::{Head, Link, Manifest, SegmentReader, SegmentSummary, digest};
use ledgerline_domain::{Error, ErrorKind, Result};

/// The end of a chain: the last archived position and the segment that ends there.
pub(super) type Tip = Option<(SequenceNumber, Link)>;

/// What is known of a shard's chain at the start.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Its newest segment.
    pub newest: Option<SegmentSummary>,
    /// Its segments that no manifest may name yet.
    pub unlisted: Vec<SegmentSummary>,
    /// Hours that may have no complete manifest yet.
    pub pending: Vec<String>,
}

impl Found {
    /// The end of the chain.
    pub(super) fn tip(&self) -> Tip {
        self.newest.as_ref().map(tip_of)
    }
}

/// The end of a chain whose newest segment is `summary`.
pub(super) fn tip_of(summary: &SegmentSummary) -> (SequenceNumber, Link) {
    (summary.last.clone(), Link { key: summary.key.clone(), sha256: summary.sha256.clone() })
}

/// Finds the end of the chain of `shard`.
pub(super) async fn find<A: Archive>(archive: &A, stream: &str, shard: &ShardId) -> Result<Found> {
    let mut found = match from_head(archive, stream, shard).await {
        Ok(Some(found)) => found,
        Ok(None) => from_listing(archive, stream, shard).await?,
        Err(error) if error.kind() == ErrorKind::Data => {
            tracing::warn!(%shard, %error, "the head of a shard is not sound; listing its segments instead");
            from_listing(archive, stream, shard).await?
        }
        Err(error) => return Err(error),
    };
    for next in follow(archive, stream, shard, found.tip()).await? {
        found.pending.push(next.hour.clone());
        found.newest = Some(next.clone());
        found.unlisted.push(next);
    }
    found.pending.sort();
    found.pending.dedup();
    Ok(found)
}

/// The segments after `tip`, in order.
pub(super) async fn follow<A: Archive>(
    archive: &A,
    stream: &str,
    shard: &ShardId,
    mut tip: Tip,
) -> Result<Vec<SegmentSummary>> {
    let mut next = Vec::new();
    loop {
        let after = tip.as_ref().map(|(last, _)| last);
        let found = archive.list(&keys::successor_of(stream, shard, after)).await?;
        match found.as_slice() {
            [] => return Ok(next),
            [key] => {
                let summary = adopt(archive, stream, shard, &tip, key).await?;
                tip = Some(tip_of(&summary));
                next.push(summary);
            }
            [one, two, ..] => {
                return Err(Error::data(format!(
                    "follow the archive of {shard}: both {one} and {two} follow one segment"
                )));
            }
        }
    }
}

/// Reads the segment under `key`, which somebody wrote to follow `tip`, and checks that it does.
async fn adopt<A: Archive>(archive: &A, stream: &str, shard: &ShardId, tip: &Tip, key: &str) -> Result<SegmentSummary> {
    let bytes = get(archive, key).await?;
    continues(stream, shard, tip, key, &bytes)
}

/// Checks that the segment `bytes` under `key` follows `tip`.
pub(super) fn continues(stream: &str, shard: &ShardId, tip: &Tip, key: &str, bytes: &Bytes) -> Result<SegmentSummary> {
    let summary = summary(key, bytes)?;
    let reader = SegmentReader::open(bytes.clone())?;
    let info = reader.info();
    let fits = info.stream == stream
        && info.shard == *shard
        && info.start.as_ref() == tip.as_ref().map(|(last, _)| last)
        && info.predecessor.as_ref() == tip.as_ref().map(|(_, link)| link);
    if fits {
        return Ok(summary);
    }
    Err(Error::data(format!(
        "continue the archive of {shard}: {key} does not follow the segment before it; run `replay verify` to see where the chain breaks"
    )))
}

/// Opens the segment `bytes` and checks that it stands under its own key.
fn summary(key: &str, bytes: &Bytes) -> Result<SegmentSummary> {
    let reader = SegmentReader::open(bytes.clone()).map_err(|e| Error::data(format!("open {key}")).because(e))?;
    if reader.info().key() != key {
        return Err(Error::data(format!("open {key}: the object there is {}", reader.info().key())));
    }
    Ok(SegmentSummary::new(reader.info(), digest(bytes), bytes.len() as u64))
}

async fn get<A: Archive>(archive: &A, key: &str) -> Result<Bytes> {
    let object = archive.get(key).await?;
    // Listed and gone: an archive that lists before it shows, or lost an object. Looking again tells.
    object.ok_or_else(|| Error::retry(format!("read {key}: the archive lists it but does not have it")))
}

/// Starts from the head, if there is one. A head that names what is not there is damaged.
async fn from_head<A: Archive>(archive: &A, stream: &str, shard: &ShardId) -> Result<Option<Found>> {
    let Some(text) = archive.get(&keys::head(stream, shard)).await? else { return Ok(None) };
    let head = Head::decode(&text)?;
    let lost = || Error::data(format!("follow the head of {shard}: {} is not what it names", head.newest.key));
    let bytes = archive.get(&head.newest.key).await?.ok_or_else(lost)?;
    let newest = summary(&head.newest.key, &bytes)?;
    let of_shard = head.newest.key.starts_with(&keys::segments_of_shard(stream, shard));
    if newest != head.newest || !of_shard {
        return Err(lost());
    }
    Ok(Some(Found { newest: Some(newest), unlisted: Vec::new(), pending: head.pending }))
}

/// Starts from the last of the shard's keys. Its hour's other segments may be in no manifest.
async fn from_listing<A: Archive>(archive: &A, stream: &str, shard: &ShardId) -> Result<Found> {
    let listed = archive.list(&keys::segments_of_shard(stream, shard)).await?;
    let chain: Vec<SegmentKey> = listed.iter().filter_map(|key| SegmentKey::parse(key)).collect();
    let Some(last) = chain.last() else { return Ok(Found::default()) };
    let known = match archive.get(&keys::manifest(stream, &last.hour)).await? {
        Some(text) => Manifest::decode(&text).unwrap_or_else(|_| Manifest::empty(stream, &last.hour)),
        None => Manifest::empty(stream, &last.hour),
    };
    let is_known = |key: &str| known.shards.iter().flat_map(|s| &s.segments).any(|s| s.key == key);
    let mut found = Found { pending: vec![last.hour.clone()], ..Found::default() };
    for key in chain.iter().filter(|key| key.hour == last.hour) {
        let text = key.text();
        if key == last {
            found.newest = Some(summary(&text, &get(archive, &text).await?)?);
            found.unlisted.extend(found.newest.clone());
        } else if !is_known(&text) {
            found.unlisted.push(summary(&text, &get(archive, &text).await?)?);
        }
    }
    Ok(found)
}
