//! JSON objects that show damage: their last member is `crc32`, eight hex digits, the CRC-32 of the
//! whole text with those digits read as zeros.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

const MARK: &[u8] = b"\"crc32\": \"";
const DIGITS: usize = 8;

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// The text of `value`, which must be written as an object.
pub(super) fn encode(value: &impl Serialize, what: &str) -> Result<Vec<u8>> {
    let failed = || Error::internal(format!("write a {what}"));
    let mut text = serde_json::to_vec_pretty(value).map_err(|e| failed().because(e))?;
    text.truncate(text.strip_suffix(b"\n}").ok_or_else(failed)?.len());
    text.extend_from_slice(b",\n  ");
    text.extend_from_slice(MARK);
    let at = text.len();
    text.extend_from_slice(b"00000000\"\n}\n");
    let sum = format!("{:08x}", crc32fast::hash(&text));
    text.get_mut(at..at + DIGITS).ok_or_else(failed)?.copy_from_slice(sum.as_bytes());
    Ok(text)
}

/// Reads the text back. [`Data`](crate::ErrorKind::Data) when it is not what was written, or of a version
/// above `version_max`.
pub(super) fn decode<'a, T: Deserialize<'a>>(text: &'a [u8], what: &str, version_max: u32) -> Result<T> {
    let damaged = || Error::data(format!("read a {what}: it is not the JSON that was written"));
    let is_sound = is_sound(text);
    let Versioned { version } = serde_json::from_slice(text).map_err(|e| damaged().because(e))?;
    // A newer one may be sealed otherwise.
    if version > version_max && is_sound != Some(false) {
        return Err(Error::data(format!(
            "read a {what} of version {version}: this program knows versions up to {version_max}; use a newer one"
        )));
    }
    if is_sound != Some(true) {
        return Err(Error::data(format!("read a {what}: it is damaged (its text does not fit its checksum)")));
    }
    serde_json::from_slice(text).map_err(|e| damaged().because(e))
}

/// Whether the text fits its checksum; `None` when it has none.
fn is_sound(text: &[u8]) -> Option<bool> {
    let at = memchr::memmem::rfind(text, MARK)? + MARK.len();
    let (before, stored, after) = (text.get(..at)?, text.get(at..at + DIGITS)?, text.get(at + DIGITS..)?);
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(before);
    hasher.update(b"00000000");
    hasher.update(after);
    Some(format!("{:08x}", hasher.finalize()).as_bytes() == stored)
}
