//! The payment fold: what a payment's ordered facts add up to.
//!
//! Amounts are i128 minor units of one currency; floats appear nowhere. A provider tells an amount
//! in up to three ways (a total of the whole payment, totals per charge, single steps), often
//! several at once and running ahead of the event's type. Each way is a cumulative figure that
//! never falls, so the largest one is what is known, and neither ties nor snapshots that are later
//! than their event can make it wrong. Only a provider's word that a capture did not go through takes
//! it out again. Where a provider names no amounts, the last word counts.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::fact::{AmountBasis, Fact, FactKind, SubStatus};
use crate::text::IdText;

/// A cumulative amount as told in three ways, in minor units.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Largest total of the whole payment.
    overall: i128,
    /// Sum of single steps.
    steps: i128,
    /// Largest total per sub-object, by its id. Nearly always one, so a sorted list, not a tree.
    by_reference: Vec<(IdText, i128)>,
}

impl Tally {
    fn add(&mut self, amount: i128, basis: AmountBasis, reference: Option<&IdText>) {
        match (basis, reference) {
            (AmountBasis::Each, _) => self.steps += amount,
            (AmountBasis::Total, None) => self.overall = self.overall.max(amount),
            (AmountBasis::Total, Some(reference)) => {
                match self.by_reference.binary_search_by(|(id, _)| id.cmp(reference)) {
                    Ok(at) => self.by_reference[at].1 = self.by_reference[at].1.max(amount),
                    Err(at) => {
                        self.by_reference.reserve_exact(1);
                        self.by_reference.insert(at, (reference.clone(), amount));
                    }
                }
            }
        }
    }

    /// Nothing is left of what was told under `reference`, or of everything.
    fn undo(&mut self, reference: Option<&IdText>) {
        match reference {
            Some(reference) => self.by_reference.retain(|(id, _)| id != reference),
            None => *self = Self::default(),
        }
    }

    /// What is known: the largest of the three ways.
    pub fn value(&self) -> i128 {
        self.overall.max(self.steps).max(self.by_reference.iter().map(|(_, amount)| amount).sum())
    }
}

/// A refund or a dispute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubObject {
    /// Minor units.
    pub amount: i128,
    /// Its state by the last event about it.
    pub status: SubStatus,
}

/// How far the payment came before any money was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    #[default]
    Pending,
    RequiresAction,
    Processing,
    Failed,
    Authorized,
    Canceled,
    /// The provider says that the money was taken, but not how much.
    Captured,
}

/// Status of a payment, the word that finance reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// It exists; nothing happened yet.
    Pending,
    /// The payer must act.
    RequiresAction,
    /// The provider works on it.
    Processing,
    /// The last attempt failed.
    Failed,
    /// Reserved, not taken.
    Authorized,
    /// Cancelled before capture.
    Canceled,
    /// Taken.
    Captured,
    /// Part of what was taken went back.
    PartiallyRefunded,
    /// All that was taken went back.
    Refunded,
    /// A dispute is open.
    Disputed,
    /// A dispute was lost.
    ChargedBack,
}

impl PaymentStatus {
    /// The word as stored and filtered, such as `partially_refunded`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::RequiresAction => "requires_action",
            Self::Processing => "processing",
            Self::Failed => "failed",
            Self::Authorized => "authorized",
            Self::Canceled => "canceled",
            Self::Captured => "captured",
            Self::PartiallyRefunded => "partially_refunded",
            Self::Refunded => "refunded",
            Self::Disputed => "disputed",
            Self::ChargedBack => "charged_back",
        }
    }
}

/// Everything the fold remembers of a payment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    currency: Option<CompactString>,
    foreign_currencies: Vec<CompactString>,
    stage: Stage,
    requested: Tally,
    authorized: Tally,
    captured: Tally,
    refunded: Tally,
    fees: Tally,
    refunds: BTreeMap<IdText, SubObject>,
    disputes: BTreeMap<IdText, SubObject>,
}

