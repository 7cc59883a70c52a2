//! The fold of everything that is not a payment: what came last, how often, in which status.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// Most event types counted by name; further ones are counted under `other`.
pub const TYPES_COUNTED_MAX: usize = 64;

/// State of an entity without payment meaning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The object's own status word by the last event that carried one.
    pub status: Option<CompactString>,
    /// Type of the last event in order.
    pub last_type: CompactString,
    /// Events by type.
    pub counts: BTreeMap<CompactString, u64>,
}

impl Document {
    /// Applies one event.
    pub fn evolve(&mut self, event_type: &CompactString, status: Option<&CompactString>) {
        self.last_type = event_type.clone();
        if let Some(status) = status {
            self.status = Some(status.clone());
        }
        let known = self.counts.contains_key(event_type) || self.counts.len() < TYPES_COUNTED_MAX;
        let name = if known { event_type.clone() } else { CompactString::const_new("other") };
        *self.counts.entry(name).or_default() += 1;
    }
}
