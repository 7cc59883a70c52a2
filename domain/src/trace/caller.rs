//! What a caller says of its own trace: W3C "Trace Context", the header `traceparent`, level 1.
//!
//! It comes from outside, and before anything is verified, so it decides nothing here: it becomes a link.

use super::{Entry, Link, SpanId, TraceId};

/// Name of the header.
pub const TRACEPARENT: &str = "traceparent";

/// Reads `00-{trace}-{span}-{flags}`; versions to come may have more behind it. Nothing for anything else.
pub fn read_traceparent(value: &[u8]) -> Option<Link> {
    let (version, rest) = (value.get(..2)?, value.get(2..)?);
    let [version] = hex(version)?;
    let (trace, span, flags) = (rest.get(1..33)?, rest.get(34..50)?, rest.get(51..53)?);
    let dashes = [0, 33, 50].iter().all(|at| rest.get(*at) == Some(&b'-'));
    let ends = match version {
        0 => rest.len() == 53,
        255 => false,
        _ => rest.get(53).is_none_or(|next| *next == b'-'),
    };
    if !dashes || !ends {
        return None;
    }
    let (trace, span, [flags]) = (hex::<16>(trace)?, hex::<8>(span)?, hex::<1>(flags)?);
    if trace == [0; 16] || span == [0; 8] {
        return None;
    }
    let (trace, span) = (TraceId::from_bytes(trace), SpanId::from_bytes(span));
    Some(Link { trace, span, is_told: flags & 1 == 1, entry: Entry::Caller })
}

/// Lower-case digits only, as the standard has it.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let lower = digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    let mut bytes = [0; N];
    (lower && hex::decode_to_slice(digits, &mut bytes).is_ok()).then_some(bytes)
}
