//! How many requests were refused at the door on a day, as the server wrote it down.
//!
//! `counters/{stream}/{day}.json`, replaced as the day goes on; where several servers count, each has its own
//! `counters/{stream}/{day}/{writer}.json`, and they add up. What is refused never reaches the log, so
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

fn key(stream: &str, day: &Day, writer: Option<&str>) -> String {
    match writer {
        None => format!("counters/{stream}/{}.json", day.name()),
        Some(writer) => format!("counters/{stream}/{}/{writer}.json", day.name()),
    }
}

/// What was counted on a day, by everybody; `None` when nobody counted.
pub async fn rejected<A: Archive>(archive: &A, stream: &str, day: &Day) -> Result<Option<Rejected>> {
    let mut all = read(archive, &key(stream, day, None)).await?;
    for key in archive.list(&format!("counters/{stream}/{}/", day.name())).await? {
        if let Some(counted) = read(archive, &key).await? {
            add(all.get_or_insert_default(), &counted);
        }
    }
    Ok(all)
}

async fn read<A: Archive>(archive: &A, key: &str) -> Result<Option<Rejected>> {
    let Some(text) = archive.get(key).await? else { return Ok(None) };
    let damaged = |e| Error::data(format!("read {key}: it is damaged; remove it to close without it")).because(e);
    let counters: Counters = serde_json::from_slice(&text).map_err(damaged)?;
    Ok(Some(counters.rejected))
}

fn add(all: &mut Rejected, more: &Rejected) {
    for (source, causes) in more {
        let sums: &mut BTreeMap<String, u64> = all.entry(source.clone()).or_default();
        for (cause, count) in causes {
            *sums.entry(cause.clone()).or_default() += count;
        }
    }
}

/// Adds to what was counted on a day; `more` may be empty, which says that somebody counts. Where others may
/// count at the same time, `writer` is a name that nobody else has.
pub async fn add_rejected<A: Archive>(
    archive: &A,
    stream: &str,
    day: &Day,
    writer: Option<&str>,
    more: &Rejected,
) -> Result<()> {
    let key = key(stream, day, writer);
    let mut all = read(archive, &key).await?.unwrap_or_default();
    add(&mut all, more);
    let counters = Counters { version: COUNTERS_VERSION, day: day.name().to_owned(), rejected: all };
    let text = serde_json::to_vec_pretty(&counters).map_err(|e| Error::internal("write down counters").because(e))?;
    archive.replace(&key, Bytes::from(text)).await
}
