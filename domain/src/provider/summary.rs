//! A provider file in one row, for the table of providers in the documentation.

use super::file::{ClassName, ProviderFile};
use super::place::Written;
use crate::fact::FactKind;

/// Most places that a cell of the table shows.
const PLACES_SHOWN: usize = 3;

/// What a provider file says, in words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its name.
    pub name: String,
    /// Signature scheme.
    pub scheme: &'static str,
    /// Where events have their id.
    pub id: String,
    /// What payments are known by, or what kinds of documents there are.
    pub entity: String,
    /// What puts events in order.
    pub order: String,
    /// The kinds of facts that are read.
    pub facts: String,
    /// What the signature does not protect.
    pub not_signed: String,
}

impl Summary {
    pub(super) fn new(file: &ProviderFile) -> Self {
        let code = |text: &str| format!("`{text}`");
        let list = |places: &[Written]| {
            let shown: Vec<_> = places.iter().take(PLACES_SHOWN).map(|p| code(&p.in_words())).collect();
            let more = if places.len() > PLACES_SHOWN { ", …" } else { "" };
            format!("{}{more}", shown.join(", "))
        };
        let payments: Vec<&Written> =
            file.entity.iter().filter(|e| e.kind == crate::record::PAYMENT_KIND).flat_map(|e| &e.id).collect();
        let mut places: Vec<Written> = Vec::new();
        for place in payments {
            if !places.contains(place) {
                places.push(place.clone());
            }
        }
        let entity = if places.is_empty() { "documents only".to_owned() } else { list(&places) };
        let mut order = class(file.order.class).to_owned();
        if let Some(fallback) = file.order.fallback {
            order.push_str(&format!(", else {}", class(fallback)));
        }
        for family in &file.order.family {
            order.push_str(&format!("; {} by {}", code(&family.types.join(" ")), class(family.class)));
        }
        let mut kinds: Vec<&str> = Vec::new();
        for fact in &file.fact {
            let word = kind(fact.kind);
            if !kinds.contains(&word) {
                kinds.push(word);
            }
        }
        Self {
            name: file.name.clone(),
            scheme: file.signature.name(),
            id: list(&file.event.id),
            entity,
            order,
            facts: if kinds.is_empty() { "–".into() } else { kinds.join(", ") },
            not_signed: if file.not_signed.is_empty() { "–".into() } else { file.not_signed.clone() },
        }
    }
}

fn class(class: ClassName) -> &'static str {
    match class {
        ClassName::Contiguous => "number without holes",
        ClassName::Monotonic => "number",
        ClassName::Timestamp => "time",
        ClassName::Arrival => "arrival",
    }
}

fn kind(kind: FactKind) -> &'static str {
    match kind {
        FactKind::Requested => "requested",
        FactKind::RequiresAction => "action required",
        FactKind::Processing => "processing",
        FactKind::Failed => "failed",
        FactKind::Authorized => "authorised",
        FactKind::Captured => "captured",
        FactKind::Canceled => "cancelled",
        FactKind::Refund => "refund",
        FactKind::Dispute => "dispute",
        FactKind::Fee => "fee",
        FactKind::CaptureFailed => "capture failed",
    }
}
