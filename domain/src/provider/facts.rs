//! From a body to what it says: the `[[fact]]` rules of a provider file.

use std::borrow::Cow;

use compact_str::CompactString;

use super::condition::Condition;
use super::each::EachPlan;
use super::file::{FactRule, ProviderFile, Unit, fits, split_unit};
use super::pointer::{Found, Pointers, scalar};
use crate::fact::{AMOUNT_MINOR_MAX, AmountBasis, Fact, FactKind, Meaning, SubStatus};
use crate::money;

/// Rank of event types that no rule names.
const RANK_DEFAULT: u16 = 500;
/// Longest id of a refund, dispute or charge that is kept.
const REFERENCE_BYTES_MAX: usize = 256;
/// Longest status word of a document that is kept.
const STATUS_BYTES_MAX: usize = 64;

/// What to read from the bodies of one event type.
#[derive(Debug)]
pub(super) struct FactPlan {
    rank: u16,
    /// Whether any rule of the file names the type, other than by `*` alone.
    pub(super) known: bool,
    pointers: Pointers,
    status: Vec<usize>,
    facts: Vec<PlannedFact>,
    each: Vec<EachPlan>,
}

#[derive(Debug)]
pub(super) struct PlannedFact {
    kind: FactKind,
    basis: AmountBasis,
    amount: Vec<(Unit, usize)>,
    currency: Vec<usize>,
    reference: Vec<usize>,
    status: Vec<usize>,
    status_default: Option<SubStatus>,
    status_map: std::collections::BTreeMap<CompactString, SubStatus>,
    when: Vec<(usize, Condition)>,
    /// The provider's decimal places where they are not ISO 4217's.
    decimals: std::collections::BTreeMap<CompactString, u32>,
}

impl FactPlan {
    /// Gathers the rules that are for `event_type`; for entities that hold money, or for documents.
    pub(super) fn new(file: &ProviderFile, event_type: &str, is_payment: bool) -> Self {
        let for_type = |types: &[String]| types.iter().any(|t| fits(t, event_type));
        let mut pointers = Pointers::default();
        let mut slots = |list: &[String]| -> Vec<usize> { list.iter().map(|p| pointers.insert(p)).collect() };
        let rank = file.order.rank.iter().find(|r| for_type(&r.types)).map_or(RANK_DEFAULT, |r| r.rank);
        let status = match file.entity.iter().find(|r| for_type(&r.types)) {
            Some(rule) if !is_payment => slots(&rule.status),
            _ => Vec::new(),
        };
        let rules = file.fact.iter().filter(|rule| is_payment && for_type(&rule.types));
        let (mut facts, mut each) = (Vec::new(), Vec::new());
        for rule in rules {
            match &rule.each {
                Some(array) => each
                    .extend(slots(std::slice::from_ref(array)).into_iter().map(|slot| EachPlan::new(file, rule, slot))),
                None => facts.push(PlannedFact::new(file, rule, &mut slots)),
            }
        }
        let named = |types: &[String]| types.iter().any(|t| t != "*" && fits(t, event_type));
        let known = file.order.rank.iter().any(|r| named(&r.types))
            || file.fact.iter().any(|r| named(&r.types))
            || file.hydrate.iter().any(|r| named(&r.types))
            || (!is_payment && file.entity.iter().any(|r| named(&r.types)));
        Self { rank, known, pointers, status, facts, each }
    }

    pub(super) fn interpret(&self, body: &[u8]) -> Result<Meaning, String> {
        let found = self.pointers.find(body)?;
        let status = first(&self.status, &found).filter(|s| s.len() <= STATUS_BYTES_MAX).map(CompactString::from);
        // Facts live as long as the entity's history does: no more room than they need.
        let stated = self.facts.iter().filter(|planned| planned.holds(&found));
        let mut facts = Vec::new();
        facts.reserve_exact(stated.clone().count());
        for planned in stated {
            facts.extend(planned.read(&found)?);
        }
        for each in &self.each {
            each.read(&found, &mut facts)?;
        }
        Ok(Meaning { rank: self.rank, facts, status })
    }
}

