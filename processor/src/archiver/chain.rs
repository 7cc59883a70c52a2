//! Finds and checks the end of a shard's chain.
//!
//! The head says where the newest segment was some segments ago; from there each successor is found
//! among the keys of its hour, the hour before and all later ones. A successor in a still earlier
//! hour (the log's clock stepped back) shows itself when the next segment is put, because that one
//! collides with it: the same first record gives the same key. When the log has forgotten what
//! follows, nothing can be put, and all keys of the shard are looked through.
//!
//! Without a sound head the shard's keys are listed: the one with the greatest start is the newest
//! segment, whatever its hour.

use std::collections::BTreeSet;

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

/// The segments after `tip`, in order, but for those of hours long before.
pub(super) async fn follow<A: Archive>(
    archive: &A,
    stream: &str,
    shard: &ShardId,
    tip: Tip,
) -> Result<Vec<SegmentSummary>> {
    follow_in(archive, stream, shard, tip, false).await
}

/// The segments after `tip`, in order, whatever their hours.
pub(super) async fn follow_anywhere<A: Archive>(
    archive: &A,
    stream: &str,
    shard: &ShardId,
    tip: Tip,
) -> Result<Vec<SegmentSummary>> {
    follow_in(archive, stream, shard, tip, true).await
}

async fn follow_in<A: Archive>(
    archive: &A,
    stream: &str,
    shard: &ShardId,
    mut tip: Tip,
    anywhere: bool,
) -> Result<Vec<SegmentSummary>> {
    let whole = keys::segments_of_shard(stream, shard);
    let mut next = Vec::new();
    loop {
        let hour = tip.as_ref().and_then(|(_, link)| SegmentKey::parse(&link.key)).map(|key| key.hour);
        let near = hour.and_then(|hour| keys::near(stream, shard, &hour)).filter(|_| !anywhere);
        let listed = match near {
            Some(from) => archive.list_from(&whole, &from).await?,
            None => archive.list(&whole).await?,
        };
        let (listed, _) = keys::chain_order(listed);
        let known = next.len();
        loop {
            let after = tip.as_ref().map(|(last, _)| last);
            let at = listed.partition_point(|key| key.start.as_ref() < after);
            let mut following = listed.iter().skip(at).take_while(|key| key.start.as_ref() == after);
            match (following.next(), following.next()) {
                (None, _) => break,
                (Some(key), None) => {
                    let summary = adopt(archive, stream, shard, &tip, &key.text()).await?;
                    tip = Some(tip_of(&summary));
                    next.push(summary);
                }
                (Some(one), Some(two)) => {
                    let (one, two) = (one.text(), two.text());
                    return Err(Error::data(format!(
                        "follow the archive of {shard}: both {one} and {two} follow one segment; `archive check` says which of them is foreign"
                    )));
                }
            }
        }
        if next.len() == known {
            return Ok(next);
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
        "continue the archive of {shard}: {key} does not follow the segment before it; run `archive check` to see where the chain breaks"
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
    let unlisted = lacking(archive, stream, shard, &newest, &head.pending).await?;
    Ok(Some(Found { newest: Some(newest), unlisted, pending: head.pending }))
}

/// Segments up to `newest` that the manifests of its hour and of the pending ones do not name, as they
/// should: another archiver of the shard may have written an older text over a newer one.
async fn lacking<A: Archive>(
    archive: &A,
    stream: &str,
    shard: &ShardId,
    newest: &SegmentSummary,
    pending: &[String],
) -> Result<Vec<SegmentSummary>> {
    let hours: BTreeSet<&str> = pending.iter().chain([&newest.hour]).map(String::as_str).collect();
    let whole = keys::segments_of_shard(stream, shard);
    let from = hours.first().map(|hour| format!("{whole}hour={hour}/")).unwrap_or_default();
    let (chain, _) = keys::chain_order(archive.list_from(&whole, &from).await?);
    let mut named = BTreeSet::new();
    for hour in &hours {
        let Some(text) = archive.get(&keys::manifest(stream, hour)).await? else { continue };
        let segments = Manifest::decode(&text).map(|manifest| manifest.shards).unwrap_or_default();
        named.extend(segments.into_iter().flat_map(|shard| shard.segments).map(|segment| segment.key));
    }
    let mut lacking = Vec::new();
    for key in chain.iter().filter(|key| key.start <= newest.start && hours.contains(key.hour.as_str())) {
        let text = key.text();
        if !named.contains(&text) {
            lacking.push(summary(&text, &get(archive, &text).await?)?);
        }
    }
    Ok(lacking)
}

/// Starts from the last of the shard's keys. Its segments of the latest hours may be in no manifest.
async fn from_listing<A: Archive>(archive: &A, stream: &str, shard: &ShardId) -> Result<Found> {
    let (chain, _) = keys::chain_order(archive.list(&keys::segments_of_shard(stream, shard)).await?);
    let Some(last) = chain.last() else { return Ok(Found::default()) };
    let mut hours: Vec<&str> = chain.iter().map(|key| key.hour.as_str()).collect();
    hours.sort_unstable();
    hours.dedup();
    let (mut listed, mut pending) = (BTreeSet::new(), Vec::new());
    for hour in hours.iter().rev() {
        let manifest = match archive.get(&keys::manifest(stream, hour)).await? {
            Some(text) => Manifest::decode(&text).unwrap_or_else(|_| Manifest::empty(stream, hour)),
            None => Manifest::empty(stream, hour),
        };
        listed.extend(manifest.shards.into_iter().flat_map(|s| s.segments).map(|segment| segment.key));
        let is_done = manifest.complete && chain.iter().filter(|k| k.hour == *hour).all(|k| listed.contains(&k.text()));
        // Hours are completed in their order: what lies before a complete one was.
        if is_done && **hour < *last.hour {
            break;
        }
        pending.push((*hour).to_owned());
    }
    let mut found = Found::default();
    for key in chain.iter().filter(|key| pending.contains(&key.hour)) {
        let text = key.text();
        if key == last || !listed.contains(&text) {
            let summary = summary(&text, &get(archive, &text).await?)?;
            if key == last {
                found.newest = Some(summary.clone());
            }
            found.unlisted.push(summary);
        }
    }
    if found.newest.is_none() {
        let text = last.text();
        found.newest = Some(summary(&text, &get(archive, &text).await?)?);
    }
    found.pending = pending;
    Ok(found)
}
