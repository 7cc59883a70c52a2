//! The CRC-32 that a segment carries of itself.
//!
//! It stands in the footer as the text `ledgerline.crc32` and eight hex digits, and covers the whole
//! object with those digits read as zeros. So damage anywhere, the footer included, is seen before
//! a decoder touches the bytes. Later versions of the format keep it where it is.

use crate::error::{Error, Result};

/// Footer key of the checksum.
pub(super) const KEY: &str = "ledgerline.crc32";
/// Its value until the object is complete.
pub(super) const UNSET: &str = "00000000";

/// Between key and value: the Thrift header of a string field and the length 8.
const BETWEEN: [u8; 2] = [0x18, 8];
/// The Parquet footer's length and magic number, at the very end.
const TRAILER_BYTES: usize = 8;

/// Where the eight digits stand.
fn find(object: &[u8]) -> Option<usize> {
    let (rest, trailer) = object.split_at_checked(object.len().checked_sub(TRAILER_BYTES)?)?;
    let length = u32::from_le_bytes(trailer.get(..4)?.try_into().ok()?);
    let footer_at = rest.len().checked_sub(usize::try_from(length).ok()?)?;
    let mut mark = KEY.as_bytes().to_vec();
    mark.extend_from_slice(&BETWEEN);
    let at = footer_at + memchr::memmem::rfind(rest.get(footer_at..)?, &mark)? + mark.len();
    (at + UNSET.len() <= rest.len()).then_some(at)
}

/// CRC-32 of `object` with the eight bytes at `at` read as zeros.
fn sum(object: &[u8], at: usize) -> Option<String> {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(object.get(..at)?);
    hasher.update(UNSET.as_bytes());
    hasher.update(object.get(at + UNSET.len()..)?);
    Some(format!("{:08x}", hasher.finalize()))
}

/// Sets the checksum of a complete object.
pub(super) fn set(object: &mut [u8]) -> Result<()> {
    let missing = || Error::internal("write a segment: its footer has no place for the checksum");
    let at = find(object).ok_or_else(missing)?;
    let sum = sum(object, at).ok_or_else(missing)?;
    object.get_mut(at..at + UNSET.len()).ok_or_else(missing)?.copy_from_slice(sum.as_bytes());
    Ok(())
}

/// Refuses an object that is not what was written.
pub(super) fn check(object: &[u8]) -> Result<()> {
    let at = find(object).ok_or_else(|| {
        Error::data("read a segment: it is cut short or damaged, or no segment of this program (no checksum found)")
    })?;
    let stored = object.get(at..at + UNSET.len()).unwrap_or_default();
    match sum(object, at) {
        Some(sum) if sum.as_bytes() == stored => Ok(()),
        _ => Err(Error::data("read a segment: it is damaged (its bytes do not fit their checksum)")),
    }
}
