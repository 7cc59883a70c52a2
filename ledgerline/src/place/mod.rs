//! Where log, state and archive are kept: in a data directory on this machine, or at AWS. The settings
//! decide; nothing behind here knows which it is.
//!
//! [`Data`] is for processes that receive, fold and archive, [`Reader`] for commands that look. On one machine
//! a lock lets one process serve; at AWS many do, and nothing is locked: leases share the work out, and
//! conditional writes keep it right.

mod archive;
#[cfg(feature = "aws")]
pub(crate) mod aws;
mod control;
mod live;
mod log;
mod store;

use std::sync::Arc;

use ledgerline_adapters::embedded::{Embedded, EmbeddedOptions, EmbeddedReader};
use ledgerline_adapters::partition;
use ledgerline_domain::Result;
use ledgerline_domain::ids::{EntityKey, ShardId};
use ledgerline_domain::ports::Log as _;

pub use archive::AnyArchive;
pub use control::AnyControl;
pub use live::AnyLive;
pub use log::AnyLog;
pub use store::AnyStore;

use crate::exit::Outcome;
use crate::replaying::Replay;
use crate::secrets::SourceSecrets;
use crate::settings::Loaded;

/// First part of the archive's keys on one machine, which has one stream.
pub use ledgerline_processor::archiver::STREAM_DEFAULT as LOCAL_STREAM;

/// Does the same with either kind.
macro_rules! either {
    ($either:expr, $inner:ident => $do:expr) => {
        match $either {
            Self::Local($inner) => $do,
            #[cfg(feature = "aws")]
            Self::Aws($inner) => $do,
        }
    };
}
use either;

/// Log, state and archive in use by this process.
pub struct Data {
    /// The ordered log.
    pub log: Arc<AnyLog>,
    /// Entity records, checkpoints and quarantine of the live generation, whichever that is.
    pub store: Arc<AnyLive>,
    /// The archive.
    pub archive: Arc<AnyArchive>,
    /// Which generations there are.
    pub control: AnyControl,
    /// First part of the archive's keys.
    pub stream: Arc<str>,
    kind: Kind,
}

enum Kind {
    Local(Box<Embedded>),
    #[cfg(feature = "aws")]
    Aws(Box<aws::Opened>),
}

impl Data {
    /// Opens what the settings name.
    pub async fn open(loaded: &Loaded) -> Outcome<Self> {
        #[cfg(feature = "aws")]
        if let Some(settings) = &loaded.settings.aws {
            let opened = aws::Opened::open(settings).await?;
            return Ok(Self {
                log: Arc::new(AnyLog::Aws(opened.log.clone())),
                store: Arc::new(AnyLive::Aws(opened.live.clone())),
                archive: Arc::new(AnyArchive::Aws(opened.archive.clone())),
                control: AnyControl::Aws(opened.control.clone()),
                stream: opened.stream.clone(),
                kind: Kind::Aws(Box::new(opened)),
            });
        }
        let options = EmbeddedOptions { shards: loaded.settings.shards, ..EmbeddedOptions::default() };
        Ok(Self::local(Embedded::open(&loaded.settings.data, options).await?))
    }

    /// A data directory in use by this process.
    pub fn local(data: Embedded) -> Self {
        Self {
            log: Arc::new(AnyLog::Local(data.log.clone())),
            store: Arc::new(AnyLive::Local(data.store.clone())),
            archive: Arc::new(AnyArchive::Local(data.archive.clone())),
            control: AnyControl::Local(data.control.clone()),
            stream: LOCAL_STREAM.into(),
            kind: Kind::Local(Box::new(data)),
        }
    }

    /// The records of a complete generation.
    pub async fn generation(&self, number: u32) -> Result<AnyStore> {
        match &self.kind {
            Kind::Local(data) => Ok(AnyStore::Local(data.generation(number).await?)),
            #[cfg(feature = "aws")]
            Kind::Aws(data) => Ok(AnyStore::Aws(data.generation(number)?)),
        }
    }

    /// Makes a complete generation the live one, for everybody who reads through the mark.
    pub async fn make_live(&self, number: u32) -> Result<()> {
        match &self.kind {
            Kind::Local(data) => data.make_live(number).await,
            #[cfg(feature = "aws")]
            Kind::Aws(data) => data.make_live(number).await,
        }
    }

    /// Gives a generation up and deletes its records.
    pub async fn retire(&self, number: u32) -> Result<()> {
        match &self.kind {
            Kind::Local(data) => data.retire(number).await,
            #[cfg(feature = "aws")]
            Kind::Aws(data) => data.retire(number).await,
        }
    }

    /// Whether other processes may serve beside this one.
    pub fn is_shared(&self) -> bool {
        match &self.kind {
            Kind::Local(_) => false,
            #[cfg(feature = "aws")]
            Kind::Aws(_) => true,
        }
    }

