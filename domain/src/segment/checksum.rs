//! What a segment carries against damage, so that it is found with its place before a decoder touches
//! the bytes.
//!
//! | footer key | value | covers |
//! | --- | --- | --- |
//! | `ledgerline.crc32.blocks` | eight hex digits per block | the data part, everything before the footer, in blocks of 64 KiB |
//! | `ledgerline.crc32` | eight hex digits | the footer up to the object's end, with those digits read as zeros |
//!
//! All are CRC-32s. The second keeps its place and meaning in later versions of the format, so that a
//! newer segment is told from a damaged one.

use std::ops::Range;

use crate::error::{Error, Result};

/// Footer key of the footer's own checksum.
pub(super) const FOOTER: &str = "ledgerline.crc32";
/// Footer key of the checksums of the data part.
pub(super) const BLOCKS: &str = "ledgerline.crc32.blocks";
/// A checksum until the object is complete.
pub(super) const UNSET: &str = "00000000";
/// Bytes of the data part under one checksum.
pub const BLOCK_BYTES: usize = 64 * 1024;

/// Between key and value: the Thrift header of a string field.
const STRING: u8 = 0x18;
/// The Parquet footer's length and magic number, at the very end.
const TRAILER_BYTES: usize = 8;
const MAGIC: &[u8] = b"PAR1";

/// What an object's checksums say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is what was written.
    Sound,
    /// These parts of its data are not; neighbours are one.
    Data(Vec<Range<usize>>),
    /// Its footer is not, or its end is missing.
    Footer(Range<usize>),
    /// It has no checksums: cut short, or no segment.
    Unknown,
}

/// The unset checksums of a data part of so many bytes.
pub(super) fn unset_blocks(data_bytes: usize) -> String {
    UNSET.repeat(data_bytes.div_ceil(BLOCK_BYTES))
}

/// Sets the checksums of a complete object.
pub(super) fn set(object: &mut [u8]) -> Result<()> {
    let missing = || Error::internal("write a segment: its footer has no place for the checksums");
    let footer = footer_by_trailer(object).ok_or_else(missing)?;
    let blocks = value_of(BLOCKS, object, footer).ok_or_else(missing)?;
    let data = object.get(..footer).ok_or_else(missing)?;
    let sums: String = data.chunks(BLOCK_BYTES).map(|block| hex_of(crc32fast::hash(block))).collect();
    if sums.len() != blocks.len() {
        return Err(missing());
    }
    object.get_mut(blocks).ok_or_else(missing)?.copy_from_slice(sums.as_bytes());
    let own = value_of(FOOTER, object, footer).ok_or_else(missing)?;
    let sum = footer_sum(object, footer, own.clone()).ok_or_else(missing)?;
    object.get_mut(own).ok_or_else(missing)?.copy_from_slice(sum.as_bytes());
    Ok(())
}

/// Whether the object is what was written, and if not, where.
pub(super) fn check(object: &[u8]) -> Verdict {
    let Some(footer) = footer_by_trailer(object).filter(|at| is_footer_sound(object, *at)) else {
        return match footer_by_data(object).or_else(|| footer_by_trailer(object)) {
            Some(at) => Verdict::Footer(at..object.len()),
            None => Verdict::Unknown,
        };
    };
    let sums = value_of(BLOCKS, object, footer).and_then(|at| object.get(at));
    let (Some(data), Some(sums)) = (object.get(..footer), sums) else { return Verdict::Unknown };
    if sums.len() != data.len().div_ceil(BLOCK_BYTES) * UNSET.len() {
        return Verdict::Footer(footer..object.len());
    }
    let mut bad: Vec<Range<usize>> = Vec::new();
    for (number, (block, sum)) in data.chunks(BLOCK_BYTES).zip(sums.chunks(UNSET.len())).enumerate() {
        if hex_of(crc32fast::hash(block)).as_bytes() == sum {
            continue;
        }
        let from = number * BLOCK_BYTES;
        match bad.last_mut() {
            Some(before) if before.end == from => before.end += block.len(),
            _ => bad.push(from..from + block.len()),
        }
    }
    if bad.is_empty() { Verdict::Sound } else { Verdict::Data(bad) }
}

fn is_footer_sound(object: &[u8], footer: usize) -> bool {
    let own = value_of(FOOTER, object, footer).filter(|own| own.len() == UNSET.len());
    own.is_some_and(|own| {
        let sum = footer_sum(object, footer, own.clone());
        sum.is_some_and(|sum| object.get(own) == Some(sum.as_bytes()))
    })
}

