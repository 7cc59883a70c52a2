//! Sequence numbers of Kinesis as positions: decimal numbers of up to 56 digits, padded with zeros to
//! that width, so that their byte order is the order of the shard.
//!
//! 56 digits hold every number below 2^186, which is what the service gives today. A longer one is
//! refused: cut or unpadded it would be taken for an earlier position.

use ledgerline_domain::ids::SequenceNumber;
use ledgerline_domain::{Error, Result};

/// Digits of a position.
pub const DIGITS: usize = 56;

/// The position of a number that the service gave.
pub fn position(number: &str) -> Result<SequenceNumber> {
    if number.is_empty() || number.len() > DIGITS || !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Error::data(format!(
            "read sequence number {number:?}: it is not a decimal number of at most {DIGITS} digits"
        )));
    }
    Ok(SequenceNumber::new(format!("{number:0>DIGITS$}")))
}

/// The number that the service gave for a position.
pub fn number(position: &SequenceNumber) -> Result<&str> {
    let text = position.as_str();
    if text.len() != DIGITS || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Error::invalid(format!("find position {text:?} in the log: it is none of a Kinesis stream")));
    }
    let digits = text.trim_start_matches('0');
    Ok(if digits.is_empty() { "0" } else { digits })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_way_back() {
        let numbers =
            ["0", "7", "10", "9999", "49680498583892636000170124018144575611948988943665463298"].map(str::to_owned);
        let positions: Vec<_> = numbers.iter().map(|n| position(n).unwrap()).collect();
        assert!(positions.is_sorted());
        assert!(positions.iter().all(|p| *p < SequenceNumber::shard_end()));
        for (text, position) in numbers.iter().zip(&positions) {
            assert_eq!(position.as_str().len(), DIGITS);
            assert_eq!(number(position).unwrap(), text);
        }
    }

    #[test]
    fn refuses_what_would_sort_wrongly() {
        for bad in ["", "1".repeat(57).as_str(), "12x", "-1", " 1"] {
            assert!(position(bad).is_err(), "{bad:?}");
        }
        assert!(number(&SequenceNumber::from_u64(5)).is_err());
        assert!(number(&SequenceNumber::shard_end()).is_err());
    }
}
