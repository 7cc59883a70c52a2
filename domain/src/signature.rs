//! Signature schemes (being written).

use serde::Deserialize;

use crate::request::{RawRequest, Verified};

/// How one provider signs.
#[derive(Clone, Debug, Deserialize)]
pub enum Scheme {}

/// Secrets of one source, prepared for its scheme.
pub struct SecretSet {}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// x
    Missing,
}

/// Checks a request.
pub fn verify<'a>(_scheme: &Scheme, _secrets: &SecretSet, _raw: RawRequest<'a>) -> Result<Verified<'a>, Cause> {
    Err(Cause::Missing)
}
