//! The binary form of a record: written, looked into without reading all of it, and made shorter for stores
//! that are paid by size.

use std::io::Read as _;

use super::{COMPRESS_ABOVE_BYTES, HEADER_BYTES, RECORD_VERSION};
use crate::error::{Error, Result};

/// How hard [`squeezed`] tries. It is used where a write takes milliseconds and costs by the kilobyte.
const PACK_LEVEL: i32 = 3;

/// The same record in fewer bytes, where that is possible. [`EntityRecord::decode`](super::EntityRecord::decode)
/// reads it as well.
pub fn squeezed(binary: Vec<u8>) -> Vec<u8> {
    let [RECORD_VERSION, 0, plain @ ..] = binary.as_slice() else { return binary };
    let Ok(shorter) = zstd::bulk::compress(plain, PACK_LEVEL) else { return binary };
    if shorter.len() >= plain.len() {
        return binary;
    }
    let mut packed = Vec::with_capacity(HEADER_BYTES + shorter.len());
    packed.extend_from_slice(&[RECORD_VERSION, 1]);
    packed.extend_from_slice(&shorter);
    packed
}

/// What [`squeezed`] was given. A record that is compressed in any case stays as it is.
/// [`Data`](crate::ErrorKind::Data) when the bytes are damaged.
pub fn expanded(binary: Vec<u8>) -> Result<Vec<u8>> {
    let [RECORD_VERSION, 1, short @ ..] = binary.as_slice() else { return Ok(binary) };
    if short.len() > COMPRESS_ABOVE_BYTES {
        return Ok(binary);
    }
    let mut plain = vec![RECORD_VERSION, 0];
    let damaged = |e| Error::data("read an entity record: the stored bytes are damaged").because(e);
    let reader = zstd::stream::Decoder::with_buffer(short).map_err(damaged)?;
    // One byte more than fits tells that it is a longer one.
    reader.take(COMPRESS_ABOVE_BYTES as u64 + 1).read_to_end(&mut plain).map_err(damaged)?;
    if plain.len() > COMPRESS_ABOVE_BYTES + HEADER_BYTES { Ok(binary) } else { Ok(plain) }
}

/// Writes to the end of a buffer, a string at a time; postcard's own way to a `Vec` goes byte by byte.
pub(crate) struct Growing(pub Vec<u8>);

impl postcard::ser_flavors::Flavor for Growing {
    type Output = Vec<u8>;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Vec<u8>> {
        Ok(self.0)
    }
}

/// The key, byte for byte, in an uncompressed binary form; nothing in a compressed one.
pub fn key_of(binary: &[u8]) -> Option<&[u8]> {
    let [RECORD_VERSION, 0, plain @ ..] = binary else { return None };
    postcard::take_from_bytes::<&[u8]>(plain).ok().map(|(key, _)| key)
}

/// The binary form that stores keep, of one that is not compressed: compressed when it is long.
pub fn packed(mut plain: Vec<u8>) -> Result<Vec<u8>> {
    if plain.len() > COMPRESS_ABOVE_BYTES + HEADER_BYTES {
        let packed = zstd::bulk::compress(&plain[HEADER_BYTES..], 1)
            .map_err(|e| Error::internal("compress an entity record").because(e))?;
        plain.truncate(HEADER_BYTES);
        plain[1] = 1;
        plain.extend_from_slice(&packed);
    }
    Ok(plain)
}

/// Where the entries begin in an uncompressed binary form: what stands before is short and changes with every
/// write, what follows grows at its end.
pub fn entries_at(binary: &[u8]) -> Option<usize> {
    let [RECORD_VERSION, 0, plain @ ..] = binary else { return None };
    let ((_, _, _, _), entries) = postcard::take_from_bytes::<(&[u8], u64, &[u8], u64)>(plain).ok()?;
    Some(binary.len() - entries.len())
}

/// Whether two binary forms are the same but for the revision, which counts writes and not events.
/// Compressed ones are only the same when every byte is.
pub fn same_but_for_revision(a: &[u8], b: &[u8]) -> bool {
    a == b || around_revision(a).is_some_and(|a| Some(a) == around_revision(b))
}

/// What stands before and behind the revision, the second field of an uncompressed binary form.
fn around_revision(binary: &[u8]) -> Option<(&[u8], &[u8])> {
    let [RECORD_VERSION, 0, plain @ ..] = binary else { return None };
    let (key, _) = postcard::take_from_bytes::<&[u8]>(plain).ok()?;
    // The key is one of at most 256 bytes, behind its length.
    let at = HEADER_BYTES + key.len() + if key.len() < 128 { 1 } else { 2 };
    let (before, from_revision) = binary.split_at_checked(at)?;
    let (_, behind) = postcard::take_from_bytes::<u64>(from_revision).ok()?;
    Some((before, behind))
}

#[cfg(test)]
mod tests {
    use super::super::{COMPRESS_ABOVE_BYTES, EntityRecord};
    use super::*;
    use crate::fact::Meaning;
    use crate::fold::{Incoming, apply};
    use crate::ids::{EntityKey, SequenceNumber};
    use crate::order::{OrderClass, OrderKey};
    use crate::time::UnixNanos;

    fn event(n: u64) -> Incoming {
        let at = UnixNanos::from_nanos(1_790_000_000_000_000_000);
        Incoming {
            id: format!("evt_{n}").into(),
            event_type: "order.updated".into(),
            order: OrderKey { class: OrderClass::Monotonic, value: i64::try_from(n).unwrap() },
            occurred_at: Some(at),
            received_at: at,
            sequence: SequenceNumber::from_u64(n),
            meaning: Some(Meaning { rank: 1, facts: Vec::new(), status: Some("open".into()) }),
        }
    }

