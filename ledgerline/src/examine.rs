//! One payload through a provider file, without a server: what it is, where it stands, what it says.

use bytes::Bytes;
use ledgerline_domain::envelope::{REQUEST_KIND, UNREADABLE_KIND};
use ledgerline_domain::fact::{Fact, Meaning};
use ledgerline_domain::ids::{EntityKey, SourceName};
use ledgerline_domain::order::OrderKey;
use ledgerline_domain::provider::Provider;
use ledgerline_domain::record::PAYMENT_KIND;
use ledgerline_domain::request::RawRequest;
use ledgerline_domain::time::UnixNanos;

use crate::words;

/// One event of a request.
#[derive(Clone, Debug)]
pub struct Examined {
    /// The event's id.
    pub id: String,
    /// Its type.
    pub event_type: String,
    /// What it is about.
    pub entity: EntityKey,
    /// Its place.
    pub order: OrderKey,
    /// When it happened, if it says so.
    pub occurred_at: Option<UnixNanos>,
    /// What it says, or why it cannot be read.
    pub meaning: Result<Meaning, String>,
}

/// The events of one request, without the original of a split one. Never empty.
pub fn examine(provider: &Provider, source: &SourceName, headers: &[(String, String)], body: &Bytes) -> Vec<Examined> {
    let headers = headers.to_vec();
    let raw = RawRequest { headers: &headers, body, received_at: UnixNanos::from_nanos(0) };
    let events = provider.identify(source, raw).into_iter().filter(|event| event.entity.kind() != REQUEST_KIND);
    events
        .map(|event| {
            let meaning = match event.unreadable {
                Some(reason) => Err(reason),
                None => provider.interpret(&event.event_type, event.entity.kind(), &event.body),
            };
            Examined {
                id: event.id.into(),
                event_type: event.event_type.into(),
                entity: event.entity,
                order: event.order,
                occurred_at: event.occurred_at,
                meaning,
            }
        })
        .collect()
}

impl Examined {
    /// Whether its request could not even be identified.
    pub fn is_unidentified(&self) -> bool {
        self.entity.kind() == UNREADABLE_KIND
    }

    /// Its facts; none for documents and for what cannot be read.
    pub fn facts(&self) -> &[Fact] {
        self.meaning.as_ref().map_or(&[], |meaning| &meaning.facts)
    }

    /// `number 3`, `time 2026-11-24 09:30:00`, `arrival`.
    pub fn order_in_words(&self) -> String {
        let basis = self.order.class.basis();
        match basis {
            "number" => format!("number {}", self.order.value),
            "time" => format!("time {}", words::time(UnixNanos::from_nanos(self.order.value))),
            _ => basis.to_owned(),
        }
    }

    /// Its facts in words, a document's status, or the reason why it cannot be read.
    pub fn in_words(&self) -> String {
        match &self.meaning {
            Err(reason) => format!("unreadable: {reason}"),
            Ok(meaning) if !meaning.facts.is_empty() => words::facts(&meaning.facts),
            Ok(meaning) => match &meaning.status {
                Some(status) => format!("document, status {status}"),
                None if self.entity.kind() == PAYMENT_KIND => "changes nothing".into(),
                None => "document".into(),
            },
        }
    }
}
