//! Reads a body by an earlier one of the same shape.
//!
//! Bodies of one event type mostly differ in their values alone: brackets, keys and white space are the same byte
//! for byte, and so are many values. Of a body that was read the long way its text is kept, with the places of its
//! values and of what was found. The next body is compared with it. Where the two differ inside of a value, that
//! value is read anew and the comparison goes on behind it; where they differ anywhere else, the body has another
//! shape and is read the long way.
//!
//! The outcome is the same either way: equal text behind equal text reads equally, and a value counts as one here
//! only if it is plain (a string without escapes, a number without exponent, `true`, `false`, `null`). A body that
//! is refused is always refused by the long way.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::de::IgnoredAny;
use smallvec::smallvec;

use super::pointer::{Found, Walked};

/// Longest body that is kept, in bytes.
const BODY_MAX: usize = 16 * 1024;
/// Longest number that is plain: the walk refuses some that no computer's number can hold.
const NUMBER_MAX: usize = 32;
/// Shapes kept of one set of pointers. An event type has a few, a provider as many as its types.
const SHAPES_MAX: usize = 8;
/// When what a thread keeps takes more than this, in bytes, it begins anew.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// After so many bodies in a row that had none of the shapes kept...
const STRIKES_MAX: u32 = 16;
/// ...so many are read the long way at once: bodies that are never alike cost next to nothing.
const REST: u32 = 64;

thread_local! {
    static KEPT: RefCell<AllKept> = RefCell::default();
}

/// Tells one set of pointers from another, in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SetId(u64);

impl SetId {
    /// One that no other set has.
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Finds what a set of pointers points to: by an earlier body of the same shape, else by `long`, from which the
/// shape is learnt.
pub(super) fn find<'a>(
    set: SetId,
    body: &'a [u8],
    long: impl FnOnce() -> Result<Walked<'a>, String>,
) -> Result<Found<'a>, String> {
    if body.len() > BODY_MAX {
        return long().map(|walked| walked.found);
    }
    KEPT.with_borrow_mut(|all| {
        if all.bytes > BYTES_MAX {
            *all = AllKept::default();
        }
        let kept = all.sets.entry(set).or_insert_with(|| {
            all.bytes += size_of::<Kept>();
            Kept::default()
        });
        if kept.rest > 0 {
            kept.rest -= 1;
            return long().map(|walked| walked.found);
        }
        // What is no text is refused by the long way.
        if let Some(found) = simdutf8::basic::from_utf8(body).ok().and_then(|text| kept.read(text)) {
            return Ok(found);
        }
        let walked = long()?;
        all.bytes -= kept.bytes();
        kept.learn(body, &walked);
        all.bytes += kept.bytes();
        Ok(walked.found)
    })
}

/// All that a thread keeps.
#[derive(Default)]
struct AllKept {
    sets: HashMap<SetId, Kept, foldhash::fast::RandomState>,
    bytes: usize,
}

/// The shapes of one set of pointers, those that fit often in front.
#[derive(Default)]
struct Kept {
    shapes: Vec<Shape>,
    /// How many bodies in a row had none of them.
    strikes: u32,
    /// How many bodies to leave alone.
    rest: u32,
}

impl Kept {
    fn read<'a>(&mut self, body: &'a str) -> Option<Found<'a>> {
        for at in 0..self.shapes.len() {
            if let Some(found) = self.shapes.get(at)?.read(body) {
                self.strikes = 0;
                if at > 0 {
                    self.shapes.swap(at - 1, at);
                }
                return Some(found);
            }
        }
        None
    }

    fn learn(&mut self, body: &[u8], walked: &Walked<'_>) {
        self.strikes += 1;
        if self.strikes > STRIKES_MAX {
            self.rest = REST;
        }
        let Some(shape) = Shape::of(body, walked) else { return };
        self.shapes.truncate(SHAPES_MAX - 1);
        self.shapes.push(shape);
    }

    fn bytes(&self) -> usize {
        self.shapes.iter().map(Shape::bytes).sum()
    }
}

/// A body that was read, and where things are in it. Its text is a provider's: it is never shown.
struct Shape {
    text: Box<[u8]>,
    slots: usize,
    /// Its values that are neither object nor array, in order.
    values: Box<[Value]>,
    /// Where that begins and ends which was found, in order.
    edges: Box<[Edge]>,
}

/// Where a value is.
#[derive(Debug, PartialEq, Eq)]
struct Value {
    start: usize,
    end: usize,
    /// A string of ASCII characters without escapes.
    plain: bool,
}

struct Edge {
    at: usize,
    slot: usize,
    ends: bool,
}

impl Shape {
    /// The shape of a body in which this was found. None where another body of the same shape might be found to
    /// hold other things: the walk lost some, takes more than JSON, or gives a value not as it stands there.
    fn of(body: &[u8], Walked { found, lost }: &Walked<'_>) -> Option<Self> {
        if *lost || serde_json::from_slice::<IgnoredAny>(body).is_err() {
            return None;
        }
        let mut edges = Vec::new();
        for (slot, value) in found.iter().enumerate() {
            let value = match value {
                None => continue,
                Some(Cow::Borrowed(value)) => value,
                Some(Cow::Owned(_)) => return None,
            };
            let at = (value.as_ptr() as usize).checked_sub(body.as_ptr() as usize)?;
            if body.get(at..at + value.len())? != value.as_bytes() {
                return None;
            }
            edges.push(Edge { at, slot, ends: false });
            edges.push(Edge { at: at + value.len(), slot, ends: true });
        }
        edges.sort_by_key(|edge| edge.at);
        let values = values_of(body).into();
        Some(Self { text: body.into(), slots: found.len(), values, edges: edges.into() })
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.text.len() + size_of_val(&*self.values) + size_of_val(&*self.edges)
    }

