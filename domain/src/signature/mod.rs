//! Signature schemes: how a request proves that the holder of a secret sent it.
//!
//! [`verify`] is the only way from a [`RawRequest`] to a [`Verified`] and so to an envelope
//! (invariant I2); what this program fetched itself has a way of its own, [`seal_fetched`]. No scheme accepts by default: without a secret there is no [`SecretSet`], without
//! a signature there is a [`Cause`]. Every signature of a request is compared with every secret in
//! constant time; the signature is judged before the age, so a cause says what is really wrong.
//! Everything read from a request is bounded: [`HEADER_BYTES_MAX`], [`EVIDENCE_BYTES_MAX`],
//! [`SIGNATURES_MAX`], [`PUBLIC_KEY_SIGNATURES_MAX`], [`SECRETS_MAX`]. Nothing here prints a secret, a
//! signature or a body (I12).

mod adyen;
mod braintree;
mod examine;
mod fetched;
mod form;
mod key;
mod lookup;
mod oidc;
mod paypal;
mod read;
mod reformat;
mod rsa;
mod scheme;
mod secrets;
mod shared;
mod sign;
mod table;
mod template;
mod token_keys;
mod verify;

use std::fmt;

#[cfg(doc)]
use crate::request::{RawRequest, Verified};

pub use braintree::answer_challenge;
pub use examine::{Examination, Hypothesis, examine};
pub(crate) use fetched::is_fetched;
pub use fetched::{ApiKeys, reverify_fetched, seal_fetched};
pub use lookup::{Lookup, NamedKeys};
pub use paypal::{Certificate, Certificates};
pub use scheme::{
    Adyen, GenericHmac, Oidc, PayPal, RsaBody, Scheme, SharedSecret, StandardWebhooks, TimestampedList, Tolerance,
};
pub use secrets::SecretSet;
pub use sign::{Signed, sign, sign_request};
pub use token_keys::{TokenKey, TokenKeySet, TokenKeys, discovery_url, jwks_url};
pub use verify::{reverify, verify};

/// Longest value of a header that a scheme reads, in bytes.
pub const HEADER_BYTES_MAX: usize = 4096;
/// Longest evidence of a request, in bytes of header values.
pub const EVIDENCE_BYTES_MAX: usize = 3 * HEADER_BYTES_MAX;
/// Most signatures in one request.
pub const SIGNATURES_MAX: usize = 16;
/// Most signatures by public keys in one request: each costs a thousand HMACs to check.
pub const PUBLIC_KEY_SIGNATURES_MAX: usize = 4;
/// Most secrets of one source.
pub const SECRETS_MAX: usize = 16;
/// Longest address of a source, in bytes.
pub const URL_BYTES_MAX: usize = 2048;
/// Tolerance in seconds where a scheme signs a time and the settings say nothing.
pub const TOLERANCE_SECONDS_DEFAULT: u32 = 300;

/// Why a request was refused. Callers answer all of them alike; the difference is for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Something that the scheme reads is absent or empty.
    Missing,
    /// It is there and cannot be read as the scheme writes it.
    Malformed,
    /// No signature of the request fits any secret.
    Wrong,
    /// The signature fits; the signed time is further back than the tolerance.
    TooOld,
    /// The signature fits; the signed time is further ahead than the tolerance.
    InFuture,
    /// Of a request whose items are signed one by one, some fit and this one (from 0) does not.
    WrongItem(u32),
    /// The request names or needs a key that is not among the source's secrets.
    UnknownKey,
    /// The request names a key that is being fetched: nothing is decided yet, the caller should come
    /// again.
    KeyComing,
    /// The token is genuine and says something else than the source wants: another issuer, audience or
    /// subject, or a claim that differs.
    WrongClaims,
}

impl Cause {
    /// All causes, in the order of [`index`](Self::index).
    pub const ALL: [Self; 9] = [
        Self::Missing,
        Self::Malformed,
        Self::Wrong,
        Self::TooOld,
        Self::InFuture,
        Self::WrongItem(0),
        Self::UnknownKey,
        Self::KeyComing,
        Self::WrongClaims,
    ];

    /// Its place in [`ALL`](Self::ALL), whatever the item.
    pub const fn index(self) -> usize {
        match self {
            Self::Missing => 0,
            Self::Malformed => 1,
            Self::Wrong => 2,
            Self::TooOld => 3,
            Self::InFuture => 4,
            Self::WrongItem(_) => 5,
            Self::UnknownKey => 6,
            Self::KeyComing => 7,
            Self::WrongClaims => 8,
        }
    }

    /// A stable word for metrics and debug logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Wrong => "wrong",
            Self::TooOld => "too_old",
            Self::InFuture => "in_future",
            Self::WrongItem(_) => "wrong_item",
            Self::UnknownKey => "unknown_key",
            Self::KeyComing => "key_coming",
            Self::WrongClaims => "wrong_claims",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the signature is missing",
            Self::Malformed => "the signature cannot be read",
            Self::Wrong => "the signature fits no secret of the source",
            Self::TooOld => "the signed time is too far in the past",
            Self::InFuture => "the signed time is too far in the future",
            Self::WrongItem(item) => {
                return write!(f, "the signature of item {item} (from 0) fits no secret of the source");
            }
            Self::UnknownKey => "it is signed with a key that the source does not have",
            Self::KeyComing => "it is signed with a key that is still being fetched",
            Self::WrongClaims => {
                "the token is genuine, and its issuer, audience or another claim is not what the source wants"
            }
        })
    }
}

impl std::error::Error for Cause {}

#[cfg(test)]
mod tests;
