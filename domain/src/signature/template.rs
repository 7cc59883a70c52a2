//! What is signed: text, the event's id, the signed time, the source's address, further headers and
//! the body, in the scheme's order.

use std::borrow::Cow;

use compact_str::CompactString;

use crate::error::{Error, Result};

/// Longest template, in bytes.
const TEMPLATE_BYTES_MAX: usize = 256;
/// Most headers that a template names with `{header:…}`.
pub(super) const HEADERS_MAX: usize = 4;

/// One part of the signed content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Fixed text.
    Text(Cow<'static, str>),
    /// The id, exactly as its header says.
    Id,
    /// The time, exactly as its header says.
    Timestamp,
    /// The exact body.
    Body,
    /// The source's address, exactly as it was entered at the provider.
    Url,
    /// The value of this header (lower case), exactly.
    Header(CompactString),
}

const DOT: Piece = Piece::Text(Cow::Borrowed("."));

/// `{id}.{timestamp}.{body}`: Standard Webhooks.
pub(super) static ID_TIMESTAMP_BODY: [Piece; 5] = [Piece::Id, DOT, Piece::Timestamp, DOT, Piece::Body];

/// Reads a template such as `{id}.{timestamp}.{body}`. Each name stands at most once and the body
/// must be among them; braces stand for nothing else. Errors are of kind `Invalid`.
pub(super) fn parse(template: &str) -> Result<Vec<Piece>> {
    let fault = |what: &str| Err(Error::invalid(format!("read `content`: {what}")));
    if template.len() > TEMPLATE_BYTES_MAX {
        return fault(&format!("it is longer than {TEMPLATE_BYTES_MAX} bytes"));
    }
    let mut pieces = Vec::new();
    let mut rest = template;
    while !rest.is_empty() {
        let (piece, after) = if let Some(named) = rest.strip_prefix('{') {
            match named.split_once('}') {
                Some(("id", after)) => (Piece::Id, after),
                Some(("timestamp", after)) => (Piece::Timestamp, after),
                Some(("body", after)) => (Piece::Body, after),
                Some(("url", after)) => (Piece::Url, after),
                Some((name, after)) if name.starts_with("header:") => {
                    (Piece::Header(name.trim_start_matches("header:").to_ascii_lowercase().into()), after)
                }
                _ => return fault("a brace must open {id}, {timestamp}, {body}, {url} or {header:name}"),
            }
        } else {
            let (text, after) = rest.split_at(rest.find('{').unwrap_or(rest.len()));
            if text.contains('}') {
                return fault("it has a closing brace without an opening one");
            }
            (Piece::Text(Cow::Owned(text.to_owned())), after)
        };
        if !matches!(piece, Piece::Text(_)) && pieces.contains(&piece) {
            return fault("it names the same part twice");
        }
        pieces.push(piece);
        rest = after;
    }
    if !pieces.contains(&Piece::Body) {
        return fault("it must hold {body}: a signature that does not cover the body proves nothing about it");
    }
    Ok(pieces)
}
