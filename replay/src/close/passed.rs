//! How far the archive has come in time: whether everything of a day is in it.
//!
//! Two things say so. A manifest says per shard up to when everything that had arrived was archived; and
//! a running server writes `watermarks/{stream}.json` whenever nothing is left to archive, so that a quiet
//! night does not hold up the close.

use std::collections::BTreeMap;

use bytes::Bytes;
use ledgerline_domain::ids::ShardId;
use ledgerline_domain::ports::Archive;
use ledgerline_domain::segment::{Manifest, keys};
use ledgerline_domain::time::UnixNanos;
use ledgerline_domain::{Error, Result};
use serde::{Deserialize, Serialize};

use super::Day;
use crate::within::Positions;

/// Version of the watermarks that this program writes.
const WATERMARK_VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Watermark {
    #[serde(rename = "ledgerline_watermark")]
    version: u32,
    archived_until: String,
}

fn key(stream: &str) -> String {
    format!("watermarks/{stream}.json")
}

/// Writes down that everything that arrived before `until` is in the archive.
pub async fn note_archived_until<A: Archive>(archive: &A, stream: &str, until: UnixNanos) -> Result<()> {
    let watermark = Watermark { version: WATERMARK_VERSION, archived_until: until.to_string() };
    let text = serde_json::to_vec(&watermark).map_err(|e| Error::internal("write a watermark").because(e))?;
    archive.replace(&key(stream), Bytes::from(text)).await
}

/// Everything that arrived before this is in the archive, as far as it says so and as far as `day` needs
/// it; `None` when nothing says anything.
pub async fn archived_until<A: Archive>(
    archive: &A,
    stream: &str,
    day: &Day,
    positions: &Positions,
) -> Result<Option<UnixNanos>> {
    let noted = archive.get(&key(stream)).await?.and_then(|text| {
        let watermark: Watermark = serde_json::from_slice(&text).ok()?;
        UnixNanos::parse_rfc3339(&watermark.archived_until).ok()
    });
    if noted.is_some_and(|until| day.is_over_at(until)) {
        return Ok(noted);
    }
    let mut shards: BTreeMap<ShardId, Option<UnixNanos>> =
        positions.keys().map(|shard| (shard.clone(), None)).collect();
    let first = keys::manifest(stream, &day.from().hour());
    let mut stated = None;
    for key in archive.list(&keys::manifests_of(stream)).await? {
        if key < first {
            continue;
        }
        // One that cannot be read says nothing; `replay verify` names it.
        let Some(manifest) = archive.get(&key).await?.and_then(|text| Manifest::decode(&text).ok()) else { continue };
        for shard in manifest.shards {
            let until = shard.archived_until.and_then(|text| UnixNanos::parse_rfc3339(&text).ok());
            let known = shards.entry(shard.shard).or_default();
            *known = (*known).max(until);
        }
        stated = shards.values().copied().min().flatten();
        if stated.is_some_and(|until| day.is_over_at(until)) {
            break;
        }
    }
    Ok(noted.max(stated))
}
