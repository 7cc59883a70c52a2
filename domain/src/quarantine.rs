//! What goes into the quarantine: events that cannot be read, and those that contradict one that counts.

use bytes::Bytes;

use crate::envelope::Envelope;
use crate::error::Result;
use crate::fold::Fate;
use crate::ids::{SequenceNumber, ShardId};
use crate::ports::Quarantined;

impl Quarantined {
    /// The id of the item of a log record.
    pub fn id_of(shard: &ShardId, sequence: &SequenceNumber) -> String {
        format!("{shard}:{sequence}")
    }

    /// The item of a log record. `encoded` is its envelope as bytes. [`Data`](crate::ErrorKind::Data) when the
    /// envelope's source is none.
    pub fn new(id: String, envelope: &Envelope, encoded: Bytes, reason: String) -> Result<Self> {
        Ok(Self {
            id,
            source: envelope.source_name()?,
            entity: envelope.event.entity.clone(),
            event_id: envelope.event.id.to_string(),
            reason,
            received_at: envelope.received_at,
            envelope: encoded,
            released_at: None,
        })
    }
}

/// Why an event of that fate belongs in the quarantine; nothing for one that does not. `unread` says why it cannot
/// be read.
pub fn reason(fate: Fate, unread: Option<String>) -> Option<String> {
    match fate {
        Fate::Unreadable => Some(unread.unwrap_or_default()),
        Fate::Contradiction => Some("another event with this id and other facts was accepted before".to_owned()),
        Fate::Appended | Fate::Merged | Fate::Duplicate | Fate::Seen => None,
    }
}
