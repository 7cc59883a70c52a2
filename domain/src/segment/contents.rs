//! What the records of a segment span: for readers that want only some of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::envelope::Envelope;
use crate::error::{Error, Result};
use crate::ports::Sequenced;
use crate::time::UnixNanos;

/// From the first to the last of some times; both belong to it. In JSON as RFC 3339 text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "SpanText", try_from = "SpanText")]
pub struct TimeSpan {
    /// The earliest.
    pub first: UnixNanos,
    /// The latest.
    pub last: UnixNanos,
}

#[derive(Clone, Serialize, Deserialize)]
struct SpanText {
    first: String,
    last: String,
}

impl From<TimeSpan> for SpanText {
    fn from(span: TimeSpan) -> Self {
        Self { first: span.first.to_string(), last: span.last.to_string() }
    }
}

impl TryFrom<SpanText> for TimeSpan {
    type Error = Error;
    fn try_from(text: SpanText) -> Result<Self> {
        let (first, last) = (UnixNanos::parse_rfc3339(&text.first)?, UnixNanos::parse_rfc3339(&text.last)?);
        Ok(Self { first, last })
    }
}

impl TimeSpan {
    /// Whether a time lies in it.
    pub fn contains(&self, at: UnixNanos) -> bool {
        self.first <= at && at <= self.last
    }

    /// Whether it has a time that is not before `from` and before `to`; what is not given bounds nothing.
    pub fn meets(&self, from: Option<UnixNanos>, to: Option<UnixNanos>) -> bool {
        from.is_none_or(|from| self.last >= from) && to.is_none_or(|to| self.first < to)
    }

    fn widen(span: &mut Option<Self>, at: UnixNanos) {
        *span = Some(match span {
            Some(span) => Self { first: span.first.min(at), last: span.last.max(at) },
            None => Self { first: at, last: at },
        });
    }

    pub(super) fn text(&self) -> String {
        format!("{} {}", self.first, self.last)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once(' ')?;
        let span = Self { first: UnixNanos::parse_rfc3339(first).ok()?, last: UnixNanos::parse_rfc3339(last).ok()? };
        (span.first <= span.last).then_some(span)
    }
}

/// What some records span.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// When the log took them.
    pub arrived_at: TimeSpan,
    /// When they happened; none when no record says so.
    pub occurred_at: Option<TimeSpan>,
    /// When they were received.
    pub received_at: TimeSpan,
    /// Records by source.
    pub sources: BTreeMap<String, u64>,
}

impl Contents {
    /// Whether a record can be one of them.
    pub fn allow(&self, record: &Sequenced<Envelope>) -> bool {
        self.arrived_at.contains(record.arrived_at)
            && self.received_at.contains(record.value.received_at)
            && record.value.event.occurred_at.is_none_or(|at| self.occurred_at.is_some_and(|span| span.contains(at)))
            && self.sources.contains_key(record.value.source())
    }
}

/// Contents under construction.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    arrived_at: Option<TimeSpan>,
    occurred_at: Option<TimeSpan>,
    received_at: Option<TimeSpan>,
    sources: BTreeMap<String, u64>,
}

impl Gathered {
    pub(super) fn note(&mut self, record: &Sequenced<Envelope>) {
        TimeSpan::widen(&mut self.arrived_at, record.arrived_at);
        TimeSpan::widen(&mut self.received_at, record.value.received_at);
        if let Some(at) = record.value.event.occurred_at {
            TimeSpan::widen(&mut self.occurred_at, at);
        }
        let source = record.value.source();
        match self.sources.get_mut(source) {
            Some(count) => *count += 1,
            None => _ = self.sources.insert(source.to_owned(), 1),
        }
    }

    /// What was gathered; nothing without a record.
    pub(super) fn finish(self) -> Option<Contents> {
        Some(Contents {
            arrived_at: self.arrived_at?,
            occurred_at: self.occurred_at,
            received_at: self.received_at?,
            sources: self.sources,
        })
    }
}
