//! Instants as nanoseconds since the Unix epoch. No clock: whoever needs "now" is handed it.

mod rfc3339;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Nanoseconds since 1970-01-01T00:00:00Z, from 1677 to 2262. Shown as RFC 3339 in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UnixNanos(i64);

impl UnixNanos {
    /// From nanoseconds.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From whole seconds; `None` outside the range.
    pub fn from_seconds(seconds: i64) -> Option<Self> {
        seconds.checked_mul(1_000_000_000).map(Self)
    }

    /// From milliseconds; `None` outside the range.
    pub fn from_millis(millis: i64) -> Option<Self> {
        millis.checked_mul(1_000_000).map(Self)
    }

    /// Reads RFC 3339 (any offset, up to nanoseconds).
    pub fn parse_rfc3339(text: &str) -> Result<Self> {
        match rfc3339::read_utc(text.as_bytes()) {
            Some(nanos) => Ok(Self(nanos)),
            None => Self::parse_any_rfc3339(text),
        }
    }

    fn parse_any_rfc3339(text: &str) -> Result<Self> {
        let stamp: jiff::Timestamp =
            text.parse().map_err(|e| Error::invalid(format!("read {text:?} as an RFC 3339 time")).because(e))?;
        i64::try_from(stamp.as_nanosecond())
            .map(Self)
            .map_err(|_| Error::invalid(format!("accept the time {text:?}: it is outside the years 1677 to 2262")))
    }

    /// Nanoseconds since the epoch.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// The hour this instant lies in, as `2026-11-24T13`.
    pub fn hour(self) -> String {
        let text = self.to_string();
        text.get(..13).unwrap_or(&text).to_owned()
    }

    /// Appends the RFC 3339 text, as [`Display`](fmt::Display) shows it.
    pub(crate) fn write_to(self, out: &mut Vec<u8>) {
        let mut buffer = [0; rfc3339::BYTES_MAX];
        match rfc3339::write_utc(self.0, &mut buffer) {
            Some(text) => out.extend_from_slice(text.as_bytes()),
            None => out.extend_from_slice(self.to_string().as_bytes()),
        }
    }

    /// Nanoseconds from `earlier` to `self`; negative when `earlier` is later.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for UnixNanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = [0; rfc3339::BYTES_MAX];
        if let Some(text) = rfc3339::write_utc(self.0, &mut buffer) {
            return f.write_str(text);
        }
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(stamp) => write!(f, "{stamp}"),
            Err(_) => write!(f, "{}ns", self.0),
        }
    }
}

impl fmt::Debug for UnixNanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
