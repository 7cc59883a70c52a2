//! How many requests were refused at the door on a day, as the server wrote it down.
//!
//! `counters/{stream}/{day}.json`, replaced as the day goes on. What is refused never reaches the log, so
//! nothing proves these numbers; at most what was counted in the last seconds before a crash is missing.

use std::collections::BTreeMap;

use bytes::Bytes;
use ledgerline_domain::ports::Archive;
use ledgerline_domain::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{Day, Rejected};

/// Version of the counters that this program writes.
const COUNTERS_VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Counters {
    #[serde(rename = "ledgerline_counters")]
    version: u32,
    day: String,
    rejected: Rejected,
}

fn key(stream: &str, day: &Day) -> String {
    format!("counters/{stream}/{}.json", day.name())
}

/// What was counted on a day; `None` when nobody counted.
pub async fn rejected<A: Archive>(archive: &A, stream: &str, day: &Day) -> Result<Option<Rejected>> {
    let key = key(stream, day);
    let Some(text) = archive.get(&key).await? else { return Ok(None) };
    let damaged = |e| Error::data(format!("read {key}: it is damaged; remove it to close without it")).because(e);
    let counters: Counters = serde_json::from_slice(&text).map_err(damaged)?;
    Ok(Some(counters.rejected))
}

/// Adds to what was counted on a day; `more` may be empty, which says that somebody counts.
pub async fn add_rejected<A: Archive>(archive: &A, stream: &str, day: &Day, more: &Rejected) -> Result<()> {
    let mut all = rejected(archive, stream, day).await?.unwrap_or_default();
    for (source, causes) in more {
        let sums: &mut BTreeMap<String, u64> = all.entry(source.clone()).or_default();
        for (cause, count) in causes {
            *sums.entry(cause.clone()).or_default() += count;
        }
    }
    let counters = Counters { version: COUNTERS_VERSION, day: day.name().to_owned(), rejected: all };
    let text = serde_json::to_vec_pretty(&counters).map_err(|e| Error::internal("write down counters").because(e))?;
    archive.replace(&key(stream, day), Bytes::from(text)).await
}