impl Payment {
    /// Applies one fact. Total: every fact has a meaning, none can fail.
    pub fn evolve(&mut self, fact: &Fact) {
        match fact.kind {
            FactKind::Requested => {}
            FactKind::RequiresAction => self.stage = Stage::RequiresAction,
            FactKind::Processing => self.stage = Stage::Processing,
            FactKind::Failed => self.stage = Stage::Failed,
            FactKind::Authorized => self.stage = Stage::Authorized,
            FactKind::Canceled => self.stage = Stage::Canceled,
            // Some providers never name amounts; then the last word counts.
            FactKind::Captured if fact.amount.is_none() => self.stage = Stage::Captured,
            FactKind::CaptureFailed => self.stage = Stage::Failed,
            FactKind::Captured | FactKind::Refund | FactKind::Dispute | FactKind::Fee => {}
        }
        if !self.accepts_currency(fact.currency.as_ref()) {
            return;
        }
        let amount = i128::from(fact.amount.unwrap_or(0));
        let reference = fact.reference.as_ref();
        match (fact.kind, fact.status, reference) {
            (FactKind::Requested, ..) => self.requested.add(amount, fact.basis, reference),
            (FactKind::Authorized, ..) => self.authorized.add(amount, fact.basis, reference),
            (FactKind::Captured, ..) => self.captured.add(amount, fact.basis, reference),
            (FactKind::CaptureFailed, ..) => self.captured.undo(reference),
            (FactKind::Fee, ..) => self.fees.add(amount, fact.basis, reference),
            (FactKind::Refund, Some(status), Some(id)) => put(&mut self.refunds, id, amount, status),
            (FactKind::Refund, ..) => self.refunded.add(amount, fact.basis, reference),
            (FactKind::Dispute, status, Some(id)) => {
                put(&mut self.disputes, id, amount, status.unwrap_or(SubStatus::Open))
            }
            (FactKind::Dispute, ..)
            | (FactKind::RequiresAction | FactKind::Processing | FactKind::Failed | FactKind::Canceled, ..) => {}
        }
    }

    /// The first currency in order stands; amounts in another one are not added but noted.
    fn accepts_currency(&mut self, currency: Option<&CompactString>) -> bool {
        match (currency, &self.currency) {
            (Some(new), None) => self.currency = Some(new.clone()),
            (Some(new), Some(known)) if new != known => {
                if let Err(at) = self.foreign_currencies.binary_search(new) {
                    self.foreign_currencies.insert(at, new.clone());
                }
                return false;
            }
            _ => {}
        }
        true
    }

    /// ISO 4217 code, once an event named one.
    pub fn currency(&self) -> Option<&str> {
        self.currency.as_deref()
    }

    /// Minor units asked for.
    pub fn requested(&self) -> i128 {
        self.requested.value()
    }

    /// Minor units authorised.
    pub fn authorized(&self) -> i128 {
        self.authorized.value()
    }

    /// Minor units captured.
    pub fn captured(&self) -> i128 {
        self.captured.value()
    }

    /// Minor units of fees.
    pub fn fees(&self) -> i128 {
        self.fees.value()
    }

    /// Minor units that went back: the reported total without what later failed, or the sum of the
    /// refunds known by id, whichever is larger.
    pub fn refunded(&self) -> i128 {
        let sum = |wanted: &dyn Fn(SubStatus) -> bool| -> i128 {
            self.refunds.values().filter(|r| wanted(r.status)).map(|r| r.amount).sum()
        };
        let succeeded = sum(&|s| s == SubStatus::Succeeded);
        let undone = sum(&|s| matches!(s, SubStatus::Failed | SubStatus::Canceled));
        succeeded.max(self.refunded.value() - undone)
    }

