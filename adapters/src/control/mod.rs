//! What the processes of one deployment agree on, whichever adapter keeps it: generations, which of them is live,
//! the provider files that each is folded with.
//!
//! A generation is a complete set of entity records; exactly one is live.
//!
//! | status | what | kept up to date by the server |
//! | --- | --- | --- |
//! | `building` | being folded from the archive | no; the log keeps what follows its positions |
//! | `ready` | complete | yes |
//! | `live` | complete, and the one that is read | yes |
//! | `previous` | complete, and was live before | yes |
//! | `retired` | its records are deleted | no |
//!
//! The `steps` from one status to another are pure and written once; an adapter reads, takes a step, and writes
//! what came out in one piece, or not at all.

pub(crate) mod steps;

use std::collections::BTreeMap;

use ledgerline_domain::Result;
use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::time::UnixNanos;
use serde::{Deserialize, Serialize};

/// A position per shard.
pub type Positions = BTreeMap<ShardId, SequenceNumber>;

/// Texts of provider files by the name of their source.
pub type ProviderTexts = BTreeMap<String, String>;

/// Where a generation stands in its life. See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GenerationStatus {
    /// Being folded from the archive.
    Building,
    /// Complete, and kept up to date.
    Ready,
    /// The one that is read.
    Live,
    /// Live before the live one, and kept up to date.
    Previous,
    /// Deleted.
    Retired,
}

impl GenerationStatus {
    /// As it is written: `building`, `ready`, `live`, `previous`, `retired`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Ready => "ready",
            Self::Live => "live",
            Self::Previous => "previous",
            Self::Retired => "retired",
        }
    }

    /// Whether it has all records, so that new events are folded into it.
    pub fn is_complete(self) -> bool {
        matches!(self, Self::Ready | Self::Live | Self::Previous)
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Building, Self::Ready, Self::Live, Self::Previous, Self::Retired].into_iter().find(|s| s.name() == name)
    }
}

/// A generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Generation {
    /// Its number, from 1; later ones are higher.
    pub number: u32,
    /// Where it stands.
    pub status: GenerationStatus,
    /// When it was begun.
    pub made_at: UnixNanos,
    /// Why, in the words of who made it.
    pub reason: Option<String>,
    /// In how many parts it is folded.
    pub parts: u32,
    /// The parts that are complete, from 1.
    pub parts_done: Vec<u32>,
    /// It is folded from the archive up to here, and from the log behind. `None` before this was fixed, and
    /// for the first generation, which is folded from the log alone.
    pub positions: Option<Positions>,
}

/// Something that a command line asked of the process that owns the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its number.
    pub id: i64,
    /// What was asked.
    pub ask: String,
}

/// Where the generations are written down. Every change is one step for everybody who looks, and kept when it
/// returns; two processes that change something at once take their steps one behind the other.
///
/// [`Conflict`](ledgerline_domain::ErrorKind::Conflict): the generation is not in the state that the step needs.
/// [`Invalid`](ledgerline_domain::ErrorKind::Invalid): there is none of that number.
pub trait Generations: Send + Sync + 'static {
    /// All generations, oldest first, the retired ones too.
    fn generations(&self) -> impl Future<Output = Result<Vec<Generation>>> + Send;

    /// One of them.
    fn generation(&self, number: u32) -> impl Future<Output = Result<Generation>> + Send;

    /// The number of the live one.
    fn live(&self) -> impl Future<Output = Result<u32>> + Send;

    /// Begins a generation of so many parts and gives its number. From now on the log forgets nothing,
    /// until [`claim`](Self::claim) says from where on it must keep: so nothing can fall between what the
    /// archive holds when it is read and what the log still keeps then.
    fn begin_generation(
        &self,
        reason: Option<String>,
        parts: u32,
        texts: ProviderTexts,
        now: UnixNanos,
    ) -> impl Future<Output = Result<u32>> + Send;

    /// Fixes up to where a building generation is folded from the archive; the first claim stands. Gives
    /// the generation.
    fn claim(&self, number: u32, positions: Positions) -> impl Future<Output = Result<Generation>> + Send;

    /// Notes that a part is complete. Its records must be on the disk. Gives the generation.
    fn part_done(&self, number: u32, part: u32) -> impl Future<Output = Result<Generation>> + Send;

    /// Notes that a generation with all its parts has its checkpoints, on the disk: from now on it is
    /// kept up to date and may be promoted.
    fn ready(&self, number: u32) -> impl Future<Output = Result<()>> + Send;

    /// Moves the live mark, in one step: the live generation becomes the previous one. Whether the new one has
    /// caught up is the caller's business, and so is telling those who hold the old one.
    fn move_live(&self, number: u32) -> impl Future<Output = Result<()>> + Send;

    /// Gives a generation up; the live one is refused. Its records are the caller's to delete.
    fn retire(&self, number: u32) -> impl Future<Output = Result<()>> + Send;

    /// The provider files of a generation.
    fn provider_texts(&self, generation: u32) -> impl Future<Output = Result<ProviderTexts>> + Send;

    /// Gives a generation other provider files, for all of its sources.
    fn set_provider_texts(&self, generation: u32, texts: ProviderTexts) -> impl Future<Output = Result<()>> + Send;
}
