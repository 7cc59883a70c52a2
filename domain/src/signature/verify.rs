//! The judgement: does a signature of the request fit a secret, and is its time near enough?
//!
//! Every signature is compared with the HMAC of every secret, without an early exit, in constant
//! time. Ages are compared in whole seconds, as the signed times are written, in both directions.

use subtle::{Choice, ConstantTimeEq as _};

use super::Cause;
use super::read::Claim;
use super::scheme::{Scheme, Tolerance};
use super::secrets::{MAC_BYTES_MAX, SecretSet};
use super::template::Piece;
use crate::envelope::Envelope;
use crate::request::{RawRequest, Verified};

/// Checks a request: the only way to a [`Verified`]. Whatever the bytes, it answers; it never panics.
pub fn verify<'a>(scheme: &Scheme, secrets: &SecretSet, raw: RawRequest<'a>) -> Result<Verified<'a>, Cause> {
    let claim = Claim::read(scheme, raw.headers)?;
    let mut fitting = None;
    for key in secrets.keys() {
        let mut mac = [0; MAC_BYTES_MAX];
        let length = key.mac(parts(scheme.content(), &claim, raw.body), &mut mac);
        let mac = mac.get(..length).unwrap_or_default();
        let mut fits = Choice::from(0);
        for signature in claim.signatures.iter() {
            fits |= signature.ct_eq(mac);
        }
        if bool::from(fits) && fitting.is_none() {
            fitting = Some(key);
        }
    }
    let key = fitting.ok_or(Cause::Wrong)?;
    if let Some((signed_at, tolerance)) = claim.age {
        judge_age(signed_at, tolerance, raw.received_at.seconds())?;
    }
    Ok(Verified { raw, key_id: key.id.clone(), evidence: claim.evidence() })
}

/// Checks an archived envelope again, from its own evidence, body and time of receipt (I7). Gives
/// the id of the key that fits, as [`Verified::key_id`] did.
///
/// `None` for one of several events of a request: what was signed is the whole request, and the
/// envelope of kind [`REQUEST_KIND`](crate::envelope::REQUEST_KIND) beside it holds that.
pub fn reverify(
    scheme: &Scheme,
    secrets: &SecretSet,
    envelope: &Envelope,
) -> Option<Result<compact_str::CompactString, Cause>> {
    if envelope.event.part.is_some() {
        return None;
    }
    let headers: Vec<(String, String)> = envelope
        .signature_headers
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let raw = RawRequest { headers: &headers, body: &envelope.event.body, received_at: envelope.received_at };
    Some(verify(scheme, secrets, raw).map(|verified| verified.key_id))
}

/// The signed content, part by part, in the scheme's order.
fn parts<'p>(content: &'p [Piece], claim: &'p Claim<'_>, body: &'p [u8]) -> impl Iterator<Item = &'p [u8]> {
    content.iter().map(move |piece| match piece {
        Piece::Text(text) => text.as_bytes(),
        Piece::Id => claim.id.as_bytes(),
        Piece::Timestamp => claim.timestamp.as_bytes(),
        Piece::Body => body,
    })
}

fn judge_age(signed_at: i64, tolerance: Tolerance, received_at: i64) -> Result<(), Cause> {
    let Tolerance::Seconds(tolerance) = tolerance else { return Ok(()) };
    let tolerance = i64::from(tolerance);
    if received_at.saturating_sub(signed_at) > tolerance {
        return Err(Cause::TooOld);
    }
    if signed_at.saturating_sub(received_at) > tolerance {
        return Err(Cause::InFuture);
    }
    Ok(())
}