    /// Minor units in disputes that hold or took the money: open and lost ones.
    pub fn disputed(&self) -> i128 {
        self.disputes
            .values()
            .filter(|d| matches!(d.status, SubStatus::Open | SubStatus::Pending | SubStatus::Lost))
            .map(|d| d.amount)
            .sum()
    }

    /// Refunds by id.
    pub fn refunds(&self) -> &BTreeMap<IdText, SubObject> {
        &self.refunds
    }

    /// Disputes by id.
    pub fn disputes(&self) -> &BTreeMap<IdText, SubObject> {
        &self.disputes
    }

    /// The status. Money speaks first: what was captured, refunded or disputed; then the stage of
    /// the last attempt, so that a failed attempt and a later good one end as captured.
    pub fn status(&self) -> PaymentStatus {
        let dispute = |wanted: SubStatus| self.disputes.values().any(|d| d.status == wanted);
        let (captured, refunded) = (self.captured(), self.refunded());
        if dispute(SubStatus::Lost) {
            PaymentStatus::ChargedBack
        } else if dispute(SubStatus::Open) || dispute(SubStatus::Pending) {
            PaymentStatus::Disputed
        } else if captured > 0 && refunded >= captured {
            PaymentStatus::Refunded
        } else if captured > 0 && refunded > 0 {
            PaymentStatus::PartiallyRefunded
        } else if captured > 0 {
            PaymentStatus::Captured
        } else {
            match self.stage {
                Stage::Pending => PaymentStatus::Pending,
                Stage::RequiresAction => PaymentStatus::RequiresAction,
                Stage::Processing => PaymentStatus::Processing,
                Stage::Failed => PaymentStatus::Failed,
                Stage::Authorized => PaymentStatus::Authorized,
                Stage::Canceled => PaymentStatus::Canceled,
                Stage::Captured => PaymentStatus::Captured,
            }
        }
    }

    /// What does not add up, as data. Each goes away by itself when the missing event arrives.
    pub fn anomalies(&self) -> Vec<Anomaly> {
        let (authorized, captured, refunded) = (self.authorized(), self.captured(), self.refunded());
        let mut found = Vec::new();
        if captured > authorized {
            found.push(Anomaly::CaptureExceedsAuthorization { captured, authorized });
        }
        if refunded > captured {
            found.push(Anomaly::RefundExceedsCapture { refunded, captured });
        }
        if self.disputed() > captured {
            found.push(Anomaly::DisputeExceedsCapture { disputed: self.disputed(), captured });
        }
        if captured > 0 && self.stage == Stage::Canceled {
            found.push(Anomaly::CanceledAndCaptured { captured });
        }
        for other in &self.foreign_currencies {
            let currency = self.currency.clone().unwrap_or_default();
            found.push(Anomaly::CurrencyMismatch { currency, other: other.clone() });
        }
        found
    }
}

fn put(subs: &mut BTreeMap<IdText, SubObject>, id: &IdText, amount: i128, status: SubStatus) {
    let sub = subs.entry(id.clone()).or_insert(SubObject { amount, status });
    // The last event about it says how it stands; an event without an amount says nothing of it.
    sub.amount = sub.amount.max(amount);
    sub.status = status;
}

/// Something in the folded state that does not add up. Amounts are minor units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Anomaly {
    /// More captured than authorised: an authorisation is missing or wrong.
    CaptureExceedsAuthorization {
        /// Captured.
        captured: i128,
        /// Authorised.
        authorized: i128,
    },
    /// More refunded than captured: a capture is missing or the refund is wrong.
    RefundExceedsCapture {
        /// Refunded.
        refunded: i128,
        /// Captured.
        captured: i128,
    },
    /// More disputed than captured.
    DisputeExceedsCapture {
        /// Disputed.
        disputed: i128,
        /// Captured.
        captured: i128,
    },
    /// The last word was a cancellation, yet money was taken.
    CanceledAndCaptured {
        /// Captured.
        captured: i128,
    },
    /// Amounts in another currency than the payment's; they are not added.
    CurrencyMismatch {
        /// The payment's currency.
        currency: CompactString,
        /// The other one.
        other: CompactString,
    },
    /// A hole in contiguous numbers: what comes behind it is held.
    Hole {
        /// First missing number.
        from: i64,
        /// Last missing number before the next event that is there.
        to: i64,
    },
    /// Two events of a contiguous source claim one number.
    NumberTwice {
        /// The number.
        number: i64,
    },
}

