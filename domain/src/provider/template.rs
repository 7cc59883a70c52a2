//! The address of a `[[hydrate]]` rule: text with places of the notification in it.
//!
//! | written | becomes |
//! | --- | --- |
//! | `{/id}` | the value, everything but letters, digits, `-`, `.`, `_` and `~` percent-encoded |
//! | `{+/related_object/url}` | the value as it stands: an absolute path |
//!
//! A notification can choose what is fetched, never from whom: the host is fixed text, a value is one
//! part of a path, and a path keeps to plain characters and has no empty part, `.` or `..`.

use std::fmt::Write as _;

use crate::signature::URL_BYTES_MAX;

/// A piece of the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    /// Pointer to a value, percent-encoded.
    Value(String),
    /// Pointer to an absolute path.
    Path(String),
}

/// The address, in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address(pub Vec<Part>);

impl Address {
    /// Why there is no address.
    pub(super) const ABSENT: &'static str = "what the address needs is not in the notification";

    /// Reads it. `Err` is the fix.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| Err(format!("{text:?}: {why}"));
        let rest = text.strip_prefix("https://").unwrap_or_default();
        let host = rest.split(['/', '{', '?']).next().unwrap_or_default();
        let host_ok = host.contains('.')
            && !host.starts_with('.')
            && host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-:".contains(&b));
        if !host_ok {
            return wrong("begin with https:// and the host, such as https://api.example.com/payments/{/id}");
        }
        if text.len() > URL_BYTES_MAX || !text.bytes().all(|b| (b'!'..=b'~').contains(&b)) || text.contains('#') {
            return wrong(&format!("use visible ASCII without '#', at most {URL_BYTES_MAX} bytes"));
        }
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, behind)) = rest.split_once('{') {
            let Some((place, after)) = behind.split_once('}') else {
                return wrong("a '{' has no '}'");
            };
            parts.push(Part::Text(before.to_owned()));
            rest = after;
            let at_host = parts.len() == 1 && before.len() == "https://".len() + host.len();
            parts.push(match place.strip_prefix('+') {
                Some(pointer) if at_host && pointer.starts_with('/') => Part::Path(pointer.to_owned()),
                Some(_) => return wrong("a path, {+/pointer}, stands right behind the host"),
                None if place.starts_with('/') && !at_host => Part::Value(place.to_owned()),
                None => return wrong("a place is {/pointer}, behind a '/' of the path"),
            });
        }
        if rest.contains('}') {
            return wrong("a '}' has no '{'");
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| *part != Part::Text(String::new()));
        Ok(Self(parts))
    }

    /// The pointers in it.
    pub(super) fn pointers(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Value(pointer) | Part::Path(pointer) => Some(pointer.as_str()),
        })
    }

    /// Writes an address part by part.
    pub(super) fn writer() -> AddressWriter {
        AddressWriter(String::new())
    }
}

/// An address under construction.
pub(super) struct AddressWriter(String);

impl AddressWriter {
    pub(super) fn text(&mut self, text: &str) {
        self.0.push_str(text);
    }

    pub(super) fn value(&mut self, value: &str) -> Result<(), &'static str> {
        if value == "." || value == ".." {
            return Err("a value in the address would leave its place in the path");
        }
        for byte in value.bytes() {
            if is_plain(byte) {
                self.0.push(char::from(byte));
            } else {
                // Writing to a String cannot fail.
                let _ = write!(self.0, "%{byte:02X}");
            }
        }
        Ok(())
    }

    pub(super) fn path(&mut self, path: &str) -> Result<(), &'static str> {
        let parts = path.strip_prefix('/').ok_or("the path in the notification does not begin with '/'")?.split('/');
        for part in parts {
            if part.is_empty() || part == "." || part == ".." || !part.bytes().all(is_plain) {
                return Err("the path in the notification is not made of plain parts");
            }
        }
        self.0.push_str(path);
        Ok(())
    }

    pub(super) fn finish(self) -> Result<String, &'static str> {
        if self.0.len() > URL_BYTES_MAX { Err("the address is too long") } else { Ok(self.0) }
    }
}

/// The characters that mean nothing in an address (RFC 3986, unreserved).
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused_with_the_fix() {
        let text = |t: &str| Part::Text(t.to_owned());
        let value = |t: &str| Part::Value(t.to_owned());
        for (address, parts) in [
            ("https://api.example.com/p/{/id}", vec![text("https://api.example.com/p/"), value("/id")]),
            (
                "https://a.example:8443/p/{/id}/x?k={/k}",
                vec![text("https://a.example:8443/p/"), value("/id"), text("/x?k="), value("/k")],
            ),
            ("https://a.example{+/url}", vec![text("https://a.example"), Part::Path("/url".into())]),
        ] {
            assert_eq!(Address::parse(address), Ok(Address(parts)), "{address}");
        }
        for wrong in [
            "http://a.example/{/id}",
            "https://{/host}/x",
            "https://user@a.example/{/id}",
            "https://a.example{/id}",
            "https://a.example.{/id}",
            "https://a.example/{+/url}",
            "https://a.example/{/id",
            "https://a.example/id}",
            "https://a.example/{id}",
            "https://a.example/#{/id}",
            "https://a.example/ {/id}",
        ] {
            assert!(Address::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_value_stays_in_its_place() {
        let written = |value: &str| {
            let mut address = Address::writer();
            address.value(value).and_then(|()| address.finish())
        };
        assert_eq!(written("tr_1-a.b~c").as_deref(), Ok("tr_1-a.b~c"));
        assert_eq!(written("../x?y#z@é %").as_deref(), Ok("..%2Fx%3Fy%23z%40%C3%A9%20%25"));
        assert!(written("..").is_err() && written(".").is_err() && written(&"x".repeat(3_000)).is_err());
    }

    #[test]
    fn a_path_is_plain() {
        let written = |path: &str| Address::writer().path(path);
        assert_eq!(written("/v1/payment_intents/pi_1"), Ok(()));
        for wrong in
            ["", "/", "v1", "//evil.example/x", "/v1/../v2", "/v1/.", "/a@b", "/a?b", "/a%2f", "/a/", "/é", "/a:b"]
        {
            assert!(written(wrong).is_err(), "{wrong}");
        }
    }
}
