//! Where an event stands among its entity's events.
//!
//! A provider's data declares one of four classes (the reasons are in `docs/ordering.md`):
//!
//! | class | sorts by | holes |
//! | --- | --- | --- |
//! | `contiguous{first}` | number, from `first` | events behind a hole are held |
//! | `monotonic` | number | legal |
//! | `timestamp` | time of the event, in nanoseconds | – |
//! | `arrival` | position in the log | – |
//!
//! Ties fall to the lifecycle rank of the event type, then to the event id, so that the order is
//! total and depends on nothing but the set of events.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How a provider's events of one family are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderClass {
    /// Numbers without holes, starting at `first`.
    Contiguous {
        /// The number of an entity's first event.
        first: i64,
    },
    /// Numbers rise; holes are legal.
    Monotonic,
    /// Only the event's time is known.
    Timestamp,
    /// Nothing usable in the payload: the log's order counts.
    Arrival,
}

impl OrderClass {
    /// `contiguous:1`, `monotonic`, `timestamp` or `arrival`: the envelope's `orderclass`.
    pub fn to_text(self) -> String {
        match self {
            Self::Contiguous { first } => format!("contiguous:{first}"),
            _ => self.word().to_owned(),
        }
    }

    /// The class's name.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Contiguous { .. } => "contiguous",
            Self::Monotonic => "monotonic",
            Self::Timestamp => "timestamp",
            Self::Arrival => "arrival",
        }
    }

    /// The inverse of [`to_text`](Self::to_text).
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "monotonic" => Ok(Self::Monotonic),
            "timestamp" => Ok(Self::Timestamp),
            "arrival" => Ok(Self::Arrival),
            _ => text
                .strip_prefix("contiguous:")
                .and_then(|first| first.parse().ok())
                .map(|first| Self::Contiguous { first })
                .ok_or_else(|| Error::data(format!("read the order class {text:?}"))),
        }
    }

    /// The word people read: `number`, `time` or `arrival`.
    pub fn basis(self) -> &'static str {
        match self {
            Self::Contiguous { .. } | Self::Monotonic => "number",
            Self::Timestamp => "time",
            Self::Arrival => "arrival",
        }
    }

    /// Numbers sort before times, times before arrivals, should a provider's class ever change.
    fn family(self) -> u8 {
        match self {
            Self::Contiguous { .. } | Self::Monotonic => 0,
            Self::Timestamp => 1,
            Self::Arrival => 2,
        }
    }
}

/// The class that decides and the provider's value in it.
///
/// `value` is the number, or the time in nanoseconds since the epoch, or 0 for `arrival`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OrderKey {
    /// The class; kept per entry as its `order_basis`.
    pub class: OrderClass,
    /// Number, nanoseconds or 0.
    pub value: i64,
}

impl OrderKey {
    /// Compares two keys without their tie-breaks.
    pub fn cmp_value(&self, other: &Self) -> Ordering {
        self.class.family().cmp(&other.class.family()).then(self.value.cmp(&other.value))
    }
}