impl PlannedFact {
    pub(super) fn new(file: &ProviderFile, rule: &FactRule, slots: &mut dyn FnMut(&[String]) -> Vec<usize>) -> Self {
        let (units, pointers): (Vec<Unit>, Vec<String>) =
            rule.amount.iter().map(|a| split_unit(a)).map(|(unit, pointer)| (unit, pointer.to_owned())).unzip();
        let conditions = rule.when.values().map(Condition::new);
        let keys: Vec<String> = rule.when.keys().cloned().collect();
        Self {
            kind: rule.kind,
            basis: rule.basis,
            amount: units.into_iter().zip(slots(&pointers)).collect(),
            currency: slots(&rule.currency),
            reference: slots(&rule.reference),
            status: slots(&rule.status),
            status_default: rule.status_default,
            status_map: rule.status_map.clone(),
            when: slots(&keys).into_iter().zip(conditions).collect(),
            decimals: file.currency.decimals.clone(),
        }
    }

    /// Whether its conditions hold.
    pub(super) fn holds(&self, found: &Found<'_>) -> bool {
        self.when.iter().all(|(slot, condition)| condition.holds(at(*slot, found).as_deref()))
    }

    /// The fact, if the body states it; to be asked when its conditions hold. An amount that is absent
    /// states nothing, except that a refund or dispute known by id may change its state without naming
    /// its amount.
    pub(super) fn read(&self, found: &Found<'_>) -> Result<Option<Fact>, String> {
        let reference = first(&self.reference, found);
        if reference.as_ref().is_some_and(|r| r.len() > REFERENCE_BYTES_MAX) {
            return Err(format!("an id of a {:?} fact is longer than {REFERENCE_BYTES_MAX} bytes", self.kind));
        }
        let amount = self.amount.iter().find_map(|(unit, slot)| at(*slot, found).map(|text| (*unit, text)));
        let by_id =
            matches!(self.kind, FactKind::Refund | FactKind::Dispute | FactKind::CaptureFailed) && reference.is_some();
        if amount.is_none() && !self.amount.is_empty() && !by_id {
            return Ok(None);
        }
        let currency = match first(&self.currency, found) {
            Some(text) => Some(currency_code(&text)?),
            None => None,
        };
        let amount = match amount {
            Some((unit, text)) => Some(self.minor(&text, unit, currency.as_deref())?),
            None => None,
        };
        let status = match first(&self.status, found) {
            Some(word) => {
                Some(self.status_map.get(word.as_ref()).copied().or(self.status_default).ok_or_else(|| {
                    format!("a state of a {:?} fact is not in the provider file's status_map", self.kind)
                })?)
            }
            None => self.status_default,
        };
        let reference = reference.map(Into::into);
        Ok(Some(Fact { kind: self.kind, amount, currency, basis: self.basis, reference, status }))
    }

    fn minor(&self, text: &str, unit: Unit, currency: Option<&str>) -> Result<i64, String> {
        let Some(currency) = currency else {
            return Err(format!("an amount of a {:?} fact has no currency", self.kind));
        };
        let Unit { decimal, unsigned } = unit;
        let text = if unsigned { text.strip_prefix('-').unwrap_or(text) } else { text };
        let amount = if decimal { money::parse_decimal(text, currency).ok() } else { self.whole(text, currency) };
        amount.filter(|a| (0..=AMOUNT_MINOR_MAX).contains(a)).ok_or_else(|| {
            let unit = if decimal { "decimal text" } else { "a whole number of minor units" };
            format!("an amount of a {:?} fact is not {unit} from 0 to {AMOUNT_MINOR_MAX}", self.kind)
        })
    }
}

impl PlannedFact {
    /// A whole amount in ISO 4217's minor units.
    fn whole(&self, text: &str, currency: &str) -> Option<i64> {
        let amount = text.parse::<i64>().ok()?;
        match self.decimals.get(currency) {
            Some(decimals) => money::rescale(amount, *decimals, money::decimals(currency)),
            None => Some(amount),
        }
    }
}

fn currency_code(text: &str) -> Result<CompactString, String> {
    let well_formed = (3..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
    if !well_formed {
        return Err("a currency is not 3 to 8 letters or digits".into());
    }
    let mut code = CompactString::from(text);
    code.make_ascii_uppercase();
    Ok(code)
}

fn at<'f>(slot: usize, found: &'f Found<'_>) -> Option<Cow<'f, str>> {
    scalar(found.get(slot).and_then(Option::as_ref))
}

fn first<'f>(slots: &[usize], found: &'f Found<'_>) -> Option<Cow<'f, str>> {
    slots.iter().find_map(|slot| at(*slot, found))
}