    /// What is at AWS, if it is.
    #[cfg(feature = "aws")]
    pub(crate) fn aws(&self) -> Option<&aws::Opened> {
        match &self.kind {
            Kind::Local(_) => None,
            Kind::Aws(data) => Some(data),
        }
    }

    /// In which shard an entity's events lie.
    pub fn shard_of(&self) -> ShardOf {
        match &self.kind {
            Kind::Local(data) => shard_of(u32::try_from(data.log.shards().len()).unwrap_or(u32::MAX)),
            #[cfg(feature = "aws")]
            Kind::Aws(data) => data.shard_of(),
        }
    }
}

/// State and archive, for reading; whether or not somebody serves them.
pub struct Reader {
    /// Entity records, checkpoints and quarantine of the generation that was live at opening.
    pub store: AnyStore,
    /// The number of that generation.
    pub live: u32,
    /// Which generations there are.
    pub control: AnyControl,
    /// The archive.
    pub archive: Arc<AnyArchive>,
    /// First part of the archive's keys.
    pub stream: Arc<str>,
    /// In which shard an entity's events lie.
    pub shard_of: ShardOf,
    kind: ReaderKind,
}

enum ReaderKind {
    Local(Box<EmbeddedReader>),
    #[cfg(feature = "aws")]
    Aws(Box<aws::Opened>),
}

impl Reader {
    /// Opens what the settings name.
    pub async fn open(loaded: &Loaded) -> Outcome<Self> {
        #[cfg(feature = "aws")]
        if let Some(settings) = &loaded.settings.aws {
            let opened = aws::Opened::open(settings).await?;
            let (live, store) = opened.live.pinned();
            return Ok(Self {
                store: AnyStore::Aws(store),
                live,
                control: AnyControl::Aws(opened.control.clone()),
                archive: Arc::new(AnyArchive::Aws(opened.archive.clone())),
                stream: opened.stream.clone(),
                shard_of: opened.shard_of(),
                kind: ReaderKind::Aws(Box::new(opened)),
            });
        }
        let reader = EmbeddedReader::open(&loaded.settings.data).await?;
        Ok(Self {
            store: AnyStore::Local(reader.store.clone()),
            live: reader.live,
            control: AnyControl::Local(reader.control.clone()),
            archive: Arc::new(AnyArchive::Local(reader.archive.clone())),
            stream: LOCAL_STREAM.into(),
            shard_of: shard_of(reader.format.log_shards),
            kind: ReaderKind::Local(Box::new(reader)),
        })
    }

    /// The records of another complete generation; on one machine it refuses commits.
    pub async fn generation(&self, number: u32) -> Result<AnyStore> {
        match &self.kind {
            ReaderKind::Local(reader) => Ok(AnyStore::Local(Arc::new(reader.generation(number).await?))),
            #[cfg(feature = "aws")]
            ReaderKind::Aws(data) => Ok(AnyStore::Aws(data.generation(number)?)),
        }
    }

    /// The records of a generation that is being built, to write them; made when they are not there.
    pub async fn building(&self, number: u32) -> Result<AnyStore> {
        match &self.kind {
            ReaderKind::Local(reader) => Ok(AnyStore::Local(Arc::new(reader.building(number).await?))),
            #[cfg(feature = "aws")]
            ReaderKind::Aws(data) => Ok(AnyStore::Aws(data.building(number).await?)),
        }
    }

    /// The records of the live generation, to repair some of them: each write is compared with the revision
    /// that was read, so it may go on beside whoever folds.
    pub async fn to_repair(&self) -> Result<AnyStore> {
        match &self.kind {
            ReaderKind::Local(reader) => Ok(AnyStore::Local(Arc::new(reader.to_repair().await?))),
            #[cfg(feature = "aws")]
            ReaderKind::Aws(_) => Ok(self.store.clone()),
        }
    }

    /// The archive folded again, with these settings; signatures are checked too where there are secrets.
    pub fn replay<'a>(&'a self, loaded: &'a Loaded, secrets: Option<&'a SourceSecrets>) -> Replay<'a> {
        Replay { loaded, secrets, stream: &self.stream, shard_of: &self.shard_of }
    }

    /// The shards of the log.
    pub fn shards(&self) -> Vec<ShardId> {
        match &self.kind {
            ReaderKind::Local(reader) => (0..reader.format.log_shards).map(ShardId::numbered).collect(),
            #[cfg(feature = "aws")]
            ReaderKind::Aws(data) => data.log.shards(),
        }
    }
}

/// Says in which shards an entity's events may lie, where that is known.
pub type ShardOf = Box<dyn Fn(&EntityKey) -> Vec<ShardId> + Send + Sync>;

/// In which of so many shards of one machine.
fn shard_of(shards: u32) -> ShardOf {
    Box::new(move |key| vec![ShardId::numbered(partition::shard_index(key, shards))])
}
