//! Whether a provider file makes sense. Every fault names the key and the fix.

use super::body::BodyPlan;
use super::file::{
    ClassName, EntityRule, FactRule, FamilyRule, HydrateRule, OrderTable, PROVIDER_FORMAT, ProviderFile, is_kind,
    is_reserved, split_unit,
};
use super::place::{Rule, Written};
use super::template::Address;
use crate::fact::FactKind;

/// Most places in one list, and rules in one file.
const LIST_MAX: usize = 256;
/// Most parts of a joined or hashed place.
const PARTS_MAX: usize = 16;
/// Most decimal places that a provider may count in.
const DECIMALS_MAX: u32 = 8;

/// Key and fix.
type Fault = (String, String);

fn fault<T>(key: impl Into<String>, fix: impl Into<String>) -> Result<T, Fault> {
    Err((key.into(), fix.into()))
}

impl ProviderFile {
    /// Checks everything that TOML itself does not.
    pub(super) fn check(&self) -> Result<(), Fault> {
        if self.format != PROVIDER_FORMAT {
            return fault("format", format!("this program reads format = {PROVIDER_FORMAT}"));
        }
        let name_ok = |n: &str| {
            !n.is_empty()
                && n.len() <= 63
                && n.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
        };
        if !name_ok(&self.name) {
            return fault("name", "use 1 to 63 of a-z, 0-9, '-' and '_'");
        }
        BodyPlan::new(self.body.as_ref()).or_else(|fix| fault("body.encoding", fix))?;
        places("event.id", &self.event.id, 1, Allowed::Everything)?;
        places("event.type", &self.event.event_type, 1, Allowed::Everything)?;
        places("event.time", &self.event.time, 0, Allowed::PointersAndHeaders)?;
        if let Some(split) = &self.split {
            pointer("split.items", &split.items)?;
        }
        self.check_order()?;
        for (currency, decimals) in &self.currency.decimals {
            let code = (3..=8).contains(&currency.len())
                && currency.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
            if !code || *decimals > DECIMALS_MAX {
                return fault(
                    "currency.decimals",
                    format!("name currencies in upper case, each with 0 to {DECIMALS_MAX} places"),
                );
            }
        }
        if self.entity.is_empty() || self.entity.len() > LIST_MAX || self.fact.len() > LIST_MAX {
            return fault(
                "entity",
                format!("give 1 to {LIST_MAX} [[entity]] rules and at most {LIST_MAX} [[fact]] rules"),
            );
        }
        for (n, rule) in self.entity.iter().enumerate() {
            check_entity(&format!("entity[{n}]"), rule)?;
        }
        self.fact.iter().enumerate().try_for_each(|(n, rule)| check_fact(&format!("fact[{n}]"), rule))?;
        self.check_hydrate()
    }

    fn check_hydrate(&self) -> Result<(), Fault> {
        if self.hydrate.len() > LIST_MAX {
            return fault("hydrate", format!("give at most {LIST_MAX} [[hydrate]] rules"));
        }
        let reads_json = self.split.is_some() || BodyPlan::new(self.body.as_ref()).is_ok_and(|plan| plan.reads_json());
        if !self.hydrate.is_empty() && !reads_json {
            return fault("body.encoding", "add \"json\": what [[hydrate]] fetches is JSON");
        }
        self.hydrate.iter().enumerate().try_for_each(|(n, rule)| check_rule(&format!("hydrate[{n}]"), rule))
    }

    fn check_order(&self) -> Result<(), Fault> {
        let has_time = !self.event.time.is_empty();
        let OrderTable { class, first, at, fallback, rank, family } = &self.order;
        check_class("order", *class, *first, at, *fallback, has_time)?;
        for (n, rule) in rank.iter().enumerate() {
            patterns(&format!("order.rank[{n}]"), &rule.types)?;
        }
        if family.len() > LIST_MAX {
            return fault("order.family", format!("give at most {LIST_MAX} families"));
        }
        for (n, FamilyRule { types, class, first, at, fallback }) in family.iter().enumerate() {
            let key = format!("order.family[{n}]");
            patterns(&key, types)?;
            check_class(&key, *class, *first, at, *fallback, has_time)?;
        }
        Ok(())
    }
}

