//! What spans are called outside: OpenTelemetry's semantic conventions where they have a name, `ledgerline.*` elsewhere.
//!
//! Ids of events, their types, sources, shards, positions and outcomes stand in spans, as they may in logs. Bodies, headers,
//! signatures, amounts, addresses of callers and keys of entities do not (I12): the last are made of whatever a provider
//! file names, which may be a merchant's own reference.
//!
//! Source: "Semantic conventions for HTTP spans" and "for messaging spans", 1.38.

use std::borrow::Cow;
use std::time::{Instant, SystemTime};

use ledgerline_domain::trace::{Answered, Entry, Folded, Kept, Link, Span, Step};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value, trace};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanLinks};

use crate::settings::Loaded;

/// Name of the service where the environment gives none.
const SERVICE: &str = "ledgerline";
/// What the library says where there is no name.
const UNKNOWN_SERVICE: &str = "unknown_service";

/// What all spans of the process have in common.
pub(super) struct Words {
    scope: InstrumentationScope,
    system: &'static str,
    log: String,
}

impl Words {
    /// For a process with these settings.
    pub(super) fn of(loaded: &Loaded) -> Self {
        let stream = loaded.settings.aws.as_ref().map(|aws| aws.stream.clone());
        Self {
            scope: InstrumentationScope::builder("ledgerline").with_version(env!("CARGO_PKG_VERSION")).build(),
            system: if stream.is_some() { "aws.kinesis" } else { "ledgerline" },
            log: stream.unwrap_or_else(|| ledgerline_processor::archiver::STREAM_DEFAULT.to_owned()),
        }
    }

    /// This process: what `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say, with a name and an id of its own.
    pub(super) fn resource(&self) -> Resource {
        let said = Resource::builder().build();
        // By the specification this variable counts before the attributes; the library has it the other way round.
        let name = super::variable("OTEL_SERVICE_NAME").filter(|name| !name.is_empty());
        let name = name.or_else(|| said.get(&"service.name".into()).map(|name| name.to_string()));
        let name = name.filter(|name| name != UNKNOWN_SERVICE).unwrap_or_else(|| SERVICE.to_owned());
        let own = [
            ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
            ("service.instance.id", format!("{:032x}", rand::random::<u128>())),
        ];
        let own = own.into_iter().filter(|(key, _)| said.get(&(*key).into()).is_none());
        let own = own.map(|(key, value)| KeyValue::new(key, value));
        Resource::builder().with_attributes(own).with_service_name(name).build()
    }

    /// Spans as the exporter takes them.
    pub(super) fn spans(&self, spans: &[Span]) -> Vec<SpanData> {
        let now = (Instant::now(), SystemTime::now());
        spans.iter().map(|span| self.span(span, now)).collect()
    }

    fn span(&self, span: &Span, (instant, time): (Instant, SystemTime)) -> SpanData {
        let at = |when| time.checked_sub(instant.saturating_duration_since(when)).unwrap_or(time);
        let id = span.id.map_or_else(|| rand::random::<u64>().max(1).to_be_bytes(), |id| id.bytes());
        let told = self.told(span);
        let mut attributes = told.attributes;
        if let Some(delivery) = &span.delivery {
            attributes.push(KeyValue::new("ledgerline.source", delivery.source.to_string()));
            attributes.push(KeyValue::new("ledgerline.event.id", delivery.id.to_string()));
            attributes.push(KeyValue::new("ledgerline.event.type", delivery.event_type.to_string()));
            if told.is_message {
                attributes.push(KeyValue::new("messaging.message.id", delivery.id.to_string()));
            }
        }
        if told.is_message {
            attributes.push(KeyValue::new("messaging.system", self.system));
            attributes.push(KeyValue::new("messaging.destination.name", self.log.clone()));
        }
        let mut links = SpanLinks::default();
        links.links = span.links.iter().map(linked).collect();
        SpanData {
            span_context: context(span.trace.bytes(), id, true, false),
            parent_span_id: span.parent.map_or(SpanId::INVALID, |parent| SpanId::from_bytes(parent.bytes())),
            parent_span_is_remote: matches!(span.step, Step::Process(_) | Step::Archive(_)),
            span_kind: told.kind,
            name: told.name,
            start_time: at(span.began),
            end_time: at(span.ended),
            attributes,
            dropped_attributes_count: 0,
            events: opentelemetry_sdk::trace::SpanEvents::default(),
            links,
            status: told.status,
            instrumentation_scope: self.scope.clone(),
        }
    }

