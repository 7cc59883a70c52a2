//! Which archived events are meant: a range of time, sources, entities, types. Conditions of one kind
//! add up, kinds narrow each other; an empty selector means everything.

use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::ids::EntityKey;
use ledgerline_domain::ports::Sequenced;
use ledgerline_domain::time::UnixNanos;
use serde::{Deserialize, Serialize};

/// A time of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeOf {
    /// When the log took it. The archive lies in this order, by the hour.
    #[default]
    Arrival,
    /// When it happened, by its provider; where none is given, when it was received.
    Occurred,
}

/// Which archived events are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selector {
    /// From this time on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<UnixNanos>,
    /// Before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<UnixNanos>,
    /// Which time these mean.
    #[serde(default)]
    pub by: TimeOf,
    /// Only these sources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// Only these entities.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entities: Vec<EntityKey>,
    /// Only these event types; one that ends in `*` means all that begin with what stands before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
}

impl Selector {
    /// Whether it means everything.
    pub fn is_all(&self) -> bool {
        *self == Self { by: self.by, ..Self::default() }
    }

    /// Whether an archived event is meant.
    pub fn takes(&self, row: &Sequenced<Envelope>) -> bool {
        let event = &row.value.event;
        let at = match self.by {
            TimeOf::Arrival => row.arrived_at,
            TimeOf::Occurred => event.occurred_at.unwrap_or(row.value.received_at),
        };
        self.takes_time(at) && self.takes_entity(&event.entity) && self.takes_type(&event.event_type)
    }

    /// Whether a time lies in the range.
    pub fn takes_time(&self, at: UnixNanos) -> bool {
        self.from.is_none_or(|from| from <= at) && self.to.is_none_or(|to| at < to)
    }

    /// Whether events of an entity can be meant.
    pub fn takes_entity(&self, entity: &EntityKey) -> bool {
        (self.sources.is_empty() || self.sources.iter().any(|source| source == entity.source()))
            && (self.entities.is_empty() || self.entities.contains(entity))
    }

    /// Whether events of a type can be meant.
    pub fn takes_type(&self, event_type: &str) -> bool {
        let is = |wanted: &String| match wanted.strip_suffix('*') {
            Some(begin) => event_type.starts_with(begin),
            None => event_type == wanted,
        };
        self.types.is_empty() || self.types.iter().any(is)
    }

    /// Whether a segment of this arrival hour, such as `2026-11-24T13`, can hold events that are meant.
    pub fn may_lie_in_hour(&self, hour: &str) -> bool {
        // Hours compare as text; what is no hour is looked into.
        self.by != TimeOf::Arrival
            || (self.from.is_none_or(|from| from.hour().as_str() <= hour)
                && self.to.is_none_or(|to| hour <= UnixNanos::from_nanos(to.nanos().saturating_sub(1)).hour().as_str()))
    }

    /// In words, for a plan.
    pub fn in_words(&self) -> String {
        let mut parts = Vec::new();
        let by = match self.by {
            TimeOf::Arrival => "arrived",
            TimeOf::Occurred => "happened",
        };
        match (self.from, self.to) {
            (Some(from), Some(to)) => parts.push(format!("{by} from {from} until before {to}")),
            (Some(from), None) => parts.push(format!("{by} from {from} on")),
            (None, Some(to)) => parts.push(format!("{by} before {to}")),
            (None, None) => {}
        }
        let mut list = |what: &str, of: Vec<&str>| {
            if !of.is_empty() {
                parts.push(format!("{what} {}", of.join(" or ")));
            }
        };
        list("source", self.sources.iter().map(String::as_str).collect());
        list("entity", self.entities.iter().map(EntityKey::as_str).collect());
        list("type", self.types.iter().map(String::as_str).collect());
        if parts.is_empty() { "all events".to_owned() } else { parts.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixNanos {
        UnixNanos::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn a_range_begins_with_its_first_instant_and_ends_before_its_last() {
        let selector = Selector {
            from: Some(at("2026-10-01T00:00:00Z")),
            to: Some(at("2026-10-02T00:00:00Z")),
            ..Selector::default()
        };
        assert!(selector.takes_time(at("2026-10-01T00:00:00Z")));
        assert!(selector.takes_time(at("2026-10-01T23:59:59.999999999Z")));
        assert!(!selector.takes_time(at("2026-10-02T00:00:00Z")));
        assert!(!selector.takes_time(at("2026-09-30T23:59:59Z")));
        for (hour, may) in
            [("2026-09-30T23", false), ("2026-10-01T00", true), ("2026-10-01T23", true), ("2026-10-02T00", false)]
        {
            assert_eq!(selector.may_lie_in_hour(hour), may, "{hour}");
        }
        let occurred = Selector { by: TimeOf::Occurred, ..selector };
        assert!(occurred.may_lie_in_hour("2027-01-01T00"), "what happened then may have arrived later");
    }

    #[test]
    fn conditions_of_a_kind_add_up_and_kinds_narrow() {
        let key = |text: &str| EntityKey::parse(text).unwrap();
        let selector = Selector {
            sources: vec!["a".into(), "b".into()],
            types: vec!["charge.*".into(), "payout.paid".into()],
            ..Selector::default()
        };
        assert!(selector.takes_entity(&key("b/payment/1")) && !selector.takes_entity(&key("c/payment/1")));
        assert!(selector.takes_type("charge.refunded") && selector.takes_type("payout.paid"));
        assert!(!selector.takes_type("payout.paid.x") && !selector.takes_type("refund.created"));
        let narrow = Selector { entities: vec![key("c/payment/1")], ..selector };
        assert!(!narrow.takes_entity(&key("c/payment/1")), "its source is not meant");
        assert!(!narrow.is_all() && Selector { by: TimeOf::Occurred, ..Selector::default() }.is_all());
        assert_eq!(Selector::default().in_words(), "all events");
    }
}
