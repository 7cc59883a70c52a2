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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ledgerline_domain::envelope::RequestPart;
    use ledgerline_domain::order::OrderClass;

    use super::*;
    use crate::doubles::{What, at, key, log, made};

    #[test]
    fn every_field_of_a_record_counts() {
        type Row = Sequenced<Envelope>;
        let row = log(&[made(1, What::Captured(5), 1, 2)]).into_values().flatten().next().unwrap();
        let part = |index| Some(RequestPart { digest: "ab".into(), index });
        type Change = Box<dyn Fn(&mut Row)>;
        let changes: Vec<Change> = vec![
            Box::new(|_| ()),
            Box::new(|row| row.sequence = SequenceNumber::from_u64(9)),
            Box::new(|row| row.arrived_at = at(9)),
            Box::new(|row| row.value.event.entity = key(9)),
            Box::new(|row| row.value.event.id = format!("{}x", row.value.event.id).into()),
            Box::new(|row| row.value.event.event_type.push('x')),
            Box::new(|row| row.value.event.order.class = OrderClass::Monotonic),
            Box::new(|row| row.value.event.order.value += 1),
            Box::new(|row| row.value.event.occurred_at = Some(at(9))),
            Box::new(|row| row.value.event.occurred_at = None),
            Box::new(|row| row.value.received_at = at(9)),
            Box::new(|row| row.value.event.body = [&row.value.event.body[..], b" "].concat().into()),
            Box::new(move |row| row.value.event.part = part(0)),
            Box::new(move |row| row.value.event.part = part(1)),
            Box::new(|row| row.value.event.unreadable = Some(String::new())),
            Box::new(|row| row.value.event.unreadable = Some("why".into())),
            Box::new(|row| row.value.content_type.push('x')),
            Box::new(|row| row.value.key_id.push('x')),
            Box::new(|row| row.value.signature_headers.push('x')),
        ];
        let of = |rows: &[Row]| {
            let mut digest = RecordsDigest::default();
            rows.iter().for_each(|row| digest.add(row));
            digest.finish()
        };
        let mut seen = BTreeSet::from([of(&[]), of(&[row.clone(), row.clone()])]);
        for (n, change) in changes.iter().enumerate() {
            let mut changed = row.clone();
            change(&mut changed);
            assert!(seen.insert(of(&[changed])), "change {n} is not seen");
        }
    }
}
