//! Reads many JSON pointers (RFC 6901) out of a body in one pass, without building a tree.
//!
//! Values come back as the exact text that stands in the body, so integers beyond 2^53 and decimal
//! digits stay what they are. Of a key that stands twice in one object the first counts. The whole
//! body is checked to be JSON on the way.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use smallvec::{SmallVec, smallvec};
use sonic_rs::LazyValue;

use super::shape::{self, SetId};

/// Deepest nesting of objects and arrays that is read; deeper bodies are refused before any parser
/// could run out of stack on them.
pub(crate) const DEPTH_MAX: usize = 256;

/// A set of pointers, each with a slot number in the order of [`insert`](Pointers::insert).
#[derive(Debug)]
pub(crate) struct Pointers {
    root: Node,
    texts: Vec<String>,
    id: SetId,
}

impl Default for Pointers {
    fn default() -> Self {
        Self { root: Node::default(), texts: Vec::new(), id: SetId::new() }
    }
}

#[derive(Debug, Default)]
struct Node {
    slot: Option<usize>,
    children: Vec<(String, Node)>,
    /// Which lengths the children's names have, a bit each: most keys of a body have none of them.
    lengths: u64,
}

impl Node {
    /// The child of that name, with its place.
    fn child(&self, name: &str) -> Option<(usize, &Self)> {
        if self.lengths & length_bit(name) == 0 {
            return None;
        }
        // Most that have the length differ in the last byte already.
        let last = name.as_bytes().last();
        let mut children = self.children.iter().enumerate();
        children
            .find(|(_, (own, _))| own.len() == name.len() && own.as_bytes().last() == last && own == name)
            .map(|(at, (_, node))| (at, node))
    }
}

/// Names of 63 bytes and more share a bit.
fn length_bit(name: &str) -> u64 {
    1 << name.len().min(63)
}

/// What stands at each slot: JSON text as it is in the body, or nothing. A copy only of a string with
/// escapes.
pub(crate) type Found<'a> = SmallVec<[Option<Cow<'a, str>>; 16]>;

impl Pointers {
    /// Adds a pointer (checked before to be empty or to start with `/`) and gives its slot; the
    /// same pointer has one slot.
    pub(crate) fn insert(&mut self, pointer: &str) -> usize {
        if let Some(slot) = self.texts.iter().position(|t| t == pointer) {
            return slot;
        }
        let slot = self.texts.len();
        self.texts.push(pointer.to_owned());
        self.id = SetId::new();
        let mut node = &mut self.root;
        for part in pointer.split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            let at = match node.children.iter().position(|(name, _)| *name == part) {
                Some(at) => at,
                None => {
                    node.lengths |= length_bit(&part);
                    node.children.push((part, Node::default()));
                    node.children.len() - 1
                }
            };
            node = &mut node.children[at].1;
        }
        node.slot = Some(slot);
        slot
    }

    /// Finds all pointers in `body`. `Err` says in words why it is not JSON.
    pub(crate) fn find<'a>(&self, body: &'a [u8]) -> Result<Found<'a>, String> {
        shape::find(self.id, body, || self.walk(body))
    }

    /// The same of a body that is like no other.
    pub(super) fn walk<'a>(&self, body: &'a [u8]) -> Result<Walked<'a>, String> {
        let mut found: Found<'a> = smallvec![None; self.texts.len()];
        let text = simdutf8::basic::from_utf8(body).map_err(|_| {
            let at = std::str::from_utf8(body).map_or_else(|e| e.valid_up_to(), str::len);
            format!("the body is not UTF-8 (byte {at})")
        })?;
        if is_too_deep(body) {
            return Err(format!("the body is nested deeper than {DEPTH_MAX} levels"));
        }
        let mut json = sonic_rs::Deserializer::from_str(text);
        let lost = Cell::new(false);
        Walk { node: &self.root, found: &mut found, lost: &lost, parts_only: false }
            .deserialize(&mut json)
            .and_then(|()| json.end())
            .map_err(|e| format!("the body is not JSON (at byte {})", e.offset()))?;
        Ok(Walked { found, lost: lost.get() })
    }
}

/// What a walk gives.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Walked<'a> {
    pub found: Found<'a>,
    /// Whether parts of a value were not read to their end.
    pub lost: bool,
}

/// Whether brackets outside of strings nest deeper than [`DEPTH_MAX`].
fn is_too_deep(body: &[u8]) -> bool {
    // Nearly every body has fewer brackets than that in all; counting them is almost free. The two
    // differ in one bit, and a count that fits a byte is added up sixteen bytes at a time.
    let opening = |bytes: &[u8]| usize::from(bytes.iter().map(|b| u8::from(b | 0x20 == b'{')).sum::<u8>());
    if body.chunks(usize::from(u8::MAX)).map(opening).sum::<usize>() <= DEPTH_MAX {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in body {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'[' | b'{') => depth += 1,
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return true;
        }
    }
    false
}

/// Goes down one node of the pointer tree.
struct Walk<'n, 'f, 'a> {
    node: &'n Node,
    found: &'f mut Found<'a>,
    lost: &'f Cell<bool>,
    /// The node's own slot is filled already: only its children are wanted.
    parts_only: bool,
}

impl<'a> DeserializeSeed<'a> for Walk<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'a>>(self, json: D) -> Result<(), D::Error> {
        let Some(slot) = self.node.slot.filter(|_| !self.parts_only) else {
            return json.deserialize_any(self);
        };
        let value: LazyValue<'a> = serde::Deserialize::deserialize(json)?;
        let raw = value.as_raw_cow();
        if !self.node.children.is_empty()
            && let Cow::Borrowed(raw) = raw
        {
            // Wanted as a whole and in parts: read the parts out of the text just found.
            let mut inner = sonic_rs::Deserializer::from_str(raw);
            let parts = Walk { node: self.node, found: self.found, lost: self.lost, parts_only: true };
            if parts.deserialize(&mut inner).is_err() {
                self.lost.set(true);
            }
        }
        let place = &mut self.found[slot];
        if place.is_none() {
            *place = Some(raw);
        }
        Ok(())
    }
}

