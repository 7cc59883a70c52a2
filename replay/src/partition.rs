//! `--partition i/n`: one of n parts of the entities, so that several machines share one replay.
//!
//! The parts are those of [`EntityKey::part_of`]: the same on every machine and in every version.

use std::fmt;
use std::str::FromStr;

use ledgerline_domain::ids::EntityKey;
use ledgerline_domain::{Error, Result};

/// Most parts.
pub const PARTS_MAX: u32 = 10_000;

/// Part `index` of `count`, counted from 1 as it is written: `1/4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    index: u32,
    count: u32,
}

impl Partition {
    /// Part `index` (from 1) of `count`. Errors are [`Invalid`](ledgerline_domain::ErrorKind::Invalid).
    pub fn new(index: u32, count: u32) -> Result<Self> {
        if count == 0 || count > PARTS_MAX {
            return Err(Error::invalid(format!("take a part of {count}: use 1 to {PARTS_MAX} parts, such as 1/4")));
        }
        if index == 0 || index > count {
            return Err(Error::invalid(format!(
                "take part {index} of {count}: the parts are 1/{count} to {count}/{count}"
            )));
        }
        Ok(Self { index, count })
    }

    /// Which part, from 1.
    pub fn index(self) -> u32 {
        self.index
    }

    /// Of how many.
    pub fn count(self) -> u32 {
        self.count
    }

    /// Whether an entity belongs to it.
    pub fn holds(self, entity: &EntityKey) -> bool {
        self.count == 1 || entity.part_of(self.count) == self.index - 1
    }
}

impl FromStr for Partition {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = |part: &str| part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok()).flatten();
        let parts = text.split_once('/').and_then(|(index, count)| Some((number(index)?, number(count)?)));
        match parts {
            Some((index, count)) => Self::new(index, count),
            None => Err(Error::invalid(format!("read the part {text:?}: write it as 1/4, the first of four parts"))),
        }
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_as_they_are_written() {
        for text in ["1/1", "1/4", "4/4", "10000/10000"] {
            assert_eq!(text.parse::<Partition>().unwrap().to_string(), text);
        }
        for (text, fix) in [
            ("0/4", "1/4 to 4/4"),
            ("5/4", "1/4 to 4/4"),
            ("1/0", "1 to 10000"),
            ("1/10001", "1 to 10000"),
            ("1", "write it as"),
            ("", "write it as"),
            ("1/", "write it as"),
            ("+1/4", "write it as"),
            ("a/b", "write it as"),
            ("99999999999/4", "write it as"),
        ] {
            let error = text.parse::<Partition>().unwrap_err().to_string();
            assert!(error.contains(fix), "{text}: {error}");
        }
    }

    #[test]
    fn every_entity_belongs_to_one_part() {
        for count in [1, 2, 3, 7] {
            let mut sizes = vec![0_i32; count as usize];
            for n in 0..3000 {
                let key = EntityKey::parse(&format!("shop/payment/pi_{n}")).unwrap();
                let of: Vec<u32> =
                    (1..=count).filter(|index| Partition::new(*index, count).unwrap().holds(&key)).collect();
                assert_eq!(of.len(), 1, "{key}");
                sizes[of[0] as usize - 1] += 1;
            }
            let even = 3000 / i32::try_from(sizes.len()).unwrap();
            assert!(sizes.iter().all(|size| (size - even).abs() < even / 5), "{sizes:?}");
        }
    }
}
