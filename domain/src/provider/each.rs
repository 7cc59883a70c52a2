//! Facts of which a body states several: one rule for each element of an array (`each`).

use std::borrow::Cow;

use super::facts::PlannedFact;
use super::file::{FactRule, ProviderFile};
use super::pointer::{Found, Pointers};
use crate::fact::Fact;

/// Most elements of which facts are read.
pub(super) const ELEMENTS_MAX: usize = 1000;

/// A rule and the array it is for.
#[derive(Debug)]
pub(super) struct EachPlan {
    array: usize,
    pointers: Pointers,
    fact: PlannedFact,
}

impl EachPlan {
    /// Of a rule with `each`; `outer` gives the slot of the array.
    pub(super) fn new(file: &ProviderFile, rule: &FactRule, array: usize) -> Self {
        let mut pointers = Pointers::default();
        let mut slots = |list: &[String]| -> Vec<usize> { list.iter().map(|p| pointers.insert(p)).collect() };
        let fact = PlannedFact::new(file, rule, &mut slots);
        Self { array, pointers, fact }
    }

    /// Adds the facts of all elements, in their order. An array that is absent states nothing.
    pub(super) fn read(&self, found: &Found<'_>, facts: &mut Vec<Fact>) -> Result<(), String> {
        let Some(array) = found.get(self.array).and_then(Option::as_ref).filter(|raw| raw.starts_with('[')) else {
            return Ok(());
        };
        for (n, element) in sonic_rs::to_array_iter(array.as_ref()).enumerate() {
            if n == ELEMENTS_MAX {
                return Err(format!("an array of facts has more than {ELEMENTS_MAX} elements"));
            }
            let element = element.map_err(|_| "an array of facts is not JSON")?;
            let raw: Cow<'_, str> = element.as_raw_cow();
            let found = self.pointers.find(raw.as_bytes())?;
            if self.fact.holds(&found) {
                facts.extend(self.fact.read(&found)?);
            }
        }
        Ok(())
    }
}
