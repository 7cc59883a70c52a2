//! What a server does beside its roles: carries out what the command line asked for, and
//! lets the log forget what is safely archived and folded, and hydrated.

use std::sync::Arc;
use std::time::Duration;

use ledgerline_domain::Result;
use ledgerline_domain::ids::{SequenceNumber, ShardId, SourceName};
use ledgerline_domain::ports::{Entities as _, Log as _};
use ledgerline_processor::archiver::{ArchiverProgress, Positions};
use ledgerline_processor::hydrator::progress_key;

use crate::generations::folded_by_all;
use crate::place::Data;
use crate::requests::{Owner, answer_all};

/// How often requests of the command line are looked for.
pub const REQUESTS_LOOK: Duration = Duration::from_secs(1);
/// How often the log is allowed to forget.
pub const RELEASE_LOOK: Duration = Duration::from_secs(10);

/// Lets the log forget, for ever, what is archived and durably folded into every generation, and done by the hydrator for the
/// sources in `hydrated`; errors are logged and looked at again.
pub async fn release_log(data: Arc<Data>, archived: Arc<ArchiverProgress>, hydrated: Vec<SourceName>) {
    let mut released = Positions::new();
    loop {
        tokio::time::sleep(RELEASE_LOOK).await;
        if let Err(error) = release_once(&data, &archived.positions(), &hydrated, &mut released).await {
            tracing::warn!(%error, "failed to let the log forget; trying again");
        }
    }
}

async fn release_once(
    data: &Data,
    archived: &Positions,
    hydrated: &[SourceName],
    released: &mut Positions,
) -> Result<()> {
    // After the archived positions, which are older: a generation that begins to be built in between finds
    // everything up to them in the archive.
    let generations = data.control.generations().await?;
    for (shard, archived) in archived {
        if released.get(shard) == Some(archived) {
            continue;
        }
        let Some(folded) = folded_by_all(data, &generations, shard).await? else { continue };
        let Some(hydrated) = hydrated_through(data, shard, hydrated, archived).await? else { continue };
        let through = folded.min(archived.clone()).min(hydrated);
        if released.get(shard).is_none_or(|before| *before < through) {
            data.log.release(shard, &through).await?;
            released.insert(shard.clone(), through);
        }
    }
    Ok(())
}

/// How far the hydrator is done with a shard, up to `archived`: the least of its sources. It need not be
/// durable: who reads again finds what was fetched in the log.
async fn hydrated_through(
    data: &Data,
    shard: &ShardId,
    hydrated: &[SourceName],
    archived: &SequenceNumber,
) -> Result<Option<SequenceNumber>> {
    let mut through = archived.clone();
    for source in hydrated {
        let Some(done) = data.store.checkpoint(&progress_key(source, shard)).await? else { return Ok(None) };
        through = through.min(done);
    }
    Ok(Some(through))
}

/// Looks after requests for ever; errors are logged and looked at again.
pub async fn requests(owner: Owner) {
    loop {
        tokio::time::sleep(REQUESTS_LOOK).await;
        if let Err(error) = answer_all(&owner).await {
            tracing::warn!(%error, "failed to look after requests; trying again");
        }
    }
}

#[cfg(test)]
#[path = "housekeeping_tests.rs"]
mod tests;
