//! Providers are data (being written).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::envelope::Identified;
use crate::error::Result;
use crate::fact::Meaning;
use crate::ids::SourceName;
use crate::request::RawRequest;
use crate::signature::Scheme;

/// How one company's webhooks look.
#[derive(Debug)]
pub struct Provider {
    name: String,
    scheme: Scheme,
}

impl Provider {
    /// Reads a provider file; `file` is named in errors.
    pub fn parse(_file: &str, _text: &str) -> Result<Self> {
        Err(crate::Error::internal("x"))
    }

    /// A provider that is built in: `stripe`, `standard-webhooks`, `generic`.
    pub fn built_in(_name: &str) -> Option<Self> {
        None
    }

    /// Names of the built-in providers.
    pub fn built_in_names() -> &'static [&'static str] {
        &["generic", "standard-webhooks", "stripe"]
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its signature scheme.
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Splits a request into its events and finds id, type, entity, order and time of each. Never
    /// fails and never gives an empty list: what cannot be read becomes one event of kind
    /// `unreadable` with the reason. A split request comes with one more event of kind `request`
    /// that holds the original bytes.
    pub fn identify(&self, _source: &SourceName, _raw: RawRequest<'_>) -> Vec<Identified> {
        Vec::new()
    }

    /// What an event says. `Err` is the reason why it cannot be read, in words.
    pub fn interpret(&self, _event_type: &str, _entity_kind: &str, _body: &[u8]) -> Result<Meaning, String> {
        Err(String::new())
    }
}

/// Which provider each source has.
#[derive(Clone, Debug, Default)]
pub struct Sources(BTreeMap<String, Arc<Provider>>);

impl Sources {
    /// Adds a source.
    pub fn insert(&mut self, source: &SourceName, provider: Arc<Provider>) {
        self.0.insert(source.as_str().to_owned(), provider);
    }

    /// The provider of `source`.
    pub fn provider(&self, source: &str) -> Option<&Arc<Provider>> {
        self.0.get(source)
    }

    /// All sources with their providers, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<Provider>)> {
        self.0.iter().map(|(name, provider)| (name.as_str(), provider))
    }
}