    fn told(&self, span: &Span) -> Told {
        let message = |operation: &'static str, kind, of_type: &'static str| Told {
            name: format!("{operation} {}", self.log).into(),
            kind,
            attributes: vec![
                KeyValue::new("messaging.operation.name", operation),
                KeyValue::new("messaging.operation.type", of_type),
            ],
            status: Status::Unset,
            is_message: true,
        };
        match &span.step {
            Step::Receive(answered) => received(answered),
            Step::Verify(accepted) => Told::inner("verify", vec![KeyValue::new("ledgerline.accepted", *accepted)]),
            Step::Append(records, is_durable) => {
                let mut told = message("append", SpanKind::Producer, "send");
                told.attributes.push(number("messaging.batch.message_count", *records));
                if *is_durable == Some(false) {
                    told.status = Status::error("the log did not take it in time");
                }
                told
            }
            Step::Fetch(fetched) => Told::inner("hydrate", vec![number("ledgerline.failures", fetched.failures)]),
            Step::Process(folded) => {
                let mut told = message("process", SpanKind::Consumer, "process");
                told.attributes.extend(processed(folded));
                if matches!(folded.fate, "unreadable" | "contradiction") {
                    told.status = Status::error("quarantined");
                }
                told
            }
            Step::Commit(entities) => Told::inner("commit", vec![number("ledgerline.entities", *entities)]),
            Step::Archive(kept) => {
                let mut told = message("archive", SpanKind::Consumer, "process");
                told.attributes.extend(archived(kept));
                told
            }
        }
    }
}

/// What a step is called and says.
struct Told {
    name: Cow<'static, str>,
    kind: SpanKind,
    attributes: Vec<KeyValue>,
    status: Status,
    /// Whether it is about a message of the log.
    is_message: bool,
}

impl Told {
    fn inner(name: &'static str, attributes: Vec<KeyValue>) -> Self {
        let (name, kind) = (name.into(), SpanKind::Internal);
        Self { name, kind, attributes, status: Status::Unset, is_message: false }
    }
}

fn received(answered: &Answered) -> Told {
    let mut attributes = vec![
        KeyValue::new("http.request.method", "POST"),
        KeyValue::new("http.route", "/webhooks/{source}"),
        KeyValue::new("url.scheme", "http"),
        number("http.request.body.size", answered.body_bytes),
        KeyValue::new("ledgerline.outcome", answered.outcome),
        number("ledgerline.events", answered.events),
    ];
    if let Some(source) = &answered.source {
        attributes.push(KeyValue::new("url.path", format!("/webhooks/{source}")));
        attributes.push(KeyValue::new("ledgerline.request.source", source.to_string()));
    }
    if let Some(cause) = answered.cause {
        attributes.push(KeyValue::new("ledgerline.cause", cause));
    }
    // By the conventions what the caller did wrong is no error of the server's.
    let error = match answered.status {
        Some(status) => {
            attributes.push(number("http.response.status_code", status));
            (status >= 500).then(|| status.to_string())
        }
        None => Some(answered.outcome.to_owned()),
    };
    let status = error.as_ref().map_or(Status::Unset, |_| Status::error(answered.cause.unwrap_or(answered.outcome)));
    attributes.extend(error.map(|error| KeyValue::new("error.type", error)));
    Told { name: "POST /webhooks/{source}".into(), kind: SpanKind::Server, attributes, status, is_message: false }
}

fn processed(folded: &Folded) -> [KeyValue; 6] {
    [
        KeyValue::new("ledgerline.fate", folded.fate),
        KeyValue::new("messaging.destination.partition.id", folded.shard.to_string()),
        KeyValue::new("ledgerline.sequence", folded.sequence.to_string()),
        number("messaging.batch.message_count", folded.batch),
        number("ledgerline.generation", folded.generation),
        number("ledgerline.conflicts", folded.conflicts),
    ]
}

fn archived(kept: &Kept) -> [KeyValue; 4] {
    [
        KeyValue::new("messaging.destination.partition.id", kept.shard.to_string()),
        KeyValue::new("ledgerline.sequence", kept.sequence.to_string()),
        KeyValue::new("ledgerline.segment", kept.segment.to_string()),
        number("messaging.batch.message_count", i64::try_from(kept.records).unwrap_or(i64::MAX)),
    ]
}

fn number(key: &'static str, value: impl TryInto<i64>) -> KeyValue {
    KeyValue::new(key, Value::I64(value.try_into().unwrap_or(i64::MAX)))
}

fn linked(link: &Link) -> trace::Link {
    let of = match link.entry {
        Entry::Caller => "caller",
        Entry::Request => "request",
    };
    let context = context(link.trace.bytes(), link.span.bytes(), link.is_told, true);
    trace::Link::new(context, vec![KeyValue::new("ledgerline.link", of)], 0)
}

fn context(trace: [u8; 16], span: [u8; 8], is_told: bool, is_remote: bool) -> SpanContext {
    let flags = if is_told { TraceFlags::SAMPLED } else { TraceFlags::default() };
    let (trace, span) = (TraceId::from_bytes(trace), SpanId::from_bytes(span));
    SpanContext::new(trace, span, flags, is_remote, TraceState::default())
}
