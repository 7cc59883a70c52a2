//! One webhook request, from its head to its answer: read, verify, split, seal, append.

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use bytes::Bytes;
use http::HeaderMap;
use http_body_util::Full;
use hyper::body::Body;
use ledgerline_domain::Result;
use ledgerline_domain::envelope::{Envelope, REQUEST_KIND};
use ledgerline_domain::ports::{Clock, Log, LogRecord, Secrets};
use ledgerline_domain::request::{Headers, RawRequest};
use ledgerline_domain::signature::{Cause, SecretSet, verify};
use ledgerline_domain::time::UnixNanos;

use crate::alarm::Alarm;
use crate::answer::Answer;
use crate::body::{self, NoBody};
use crate::detached::Detached;
use crate::door::{Door, OpenSource};
use crate::gate::Ticket;
use crate::meters::Visit;
use crate::trail::Trail;

/// Path of all webhooks; the source's name follows.
pub(crate) const PATH: &str = "/webhooks/";
/// A longer content type is no content type; it would only swell the envelope.
const CONTENT_TYPE_BYTES_MAX: usize = 256;

/// Answers `POST /webhooks/{source}` as a route among others.
pub(crate) async fn receive<L: Log, S: Secrets, C: Clock>(
    State(door): State<Arc<Door<L, S, C>>>,
    request: Request,
) -> axum::response::Response {
    answer(door, request, Alarm::default()).await.map(axum::body::Body::new)
}

/// Answers a webhook. `alarm` is the connection's, for its requests.
pub(crate) fn answer<L: Log, S: Secrets, C: Clock, B: Body<Data = Bytes> + Unpin>(
    door: Arc<Door<L, S, C>>,
    request: http::Request<B>,
    alarm: Alarm,
) -> impl Future<Output = http::Response<Full<Bytes>>> + use<L, S, C, B> {
    let (head, body) = request.into_parts();
    let (uri, mut headers) = (head.uri, head.headers);
    async move {
        let name = uri.path().strip_prefix(PATH).unwrap_or_default();
        let Some(source) = door.source(name) else {
            door.meters.unknown_source();
            let trail = Trail::begin(&door.traces, None, &headers);
            return respond(Answer::UnknownSource, headers, trail);
        };
        let visit = Visit::new(&door.meters, &source.meters);
        let mut trail = Trail::begin(&door.traces, Some(source.name.as_str()), &headers);
        let answer = admit(&door, source, &mut headers, body, &alarm, trail.as_deref_mut()).await;
        visit.end(answer.outcome());
        respond(answer, headers, trail)
    }
}

fn respond(answer: Answer, headers: HeaderMap, trail: Option<Box<Trail<'_>>>) -> http::Response<Full<Bytes>> {
    let response = answer.respond(headers);
    if let Some(trail) = trail {
        trail.end(answer.outcome(), answer.cause(), response.status().as_u16());
    }
    response
}

/// Empties `headers` before it waits for the log.
async fn admit<L: Log, S: Secrets, C: Clock>(
    door: &Arc<Door<L, S, C>>,
    source: &OpenSource,
    headers: &mut HeaderMap,
    body: impl Body<Data = Bytes> + Unpin,
    alarm: &Alarm,
    mut trail: Option<&mut Trail<'_>>,
) -> Answer {
    let settings = &door.settings;
    let Some(mut ticket) = door.gate.enter() else {
        let wait = settings.retry_after;
        return if door.gate.is_closing() { Answer::Closing(wait) } else { Answer::Full(wait) };
    };
    let read = {
        let reading = pin!(body::read(headers, body, settings.body_bytes_max, &mut ticket));
        alarm.limit(settings.body_read_timeout, reading).await
    };
    let body = match read {
        Some(Ok(body)) => body,
        Some(Err(NoBody::TooLarge)) => return Answer::TooLarge,
        Some(Err(NoBody::Broken)) => return Answer::Broken,
        Some(Err(NoBody::NoRoom)) => return Answer::Full(settings.retry_after),
        None => return Answer::TooSlow,
    };
    if let Some(trail) = &mut trail {
        trail.read(body.len());
    }
    // Looked up per request, so that a rotation needs no restart.
    let Some(secrets) = door.secrets.secrets(source.name.as_str()) else {
        tracing::warn!(source = source.name.as_str(), "failed to find the secrets of a configured source");
        return Answer::LogAway(settings.retry_after);
    };
    let sealed = match seal(source, &secrets, headers, &body, door.clock.now(), trail.as_deref_mut()) {
        Ok(sealed) => sealed,
        Err(cause) => {
            source.meters.rejected(cause);
            tracing::debug!(source = source.name.as_str(), cause = cause.as_str(), "refused a signature: {cause}");
            return match cause {
                Cause::KeyComing => Answer::KeyComing(settings.retry_after),
                _ => Answer::Rejected,
            };
        }
    };
    if let Err(wait) = source.pass() {
        return Answer::RateLimited(wait);
    }
    let (events, unreadable) = (sealed.events, sealed.unreadable);
    // The envelopes hold what is needed of the body.
    drop(body);
    headers.clear();
    if let Some(trail) = &mut trail {
        trail.appends(sealed.records.len(), events);
    }
    let appending = append(door.clone(), ticket, source.meters.events.clone(), sealed);
    let appended = alarm.limit(settings.append_timeout, Detached::new(appending)).await;
    if let Some(trail) = trail {
        trail.appended(appended == Some(Ok(())));
    }
    match appended {
        Some(Ok(())) if unreadable => Answer::Unreadable(events),
        Some(Ok(())) => Answer::Accepted(events),
        Some(Err(())) | None => Answer::LogAway(settings.retry_after),
    }
}

