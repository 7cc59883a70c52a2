//! What [`verify`](crate::verify) found, for people and programs.

use std::collections::BTreeMap;

use ledgerline_domain::ids::EntityKey;
use ledgerline_domain::money;
use serde::Serialize;

use crate::chain::ChainReport;
use crate::rebuild::{Counts, Signatures};

/// Most entities kept by name in each list; further ones are counted.
pub const NAMED_MAX: usize = 1000;

/// Live state against the archive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Entities that the archive's events are about.
    pub entities: u64,
    /// Live entities compared and found equal, byte for byte.
    pub equal: u64,
    /// What became of the archived records.
    pub counts: Counts,
    /// Live entities with events that the archive does not hold yet; compared without them.
    pub ahead: u64,
    /// Live entities all of whose events are newer than the archive: nothing to compare.
    pub not_yet_archived: u64,
    /// Archived entities whose events the processor has not come to yet.
    pub not_yet_folded: u64,
    /// Live entities that were not meant.
    pub not_compared: u64,
    /// How many live entities differ from the archive.
    pub drift_total: u64,
    /// The first [`NAMED_MAX`] of them.
    pub drift: Vec<Drift>,
    /// How many archived entities have no live record.
    pub missing_in_live_total: u64,
    /// The first [`NAMED_MAX`] of them.
    pub missing_in_live: Vec<EntityKey>,
    /// How many live entities the archive should hold and does not.
    pub missing_in_archive_total: u64,
    /// The first [`NAMED_MAX`] of them.
    pub missing_in_archive: Vec<EntityKey>,
    /// What all the differences come to, by currency and figure; zero sums are left out.
    pub money: Vec<MoneyDifference>,
    /// Which statuses differ, and in how many entities.
    pub statuses: Vec<StatusChange>,
    /// The archive itself.
    pub chain: ChainReport,
    /// The signatures, if they were checked.
    pub signatures: Option<Signatures>,
}

/// An entity whose live record is not what its archived events fold to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Drift {
    /// The entity.
    pub entity: EntityKey,
    /// What differs, in words.
    pub words: Vec<String>,
    /// What differs in money.
    pub money: Vec<MoneyDifference>,
    /// The status, where it differs.
    pub status: Option<StatusChange>,
}

/// A status that differs, and in how many entities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StatusChange {
    /// What the live state says.
    pub live: String,
    /// What the archive says.
    pub archive: String,
    /// How many entities.
    pub entities: u64,
}

/// A figure that differs. Amounts are minor units of the currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MoneyDifference {
    /// ISO 4217 code, or empty when no event named one.
    pub currency: String,
    /// `captured`, `refunded` and so on.
    pub figure: &'static str,
    /// What the live state says.
    pub live: i128,
    /// What the archive says.
    pub archive: i128,
    /// The live figure above (below: negative) the archive's.
    pub difference: i128,
}

impl MoneyDifference {
    pub(crate) fn new(currency: &str, figure: &'static str, live: i128, archive: i128) -> Self {
        Self { currency: currency.to_owned(), figure, live, archive, difference: live - archive }
    }

    /// `captured: live 12.50 EUR, archive 10.00 EUR`.
    pub fn in_words(&self) -> String {
        let text = |minor| money::format(minor, &self.currency);
        format!("{}: live {}, archive {}", self.figure, text(self.live), text(self.archive))
    }
}

impl Report {
    /// Whether archive and live state agree, the chain is whole, and no signature is bad.
    pub fn is_clean(&self) -> bool {
        self.drift_total == 0
            && self.missing_in_live_total == 0
            && self.missing_in_archive_total == 0
            && self.chain.is_clean()
            && self.signatures.as_ref().is_none_or(|s| s.bad_total == 0)
    }

    pub(crate) fn note_drift(&mut self, drift: Drift) {
        self.drift_total += 1;
        add_money(&mut self.money, &drift.money);
        add_statuses(&mut self.statuses, drift.status.as_slice());
        if self.drift.len() < NAMED_MAX {
            self.drift.push(drift);
        }
    }

    pub(crate) fn note_missing_in_live(&mut self, entity: EntityKey, money: &[MoneyDifference]) {
        self.missing_in_live_total += 1;
        add_money(&mut self.money, money);
        if self.missing_in_live.len() < NAMED_MAX {
            self.missing_in_live.push(entity);
        }
    }

    pub(crate) fn note_missing_in_archive(&mut self, entity: EntityKey, money: &[MoneyDifference]) {
        self.missing_in_archive_total += 1;
        add_money(&mut self.money, money);
        if self.missing_in_archive.len() < NAMED_MAX {
            self.missing_in_archive.push(entity);
        }
    }

    /// Adds what was found in another part of the entities.
    pub(crate) fn add(&mut self, other: Self) {
        self.entities += other.entities;
        self.equal += other.equal;
        self.ahead += other.ahead;
        self.not_yet_archived += other.not_yet_archived;
        self.not_yet_folded += other.not_yet_folded;
        self.not_compared += other.not_compared;
        self.drift_total += other.drift_total;
        self.drift.extend(other.drift);
        self.missing_in_live_total += other.missing_in_live_total;
        self.missing_in_live.extend(other.missing_in_live);
        self.missing_in_archive_total += other.missing_in_archive_total;
        self.missing_in_archive.extend(other.missing_in_archive);
        add_money(&mut self.money, &other.money);
        add_statuses(&mut self.statuses, &other.statuses);
    }

    /// Puts everything in order: what is named does not depend on the number of threads, unless there is
    /// more than can be.
    pub(crate) fn finish(mut self) -> Self {
        self.drift.sort_unstable_by(|a, b| a.entity.cmp(&b.entity));
        self.drift.truncate(NAMED_MAX);
        self.missing_in_live.sort_unstable();
        self.missing_in_live.truncate(NAMED_MAX);
        self.missing_in_archive.sort_unstable();
        self.missing_in_archive.truncate(NAMED_MAX);
        self.money.retain(|sum| sum.difference != 0);
        self.statuses.sort_by(|a, b| (&a.live, &a.archive).cmp(&(&b.live, &b.archive)));
        self.money.sort_by(|a, b| a.currency.cmp(&b.currency).then(a.figure.cmp(b.figure)));
        self
    }
}

fn add_statuses(sums: &mut Vec<StatusChange>, changes: &[StatusChange]) {
    for new in changes {
        match sums.iter_mut().find(|sum| sum.live == new.live && sum.archive == new.archive) {
            Some(sum) => sum.entities += new.entities,
            None => sums.push(new.clone()),
        }
    }
}

/// Figures of a payment by name, in minor units, with their currency; empty for a document.
pub(crate) type Figures = BTreeMap<&'static str, i128>;

/// Adds differences to the sums by currency and figure.
pub(crate) fn add_money(sums: &mut Vec<MoneyDifference>, differences: &[MoneyDifference]) {
    for new in differences {
        match sums.iter_mut().find(|m| m.currency == new.currency && m.figure == new.figure) {
            Some(sum) => {
                sum.live += new.live;
                sum.archive += new.archive;
                sum.difference += new.difference;
            }
            None => sums.push(new.clone()),
        }
    }
}