    fn record(key: &str, events: u64) -> EntityRecord {
        apply(&EntityKey::parse(key).unwrap(), None, (1..=events).map(event)).0
    }

    fn binary(record: &EntityRecord) -> Vec<u8> {
        record.encode_binary(Vec::new()).unwrap()
    }

    fn keys() -> [String; 4] {
        // The length of a key takes one byte up to 127 of them, then two.
        [1, 115, 116, 200].map(|length| format!("shop/order/{}", "x".repeat(length)))
    }

    #[test]
    fn a_buffer_that_was_used_before_gives_the_same_form() {
        for events in [1, 3, 100] {
            let record = record("shop/order/1", events);
            let fresh = binary(&record);
            assert_eq!(record.encode_binary(vec![7; 100]).unwrap(), fresh);
            assert_eq!(EntityRecord::decode(&fresh).unwrap(), record);
            assert_eq!(postcard::to_stdvec(&record).unwrap() == fresh[2..], fresh[1] == 0);
        }
    }

    #[test]
    fn squeezed_is_shorter_reads_the_same_and_comes_back_byte_for_byte() {
        for events in [1, 3, 20, 60, 200] {
            let record = record("shop/order/1", events);
            let plain = binary(&record);
            let short = squeezed(plain.clone());
            assert!(short.len() < plain.len() || plain[1] == 1 || events == 1, "{events}");
            assert_eq!(EntityRecord::decode(&short).unwrap(), record);
            assert_eq!(expanded(short.clone()).unwrap(), plain, "{events}");
            assert_eq!(expanded(plain.clone()).unwrap(), plain);
            if events == 20 {
                assert!(expanded(short[..short.len() / 2].to_vec()).is_err(), "cut");
            }
        }
    }

    #[test]
    fn only_the_revision_may_differ() {
        for key in keys() {
            let one = record(&key, 2);
            for revision in [0, 1, 127, 128, 16_383, 16_384, u64::MAX] {
                let other = EntityRecord { revision, ..one.clone() };
                assert!(same_but_for_revision(&binary(&one), &binary(&other)), "{key} {revision}");
                assert!(same_but_for_revision(&binary(&other), &binary(&one)), "{key} {revision}");
                for events in [1, 3] {
                    let other = EntityRecord { revision, ..record(&key, events) };
                    assert!(!same_but_for_revision(&binary(&one), &binary(&other)), "{key} {revision}");
                }
            }
        }
    }

    #[test]
    fn any_other_byte_counts() {
        let one = binary(&record("shop/order/1", 2));
        let revision = HEADER_BYTES + 1 + "shop/order/1".len();
        for at in (0..one.len()).filter(|at| *at != revision) {
            let mut other = one.clone();
            other[at] ^= 1;
            assert!(!same_but_for_revision(&one, &other), "byte {at}");
            assert!(!same_but_for_revision(&one, &one[..at]), "cut at {at}");
        }
        // The revision's own byte may become any other number, but not a longer one.
        for (byte, same) in [(0, true), (127, true), (128, false), (255, false)] {
            let mut other = one.clone();
            other[revision] = byte;
            assert_eq!(same_but_for_revision(&one, &other), same, "{byte}");
        }
    }

    #[test]
    fn compressed_forms_are_the_same_only_byte_for_byte() {
        let one = record("shop/order/1", 200);
        let other = EntityRecord { revision: 2, ..one.clone() };
        let (one, other) = (binary(&one), binary(&other));
        assert!(one[1] == 1 && one.len() < COMPRESS_ABOVE_BYTES);
        assert!(same_but_for_revision(&one, &one.clone()));
        assert!(!same_but_for_revision(&one, &other), "the slow way tells");
        assert!(!same_but_for_revision(&one, &binary(&record("shop/order/1", 1))));
    }

    #[test]
    fn a_plain_form_is_read_back_and_its_entries_are_found() {
        for events in [0, 1, 3, 200] {
            let one = EntityRecord { revision: 300, ..record("shop/order/1", events) };
            let plain = one.encode_plain(vec![7; 9]).unwrap();
            assert_eq!(EntityRecord::decode(&plain).unwrap(), one);
            assert_eq!(packed(plain.clone()).unwrap(), binary(&one));
            let at = entries_at(&plain).unwrap();
            let behind = postcard::to_stdvec(&(one.folded, &one.state, &one.quarantined)).unwrap();
            let entries: Vec<u8> = one.entries.iter().flat_map(|e| postcard::to_stdvec(e).unwrap()).collect();
            assert_eq!(plain[at..], [entries, behind].concat());
        }
        for stray in [&[][..], &[RECORD_VERSION, 0], &[RECORD_VERSION, 1, 0], &[RECORD_VERSION, 0, 1, b'x', 1, 0]] {
            assert_eq!(entries_at(stray), None);
        }
    }

    #[test]
    fn the_key_is_read_out_of_a_form_that_is_not_compressed() {
        for key in keys() {
            assert_eq!(key_of(&binary(&record(&key, 1))), Some(key.as_bytes()));
        }
        assert_eq!(key_of(&binary(&record("shop/order/1", 200))), None);
        for stray in [&[][..], &[RECORD_VERSION], &[RECORD_VERSION, 0], &[RECORD_VERSION, 0, 5, b'x'], &[9, 0, 1, b'x']]
        {
            assert_eq!(key_of(stray), None);
        }
    }
}
