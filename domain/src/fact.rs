//! What an event says, interpreted: `captured 12.50 EUR in total`, `refund re_1 of 3.00 EUR succeeded`.
//!
//! Facts come out of a body by a provider's data file and go into the fold. They hold no personal
//! data: amounts, currencies, ids and mapped states only.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::order::OrderKey;
use crate::text::IdText;

/// Largest amount accepted from a payload, in minor units. Sums are i128, so no sum of accepted
/// amounts can overflow.
pub const AMOUNT_MINOR_MAX: i64 = 1_000_000_000_000_000_000;

/// What kind of thing is stated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactKind {
    /// The payment exists and asks for an amount.
    Requested,
    /// The payer must do something.
    RequiresAction,
    /// The provider is working on it.
    Processing,
    /// An attempt failed. A later attempt may still succeed.
    Failed,
    /// The amount is reserved.
    Authorized,
    /// The amount is taken.
    Captured,
    /// Cancelled or voided before capture.
    Canceled,
    /// A refund: with a reference one refund object and its state, without one a total.
    Refund,
    /// A dispute or chargeback, by its reference.
    Dispute,
    /// What the provider charged for it.
    Fee,
    /// A capture that was reported did not go through after all: of the one with this reference, or
    /// of all captures without one, nothing is left.
    CaptureFailed,
}

/// Whether an amount is a cumulative total or one step of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AmountBasis {
    /// "So much in total by now." Totals never fall: the largest one stands.
    #[default]
    Total,
    /// "So much more." Steps are added up.
    Each,
}

/// State of a refund or a dispute, mapped from the provider's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubStatus {
    /// Asked for, not yet done.
    Pending,
    /// Done: for a refund, the money went back.
    Succeeded,
    /// Did not happen; the money stays or came back.
    Failed,
    /// Withdrawn before it happened.
    Canceled,
    /// A dispute that is open and has taken the money for now.
    Open,
    /// A dispute decided for the merchant.
    Won,
    /// A dispute decided against the merchant.
    Lost,
    /// An inquiry that never took money, or closed without a decision.
    Closed,
}

/// One statement of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What is stated.
    pub kind: FactKind,
    /// Amount in minor units of `currency`, from 0 to [`AMOUNT_MINOR_MAX`].
    pub amount: Option<i64>,
    /// ISO 4217 code in upper case.
    pub currency: Option<CompactString>,
    /// Total or step.
    pub basis: AmountBasis,
    /// The sub-object the statement is about: a charge, refund or dispute id.
    pub reference: Option<IdText>,
    /// State of that sub-object.
    pub status: Option<SubStatus>,
}

/// An event's meaning, as far as the provider's data knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meaning {
    /// Lifecycle rank of the event type: breaks ties of time or number. Unknown types have 500.
    pub rank: u16,
    /// The facts, in the order of the provider's file.
    pub facts: Vec<Fact>,
    /// The object's own status word, for documents.
    pub status: Option<CompactString>,
}

impl Meaning {
    /// Digest of what the event says (type, order, facts): two copies of one delivery agree in it,
    /// whatever the provider changed around the facts.
    pub fn digest(&self, event_type: &str, order: &OrderKey) -> [u8; 8] {
        let says = (order, &self.facts, &self.status);
        // Nearly always small enough for the stack, and then digested in one piece.
        let mut small = [0; 512];
        let length = (event_type.len() as u64).to_le_bytes();
        let head = length.len() + event_type.len();
        let mut whole = None;
        if let Some((before, room)) = small.split_at_mut_checked(head)
            && let Ok(used) = postcard::to_slice(&says, room)
        {
            before[..length.len()].copy_from_slice(&length);
            before[length.len()..].copy_from_slice(event_type.as_bytes());
            whole = Some(head + used.len());
        }
        let full = match whole.and_then(|whole| small.get(..whole)) {
            Some(whole) => Sha256::digest(whole),
            None => {
                let says = postcard::to_stdvec(&says).unwrap_or_default();
                Sha256::new().chain_update(length).chain_update(event_type).chain_update(says).finalize()
            }
        };
        let mut short = [0; 8];
        short.copy_from_slice(&full[..8]);
        short
    }
}