/// A verified request as the log takes it.
struct Sealed {
    records: Vec<LogRecord>,
    /// Events, not counting the original of a split request.
    events: usize,
    /// Whether any of them cannot be read.
    unreadable: bool,
}

/// Verifies, splits and seals; no I/O and no waiting.
fn seal(
    source: &OpenSource,
    secrets: &SecretSet,
    headers: &HeaderMap,
    body: &Bytes,
    received_at: UnixNanos,
    mut trail: Option<&mut Trail<'_>>,
) -> Result<Sealed, Cause> {
    let began = trail.as_ref().map(|_| Instant::now());
    let sealed = seal_all(source, secrets, headers, body, received_at, trail.as_deref_mut());
    if let Some((trail, began)) = trail.zip(began) {
        trail.judged(began, sealed.as_ref().err().map(|cause| cause.as_str()));
    }
    sealed
}

fn seal_all(
    source: &OpenSource,
    secrets: &SecretSet,
    headers: &HeaderMap,
    body: &Bytes,
    received_at: UnixNanos,
    mut trail: Option<&mut Trail<'_>>,
) -> Result<Sealed, Cause> {
    let headers = RequestHeaders(headers);
    let verified = verify(&source.scheme, secrets, RawRequest { headers: &headers, body, received_at })?;
    let identified = source.provider.identify(&source.name, verified.raw());
    let mut sealed = Sealed { records: Vec::with_capacity(identified.len()), events: 0, unreadable: false };
    for event in identified {
        sealed.events += usize::from(event.entity.kind() != REQUEST_KIND);
        sealed.unreadable |= event.unreadable.is_some();
        let envelope = Envelope::seal(&verified, event);
        if let Some(trail) = &mut trail {
            trail.sealed(&envelope);
        }
        let data = envelope.encode().into();
        sealed.records.push(LogRecord { key: envelope.event.entity, data });
    }
    Ok(sealed)
}

/// Appends all of a request at once, and counts and reports here, because the caller may be gone.
async fn append<L: Log, S: Secrets, C: Clock>(
    door: Arc<Door<L, S, C>>,
    ticket: Ticket,
    events: metrics::Counter,
    sealed: Sealed,
) -> Result<(), ()> {
    let appended = door.log.append(sealed.records).await;
    drop(ticket);
    match appended {
        Ok(_) => {
            events.increment(sealed.events as u64);
            Ok(())
        }
        Err(error) => {
            door.complain(&error);
            Err(())
        }
    }
}

/// The server's header map as the domain reads it; nothing is copied.
struct RequestHeaders<'a>(&'a HeaderMap);

impl Headers for RequestHeaders<'_> {
    fn get(&self, name: &str) -> Option<&[u8]> {
        // Requests have few headers: looking at each is quicker than a hash of the name.
        let value = self.0.iter().find(|(own, _)| own.as_str() == name)?.1.as_bytes();
        (name != "content-type" || value.len() <= CONTENT_TYPE_BYTES_MAX).then_some(value)
    }
}
