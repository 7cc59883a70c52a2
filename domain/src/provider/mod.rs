//! Providers are data: one TOML file says how one company's webhooks look.
//!
//! The built-in files stand in `files/` and are read by the same reader as a user's own;
//! `docs/providers.md` explains every key.

mod body;
mod built_in;
mod check;
mod condition;
mod each;
mod facts;
mod file;
mod hydrate;
mod identify;
mod place;
mod pointer;
mod shape;
mod summary;
mod template;
mod xml;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use compact_str::CompactString;

use crate::envelope::{Envelope, Identified, RequestPart};
use crate::error::Result;
use crate::fact::Meaning;
use crate::ids::SourceName;
use crate::record::PAYMENT_KIND;
use crate::request::RawRequest;
use crate::signature::Scheme;

pub use file::PROVIDER_FORMAT;
pub use hydrate::Fetch;
pub use identify::{ITEMS_MAX, REQUEST_TYPE, UNREADABLE_TYPE};
pub use summary::Summary;

/// Most event types whose plans are kept; further ones are planned anew each time.
const PLANS_MAX: usize = 4096;

/// How one company's webhooks look.
pub struct Provider {
    file: file::ProviderFile,
    text: Box<str>,
    identify: identify::IdentifyPlan,
    body: body::BodyPlan,
    hydrate: Vec<hydrate::HydratePlan>,
    /// How fetched events are identified; made only where there are rules for any.
    fetched: Option<identify::IdentifyPlan>,
    /// What to read per (event type, is a payment); filled as types are seen.
    plans: RwLock<HashMap<(CompactString, bool), Arc<facts::FactPlan>, foldhash::fast::RandomState>>,
}

impl Provider {
    /// Reads and checks a provider file. Errors are [`Invalid`](crate::ErrorKind::Invalid) and name
    /// `file`, the key and the fix.
    pub fn parse(file: &str, text: &str) -> Result<Self> {
        let file = file::ProviderFile::parse(file, text)?;
        let text = text.into();
        let identify = identify::IdentifyPlan::new(&file);
        // Items of a split request are JSON. The check has made sure that the rest can be planned.
        let whole = file.body.as_ref().filter(|_| file.split.is_none());
        let body = body::BodyPlan::new(whole).unwrap_or_default();
        let hydrate: Vec<_> = file.hydrate.iter().filter_map(|rule| hydrate::HydratePlan::new(rule).ok()).collect();
        let fetched = (!hydrate.is_empty()).then(|| identify::IdentifyPlan::of_fetched(&file));
        Ok(Self { file, text, identify, body, hydrate, fetched, plans: RwLock::default() })
    }

    /// A provider that is built in.
    pub fn built_in(name: &str) -> Option<Self> {
        let (name, text) = built_in::FILES.iter().find(|(n, _)| *n == name)?;
        // A test reads every built-in file, so this is always `Some` for their names.
        Self::parse(&format!("{name}.toml (built in)"), text).ok()
    }

    /// Names of the built-in providers.
    pub fn built_in_names() -> impl Iterator<Item = &'static str> {
        built_in::FILES.iter().map(|(name, _)| *name)
    }

    /// The text of a built-in provider file, to start one's own from.
    pub fn built_in_text(name: &str) -> Option<&'static str> {
        built_in::FILES.iter().find(|(n, _)| *n == name).map(|(_, text)| *text)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.file.name
    }

    /// Its file, verbatim.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it is, in a line.
    pub fn description(&self) -> &str {
        &self.file.description
    }

    /// Where the company documents its events.
    pub fn documentation(&self) -> &str {
        &self.file.documentation
    }

    /// What its file says, for the table of providers.
    pub fn summary(&self) -> Summary {
        Summary::new(&self.file)
    }

    /// Its signature scheme.
    pub fn scheme(&self) -> &Scheme {
        &self.file.signature
    }

    /// Splits a request into its events and finds id, type, entity, order and time of each. Never
    /// fails and never gives an empty list: what cannot be read becomes one event of kind
    /// `unreadable` with the reason. A split request comes with one more event of kind `request`
    /// that holds the original bytes.
    pub fn identify(&self, source: &SourceName, raw: RawRequest<'_>) -> Vec<Identified> {
        self.identify.identify(source, raw)
    }

    /// Identifies one item of a split request again: `raw` holds the item's bytes as its body.
    pub fn identify_part(&self, source: &SourceName, raw: RawRequest<'_>, part: RequestPart) -> Identified {
        self.identify.one(source, raw, raw.body.clone(), Some(part))
    }

    /// Whether its file has `[[hydrate]]` rules: thin notifications whose object can be fetched.
    pub fn hydrates(&self) -> bool {
        !self.hydrate.is_empty()
    }

    /// What to fetch for an event of the log; nothing for all that are no thin notifications. `Err` says
    /// why the address cannot be made, in words without any of the body's content.
    pub fn fetch(&self, envelope: &Envelope) -> Option<Result<Fetch, String>> {
        let event = &envelope.event;
        if self.hydrate.is_empty()
            || event.unreadable.is_some()
            || file::is_reserved(event.entity.kind())
            || envelope.is_fetched()
        {
            return None;
        }
        let json = self.body.json(&event.body).ok()?;
        self.hydrate.iter().find_map(|plan| plan.fetch(envelope, &json))
    }

    /// Identifies the event that a fetched object became, from its body alone.
    pub fn identify_fetched(&self, source: &SourceName, raw: RawRequest<'_>) -> Identified {
        hydrate::identify(self.fetched.as_ref().unwrap_or(&self.identify), source, raw)
    }

    /// What an event says. `Err` is the reason why it cannot be read, in words without any of the
    /// body's content.
    pub fn interpret(&self, event_type: &str, entity_kind: &str, body: &[u8]) -> Result<Meaning, String> {
        self.read(event_type, entity_kind, body).0
    }

    /// The same, and whether the file names the event's type at all.
    pub(crate) fn read(&self, event_type: &str, entity_kind: &str, body: &[u8]) -> (Result<Meaning, String>, bool) {
        let plan = self.plan(event_type, entity_kind == PAYMENT_KIND);
        (self.body.json(body).and_then(|json| plan.interpret(&json)), plan.known)
    }

    fn plan(&self, event_type: &str, is_payment: bool) -> Arc<facts::FactPlan> {
        let key = (CompactString::from(event_type), is_payment);
        if let Some(plan) = self.plans.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return plan.clone();
        }
        let plan = Arc::new(facts::FactPlan::new(&self.file, event_type, is_payment));
        let mut plans = self.plans.write().unwrap_or_else(PoisonError::into_inner);
        if plans.len() < PLANS_MAX {
            plans.insert(key, plan.clone());
        }
        plan
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Provider({})", self.file.name)
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

#[cfg(test)]
mod format_tests;
#[cfg(test)]
mod hydrate_tests;
#[cfg(test)]
mod tests;
