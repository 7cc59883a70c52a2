//! The judgement: does a signature of the request fit a secret, and is its time near enough?
//!
//! Every signature is compared with the HMAC of every secret, without an early exit, in constant
//! time. Ages are compared in whole seconds, as the signed times are written, in both directions.

use compact_str::CompactString;
use ed25519_dalek::{Signature, VerifyingKey};
use subtle::{Choice, ConstantTimeEq as _};

use super::key::{MAC_BYTES_MAX, State};
use super::read::{self, Claim, URL_NAME};
use super::scheme::{Scheme, Tolerance};
use super::secrets::{Key, SecretSet};
use super::template::Piece;
use super::{Cause, adyen, braintree, oidc, paypal, rsa, shared};
use crate::envelope::Envelope;
use crate::request::{RawRequest, Verified};

/// Where the request is: some evidence is kept otherwise than it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// As it arrived.
    Door,
    /// As it is kept: headers are the evidence of an envelope.
    Archive,
}

/// What a judgement gives: the key that fitted, and the headers that prove it.
pub(super) type Proof = (CompactString, Vec<(CompactString, String)>);

/// Checks a request: the only way to a [`Verified`]. Whatever the bytes, it answers; it never panics.
pub fn verify<'a>(scheme: &Scheme, secrets: &SecretSet, raw: RawRequest<'a>) -> Result<Verified<'a>, Cause> {
    let (key_id, evidence) = judge(scheme, secrets, raw, Place::Door)?;
    Ok(Verified { raw, key_id, evidence })
}

/// Checks an archived envelope again, from its own evidence, body and time of receipt (I7). Gives
/// the id of the key that fits, as [`Verified::key_id`] did. Signatures inside a body are their own
/// evidence, and a signed address is kept with it; of a shared secret or a token the evidence is an HMAC
/// that the door left, since what opens the door must not be kept.
///
/// `None` for one of several events of a request: what was signed is the whole request, and the
/// envelope of kind [`REQUEST_KIND`](crate::envelope::REQUEST_KIND) beside it holds that.
pub fn reverify(scheme: &Scheme, secrets: &SecretSet, envelope: &Envelope) -> Option<Result<CompactString, Cause>> {
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
    Some(judge(scheme, secrets, raw, Place::Archive).map(|(key_id, _)| key_id))
}

fn judge(scheme: &Scheme, secrets: &SecretSet, raw: RawRequest<'_>, place: Place) -> Result<Proof, Cause> {
    let claim = match scheme {
        Scheme::TimestampedList(list) => read::list_claim(list, raw.headers)?,
        Scheme::StandardWebhooks(standard) => read::standard_claim(standard, raw.headers)?,
        Scheme::Hmac(hmac) => {
            let url = match place {
                Place::Door => hmac.url.as_deref(),
                // The address of that time, whatever the settings say now; it is signed like the rest.
                Place::Archive => raw.headers.get(URL_NAME).and_then(|url| std::str::from_utf8(url).ok()),
            };
            read::hmac_claim(hmac, raw.headers, url)?
        }
        Scheme::Adyen(adyen) => return Ok((adyen::judge(adyen, secrets, raw.body)?, Vec::new())),
        Scheme::Braintree => return Ok((braintree::judge(secrets, raw.body)?, Vec::new())),
        Scheme::Rsa(rsa) => return rsa::judge(rsa, secrets, raw),
        Scheme::PayPal(paypal) => return paypal::judge(paypal, secrets, raw),
        Scheme::SharedSecret(shared) => return shared::judge(shared, secrets, raw, place),
        Scheme::Oidc(oidc) => return oidc::judge(oidc, secrets, raw, place),
    };
    let key = fitting(&claim, scheme.content(), secrets, raw.body)?;
    if let Some((signed_at, tolerance)) = claim.age {
        judge_age(signed_at, tolerance, raw.received_at.seconds())?;
    }
    Ok((key.id.clone(), claim.evidence()))
}

/// The first key that a signature fits.
fn fitting<'k>(claim: &Claim<'_>, content: &[Piece], secrets: &'k SecretSet, body: &[u8]) -> Result<&'k Key, Cause> {
    let mut fitting = None;
    for key in secrets.keys() {
        let fits = match &key.state {
            State::Ed25519(public) => fits_public(public, claim, content, body),
            state => fits_mac(state, claim, content, body),
        };
        if bool::from(fits) && fitting.is_none() {
            fitting = Some(key);
        }
    }
    fitting.ok_or_else(|| {
        let any_public = secrets.keys().iter().any(|key| matches!(key.state, State::Ed25519(_)));
        if claim.signatures.is_empty() && !any_public { Cause::UnknownKey } else { Cause::Wrong }
    })
}

fn fits_mac(state: &State, claim: &Claim<'_>, content: &[Piece], body: &[u8]) -> Choice {
    let mut mac = [0; MAC_BYTES_MAX];
    let length = state.mac(claim.parts(content, body), &mut mac);
    let mac = mac.get(..length).unwrap_or_default();
    let mut fits = Choice::from(0);
    for signature in claim.signatures.iter() {
        fits |= signature.ct_eq(mac);
    }
    fits
}

/// Key, message and signature are all public: nothing is learnt from the time this takes. The strict
/// check refuses what only some verifiers would take.
fn fits_public(public: &VerifyingKey, claim: &Claim<'_>, content: &[Piece], body: &[u8]) -> Choice {
    if claim.by_public_key.is_empty() {
        return Choice::from(0);
    }
    let mut message = Vec::with_capacity(body.len() + 512);
    claim.parts(content, body).for_each(|part| message.extend_from_slice(part));
    let fits = |bytes: &[u8]| {
        Signature::from_slice(bytes).is_ok_and(|signature| public.verify_strict(&message, &signature).is_ok())
    };
    Choice::from(u8::from(claim.by_public_key.iter().any(fits)))
}

pub(super) fn judge_age(signed_at: i64, tolerance: Tolerance, received_at: i64) -> Result<(), Cause> {
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