    /// What is found in a body of this shape; nothing for one of another shape.
    fn read<'a>(&self, text: &'a str) -> Option<Found<'a>> {
        let body = text.as_bytes();
        let mut places = Places { text, found: smallvec![None; self.slots], begins: smallvec![0; self.slots] };
        let (mut values, mut edges) = (self.values.iter(), &*self.edges);
        // Up to here the two were compared.
        let (mut own, mut at) = (0, 0);
        loop {
            let same = common_prefix(self.text.get(own..)?, body.get(at..)?);
            (own, at) = (own + same, at + same);
            if own == self.text.len() && at == body.len() {
                places.pass(edges, own, at)?;
                return Some(places.found);
            }
            // A number may go on where this one's has ended.
            let value = values.find(|value| own <= value.end)?;
            let known = own.checked_sub(value.start)?;
            let begin = at - known;
            edges = places.pass(edges, value.start, begin)?;
            // What both have of a plain string is plain here too.
            let rest = if value.plain && known > 0 && own < value.end { to_quote(body.get(at..)?) } else { None };
            at = match rest {
                Some(rest) => at + rest,
                None => begin + plain_value(body.get(begin..)?)?,
            };
            own = value.end;
        }
    }
}

/// What was found so far in a body.
struct Places<'a> {
    text: &'a str,
    found: Found<'a>,
    begins: smallvec::SmallVec<[usize; 16]>,
}

impl<'a> Places<'a> {
    /// Takes the edges up to `own` of the shape, which is at `at` in the body. Gives those that are left.
    fn pass<'e>(&mut self, edges: &'e [Edge], own: usize, at: usize) -> Option<&'e [Edge]> {
        let (passed, left) = edges.split_at(edges.iter().take_while(|edge| edge.at <= own).count());
        for edge in passed {
            let place = at.checked_sub(own - edge.at)?;
            let begin = self.begins.get_mut(edge.slot)?;
            if edge.ends {
                let found = self.text.get(*begin..place)?;
                *self.found.get_mut(edge.slot)? = Some(Cow::Borrowed(found));
            } else {
                *begin = place;
            }
        }
        Some(left)
    }
}

/// How many bytes at the beginning are the same.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    const STEP: usize = 16;
    let ((a_steps, _), (b_steps, _)) = (a.as_chunks::<STEP>(), b.as_chunks::<STEP>());
    let mut same = 0;
    for (a, b) in a_steps.iter().zip(b_steps) {
        let differ = u128::from_le_bytes(*a) ^ u128::from_le_bytes(*b);
        if differ != 0 {
            return same + differ.trailing_zeros() as usize / 8;
        }
        same += STEP;
    }
    let rest = a.iter().zip(b).skip(same);
    same + rest.take_while(|(a, b)| a == b).count()
}

/// How far it is to behind the quote that ends a string. None if what stands before it needs a closer look.
fn to_quote(text: &[u8]) -> Option<usize> {
    let at = text.iter().position(|byte| !matches!(byte, b' '..=b'~') || matches!(byte, b'"' | b'\\'))?;
    (text.get(at) == Some(&b'"')).then_some(at + 1)
}

/// The length of the plain value at the beginning of UTF-8. What may stand behind it is for the caller to check.
fn plain_value(text: &[u8]) -> Option<usize> {
    match text.first()? {
        b'"' => {
            let inner = text.get(1..)?;
            let length = memchr::memchr2(b'"', b'\\', inner)?;
            let (characters, end) = inner.split_at_checked(length)?;
            let plain = end.first() == Some(&b'"') && characters.iter().all(|byte| *byte >= 0x20);
            plain.then_some(length + 2)
        }
        b't' => text.starts_with(b"true").then_some(4),
        b'f' => text.starts_with(b"false").then_some(5),
        b'n' => text.starts_with(b"null").then_some(4),
        first => {
            let digits = |from: usize| text.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
            let sign = usize::from(*first == b'-');
            let whole = if text.get(sign) == Some(&b'0') { 1 } else { digits(sign) };
            let end = sign + whole;
            let decimals = if text.get(end) == Some(&b'.') { 1 + digits(end + 1) } else { 0 };
            (whole > 0 && decimals != 1 && end + decimals <= NUMBER_MAX).then_some(end + decimals)
        }
    }
}

/// The values of a JSON text that are neither object nor array.
fn values_of(json: &[u8]) -> Vec<Value> {
    let mut values = Vec::new();
    let mut at = 0;
    while let Some(rest) = json.get(at..).filter(|rest| !rest.is_empty()) {
        let length = match rest.first() {
            Some(b'"') => string_length(rest),
            _ => rest.iter().position(|byte| between_values(*byte)).unwrap_or(rest.len()),
        };
        let end = at + length.max(1);
        let is_key = || {
            let behind = json.get(end..).unwrap_or_default().iter().find(|byte| !byte.is_ascii_whitespace());
            behind == Some(&b':')
        };
        if length > 0 && !is_key() {
            let plain = rest.first() == Some(&b'"') && rest.get(1..).and_then(to_quote) == Some(length - 1);
            values.push(Value { start: at, end, plain });
        }
        at = end;
    }
    values
}

fn between_values(byte: u8) -> bool {
    matches!(byte, b'{' | b'}' | b'[' | b']' | b':' | b',') || byte.is_ascii_whitespace()
}

/// The length of the string at the beginning of a JSON text, with its quotes.
fn string_length(text: &[u8]) -> usize {
    let mut escaped = false;
    let end = text.iter().skip(1).position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |length| length + 2)
}

#[cfg(test)]
mod tests;
