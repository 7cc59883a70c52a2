//! The newest record of a shard. No call tells it, so it is read for: from what this process last
//! appended or found, else from a moment ago, and from further back while nothing is there.

use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::primitives::DateTime;
use ledgerline_domain::Result;
use ledgerline_domain::ids::{SequenceNumber, ShardId};

use super::place::{Place, Standing};
use super::reader::{Reader, Start};

/// How far back is looked, one after the other, before all of it is read.
const LOOK_BACK: [Duration; 3] =
    [Duration::from_secs(30), Duration::from_secs(30 * 60), Duration::from_secs(12 * 3600)];
/// Records per answer.
const RECORDS_MAX: usize = 10_000;

/// Position of the newest record that the shard keeps. `known` is one of the shard, if there is one.
pub(super) async fn tip(
    reader: &Reader,
    shard: &ShardId,
    known: Option<SequenceNumber>,
) -> Result<Option<SequenceNumber>> {
    if known.is_some() {
        return last(reader, shard, Start::After(known)).await;
    }
    for back in LOOK_BACK {
        let at = DateTime::from(SystemTime::now() - back);
        let found = last(reader, shard, Start::Time(at)).await?;
        if found.is_some() {
            return Ok(found);
        }
    }
    last(reader, shard, Start::After(None)).await
}

async fn last(reader: &Reader, shard: &ShardId, from: Start) -> Result<Option<SequenceNumber>> {
    let failed = |failure: super::failure::Failure| failure.during(format!("find the newest record of {shard}"));
    let mut place = Place::new(match &from {
        Start::After(after) => after.clone(),
        Start::Time(_) => None,
    });
    let iterator = reader.iterator(shard, &from).await.map_err(failed)?;
    reader.ask_with(shard, &mut place, iterator, RECORDS_MAX).await.map_err(failed)?;
    while !place.is_ended() && (place.standing() == Standing::Behind || place.has_answer()) {
        place.skip();
        reader.ask(shard, &mut place, RECORDS_MAX).await.map_err(failed)?;
    }
    Ok(place.last().cloned())
}
