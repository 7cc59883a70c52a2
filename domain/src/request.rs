//! What arrived at the door, before and after verification.
//!
//! `RawRequest → Verified → Envelope`: the type says what is established. A [`Verified`] is made
//! by [`crate::signature`] alone, and an envelope for the log is made from a `Verified` alone
//! (invariant I2).

use std::fmt;

use bytes::Bytes;
use compact_str::CompactString;

use crate::time::UnixNanos;

/// Request headers, however the server keeps them. Names are matched without case.
pub trait Headers {
    /// The first value of header `name` (given in lower case), if there is one.
    fn get(&self, name: &str) -> Option<&[u8]>;
}

/// Pairs of name and value; values may be text or any bytes.
impl<V: AsRef<[u8]>> Headers for Vec<(String, V)> {
    fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_ref())
    }
}

/// A request as received; nothing about it is established.
#[derive(Clone, Copy)]
pub struct RawRequest<'a> {
    /// Its headers.
    pub headers: &'a dyn Headers,
    /// Its exact body.
    pub body: &'a Bytes,
    /// When it was received, by the receiver's clock.
    pub received_at: UnixNanos,
}

/// A request whose signature was checked, with the evidence.
pub struct Verified<'a> {
    pub(crate) raw: RawRequest<'a>,
    pub(crate) key_id: CompactString,
    pub(crate) evidence: Vec<(CompactString, String)>,
}

impl<'a> Verified<'a> {
    /// The request.
    pub fn raw(&self) -> RawRequest<'a> {
        self.raw
    }

    /// Which of the configured secrets fitted: the first 8 hex digits of the SHA-256 of its text.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The headers that the signature scheme read, name (lower case) and value.
    pub fn evidence(&self) -> &[(CompactString, String)] {
        &self.evidence
    }
}

impl fmt::Debug for Verified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verified({} bytes, key {})", self.raw.body.len(), self.key_id)
    }
}
