//! What the door counts. Handles are made once per source, at start: no label is formatted and
//! nothing is looked up while a request is served.
//!
//! | metric | what |
//! | --- | --- |
//! | `ledgerline_ingest_requests_total{source,outcome}` | requests by how they ended; requests to unknown sources have the source `-` |
//! | `ledgerline_ingest_rejected_total{source,cause}` | requests whose signature was refused; `key_coming`: not judged yet, answered 503 |
//! | `ledgerline_ingest_events_total{source}` | events durable in the log |
//! | `ledgerline_ingest_request_seconds` | from a request's head to its answer, seconds |
//! | `ledgerline_ingest_in_flight` | requests inside, as of the last scrape |

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ledgerline_domain::signature::Cause;
use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Every event is durable.
    Accepted,
    /// Durable, and at least one event cannot be read.
    Unreadable,
    /// The signature was refused.
    Rejected,
    /// No such source.
    UnknownSource,
    /// The body was over the limit.
    TooLarge,
    /// The body did not arrive in time.
    TooSlow,
    /// The source's rate limit.
    RateLimited,
    /// The door is full or closing, or the log slow or down.
    Unavailable,
    /// The body broke off, or the server ended before the answer; then its events may be durable.
    Abandoned,
}

impl Outcome {
    const ALL: [Self; 9] = [
        Self::Accepted,
        Self::Unreadable,
        Self::Rejected,
        Self::UnknownSource,
        Self::TooLarge,
        Self::TooSlow,
        Self::RateLimited,
        Self::Unavailable,
        Self::Abandoned,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Unreadable => "unreadable",
            Self::Rejected => "rejected",
            Self::UnknownSource => "unknown_source",
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::Abandoned => "abandoned",
        }
    }
}

/// Counters of one source.
pub(crate) struct SourceMeters {
    requests: [Counter; Outcome::ALL.len()],
    rejected: [Counter; Cause::ALL.len()],
    /// The same numbers, for whoever writes them down: a metric cannot be read back.
    refused: [AtomicU64; Cause::ALL.len()],
    pub(crate) events: Counter,
}

impl SourceMeters {
    pub(crate) fn new(source: &str) -> Self {
        let source = source.to_owned();
        Self {
            requests: Outcome::ALL.map(|outcome| {
                counter!("ledgerline_ingest_requests_total", "source" => source.clone(), "outcome" => outcome.as_str())
            }),
            rejected: Cause::ALL.map(|cause| {
                counter!("ledgerline_ingest_rejected_total", "source" => source.clone(), "cause" => cause.as_str())
            }),
            refused: Default::default(),
            events: counter!("ledgerline_ingest_events_total", "source" => source),
        }
    }

    /// How many requests were refused since the start, by cause. What waits for a key is not refused.
    pub(crate) fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counted = self.refused.iter().map(|count| count.load(Ordering::Relaxed));
        Cause::ALL
            .into_iter()
            .zip(counted)
            .filter(|(cause, count)| *cause != Cause::KeyComing && *count > 0)
            .map(|(cause, count)| (cause.as_str(), count))
    }

    pub(crate) fn rejected(&self, cause: Cause) {
        if let Some(counter) = self.rejected.get(cause.index()) {
            counter.increment(1);
        }
        if let Some(count) = self.refused.get(cause.index()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What is counted for all sources together.
pub(crate) struct Meters {
    request_seconds: Histogram,
    in_flight: Gauge,
    unknown: Counter,
}

impl Meters {
    pub(crate) fn new() -> Self {
        describe_counter!("ledgerline_ingest_requests_total", "Requests by source and how they ended");
        describe_counter!("ledgerline_ingest_rejected_total", "Requests whose signature was refused, by cause");
        describe_counter!("ledgerline_ingest_events_total", "Events durable in the log");
        describe_histogram!("ledgerline_ingest_request_seconds", "From a request's head to its answer, seconds");
        describe_gauge!("ledgerline_ingest_in_flight", "Requests inside the door");
        let unknown = Outcome::UnknownSource.as_str();
        Self {
            request_seconds: histogram!("ledgerline_ingest_request_seconds"),
            in_flight: gauge!("ledgerline_ingest_in_flight"),
            unknown: counter!("ledgerline_ingest_requests_total", "source" => "-", "outcome" => unknown),
        }
    }

    pub(crate) fn unknown_source(&self) {
        self.unknown.increment(1);
    }

    pub(crate) fn set_in_flight(&self, requests: usize) {
        // Counts are far below 2^52.
        self.in_flight.set(requests as f64);
    }
}

/// One request as it is counted: abandoned until said otherwise.
pub(crate) struct Visit<'a> {
    meters: &'a Meters,
    source: &'a SourceMeters,
    began: Instant,
    outcome: Outcome,
}

impl<'a> Visit<'a> {
    pub(crate) fn new(meters: &'a Meters, source: &'a SourceMeters) -> Self {
        Self { meters, source, began: Instant::now(), outcome: Outcome::Abandoned }
    }

    pub(crate) fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        if let Some(counter) = self.source.requests.get(self.outcome as usize) {
            counter.increment(1);
        }
        self.meters.request_seconds.record(self.began.elapsed().as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_stands_at_the_place_of_its_name() {
        for (place, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, place);
        }
        for (place, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause.index(), place);
        }
    }
}
