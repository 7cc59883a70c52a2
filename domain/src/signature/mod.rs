//! Signature schemes: how a request proves that the holder of a shared secret sent it.
//!
//! [`verify`] is the only way from a [`RawRequest`] to a [`Verified`] and so to an envelope
//! (invariant I2). No scheme accepts by default: without a secret there is no [`SecretSet`], without
//! a signature there is a [`Cause`]. Every signature of a request is compared with every secret in
//! constant time; the signature is judged before the age, so a cause says what is really wrong.
//! Everything read from a request is bounded: [`HEADER_BYTES_MAX`], [`SIGNATURES_MAX`],
//! [`SECRETS_MAX`]. Nothing here prints a secret, a signature or a body (I12).

mod read;
mod scheme;
mod secrets;
mod sign;
mod template;
mod verify;

use std::fmt;

#[cfg(doc)]
use crate::request::{RawRequest, Verified};

pub use scheme::{BodyHmac, GenericHmac, Scheme, StandardWebhooks, Stripe, Tolerance};
pub use secrets::SecretSet;
pub use sign::sign;
pub use verify::{reverify, verify};

/// Longest value of a header that a scheme reads, in bytes.
pub const HEADER_BYTES_MAX: usize = 4096;
/// Most signatures in one request.
pub const SIGNATURES_MAX: usize = 16;
/// Most secrets of one source.
pub const SECRETS_MAX: usize = 16;
/// Tolerance in seconds where a scheme signs a time and the settings say nothing.
pub const TOLERANCE_SECONDS_DEFAULT: u32 = 300;

/// Why a request was refused. Callers answer all of them alike; the difference is for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A header that the scheme reads is absent or empty.
    Missing,
    /// The headers are there and cannot be read as the scheme writes them.
    Malformed,
    /// No signature of the request fits any secret.
    Wrong,
    /// The signature fits; the signed time is further back than the tolerance.
    TooOld,
    /// The signature fits; the signed time is further ahead than the tolerance.
    InFuture,
}

impl Cause {
    /// All causes, in the order of their declaration.
    pub const ALL: [Self; 5] = [Self::Missing, Self::Malformed, Self::Wrong, Self::TooOld, Self::InFuture];

    /// A stable word for metrics and debug logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Wrong => "wrong",
            Self::TooOld => "too_old",
            Self::InFuture => "in_future",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the signature is missing",
            Self::Malformed => "the signature headers cannot be read",
            Self::Wrong => "the signature fits no secret of the source",
            Self::TooOld => "the signed time is too far in the past",
            Self::InFuture => "the signed time is too far in the future",
        })
    }
}

impl std::error::Error for Cause {}

#[cfg(test)]
mod tests;
