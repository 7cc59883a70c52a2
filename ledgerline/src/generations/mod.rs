//! Generations of the state: which provider files each is folded with, and the processors that keep them
//! up to date.
//!
//! A generation is folded with its own provider files, kept verbatim beside it. The live one takes those
//! of the settings when a server starts, so that an edit takes effect at a restart, unless another
//! generation was made for the edit; the others keep theirs. Sources that a generation does not know are
//! taken from the settings.

pub mod difference;
pub mod fill;
#[cfg(feature = "aws")]
mod leased;
mod order;
mod shared;
mod supervisor;

use std::path::Path;
use std::sync::Arc;

use ledgerline_adapters::embedded::{GenerationStatus, ProviderTexts};
use ledgerline_domain::ids::SourceName;
use ledgerline_domain::provider::{Provider, Sources};
use ledgerline_domain::{Error, Result};

use crate::exit::Outcome;
use crate::place::{AnyControl, Reader};
use crate::settings::Loaded;

#[cfg(feature = "aws")]
pub(crate) use leased::{Fold, Generations};
pub use order::{Order, Processors};
pub(crate) use shared::promote_shared;
pub(crate) use supervisor::{Supervisor, folded_by_all};

/// The provider files of all sources.
pub fn texts_of(sources: &Sources) -> ProviderTexts {
    sources.iter().map(|(source, provider)| (source.to_owned(), provider.text().to_owned())).collect()
}

/// The providers of a generation, from its own files.
pub fn sources_of(generation: u32, texts: &ProviderTexts) -> Result<Sources> {
    let mut sources = Sources::default();
    let mut known: Vec<(&str, Arc<Provider>)> = Vec::new();
    for (source, text) in texts {
        let provider = match known.iter().find(|(other, _)| other == text) {
            Some((_, provider)) => provider.clone(),
            None => {
                let name = format!("the provider file of {source} in generation {generation}");
                // It was read when it was kept, so this program is older or the row is damaged.
                let read = Provider::parse(&name, text).map_err(|e| Error::data(format!("read {name}")).because(e));
                let provider = Arc::new(read?);
                known.push((text, provider.clone()));
                provider
            }
        };
        sources.insert(&SourceName::new(source)?, provider);
    }
    Ok(sources)
}

/// What became of the settings' provider files that are not those of the live generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Sources that the live generation reads otherwise from now on.
    pub changed: Vec<String>,
    /// Sources that it goes on reading as before, because this other generation was made for the change.
    pub kept: Vec<(String, u32)>,
}

/// Gives the live generation the provider files of the settings, and every other complete one those of the
/// sources that it does not know. A file with which another generation is folded is not taken: the change
/// comes when that one is promoted, and after a rollback it does not come back with a restart.
pub async fn take_settings(control: &AnyControl, sources: &Sources) -> Result<Taken> {
    let today = texts_of(sources);
    let mut all = Vec::new();
    for generation in control.generations().await?.into_iter().filter(|g| g.status != GenerationStatus::Retired) {
        let texts = control.provider_texts(generation.number).await?;
        all.push((generation, texts));
    }
    let mut taken = Taken::default();
    for (generation, before) in &all {
        let is_live = generation.status == GenerationStatus::Live;
        let mut texts = before.clone();
        for (source, text) in today.iter().filter(|(source, text)| before.get(*source) != Some(*text)) {
            let other = all.iter().find(|(g, texts)| g.number != generation.number && texts.get(source) == Some(text));
            match (before.contains_key(source), other) {
                (false, _) => _ = texts.insert(source.clone(), text.clone()),
                (true, _) if !is_live => {}
                (true, Some((other, _))) => taken.kept.push((source.clone(), other.number)),
                (true, None) => {
                    texts.insert(source.clone(), text.clone());
                    taken.changed.push(source.clone());
                }
            }
        }
        if texts != *before && generation.status.is_complete() {
            control.set_provider_texts(generation.number, texts).await?;
        }
    }
    Ok(taken)
}

/// The same, and says what it means for the state.
pub(crate) async fn take_settings_aloud(control: &AnyControl, sources: &Sources) -> Result<()> {
    let taken = take_settings(control, sources).await?;
    for source in taken.changed {
        tracing::warn!(
            source,
            "the provider file is not the one that the state was folded with: events that are folded already \
             keep their reading; `ledgerline replay repair --reinterpret` or `replay rebuild` gives them the new one"
        );
    }
    for (source, generation) in taken.kept {
        tracing::warn!(
            source,
            generation,
            "the provider file of the settings is the one of another generation: the live one keeps its own; \
             `ledgerline replay promote --generation` changes over"
        );
    }
    Ok(())
}

/// The settings with the provider files that the live generation is folded with, for whoever folds the
/// archive to compare with it. Unchanged where there is no data yet.
pub async fn as_live(loaded: &Loaded) -> Outcome<Loaded> {
    if loaded.settings.aws.is_none() && !is_there(&loaded.settings.data) {
        return Ok(loaded.clone());
    }
    let reader = Reader::open(loaded).await?;
    as_generation(loaded, &reader.control, reader.live).await
}

/// The same for any generation.
pub async fn as_generation(loaded: &Loaded, control: &AnyControl, number: u32) -> Outcome<Loaded> {
    let mut sources = (*loaded.sources).clone();
    for (source, provider) in sources_of(number, &control.provider_texts(number).await?)?.iter() {
        sources.insert(&SourceName::new(source)?, provider.clone());
    }
    Ok(Loaded { sources: Arc::new(sources), ..loaded.clone() })
}

fn is_there(data: &Path) -> bool {
    data.join("format").exists()
}

#[cfg(test)]
mod tests;
