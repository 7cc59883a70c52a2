//! What is kept of a request while it is served, to be told as spans at its end.
//!
//! Which traces they are in is known when the events are: each event of the request that is told has the request's
//! span in its own trace. A request without events, a forged one above all, has a trace that is nobody's. Made only
//! where traces are told; the caller may hang up at any time, so it tells what it has when it is dropped.

use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;
use ledgerline_domain::envelope::{Envelope, REQUEST_KIND};
use ledgerline_domain::trace::{
    Answered, Delivery, Entry, Link, Span, SpanId, Step, TRACEPARENT, TraceId, Traces, read_traceparent,
};

use crate::meters::Outcome;

/// See the module.
pub(crate) struct Trail<'a> {
    traces: &'a Traces,
    source: Option<&'a str>,
    began: Instant,
    caller: Option<Link>,
    answered: Answered,
    /// Began, ended, and whether the signature was accepted.
    sealing: Option<(Instant, Instant, bool)>,
    append: Option<Append>,
    /// What is told of the request's records, and whether it is the original of a split request.
    told: Vec<(Arc<Delivery>, bool)>,
}

struct Append {
    began: Instant,
    records: u32,
    /// When the waiting for it ended, and whether it is durable.
    ended: Option<(Instant, bool)>,
}

impl<'a> Trail<'a> {
    /// Begins with the head of a request to `source`, if it is to one. Nothing where traces are not told.
    pub(crate) fn begin(traces: &'a Traces, source: Option<&'a str>, headers: &HeaderMap) -> Option<Box<Self>> {
        if !traces.are_told() {
            return None;
        }
        let answered = Answered {
            source: None,
            outcome: Outcome::Abandoned.as_str(),
            cause: None,
            status: None,
            body_bytes: 0,
            events: 0,
        };
        let caller = headers.get(TRACEPARENT).and_then(|value| read_traceparent(value.as_bytes()));
        let (sealing, append, told) = (None, None, Vec::new());
        Some(Box::new(Self { traces, source, began: Instant::now(), caller, answered, sealing, append, told }))
    }

    /// The body is there.
    pub(crate) fn read(&mut self, body_bytes: usize) {
        self.answered.body_bytes = body_bytes as u64;
    }

    /// A record that will be appended.
    pub(crate) fn sealed(&mut self, envelope: &Envelope) {
        if let Some(delivery) = self.traces.of_envelope(envelope) {
            self.told.push((Arc::new(delivery), envelope.event.entity.kind() == REQUEST_KIND));
        }
    }

    /// Verified, split and sealed, or refused for a cause.
    pub(crate) fn judged(&mut self, began: Instant, cause: Option<&'static str>) {
        self.sealing = Some((began, Instant::now(), cause.is_none()));
        self.answered.cause = cause;
    }

    /// The log was asked to take so many records, with so many events.
    pub(crate) fn appends(&mut self, records: usize, events: usize) {
        self.answered.events = count(events);
        self.append = Some(Append { began: Instant::now(), records: count(records), ended: None });
    }

    /// The log took them, or did not, or was not waited for any longer.
    pub(crate) fn appended(&mut self, is_durable: bool) {
        if let Some(append) = &mut self.append {
            append.ended = Some((Instant::now(), is_durable));
        }
    }

    /// Ends with an answer.
    pub(crate) fn end(mut self: Box<Self>, outcome: Outcome, cause: Option<&'static str>, status: u16) {
        self.answered.outcome = outcome.as_str();
        self.answered.cause = cause.or(self.answered.cause);
        self.answered.status = Some(status);
    }

    /// The request's span in a trace, and its parts.
    fn tell(&self, trace: TraceId, id: SpanId, delivery: Option<&Arc<Delivery>>, links: Vec<Link>, now: Instant) {
        let span = |id, parent, began, ended, links, step| {
            self.traces.tell(Span { trace, id, parent, links, delivery: delivery.cloned(), began, ended, step });
        };
        let answered = Answered { source: self.source.map(Into::into), ..self.answered.clone() };
        span(Some(id), None, self.began, now, links, Step::Receive(answered));
        if let Some((began, ended, accepted)) = self.sealing {
            span(None, Some(id), began, ended, Vec::new(), Step::Verify(accepted));
        }
        if let Some(Append { began, records, ended }) = self.append {
            let (ended, is_durable) = ended.map_or((now, None), |(ended, is_durable)| (ended, Some(is_durable)));
            span(None, Some(id), began, ended, Vec::new(), Step::Append(records, is_durable));
        }
    }
}

impl Drop for Trail<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        if self.append.is_none() {
            // A rate limit may have turned back what has events: they come again and decide then.
            if let Some(trace) = self.traces.of_no_event() {
                self.tell(trace, self.traces.new_span(), None, self.caller.into_iter().collect(), now);
            }
            return;
        }
        let original = self.told.iter().find(|(_, is_original)| *is_original).map(|(delivery, _)| Link {
            trace: delivery.trace,
            span: delivery.span,
            is_told: true,
            entry: Entry::Request,
        });
        for (delivery, is_original) in &self.told {
            let links = self.caller.into_iter().chain(original.filter(|_| !is_original)).collect();
            self.tell(delivery.trace, delivery.span, Some(delivery), links, now);
        }
    }
}

fn count(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}
