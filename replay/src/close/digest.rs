//! A digest over records that does not ask in which segments they lie: every field of every record, each
//! text with its length before it.

use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::ids::SequenceNumber;
use ledgerline_domain::ports::Sequenced;
use ledgerline_domain::time::UnixNanos;
use sha2::{Digest as _, Sha256};

/// The digest of a shard's records, in the making.
#[derive(Default)]
pub(super) struct RecordsDigest {
    hash: Sha256,
    pub records: u64,
    pub last: Option<SequenceNumber>,
}

impl RecordsDigest {
    /// Adds a record with its evidence.
    pub fn add(&mut self, row: &Sequenced<Envelope>) {
        let envelope = &row.value;
        let event = &envelope.event;
        self.text(row.sequence.as_str());
        self.time(row.arrived_at);
        self.text(event.entity.as_str());
        self.text(&event.id);
        self.text(&event.event_type);
        self.text(&event.order.class.to_text());
        self.hash.update(event.order.value.to_le_bytes());
        self.hash.update([u8::from(event.occurred_at.is_some())]);
        self.time(event.occurred_at.unwrap_or(UnixNanos::from_nanos(0)));
        self.time(envelope.received_at);
        self.bytes(&event.body);
        match &event.part {
            None => self.hash.update([0]),
            Some(part) => {
                self.hash.update([1]);
                self.text(&part.digest);
                self.hash.update(part.index.to_le_bytes());
            }
        }
        self.hash.update([u8::from(event.unreadable.is_some())]);
        self.text(event.unreadable.as_deref().unwrap_or_default());
        self.text(&envelope.content_type);
        self.text(&envelope.key_id);
        self.text(&envelope.signature_headers);
        self.records += 1;
        self.last = Some(row.sequence.clone());
    }

    /// Lower-case hex.
    pub fn finish(self) -> String {
        self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.hash.update((bytes.len() as u64).to_le_bytes());
        self.hash.update(bytes);
    }

    fn time(&mut self, at: UnixNanos) {
        self.hash.update(at.nanos().to_le_bytes());
    }
}
