//! From the log's records to what the fold takes: the same step for the live path and for replay.

use crate::envelope::{Envelope, REQUEST_KIND, UNREADABLE_KIND};
use crate::fold::Incoming;
use crate::ids::SequenceNumber;
use crate::provider::Sources;

/// What a log record is for the fold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// An event to fold.
    Event(Incoming),
    /// The archived original of a split request: nothing to fold.
    Original,
    /// It cannot be read, for this reason: it belongs in the quarantine.
    Unreadable(String),
}

/// Interprets an envelope that stands at `sequence`.
pub fn interpret(sources: &Sources, envelope: &Envelope, sequence: &SequenceNumber) -> Reading {
    let event = &envelope.event;
    if let Some(reason) = &event.unreadable {
        return Reading::Unreadable(reason.clone());
    }
    match event.entity.kind() {
        REQUEST_KIND => return Reading::Original,
        UNREADABLE_KIND => return Reading::Unreadable("the request could not be read".into()),
        _ => {}
    }
    let Some(provider) = sources.provider(envelope.source()) else {
        return Reading::Unreadable(format!(
            "no source {:?} is configured: add it to the settings and release",
            envelope.source()
        ));
    };
    match provider.interpret(&event.event_type, event.entity.kind(), &event.body) {
        Ok(meaning) => Reading::Event(Incoming {
            id: event.id.clone(),
            event_type: event.event_type.clone(),
            order: event.order,
            occurred_at: event.occurred_at,
            received_at: envelope.received_at,
            sequence: sequence.clone(),
            meaning,
        }),
        Err(reason) => Reading::Unreadable(reason),
    }
}
