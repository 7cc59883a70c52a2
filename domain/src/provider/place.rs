//! Where a value is looked for: a place as it is written in a provider file, and the places that are
//! made of several others.
//!
//! | written | meaning |
//! | --- | --- |
//! | `"/data/id"` | a JSON pointer |
//! | `"header:x-id"` | a request header |
//! | `"=payment.changed"` | this very text |
//! | `{ join = ["/a", ["/b", "/c"]], with = ":" }` | the texts of its parts, joined |
//! | `{ hash = ["/a", "/b"] }` | SHA-256 over its parts, the first 32 hex digits |
//!
//! Parts may be lists of places of which the first that holds text counts. The first part must be
//! there; an absent later one counts as empty text. Both are injective: `join` writes its separator
//! and `%` inside a part as `%` and two hex digits, `hash` takes each part with its length.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use sha2::{Digest, Sha256};

/// Hex digits of a hashed id: 128 bits.
const HASH_DIGITS: usize = 32;
/// Separator of `join` unless the file says otherwise.
const SEPARATOR: &str = ":";

/// A place as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Written {
    One(String),
    Many(Many<Vec<String>>),
}

/// A place made of several: `P` is a part, as written or as planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Many<P> {
    pub rule: Rule,
    pub parts: Vec<P>,
}

/// How the parts become one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    Join(String),
    Hash,
}

impl Written {
    /// The places in it, each with the key it stands under.
    pub(super) fn each(&self) -> impl Iterator<Item = &String> {
        let (one, many) = match self {
            Self::One(place) => (Some(place), None),
            Self::Many(many) => (None, Some(&many.parts)),
        };
        one.into_iter().chain(many.into_iter().flatten().flatten())
    }

    /// As people read it in a table: a place as it is, of several the last part of each, such as
    /// `pspReference : eventCode`.
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::One(place) => place.clone(),
            Self::Many(many) => {
                let last = |place: &String| place.rsplit('/').next().unwrap_or_default().to_owned();
                let parts: Vec<_> = many.parts.iter().filter_map(|part| part.first()).map(last).collect();
                match &many.rule {
                    Rule::Join(with) => parts.join(&format!(" {with} ")),
                    Rule::Hash => format!("hash of {}", parts.join(", ")),
                }
            }
        }
    }
}

impl<P> Many<P> {
    /// The text, if `text_of` finds the first part. `text_of` gives a part's text.
    pub(super) fn text<'m>(&'m self, text_of: impl FnMut(&'m P) -> Option<Cow<'m, str>>) -> Option<String> {
        let mut texts = self.parts.iter().map(text_of);
        let first = texts.next()??;
        let rest = texts.map(Option::unwrap_or_default);
        let all = std::iter::once(first).chain(rest);
        Some(match &self.rule {
            Rule::Join(with) => joined(all, with),
            Rule::Hash => hashed(all),
        })
    }
}

fn joined<'f>(parts: impl Iterator<Item = Cow<'f, str>>, with: &str) -> String {
    let mut text = String::new();
    for (n, part) in parts.enumerate() {
        if n > 0 {
            text.push_str(with);
        }
        for c in part.chars() {
            if c == '%' || with.contains(c) {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    text.push_str(&format!("%{byte:02X}"));
                }
            } else {
                text.push(c);
            }
        }
    }
    text
}

fn hashed<'f>(parts: impl Iterator<Item = Cow<'f, str>>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    let mut text = hex::encode(hash.finalize());
    text.truncate(HASH_DIGITS);
    text
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(toml: D) -> Result<Self, D::Error> {
        toml.deserialize_any(WrittenVisitor)
    }
}

struct WrittenVisitor;

impl<'de> Visitor<'de> for WrittenVisitor {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a place such as \"/data/id\", or { join = [...] } or { hash = [...] }")
    }

    fn visit_str<E>(self, text: &str) -> Result<Written, E> {
        Ok(Written::One(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Written, A::Error> {
        let (mut rule, mut parts, mut with) = (None, Vec::new(), None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "join" | "hash" if rule.is_none() => {
                    rule = Some(if key == "join" { Rule::Join(SEPARATOR.into()) } else { Rule::Hash });
                    parts = map.next_value::<Vec<Part>>()?.into_iter().map(|part| part.0).collect();
                }
                "with" => with = Some(map.next_value::<String>()?),
                _ => {
                    return Err(A::Error::custom(format!(
                        "{key:?} is no key here: give `join` or `hash`, and `with` beside `join`"
                    )));
                }
            }
        }
        let rule = match (rule, with) {
            (Some(Rule::Join(_)), Some(with)) => Rule::Join(with),
            (Some(rule), None) => rule,
            _ => return Err(A::Error::custom("give `join` or `hash`, and `with` only beside `join`")),
        };
        Ok(Written::Many(Many { rule, parts }))
    }
}

/// A part: one place, or a list of which the first that holds text counts.
struct Part(Vec<String>);

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(toml: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a place such as \"/id\", or a list of places")]
        enum OneOrList {
            One(String),
            List(Vec<String>),
        }
        Ok(Self(match OneOrList::deserialize(toml)? {
            OneOrList::One(place) => vec![place],
            OneOrList::List(places) => places,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many(rule: Rule, parts: &[Option<&'static str>]) -> Option<String> {
        let many = Many { rule, parts: parts.to_vec() };
        many.text(|part| part.map(Cow::Borrowed))
    }

    #[test]
    fn joined_parts_stay_apart() {
        let join = || Rule::Join(":".into());
        assert_eq!(many(join(), &[Some("a"), None, Some("c")]).as_deref(), Some("a::c"));
        assert_eq!(many(join(), &[Some("a:b"), Some("c%")]).as_deref(), Some("a%3Ab:c%25"));
        assert_eq!(many(join(), &[None, Some("b")]), None);
        assert_ne!(many(join(), &[Some("a:b"), Some("c")]), many(join(), &[Some("a"), Some("b:c")]));
    }

    #[test]
    fn hashed_parts_stay_apart() {
        let a = many(Rule::Hash, &[Some("ab"), Some("c")]).unwrap();
        assert_eq!(a.len(), HASH_DIGITS);
        assert_ne!(Some(a), many(Rule::Hash, &[Some("a"), Some("bc")]));
        assert_eq!(many(Rule::Hash, &[None, Some("b")]), None);
    }
}
