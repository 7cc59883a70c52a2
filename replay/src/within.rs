//! The archive as it was when it had come to given positions: what lies behind them is not listed and not
//! folded, so that what was stated once can be proved whatever came later.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use ledgerline_domain::fold::Fate;
use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::ports::{Archive, Created, End};
use ledgerline_domain::segment::SegmentReader;
use ledgerline_domain::segment::keys::{self, SegmentKey};
use ledgerline_domain::time::UnixNanos;
use ledgerline_domain::{Error, Result};

use crate::lineage::segments;

/// Archived up to and including where, by shard. A shard that is not named had nothing.
pub type Positions = BTreeMap<ShardId, SequenceNumber>;

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeenAs {
    /// An event with its fate; [`Fate::Unreadable`] also for what could not even be identified.
    Event(Fate),
    /// The original of a split request; it folds into nothing.
    Original,
}

/// A record that was read.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Its source.
    pub source: &'a str,
    /// When the log took it.
    pub arrived_at: UnixNanos,
    /// What became of it.
    pub seen: SeenAs,
}

/// Is told what became of each record.
pub type Watch<'a> = &'a (dyn Fn(Seen<'_>) + Send + Sync);

/// How far a fold goes, and who is told about it. By default it goes to the end and nobody is.
#[derive(Clone, Copy, Default)]
pub struct Within<'a> {
    /// Records behind these positions do not count.
    pub through: Option<&'a Positions>,
    /// Is told what became of each record that counts.
    pub watch: Option<Watch<'a>>,
}

impl Within<'_> {
    /// Whether a record counts.
    pub fn takes(&self, shard: &ShardId, sequence: &SequenceNumber) -> bool {
        self.through.is_none_or(|through| through.get(shard).is_some_and(|last| sequence <= last))
    }
}

/// Where each shard's chain ends now, by its last segment.
pub async fn positions<A: Archive>(archive: &A, stream: &str) -> Result<Positions> {
    // The order of a chain is that of its positions: hours, and so keys, may step back.
    let (chain, _) = keys::chain_order(segments(archive, stream).await?);
    let last: BTreeMap<ShardId, String> = chain.into_iter().map(|key| (key.shard.clone(), key.text())).collect();
    let mut positions = Positions::new();
    for (shard, key) in last {
        let object = archive.get(&key).await?;
        let object = object.ok_or_else(|| Error::data(format!("find {key}: the archive lists it but lacks it")))?;
        let segment =
            SegmentReader::open(object).map_err(|e| Error::new(e.kind(), format!("open {key}")).because(e))?;
        positions.insert(shard, segment.info().last.clone());
    }
    Ok(positions)
}

/// An archive of which only the segments up to positions are shown, and no manifests and heads: they speak of more.
/// It is for reading.
pub(crate) struct Bounded<A> {
    archive: Arc<A>,
    through: Positions,
}

impl<A: Archive> Bounded<A> {
    pub fn new(archive: Arc<A>, through: Positions) -> Self {
        Self { archive, through }
    }

    fn shows(&self, text: &str) -> bool {
        if text.starts_with("manifests/") || text.starts_with("heads/") {
            return false;
        }
        let Some(key) = SegmentKey::parse(text) else { return true };
        self.through.get(&key.shard).is_some_and(|last| key.start.is_none_or(|start| start < *last))
    }
}

impl<A: Archive> Archive for Bounded<A> {
    async fn create(&self, _: &str, _: Bytes) -> Result<Created> {
        Err(Error::internal("write to an archive that is only read"))
    }

    async fn replace(&self, _: &str, _: Bytes) -> Result<()> {
        Err(Error::internal("write to an archive that is only read"))
    }

    async fn exchange(&self, _: &str, _: Option<&Bytes>, _: Bytes) -> Result<bool> {
        Err(Error::internal("write to an archive that is only read"))
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        self.archive.get(key).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        self.archive.get_range(key, range).await
    }

    async fn get_ends(&self, keys: &[String], bytes_max: u64) -> Result<Vec<Option<End>>> {
        self.archive.get_ends(keys, bytes_max).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let mut keys = self.archive.list(prefix).await?;
        keys.retain(|key| self.shows(key));
        Ok(keys)
    }
}