fn check_class(
    key: &str,
    class: ClassName,
    first: Option<i64>,
    at: &[Written],
    fallback: Option<ClassName>,
    has_time: bool,
) -> Result<(), Fault> {
    let numbered = |c: ClassName| matches!(c, ClassName::Contiguous | ClassName::Monotonic);
    places(&format!("{key}.at"), at, usize::from(numbered(class)), Allowed::PointersAndHeaders)?;
    if !numbered(class) && !at.is_empty() {
        return fault(
            format!("{key}.at"),
            "only contiguous and monotonic read a number; `timestamp` reads event.time: remove it",
        );
    }
    if (class == ClassName::Contiguous) != first.is_some() {
        return fault(
            format!("{key}.first"),
            "contiguous needs the number of an entity's first event, and only contiguous has it",
        );
    }
    if class == ClassName::Timestamp && !has_time {
        return fault("event.time", "class = \"timestamp\" needs the place of the event's time");
    }
    match fallback {
        Some(c) if numbered(c) || c == class => {
            fault(format!("{key}.fallback"), "only timestamp or arrival can stand in for another class")
        }
        Some(ClassName::Timestamp) if !has_time => {
            fault("event.time", "the fallback timestamp needs the place of the time")
        }
        Some(_) if class == ClassName::Contiguous => {
            fault(format!("{key}.fallback"), "a contiguous event without a number cannot be placed: remove it")
        }
        _ => Ok(()),
    }
}

fn check_entity(key: &str, rule: &EntityRule) -> Result<(), Fault> {
    patterns(key, &rule.types)?;
    places(&format!("{key}.id"), &rule.id, 1, Allowed::Everything)?;
    pointers(&format!("{key}.status"), &rule.status)?;
    let kinds: Vec<_> = rule.kind_at.iter().filter(|k| **k != Written::One("type-prefix".into())).cloned().collect();
    places(&format!("{key}.kind_at"), &kinds, 0, Allowed::Pointers)?;
    if !is_kind(&rule.kind) || is_reserved(&rule.kind) {
        return fault(
            format!("{key}.kind"),
            "use 1 to 40 of a-z, 0-9, '.', '_' and '-'; not `unreadable` or `request`",
        );
    }
    Ok(())
}

fn check_fact(key: &str, rule: &FactRule) -> Result<(), Fault> {
    patterns(key, &rule.types)?;
    if let Some(each) = &rule.each {
        pointer(&format!("{key}.each"), each)?;
    }
    let amounts: Vec<_> = rule.amount.iter().map(|a| split_unit(a).1.to_owned()).collect();
    pointers(&format!("{key}.amount"), &amounts)?;
    pointers(&format!("{key}.currency"), &rule.currency)?;
    pointers(&format!("{key}.reference"), &rule.reference)?;
    pointers(&format!("{key}.status"), &rule.status)?;
    for (place, wanted) in &rule.when {
        pointer(&format!("{key}.when"), place)?;
        let texts = wanted.texts();
        let negative = texts.iter().filter(|t| t.starts_with('!')).count();
        let one_kind = negative == 0 || negative == texts.len();
        let any = texts.iter().any(|t| t == "*" || t == "!*");
        if texts.is_empty() || texts.len() > LIST_MAX || !one_kind || (any && texts.len() > 1) {
            return fault(
                format!("{key}.when"),
                "give a text, or a list either of texts or of `!texts`; `*` and `!*` stand alone",
            );
        }
    }
    if !rule.amount.is_empty() && rule.currency.is_empty() {
        return fault(format!("{key}.currency"), "an amount needs the place of its currency");
    }
    if !rule.status.is_empty() && rule.status_map.is_empty() {
        return fault(
            format!("{key}.status_map"),
            "map the provider's words to pending, succeeded, failed, canceled, open, won, lost or closed",
        );
    }
    if rule.kind == FactKind::Dispute && rule.reference.is_empty() {
        return fault(format!("{key}.reference"), "a dispute needs the place of its id");
    }
    Ok(())
}