/// Where the footer begins, by the length at the object's end.
fn footer_by_trailer(object: &[u8]) -> Option<usize> {
    let (rest, trailer) = object.split_at_checked(object.len().checked_sub(TRAILER_BYTES)?)?;
    let length = u32::from_le_bytes(trailer.get(..4)?.try_into().ok()?);
    let at = rest.len().checked_sub(usize::try_from(length).ok()?)?;
    (trailer.get(4..)? == MAGIC && at >= MAGIC.len()).then_some(at)
}

/// What the last bytes of an object say of its footer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It is whole and what was written: it begins at this place of the bytes given, and the checksums of the data
    /// part are at that one.
    Sound { footer: usize, blocks: Range<usize> },
    /// It is longer: so many bytes are needed.
    Longer(u64),
    /// It is not what was written, or there is none.
    Unsound,
}

/// Checks the footer of an object of `size` bytes by the last of them.
pub(super) fn check_end(end: &[u8], size: u64) -> Ending {
    let length = || {
        let (_, trailer) = end.split_at_checked(end.len().checked_sub(TRAILER_BYTES)?)?;
        let length = u64::from(u32::from_le_bytes(trailer.get(..4)?.try_into().ok()?)) + TRAILER_BYTES as u64;
        (trailer.get(4..)? == MAGIC && length <= size).then_some(length)
    };
    match length() {
        Some(length) if length > end.len() as u64 && end.len() as u64 != size => Ending::Longer(length),
        Some(length) => {
            let footer = usize::try_from(length).ok().and_then(|length| end.len().checked_sub(length));
            let Some(footer) = footer.filter(|at| is_footer_sound(end, *at)) else { return Ending::Unsound };
            let data = size - length;
            match value_of(BLOCKS, end, footer) {
                Some(blocks) if blocks.len() as u64 == data.div_ceil(BLOCK_BYTES as u64) * UNSET.len() as u64 => {
                    Ending::Sound { footer, blocks }
                }
                _ => Ending::Unsound,
            }
        }
        None => Ending::Unsound,
    }
}

/// Whether `blocks`, which begins at block `first` of the data part, is what was written, by `sums`, the footer's
/// checksums of the data part.
pub(super) fn are_blocks_sound(blocks: &[u8], first: usize, sums: &[u8]) -> bool {
    blocks.chunks(BLOCK_BYTES).enumerate().all(|(number, block)| {
        let at = (first + number) * UNSET.len();
        sums.get(at..at + UNSET.len()) == Some(hex_of(crc32fast::hash(block)).as_bytes())
    })
}

/// Where the footer begins, by the checksum of the last block of data: for when the end is damaged.
fn footer_by_data(object: &[u8]) -> Option<usize> {
    let sums = object.get(value_of(BLOCKS, object, 0)?)?;
    let last = std::str::from_utf8(sums.rchunks(UNSET.len()).next()?).ok()?;
    let last = u32::from_str_radix(last, 16).ok()?;
    let from = (sums.len() / UNSET.len()).checked_sub(1)? * BLOCK_BYTES;
    let mut hasher = crc32fast::Hasher::new();
    for (length, byte) in (1..=BLOCK_BYTES).zip(object.get(from..)?) {
        hasher.update(&[*byte]);
        if hasher.clone().finalize() == last {
            return Some(from + length);
        }
    }
    None
}

/// The place of a footer value, which lies behind `from`; the last one of that key.
fn value_of(key: &str, object: &[u8], from: usize) -> Option<Range<usize>> {
    let mut mark = key.as_bytes().to_vec();
    mark.push(STRING);
    let mut at = from + memchr::memmem::rfind(object.get(from..)?, &mark)? + mark.len();
    // The length: seven bits a byte, the lowest first.
    let mut length = 0_usize;
    for shift in (0..28).step_by(7) {
        let byte = *object.get(at)?;
        at += 1;
        length |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return (at + length <= object.len()).then_some(at..at + length);
        }
    }
    None
}

/// CRC-32 of the footer with its own digits read as zeros.
fn footer_sum(object: &[u8], footer: usize, own: Range<usize>) -> Option<String> {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(object.get(footer..own.start)?);
    hasher.update(UNSET.as_bytes());
    hasher.update(object.get(own.end..)?);
    Some(hex_of(hasher.finalize()))
}

fn hex_of(sum: u32) -> String {
    format!("{sum:08x}")
}
