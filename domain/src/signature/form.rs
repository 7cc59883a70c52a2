//! Reads fields of a form (`application/x-www-form-urlencoded`, as the WHATWG URL standard parses it),
//! strictly: a field that is asked for may stand once, and its escapes must be whole.

use std::borrow::Cow;

use super::Cause;

/// The values of `names` in `body`, `None` for those that are not there. A name that stands twice is
/// malformed: which of the two was signed would be a guess.
pub(super) fn fields<'b, const N: usize>(
    body: &'b [u8],
    names: [&str; N],
) -> Result<[Option<Cow<'b, [u8]>>; N], Cause> {
    let mut found = [const { None }; N];
    for pair in body.split(|b| *b == b'&') {
        let at = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
        let (name, value) = pair.split_at(at);
        // A name that cannot be read is none of those asked for.
        let Some(name) = decoded(name) else { continue };
        for (place, wanted) in found.iter_mut().zip(names) {
            if *name == *wanted.as_bytes() {
                let value = decoded(value.strip_prefix(b"=").unwrap_or(value)).ok_or(Cause::Malformed)?;
                if place.replace(value).is_some() {
                    return Err(Cause::Malformed);
                }
            }
        }
    }
    Ok(found)
}

/// `+` is a space, `%41` an `A`; `None` for an escape that is cut off or no hex.
fn decoded(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !text.iter().any(|b| matches!(b, b'+' | b'%')) {
        return Some(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let (byte, after) = match first {
            b'+' => (b' ', after),
            b'%' => {
                let (digits, after) = after.split_at_checked(2)?;
                let mut byte = [0];
                hex::decode_to_slice(digits, &mut byte).ok()?;
                (byte[0], after)
            }
            other => (*other, after),
        };
        out.push(byte);
        rest = after;
    }
    Some(Cow::Owned(out))
}

/// Writes a value so that [`fields`] reads it back.
pub(super) fn encoded(value: &[u8]) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value {
        if byte.is_ascii_alphanumeric() || b"-._*".contains(byte) {
            out.push(char::from(*byte));
        } else {
            out.push('%');
            out.push_str(&hex::encode_upper([*byte]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_once_and_whole() {
        let read = |body: &'static str| {
            fields(body.as_bytes(), ["a", "b c"])
                .map(|found| found.map(|value| value.map(|v| String::from_utf8(v.into_owned()).unwrap())))
        };
        let some = |text: &str| Some(text.to_owned());
        for (body, expected) in [
            ("", Ok([None, None])),
            ("a=1&b+c=2", Ok([some("1"), some("2")])),
            ("x=%zz&%zz=1&a=%41%2B+&b%20c", Ok([some("A+ "), some("")])),
            ("a==b=&&", Ok([some("=b="), None])),
            ("a=1&a=1", Err(Cause::Malformed)),
            ("a=1&%61=2", Err(Cause::Malformed)),
            ("a=%4", Err(Cause::Malformed)),
            ("a=%+1", Err(Cause::Malformed)),
        ] {
            assert_eq!(read(body), expected, "{body}");
        }
        let all: Vec<u8> = (0..=255).collect();
        let written = format!("a={}", encoded(&all));
        assert_eq!(fields(written.as_bytes(), ["a"]).unwrap()[0].as_deref(), Some(all.as_slice()));
    }
}
