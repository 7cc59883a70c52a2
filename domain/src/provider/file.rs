//! The provider file: TOML as written, and its check.
//!
//! Every error names the file, the key and the fix. The format carries a version (`format = 1`).

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::fact::{AmountBasis, FactKind, SubStatus};
use crate::signature::Scheme;

/// Version of the provider file format that this program reads.
pub const PROVIDER_FORMAT: u32 = 1;
/// Most pointers in one list, rules in one file, and bytes of one file.
const LIST_MAX: usize = 256;
const FILE_BYTES_MAX: usize = 1024 * 1024;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProviderFile {
    pub name: String,
    pub format: u32,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub documentation: String,
    pub signature: Scheme,
    pub event: EventTable,
    pub split: Option<SplitTable>,
    pub order: OrderTable,
    pub entity: Vec<EntityRule>,
    #[serde(default)]
    pub fact: Vec<FactRule>,
}

/// Where an event's own attributes are. Entries are JSON pointers or `header:NAME`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventTable {
    pub id: Vec<String>,
    #[serde(rename = "type")]
    pub event_type: Vec<String>,
    #[serde(default)]
    pub time: Vec<String>,
    #[serde(default)]
    pub time_unit: TimeUnit,
}

/// Unit of a time that is written as a number. Text is always RFC 3339.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TimeUnit {
    #[default]
    Seconds,
    Milliseconds,
}