impl Anomaly {
    /// One sentence for people, with the amounts written out in `currency`'s units.
    pub fn in_words(&self, currency: &str) -> String {
        let money = |minor: &i128| crate::money::format(*minor, currency);
        match self {
            Self::CaptureExceedsAuthorization { captured, authorized } => {
                format!(
                    "captured {} but only {} authorised: an authorisation is missing",
                    money(captured),
                    money(authorized)
                )
            }
            Self::RefundExceedsCapture { refunded, captured } => {
                format!("refunded {} but only {} captured: a capture is missing", money(refunded), money(captured))
            }
            Self::DisputeExceedsCapture { disputed, captured } => {
                format!("disputed {} but only {} captured: a capture is missing", money(disputed), money(captured))
            }
            Self::CanceledAndCaptured { captured } => format!("cancelled, yet {} captured", money(captured)),
            Self::CurrencyMismatch { currency, other } => {
                format!("amounts in {other} on a payment in {currency}: they are not added")
            }
            Self::Hole { from, to } if from == to => format!("event number {from} is missing: what follows is held"),
            Self::Hole { from, to } => format!("event numbers {from} to {to} are missing: what follows is held"),
            Self::NumberTwice { number } => format!("two different events claim number {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(kind: FactKind, amount: Option<i64>, reference: Option<&str>) -> Fact {
        let currency = amount.map(|_| "EUR".into());
        Fact { kind, amount, currency, basis: AmountBasis::Total, reference: reference.map(Into::into), status: None }
    }

    fn folded(facts: &[Fact]) -> Payment {
        let mut payment = Payment::default();
        facts.iter().for_each(|fact| payment.evolve(fact));
        payment
    }

    #[test]
    fn a_capture_that_fails_after_all_leaves_nothing() {
        let (authorized, failed) = (FactKind::Authorized, FactKind::CaptureFailed);
        let capture = |id| fact(FactKind::Captured, Some(500), Some(id));
        let start = [fact(authorized, Some(1000), None), capture("c1"), capture("c2")];
        let with = |more: &[Fact]| folded(&[start.as_slice(), more].concat());
        let both = with(&[]);
        assert_eq!((both.captured(), both.status()), (1000, PaymentStatus::Captured));
        let one = with(&[fact(failed, None, Some("c2"))]);
        assert_eq!((one.captured(), one.status()), (500, PaymentStatus::Captured));
        let none = with(&[fact(failed, None, None)]);
        assert_eq!((none.captured(), none.status()), (0, PaymentStatus::Failed));
        let again = with(&[fact(failed, None, Some("c2")), capture("c2")]);
        assert_eq!((again.captured(), again.status()), (1000, PaymentStatus::Captured));
        assert_eq!(with(&[fact(failed, None, Some("other"))]).captured(), 1000);
    }

    #[test]
    fn without_amounts_the_last_word_counts() {
        let (captured, failed) = (fact(FactKind::Captured, None, None), fact(FactKind::Failed, None, None));
        assert_eq!(folded(std::slice::from_ref(&captured)).status(), PaymentStatus::Captured);
        assert_eq!(folded(&[captured.clone(), failed.clone()]).status(), PaymentStatus::Failed);
        let payment = folded(&[failed, captured]);
        assert_eq!((payment.status(), payment.captured()), (PaymentStatus::Captured, 0));
        assert!(payment.anomalies().is_empty());
    }
}
