//! From the log's records to what the fold takes: the same step for the live path and for replay.

use crate::envelope::{Envelope, REQUEST_KIND, UNREADABLE_KIND};
use crate::fold::Incoming;
use crate::ids::{EntityKey, SequenceNumber};
use crate::provider::Sources;

/// What a log record is for the fold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly every record is an event, and a box for each would cost more")]
pub enum Reading {
    /// An event to fold.
    Event(Interpreted),
    /// The archived original of a split request: nothing to fold.
    Original,
    /// A request that could not even be identified, for this reason: it belongs in the quarantine.
    Unreadable(String),
}

/// An event and what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreted {
    /// The entity.
    pub entity: EntityKey,
    /// The event. Without a meaning it marks its entity and belongs in the quarantine.
    pub incoming: Incoming,
    /// Why it cannot be read, if so.
    pub reason: Option<String>,
    /// Whether the provider's file names its type. One of an unknown type is kept, and changes no money.
    pub known: bool,
}

/// Interprets an envelope that stands at `sequence`.
pub fn interpret(sources: &Sources, envelope: Envelope, sequence: &SequenceNumber) -> Reading {
    let Envelope { event, received_at, .. } = envelope;
    if event.entity.kind() == REQUEST_KIND {
        return Reading::Original;
    }
    if event.entity.kind() == UNREADABLE_KIND {
        return Reading::Unreadable(event.unreadable.unwrap_or_else(|| "the request could not be read".into()));
    }
    let (read, known) = match sources.provider(event.entity.source()) {
        Some(provider) => provider.read(&event.event_type, event.entity.kind(), &event.body),
        None => (
            Err(format!("no source {:?} is configured: add it to the settings and release", event.entity.source())),
            true,
        ),
    };
    let (meaning, reason) = match read {
        Ok(meaning) => (Some(meaning), None),
        Err(reason) => (None, Some(reason)),
    };
    let incoming = Incoming {
        id: event.id,
        event_type: event.event_type,
        order: event.order,
        occurred_at: event.occurred_at,
        received_at,
        sequence: sequence.clone(),
        meaning,
    };
    Reading::Event(Interpreted { entity: event.entity, incoming, reason, known })
}