/// One request that carries several events.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SplitTable {
    /// Pointer to the array; each element is one event, and the file's pointers start in it.
    pub items: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OrderTable {
    pub class: ClassName,
    pub first: Option<i64>,
    #[serde(default)]
    pub at: Vec<String>,
    pub fallback: Option<ClassName>,
    #[serde(default)]
    pub rank: Vec<RankRule>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum ClassName {
    Contiguous,
    Monotonic,
    Timestamp,
    Arrival,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RankRule {
    pub types: Vec<String>,
    pub rank: u16,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EntityRule {
    pub types: Vec<String>,
    /// The kind, or the one to use when `kind_at` finds none.
    pub kind: String,
    /// Pointers to the kind, or `type-prefix` for the event type up to its first dot.
    #[serde(default)]
    pub kind_at: Vec<String>,
    pub id: Vec<String>,
    #[serde(default)]
    pub status: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FactRule {
    pub types: Vec<String>,
    pub kind: FactKind,
    #[serde(default)]
    pub basis: AmountBasis,
    /// Pointers, each with its unit in front (`minor:` or `decimal:`); without one it is minor.
    #[serde(default)]
    pub amount: Vec<String>,
    #[serde(default)]
    pub currency: Vec<String>,
    #[serde(default)]
    pub reference: Vec<String>,
    #[serde(default)]
    pub status: Vec<String>,
    pub status_default: Option<SubStatus>,
    #[serde(default)]
    pub status_map: BTreeMap<CompactString, SubStatus>,
    /// Pointer → wanted text; `!text` wants another one, `*` any. An absent value fits nothing.
    #[serde(default)]
    pub when: BTreeMap<String, String>,
}

impl ProviderFile {
    /// Reads and checks; `file` is named in every error.
    pub(super) fn parse(file: &str, text: &str) -> Result<Self> {
        if text.len() > FILE_BYTES_MAX {
            return Err(Error::invalid(format!("read provider file {file}: it is larger than {FILE_BYTES_MAX} bytes")));
        }
        let this: Self = toml::from_str(text)
            .map_err(|e| Error::invalid(format!("read provider file {file}")).because(e.to_string()))?;
        this.check()
            .map_err(|(key, fix)| Error::invalid(format!("accept provider file {file}: key `{key}`: {fix}")))?;
        Ok(this)
    }

    fn check(&self) -> Result<(), (String, String)> {
        let fault = |key: &str, fix: &str| Err((key.to_owned(), fix.to_owned()));
        if self.format != PROVIDER_FORMAT {
            return fault("format", &format!("this program reads format = {PROVIDER_FORMAT}"));
        }
        let name_ok = |n: &str| {
            !n.is_empty()
                && n.len() <= 63
                && n.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
        };
        if !name_ok(&self.name) {
            return fault("name", "use 1 to 63 of a-z, 0-9, '-' and '_'");
        }
        places("event.id", &self.event.id, 1, true)?;
        places("event.type", &self.event.event_type, 1, true)?;
        places("event.time", &self.event.time, 0, true)?;
        if let Some(split) = &self.split {
            places("split.items", std::slice::from_ref(&split.items), 1, false)?;
        }
        self.check_order()?;
        if self.entity.is_empty() || self.entity.len() > LIST_MAX || self.fact.len() > LIST_MAX {
            return fault(
                "entity",
                &format!("give 1 to {LIST_MAX} [[entity]] rules and at most {LIST_MAX} [[fact]] rules"),
            );
        }
        for (n, rule) in self.entity.iter().enumerate() {
            let key = format!("entity[{n}]");
            patterns(&key, &rule.types)?;
            places(&format!("{key}.id"), &rule.id, 1, true)?;
            places(&format!("{key}.status"), &rule.status, 0, false)?;
            let pointers: Vec<_> = rule.kind_at.iter().filter(|k| *k != "type-prefix").cloned().collect();
            places(&format!("{key}.kind_at"), &pointers, 0, false)?;
            if !is_kind(&rule.kind) || is_reserved(&rule.kind) {
                return fault(
                    &format!("{key}.kind"),
                    "use 1 to 40 of a-z, 0-9, '.', '_' and '-'; not `unreadable` or `request`",
                );
            }
        }
        for (n, rule) in self.fact.iter().enumerate() {
            self.check_fact(&format!("fact[{n}]"), rule)?;
        }
        Ok(())
    }

    fn check_order(&self) -> Result<(), (String, String)> {
        let fault = |key: &str, fix: &str| Err((key.to_owned(), fix.to_owned()));
        let order = &self.order;
        let numbered = |c: ClassName| matches!(c, ClassName::Contiguous | ClassName::Monotonic);
        places("order.at", &order.at, usize::from(numbered(order.class)), true)?;
        if !numbered(order.class) && !order.at.is_empty() {
            return fault(
                "order.at",
                "only contiguous and monotonic read a number; `timestamp` reads event.time: remove it",
            );
        }
        if (order.class == ClassName::Contiguous) != order.first.is_some() {
            return fault(
                "order.first",
                "contiguous needs the number of an entity's first event, and only contiguous has it",
            );
        }
        if order.class == ClassName::Timestamp && self.event.time.is_empty() {
            return fault("event.time", "class = \"timestamp\" needs the place of the event's time");
        }
        match order.fallback {
            Some(c) if numbered(c) || c == order.class => {
                fault("order.fallback", "only timestamp or arrival can stand in for another class")
            }
            Some(ClassName::Timestamp) if self.event.time.is_empty() => {
                fault("event.time", "the fallback timestamp needs the place of the time")
            }
            Some(_) if order.class == ClassName::Contiguous => {
                fault("order.fallback", "a contiguous event without a number cannot be placed: remove it")
            }
            _ => order.rank.iter().enumerate().try_for_each(|(n, r)| patterns(&format!("order.rank[{n}]"), &r.types)),
        }
    }

    fn check_fact(&self, key: &str, rule: &FactRule) -> Result<(), (String, String)> {
        let fault = |part: &str, fix: &str| Err((format!("{key}.{part}"), fix.to_owned()));
        patterns(key, &rule.types)?;
        let amounts: Vec<_> = rule.amount.iter().map(|a| split_unit(a).1.to_owned()).collect();
        places(&format!("{key}.amount"), &amounts, 0, false)?;
        places(&format!("{key}.currency"), &rule.currency, 0, false)?;
        places(&format!("{key}.reference"), &rule.reference, 0, false)?;
        places(&format!("{key}.status"), &rule.status, 0, false)?;
        let conditions: Vec<_> = rule.when.keys().cloned().collect();
        places(&format!("{key}.when"), &conditions, 0, false)?;
        if !rule.amount.is_empty() && rule.currency.is_empty() {
            return fault("currency", "an amount needs the place of its currency");
        }
        if !rule.status.is_empty() && rule.status_map.is_empty() {
            return fault(
                "status_map",
                "map the provider's words to pending, succeeded, failed, canceled, open, won, lost or closed",
            );
        }
        if rule.kind == FactKind::Dispute && rule.reference.is_empty() {
            return fault("reference", "a dispute needs the place of its id");
        }
        Ok(())
    }
}

/// `decimal:/amount` → (true, `/amount`).
pub(super) fn split_unit(amount: &str) -> (bool, &str) {
    match amount.strip_prefix("decimal:") {
        Some(pointer) => (true, pointer),
        None => (false, amount.strip_prefix("minor:").unwrap_or(amount)),
    }
}

/// Kinds that the program gives itself.
pub(super) fn is_reserved(kind: &str) -> bool {
    [crate::envelope::UNREADABLE_KIND, crate::envelope::REQUEST_KIND].contains(&kind)
}

pub(super) fn is_kind(kind: &str) -> bool {
    !kind.is_empty()
        && kind.len() <= 40
        && kind.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
}

/// Whether `pattern` (with `*` for any text) fits `text`.
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut last = None;
    for part in parts {
        if let Some(part) = last.replace(part) {
            match rest.split_once(part) {
                Some((_, behind)) => rest = behind,
                None => return false,
            }
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}

fn places(key: &str, list: &[String], min: usize, headers: bool) -> Result<(), (String, String)> {
    let fault = |fix: String| Err((key.to_owned(), fix));
    if list.len() < min || list.len() > LIST_MAX {
        return fault(format!("give {min} to {LIST_MAX} places"));
    }
    for place in list {
        if let Some(header) = place.strip_prefix("header:") {
            let token = !header.is_empty()
                && header.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
            if !headers || !token {
                return fault(format!(
                    "{place:?} is no place here: use a JSON pointer such as /data/id{}",
                    if headers { " or header:name in lower case" } else { "" }
                ));
            }
        } else if !place.starts_with('/') || place.len() > 1024 || place.matches('/').count() > 32 {
            return fault(format!("{place:?} is no JSON pointer: start with '/', such as /data/id, at most 32 parts"));
        }
    }
    Ok(())
}

fn patterns(key: &str, types: &[String]) -> Result<(), (String, String)> {
    if types.is_empty() || types.len() > LIST_MAX || types.iter().any(|t| t.is_empty() || t.len() > 256) {
        return Err((format!("{key}.types"), "name the event types it is for, such as [\"charge.*\"]".into()));
    }
    Ok(())
}
