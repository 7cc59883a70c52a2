//! The provider file: TOML as written. [`check`](super::check) says whether it makes sense.
//!
//! The format carries a version (`format = 1`): keys are added, none changes its meaning, so a file
//! written for an older program stays readable.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::Deserialize;

use super::body::BodyTable;
use super::place::Written;
use crate::error::{Error, Result};
use crate::fact::{AmountBasis, FactKind, SubStatus};
use crate::signature::Scheme;

/// Version of the provider file format that this program reads.
pub const PROVIDER_FORMAT: u32 = 1;
/// Most bytes of one file.
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
    /// What the signature does not protect, in words, for the table of providers.
    #[serde(default)]
    pub not_signed: String,
    pub signature: Scheme,
    pub body: Option<BodyTable>,
    pub event: EventTable,
    pub split: Option<SplitTable>,
    pub order: OrderTable,
    #[serde(default)]
    pub currency: CurrencyTable,
    pub entity: Vec<EntityRule>,
    #[serde(default)]
    pub fact: Vec<FactRule>,
    #[serde(default)]
    pub hydrate: Vec<HydrateRule>,
}

/// Where an event's own attributes are.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventTable {
    pub id: Vec<Written>,
    #[serde(rename = "type")]
    pub event_type: Vec<Written>,
    #[serde(default)]
    pub time: Vec<Written>,
    #[serde(default)]
    pub time_unit: TimeUnit,
    pub time_without_zone: Option<Zone>,
}

/// The zone of a time that names none.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Zone {
    Utc,
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
    pub at: Vec<Written>,
    pub fallback: Option<ClassName>,
    #[serde(default)]
    pub rank: Vec<RankRule>,
    #[serde(default)]
    pub family: Vec<FamilyRule>,
}

/// Another order for some event types; the first family that fits counts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FamilyRule {
    pub types: Vec<String>,
    pub class: ClassName,
    pub first: Option<i64>,
    #[serde(default)]
    pub at: Vec<Written>,
    pub fallback: Option<ClassName>,
}

/// How the provider counts money where it differs from ISO 4217.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CurrencyTable {
    /// Decimal places of the provider's whole amounts, by currency.
    #[serde(default)]
    pub decimals: BTreeMap<CompactString, u32>,
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
    /// Pointers to the kind, or `type-prefix` for the event type up to its first `.`, `/` or `#`.
    #[serde(default)]
    pub kind_at: Vec<Written>,
    pub id: Vec<Written>,
    #[serde(default)]
    pub status: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FactRule {
    pub types: Vec<String>,
    pub kind: FactKind,
    /// Pointer to an array: the rule is for each of its elements, in which its pointers start.
    pub each: Option<String>,
    #[serde(default)]
    pub basis: AmountBasis,
    /// Pointers, each with its unit in front (`minor:` or `decimal:`, without one it is minor), and
    /// before that `abs:` where the sign is to be dropped.
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
    /// Pointer → what is wanted of its value, see [`Wanted`].
    #[serde(default)]
    pub when: BTreeMap<String, Wanted>,
}

/// What to fetch for thin notifications, and what the answer becomes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HydrateRule {
    pub types: Vec<String>,
    /// Pointer of the notification → pattern that its value must fit, `*` for any text.
    #[serde(default)]
    pub when: BTreeMap<String, String>,
    /// The address, with `{/pointer}` and `{+/pointer}` of the notification.
    pub url: String,
    /// The header that carries the API key.
    #[serde(default = "authorization")]
    pub header: String,
    /// What stands before the key.
    #[serde(default)]
    pub prefix: String,
    /// Further headers.
    #[serde(default)]
    pub headers: BTreeMap<CompactString, String>,
    /// Where the answer stands in the event that it becomes.
    #[serde(rename = "as", default = "fetched")]
    pub under: String,
    /// Type of that event.
    #[serde(rename = "type")]
    pub event_type: Vec<Written>,
}

fn authorization() -> String {
    "authorization".to_owned()
}

fn fetched() -> String {
    "/fetched".to_owned()
}

/// A text that must be equal, `!text` that must differ, `*` for any, `!*` for none at all; or a
/// list: one of these texts, or none of these `!texts`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a text, or a list of texts")]
pub(super) enum Wanted {
    One(String),
    List(Vec<String>),
}

impl Wanted {
    pub(super) fn texts(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::List(texts) => texts,
        }
    }
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
}

/// How an amount is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// Decimal text, not a whole number of minor units.
    pub decimal: bool,
    /// The sign says only which way the money went: it is dropped.
    pub unsigned: bool,
}

/// `abs:decimal:/amount` → the unit and `/amount`.
pub(super) fn split_unit(amount: &str) -> (Unit, &str) {
    let (unsigned, rest) = match amount.strip_prefix("abs:") {
        Some(rest) => (true, rest),
        None => (false, amount),
    };
    match rest.strip_prefix("decimal:") {
        Some(pointer) => (Unit { decimal: true, unsigned }, pointer),
        None => (Unit { decimal: false, unsigned }, rest.strip_prefix("minor:").unwrap_or(rest)),
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
    // Up to where they part: of many patterns most are out at the first letters.
    let same = pattern.bytes().zip(text.bytes()).take_while(|(p, t)| p == t && *p != b'*').count();
    let Some(open) = pattern.get(same..).and_then(|rest| rest.strip_prefix('*')) else {
        return pattern.len() == same && text.len() == same;
    };
    let Some(mut rest) = text.get(same..) else { return false };
    let mut last = None;
    for part in open.split('*') {
        if let Some(part) = last.replace(part) {
            match rest.split_once(part) {
                Some((_, behind)) => rest = behind,
                None => return false,
            }
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}
