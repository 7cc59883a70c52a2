//! Text that lies inside of what holds it as long as it is short, and else in memory of its own.
//!
//! Ids of providers have 27 or 28 bytes, keys of their entities some 42. Each of them in memory of its own would cost
//! an allocation per id and event, more than reading the id.

use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use arrayvec::ArrayString;
use compact_str::CompactString;
use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// An id as providers give them.
pub type IdText = Text<32>;
/// A key of an entity.
pub(crate) type KeyText = Text<48>;

/// Text of which up to `N` bytes lie inside. Written and compared as the plain text.
#[derive(Clone)]
pub struct Text<const N: usize>(Inner<N>);

#[derive(Clone)]
enum Inner<const N: usize> {
    Short(ArrayString<N>),
    Long(Box<str>),
}

impl<const N: usize> Text<N> {
    /// The text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Inner::Short(text) => text,
            Inner::Long(text) => text,
        }
    }

    /// The parts, one behind the other.
    pub(crate) fn concat(parts: &[&str]) -> Self {
        let mut text = ArrayString::new();
        if parts.iter().all(|part| text.try_push_str(part).is_ok()) {
            Self(Inner::Short(text))
        } else {
            Self(Inner::Long(parts.concat().into()))
        }
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self(Inner::Short(ArrayString::new()))
    }
}

impl<const N: usize> From<&str> for Text<N> {
    fn from(text: &str) -> Self {
        Self(ArrayString::from(text).map_or_else(|_| Inner::Long(text.into()), Inner::Short))
    }
}

impl<const N: usize> From<String> for Text<N> {
    fn from(text: String) -> Self {
        if text.len() <= N { text.as_str().into() } else { Self(Inner::Long(text.into())) }
    }
}

impl<const N: usize> From<Cow<'_, str>> for Text<N> {
    fn from(text: Cow<'_, str>) -> Self {
        text.as_ref().into()
    }
}

impl<const N: usize> From<CompactString> for Text<N> {
    fn from(text: CompactString) -> Self {
        text.as_str().into()
    }
}

impl<const N: usize> From<Text<N>> for String {
    fn from(text: Text<N>) -> Self {
        match text.0 {
            Inner::Short(text) => text.as_str().to_owned(),
            Inner::Long(text) => text.into(),
        }
    }
}

impl<const N: usize> Deref for Text<N> {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl<const N: usize> AsRef<str> for Text<N> {
    fn as_ref(&self) -> &str {
        self
    }
}

impl<const N: usize> Borrow<str> for Text<N> {
    fn borrow(&self) -> &str {
        self
    }
}

impl<const N: usize> PartialEq for Text<N> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl<const N: usize> Eq for Text<N> {}

impl<const N: usize> PartialEq<str> for Text<N> {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl<const N: usize> PartialEq<&str> for Text<N> {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl<const N: usize> PartialOrd for Text<N> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<const N: usize> Ord for Text<N> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other)
    }
}

impl<const N: usize> Hash for Text<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl<const N: usize> Serialize for Text<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Text<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor<const N: usize>;

impl<const N: usize> Visitor<'_> for TextVisitor<N> {
    type Value = Text<N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Text<N>, E> {
        Ok(text.into())
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Text<N>, E> {
        std::str::from_utf8(bytes).map(Text::from).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_keys_as_they_come_lie_inside() {
        assert_eq!((size_of::<IdText>(), size_of::<Option<IdText>>()), (40, 40));
        assert_eq!((size_of::<KeyText>(), size_of::<Option<KeyText>>()), (56, 56));
        for length in [0, 1, 27, 31, 32, 33, 256] {
            let plain = "é".repeat(length / 2) + &"x".repeat(length % 2);
            let text = IdText::from(plain.as_str());
            assert_eq!(matches!(text.0, Inner::Short(_)), length <= 32, "{length}");
            assert_eq!(text, IdText::from(plain.clone()));
            assert_eq!(text, IdText::concat(&[&plain[..length / 4 * 2], &plain[length / 4 * 2..]]));
            assert_eq!((text.as_str(), text.to_string()), (plain.as_str(), plain.clone()));
        }
    }

    #[test]
    fn it_is_written_hashed_and_ordered_as_the_plain_text() {
        let plain = ["", "a", "evt_00000000000000000000000001", &"z".repeat(40), "b"];
        let mut texts = plain.map(IdText::from).to_vec();
        for (text, plain) in texts.iter().zip(plain) {
            let bytes = postcard::to_stdvec(text).unwrap();
            assert_eq!(bytes, postcard::to_stdvec(&CompactString::from(plain)).unwrap());
            assert_eq!(postcard::from_bytes::<IdText>(&bytes).unwrap(), plain);
            assert_eq!(serde_json::from_str::<IdText>(&serde_json::to_string(text).unwrap()).unwrap(), plain);
        }
        let mut sorted = plain;
        sorted.sort_unstable();
        texts.sort_unstable();
        assert_eq!(texts, sorted.map(IdText::from));
        let known: std::collections::HashSet<IdText> = texts.into_iter().collect();
        assert!(plain.iter().all(|text| known.contains(*text)) && !known.contains("c"));
    }
}