impl<'a> Visitor<'a> for Walk<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = 0_u64;
        while let Some(child) = map.next_key_seed(ChildNamed(self.node))? {
            match child {
                Some((at, node)) if at >= 64 || seen & (1 << at) == 0 => {
                    seen |= if at < 64 { 1 << at } else { 0 };
                    map.next_value_seed(Walk { node, found: self.found, lost: self.lost, parts_only: false })?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut index = 0_usize;
        loop {
            let wanted = if self.node.children.is_empty() { None } else { self.node.child(&index.to_string()) };
            let more = match wanted {
                Some((_, node)) => seq
                    .next_element_seed(Walk { node, found: self.found, lost: self.lost, parts_only: false })?
                    .is_some(),
                None => seq.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

/// Reads a key and gives the child of that name, without copying the key.
struct ChildNamed<'n>(&'n Node);

impl<'n, 'a> DeserializeSeed<'a> for ChildNamed<'n> {
    type Value = Option<(usize, &'n Node)>;

    fn deserialize<D: serde::Deserializer<'a>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'n> Visitor<'_> for ChildNamed<'n> {
    type Value = Option<(usize, &'n Node)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.child(key))
    }
}

/// Without an early exit, which a short text is not worth.
fn has_backslash(text: &str) -> bool {
    text.bytes().fold(false, |any, byte| any | (byte == b'\\'))
}

/// A scalar's text: of a string its characters, of a number its digits as they stand, of a boolean
/// `true` or `false`. Nothing for `null`, objects, arrays and empty strings.
pub(crate) fn scalar<'f>(raw: Option<&'f Cow<'_, str>>) -> Option<Cow<'f, str>> {
    let raw = raw?.as_ref();
    let text = match raw.as_bytes().first()? {
        b'"' if !has_backslash(raw) => Cow::Borrowed(raw.get(1..raw.len() - 1)?),
        b'"' => Cow::Owned(serde_json::from_str::<String>(raw).ok()?),
        b'{' | b'[' | b'n' => return None,
        _ => Cow::Borrowed(raw),
    };
    if text.is_empty() { None } else { Some(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pointers: &[&str], body: &str) -> Result<Vec<Option<String>>, String> {
        let mut set = Pointers::default();
        for pointer in pointers {
            set.insert(pointer);
        }
        set.find(body.as_bytes()).map(|found| found.iter().map(|v| scalar(v.as_ref()).map(Cow::into_owned)).collect())
    }

    #[test]
    fn finds_values_as_they_stand() {
        let body = r#"{"a":{"b":"x\u00e9","n":9007199254740993,"d":12.50},"l":[{"id":1},{"id":2}],"t":true,"z":null,"k/y":"s"}"#;
        let found = read(&["/a/b", "/a/n", "/a/d", "/l/1/id", "/t", "/z", "/k~1y", "/nope", "/a"], body).unwrap();
        let want =
            [Some("xé"), Some("9007199254740993"), Some("12.50"), Some("2"), Some("true"), None, Some("s"), None, None];
        assert_eq!(found, want.map(|w| w.map(str::to_owned)));
    }

    #[test]
    fn wanted_whole_and_in_parts() {
        assert_eq!(read(&["/pi", "/pi/id"], r#"{"pi":{"id":"x"}}"#).unwrap(), [None, Some("x".into())]);
        assert_eq!(read(&["/pi", "/pi/id"], r#"{"pi":"y"}"#).unwrap(), [Some("y".into()), None]);
    }

    #[test]
    fn the_first_of_two_equal_keys_counts() {
        assert_eq!(read(&["/a"], r#"{"a":1,"a":2}"#).unwrap(), [Some("1".into())]);
        assert_eq!(read(&["/a/b"], r#"{"a":{},"a":{"b":2}}"#).unwrap(), [None]);
    }

    #[test]
    fn refuses_what_is_not_json() {
        for body in ["", "{", "nope", "{\"a\":1}}", "{\"a\":1} x", "\u{feff}{}", "{\"a\":01}", "{'a':1}"] {
            assert!(read(&["/a"], body).is_err(), "{body}");
        }
        let mut set = Pointers::default();
        set.insert("/a");
        assert!(set.find(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn deep_nesting_is_refused_not_a_stack_overflow() {
        let nested = |n: usize| format!("{{\"x\":{}{},\"a\":1}}", "[".repeat(n), "]".repeat(n));
        assert_eq!(read(&["/a"], &nested(DEPTH_MAX - 1)).unwrap(), [Some("1".into())]);
        for body in [nested(DEPTH_MAX), nested(400_000), "[".repeat(400_000), "{\"a\":".repeat(400_000)] {
            assert!(read(&["/a"], &body).unwrap_err().contains("nested deeper"));
        }
        // Brackets in strings do not nest, and many side by side are not deep.
        assert_eq!(
            read(&["/a"], &format!("{{\"s\":\"{}\\\"[\",\"a\":1}}", "[".repeat(9_000))).unwrap(),
            [Some("1".into())]
        );
        assert_eq!(
            read(&["/a"], &format!("{{\"l\":[{}0],\"a\":1}}", "[],".repeat(9_000))).unwrap(),
            [Some("1".into())]
        );
    }
}