fn check_rule(key: &str, rule: &HydrateRule) -> Result<(), Fault> {
    patterns(key, &rule.types)?;
    for (place, wanted) in &rule.when {
        pointer(&format!("{key}.when"), place)?;
        if wanted.is_empty() || wanted.len() > 256 {
            return fault(format!("{key}.when"), "give what the value must fit, such as \"tr_*\"");
        }
    }
    let address = Address::parse(&rule.url).or_else(|fix| fault(format!("{key}.url"), fix))?;
    address.pointers().try_for_each(|place| pointer(&format!("{key}.url"), place))?;
    for name in std::iter::once(rule.header.as_str()).chain(rule.headers.keys().map(|name| name.as_str())) {
        if !is_header(name) {
            return fault(format!("{key}.header"), format!("{name:?} is no header: write its name in lower case"));
        }
    }
    for value in std::iter::once(&rule.prefix).chain(rule.headers.values()) {
        if value.len() > 1024 || !value.bytes().all(|b| (b' '..=b'~').contains(&b)) {
            return fault(format!("{key}.prefix"), "prefix and headers are visible ASCII, at most 1024 bytes");
        }
    }
    pointer(&format!("{key}.as"), &rule.under)?;
    let first = rule.under.split('/').nth(1).unwrap_or_default();
    if first == "notification" || first == "type" || rule.under.split('/').skip(1).any(str::is_empty) {
        return fault(
            format!("{key}.as"),
            "name where the answer stands, such as /fetched or /data/object; /notification and /type are taken",
        );
    }
    places(&format!("{key}.type"), &rule.event_type, 1, Allowed::Everything)?;
    if rule.event_type.iter().flat_map(Written::each).any(|place| place.starts_with("header:")) {
        return fault(format!("{key}.type"), "an answer has no headers here: use a pointer or \"=text\"");
    }
    Ok(())
}

fn is_header(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

/// What may stand in a list of places.
#[derive(Clone, Copy, PartialEq)]
enum Allowed {
    Pointers,
    PointersAndHeaders,
    /// Also `=text`, `{ join }` and `{ hash }`.
    Everything,
}

fn places(key: &str, list: &[Written], min: usize, allowed: Allowed) -> Result<(), Fault> {
    if list.len() < min || list.len() > LIST_MAX {
        return fault(key, format!("give {min} to {LIST_MAX} places"));
    }
    for written in list {
        if let Written::Many(many) = written {
            if allowed != Allowed::Everything {
                return fault(key, "`join` and `hash` are for event.id, event.type and entity.id: use a JSON pointer");
            }
            let parts = many.parts.len();
            if parts == 0 || parts > PARTS_MAX || many.parts.iter().any(Vec::is_empty) {
                return fault(key, format!("`join` and `hash` take 1 to {PARTS_MAX} parts, none of them empty"));
            }
            if let Rule::Join(with) = &many.rule
                && (with.is_empty() || with.len() > 8 || with.contains('%') || !with.is_ascii())
            {
                return fault(key, "`with` is 1 to 8 ASCII characters without '%', such as \":\"");
            }
        }
        written.each().try_for_each(|place| one_place(key, place, allowed))?;
    }
    Ok(())
}

fn one_place(key: &str, place: &str, allowed: Allowed) -> Result<(), Fault> {
    if let Some(literal) = place.strip_prefix('=') {
        let ok = allowed == Allowed::Everything && !literal.is_empty() && literal.len() <= 200;
        return if ok {
            Ok(())
        } else {
            fault(key, format!("{place:?} is no place here: use a JSON pointer such as /data/id"))
        };
    }
    let Some(header) = place.strip_prefix("header:") else { return pointer(key, place) };
    if allowed == Allowed::Pointers || !is_header(header) {
        let or_header = if allowed == Allowed::Pointers { "" } else { " or header:name in lower case" };
        return fault(key, format!("{place:?} is no place here: use a JSON pointer such as /data/id{or_header}"));
    }
    Ok(())
}

fn pointers(key: &str, list: &[String]) -> Result<(), Fault> {
    if list.len() > LIST_MAX {
        return fault(key, format!("give at most {LIST_MAX} places"));
    }
    list.iter().try_for_each(|place| one_place(key, place, Allowed::Pointers))
}

fn pointer(key: &str, place: &str) -> Result<(), Fault> {
    if !place.starts_with('/') || place.len() > 1024 || place.matches('/').count() > 32 {
        return fault(key, format!("{place:?} is no JSON pointer: start with '/', such as /data/id, at most 32 parts"));
    }
    Ok(())
}

fn patterns(key: &str, types: &[String]) -> Result<(), Fault> {
    if types.is_empty() || types.len() > LIST_MAX || types.iter().any(|t| t.is_empty() || t.len() > 256) {
        return fault(format!("{key}.types"), "name the event types it is for, such as [\"charge.*\"]");
    }
    Ok(())
}
