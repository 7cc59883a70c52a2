//! The shards of the stream, as `ListShards` gives them, and what was last found.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::Shard;
use ledgerline_domain::ids::ShardId;
use ledgerline_domain::ports::{HashRange, ShardInfo};
use ledgerline_domain::{Error, Result};

use super::failure::Failure;

/// Most pages of a thousand shards each.
const PAGES_MAX: usize = 100;

/// The shards that were last found, in the order of their ids.
#[derive(Debug, Default)]
pub(super) struct Shards(RwLock<Vec<ShardInfo>>);

impl Shards {
    pub fn ids(&self) -> Vec<ShardId> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).iter().map(|shard| shard.id.clone()).collect()
    }

    pub fn all(&self) -> Vec<ShardInfo> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn knows(&self, id: &ShardId) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).iter().any(|shard| shard.id == *id)
    }

    /// Asks the stream and keeps what it says.
    pub async fn ask(&self, client: &Client, stream: &str) -> Result<Vec<ShardInfo>> {
        let found = list(client, stream).await?;
        self.0.write().unwrap_or_else(PoisonError::into_inner).clone_from(&found);
        Ok(found)
    }
}

async fn list(client: &Client, stream: &str) -> Result<Vec<ShardInfo>> {
    let action = format!("list the shards of {stream}");
    let mut found = Vec::new();
    let mut next = None;
    for _ in 0..PAGES_MAX {
        // A token stands for the name.
        let call = match next.take() {
            Some(token) => client.list_shards().next_token(token),
            None => client.list_shards().stream_name(stream),
        };
        let page = call.send().await.map_err(|e| Failure::from(e).during(&action))?;
        for shard in page.shards.unwrap_or_default() {
            found.push(info(shard)?);
        }
        next = page.next_token;
        if next.is_none() {
            found.sort_by(|a, b| a.id.cmp(&b.id));
            let ids: HashSet<_> = found.iter().map(|shard| &shard.id).collect();
            if ids.len() != found.len() {
                return Err(Error::retry(format!("{action}: a shard is listed twice")));
            }
            return Ok(found);
        }
    }
    Err(Error::invalid(format!("{action}: there are more than {PAGES_MAX} pages")))
}

fn info(shard: Shard) -> Result<ShardInfo> {
    let hash_key = |text: &str| {
        text.parse().map_err(|e| Error::data(format!("read hash key {text:?} of {}", shard.shard_id)).because(e))
    };
    let hash_range = match &shard.hash_key_range {
        Some(range) => {
            Some(HashRange { first: hash_key(&range.starting_hash_key)?, last: hash_key(&range.ending_hash_key)? })
        }
        None => None,
    };
    let parents = [shard.parent_shard_id, shard.adjacent_parent_shard_id];
    Ok(ShardInfo {
        id: ShardId::new(shard.shard_id),
        parents: parents.into_iter().flatten().map(ShardId::new).collect(),
        hash_range,
        closed: shard.sequence_number_range.is_some_and(|range| range.ending_sequence_number.is_some()),
    })
}
