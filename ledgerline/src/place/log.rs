//! The log, of either kind.

use std::sync::Arc;

use ledgerline_adapters::embedded::EmbeddedLog;
use ledgerline_domain::Result;
use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::ports::{Appended, Log, LogRecord, ReadBatch, ReadLimit, ShardInfo};

use super::either;

/// See the module.
pub enum AnyLog {
    /// On this machine.
    Local(Arc<EmbeddedLog>),
    /// A Kinesis stream.
    #[cfg(feature = "aws")]
    Aws(Arc<super::aws::AwsLog>),
}

impl AnyLog {
    /// Why it takes nothing any more, if it does not.
    pub fn failure(&self) -> Option<String> {
        match self {
            Self::Local(log) => log.failure(),
            #[cfg(feature = "aws")]
            Self::Aws(_) => None,
        }
    }
}

impl Log for AnyLog {
    fn shards(&self) -> Vec<ShardId> {
        either!(self, log => log.shards())
    }

    async fn lineage(&self) -> Result<Vec<ShardInfo>> {
        either!(self, log => log.lineage().await)
    }

    async fn append(&self, records: Vec<LogRecord>) -> Result<Vec<Appended>> {
        either!(self, log => log.append(records).await)
    }

    async fn read(&self, shard: &ShardId, after: Option<&SequenceNumber>, limit: ReadLimit) -> Result<ReadBatch> {
        either!(self, log => log.read(shard, after, limit).await)
    }

    async fn tip(&self, shard: &ShardId) -> Result<Option<SequenceNumber>> {
        either!(self, log => log.tip(shard).await)
    }

    async fn reaches(&self, shard: &ShardId, position: &SequenceNumber) -> Result<bool> {
        either!(self, log => log.reaches(shard, position).await)
    }

    async fn release(&self, shard: &ShardId, through: &SequenceNumber) -> Result<()> {
        either!(self, log => log.release(shard, through).await)
    }
}
