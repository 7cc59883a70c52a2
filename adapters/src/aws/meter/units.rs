//! What AWS counts: sizes and units, by the rules that its documentation states.
//!
//! - A write unit is 1 KB of the larger of the item before and after, begun units count as whole ones
//!   (DynamoDB developer guide, "Capacity unit consumption for write operations").
//! - A read unit is 4 KB read consistently; half a unit where it need not be consistent. An item that is not
//!   there costs the least that a read can.
//! - A PUT payload unit is 25 KB of a record's data (Kinesis Data Streams, pricing).
//!
//! An item's size is the length of all names and values in UTF-8, with numbers at two digits a byte and one
//! byte more (developer guide, "DynamoDB item sizes and formats").

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

/// Bytes of a write unit.
const WRITE_UNIT_BYTES: usize = 1024;
/// Bytes of a read unit.
const READ_UNIT_BYTES: usize = 4096;
/// Bytes of a PUT payload unit of Kinesis.
const PAYLOAD_UNIT_BYTES: usize = 25 * 1024;
/// What a list or a map takes beside what is in it.
const CONTAINER_BYTES: usize = 3;

/// Size of an item in bytes, as DynamoDB counts it.
pub fn item_bytes(item: &HashMap<String, AttributeValue>) -> usize {
    item.iter().map(|(name, value)| name.len() + value_bytes(value)).sum()
}

fn value_bytes(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(number) => number_bytes(number),
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        AttributeValue::Bool(_) | AttributeValue::Null(_) => 1,
        AttributeValue::Ss(texts) => texts.iter().map(String::len).sum(),
        AttributeValue::Ns(numbers) => numbers.iter().map(|number| number_bytes(number)).sum(),
        AttributeValue::Bs(all) => all.iter().map(|bytes| bytes.as_ref().len()).sum(),
        AttributeValue::L(list) => CONTAINER_BYTES + list.iter().map(|value| 1 + value_bytes(value)).sum::<usize>(),
        AttributeValue::M(map) => CONTAINER_BYTES + map.len() + item_bytes(map),
        _ => 0,
    }
}

fn number_bytes(text: &str) -> usize {
    let digits = text.trim_start_matches('-').trim_matches('0').bytes().filter(u8::is_ascii_digit).count();
    digits.div_ceil(2) + 1 + usize::from(text.starts_with('-'))
}

/// Write units of an item that has so many bytes: before or after the write, whichever is more.
pub fn write_units(bytes: usize) -> u64 {
    bytes.div_ceil(WRITE_UNIT_BYTES).max(1) as u64
}

/// Read units of one read of so many bytes.
pub fn read_units(bytes: usize, consistent: bool) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "no answer has more than a megabyte")]
    let units = bytes.div_ceil(READ_UNIT_BYTES).max(1) as f64;
    if consistent { units } else { units / 2.0 }
}

/// PUT payload units of a record of so many bytes.
pub fn payload_units(bytes: usize) -> u64 {
    bytes.div_ceil(PAYLOAD_UNIT_BYTES).max(1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_dynamodb::primitives::Blob;

    #[test]
    fn units_begin_at_one_and_step_at_their_size() {
        assert_eq!([0, 1, 1024, 1025, 2048, 2049].map(write_units), [1, 1, 1, 2, 2, 3]);
        assert_eq!([0, 4096, 4097].map(|bytes| read_units(bytes, true)), [1.0, 1.0, 2.0]);
        assert_eq!(read_units(4097, false), 1.0);
        assert_eq!([0, 25_600, 25_601].map(payload_units), [1, 1, 2]);
    }

    #[test]
    fn sizes_are_names_and_values() {
        let size = |name: &str, value| item_bytes(&HashMap::from([(name.to_owned(), value)]));
        assert_eq!(size("key", AttributeValue::S("ü".into())), 5);
        assert_eq!(size("b", AttributeValue::B(Blob::new([0; 10]))), 11);
        for (number, bytes) in [("0", 1), ("7", 2), ("12", 2), ("123", 3), ("1200", 2), ("-5", 3), ("0.5", 2)] {
            assert_eq!(size("", AttributeValue::N(number.into())), bytes, "{number}");
        }
        assert_eq!(size("l", AttributeValue::L(vec![AttributeValue::S("ab".into())])), 7);
    }
}
