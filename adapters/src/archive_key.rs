//! Which keys archive objects may have: 1 to 1024 bytes of parts separated by `/`; a part is not
//! empty, begins with no dot and holds no backslash and no control character. Such a key is a path
//! that stays below its directory, and a key of any object store.

use ledgerline_domain::{Error, Result};

/// Longest key, as S3 has it.
pub const KEY_BYTES_MAX: usize = 1024;

/// Refuses a key that is not as above ([`ErrorKind::Invalid`](ledgerline_domain::ErrorKind::Invalid)).
pub fn check_key(key: &str) -> Result<()> {
    let part_ok = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.contains('\\')
            && !part.bytes().any(|b| b.is_ascii_control())
    };
    if key.len() <= KEY_BYTES_MAX && key.split('/').all(part_ok) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "accept the archive key {key:?}: use up to {KEY_BYTES_MAX} bytes of parts separated by '/', none of them empty \
         or beginning with a dot"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_inside() {
        for key in ["a", "stream/shard-0000/2026-11-24T13/00000000000000000001.parquet", "a/b.c", "a-/b_/c=d"] {
            check_key(key).unwrap();
        }
        let long = "x".repeat(1025);
        for key in ["", "/etc/passwd", "a//b", "a/", "../x", "a/../../x", ".", ".tmp/x", "a/.b", "a\\b", "a\nb", &long]
        {
            assert!(check_key(key).is_err(), "{key:?}");
        }
    }
}
