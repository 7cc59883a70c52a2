//! Which generations there are, of either kind.

#[cfg(feature = "aws")]
use ledgerline_adapters::control::Generations as _;
use ledgerline_adapters::control::{Generation, Positions, ProviderTexts};
use ledgerline_adapters::embedded::Control;
use ledgerline_domain::Result;
use ledgerline_domain::time::UnixNanos;

use super::either;

/// See the module. Clones lead to the same.
#[derive(Clone)]
pub enum AnyControl {
    /// SQLite on this machine.
    Local(Control),
    /// A DynamoDB table.
    #[cfg(feature = "aws")]
    Aws(std::sync::Arc<ledgerline_adapters::aws::dynamo::DynamoControl>),
}

impl AnyControl {
    /// The control database of this machine, through which commands ask the server; at AWS nobody needs to
    /// ask.
    pub fn local(&self) -> Option<&Control> {
        match self {
            Self::Local(control) => Some(control),
            #[cfg(feature = "aws")]
            Self::Aws(_) => None,
        }
    }

    /// All generations, oldest first, the retired ones too.
    pub async fn generations(&self) -> Result<Vec<Generation>> {
        either!(self, control => control.generations().await)
    }

    /// One of them.
    pub async fn generation(&self, number: u32) -> Result<Generation> {
        either!(self, control => control.generation(number).await)
    }

    /// The number of the live one.
    pub async fn live(&self) -> Result<u32> {
        either!(self, control => control.live().await)
    }

    /// Begins a generation of so many parts and gives its number.
    pub async fn begin_generation(
        &self,
        reason: Option<String>,
        parts: u32,
        texts: ProviderTexts,
        now: UnixNanos,
    ) -> Result<u32> {
        either!(self, control => control.begin_generation(reason, parts, texts, now).await)
    }

    /// Fixes up to where a building generation is folded from the archive; the first claim stands.
    pub async fn claim(&self, number: u32, positions: Positions) -> Result<Generation> {
        either!(self, control => control.claim(number, positions).await)
    }

    /// Notes that a part is complete.
    pub async fn part_done(&self, number: u32, part: u32) -> Result<Generation> {
        either!(self, control => control.part_done(number, part).await)
    }

    /// Notes that a generation with all its parts has its checkpoints.
    pub async fn ready(&self, number: u32) -> Result<()> {
        either!(self, control => control.ready(number).await)
    }

    /// The provider files of a generation.
    pub async fn provider_texts(&self, generation: u32) -> Result<ProviderTexts> {
        either!(self, control => control.provider_texts(generation).await)
    }

    /// Gives a generation other provider files.
    pub async fn set_provider_texts(&self, generation: u32, texts: ProviderTexts) -> Result<()> {
        either!(self, control => control.set_provider_texts(generation, texts).await)
    }
}
