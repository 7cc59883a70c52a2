//! Tokens of OpenID Connect: a JSON Web Token (RFC 7519) in `Authorization: Bearer`, signed by its issuer.
//!
//! It proves who calls, for whom and until when. It covers neither the body nor a single request: whoever
//! gets hold of one can use it until it ends. Judged in this order: form, key, signature, claims, times, so
//! that a cause says what is really wrong. RS256, ES256 and EdDSA alone; what a token says about its
//! algorithm must agree with the key, so neither `none` nor a keyed hash can come in.
//!
//! The token opens doors until it ends, so it is not archived. The evidence is a witness instead: header
//! and claims without the signature, and the door's own HMAC over them and the body, under a secret of the
//! source. It shows later what the token said and that this body came with it, and it opens no door.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use compact_str::CompactString;
use serde::Deserialize;
use serde_json::Value;
use subtle::ConstantTimeEq as _;

use super::key::MAC_BYTES_MAX;
use super::scheme::{Oidc, Tolerance};
use super::secrets::{Key, SecretSet};
use super::verify::{Place, Proof};
use super::{Cause, read};
use crate::request::RawRequest;

/// The header that holds the token.
pub(super) const HEADER: &str = "authorization";
/// What stands before the witness in the evidence; the witness, a point, header and claims follow.
const WITNESS: &str = "ledgerline-witness=";

/// The token's header. Others of its fields say nothing that counts, but for `crit`.
#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

/// Judges the token at the door, or the witness that stands for it in the archive.
pub(super) fn judge(scheme: &Oidc, secrets: &SecretSet, raw: RawRequest<'_>, place: Place) -> Result<Proof, Cause> {
    let value = read::text(raw.headers, HEADER)?;
    let (key, said) = match place {
        Place::Door => {
            let said = judge_token(scheme, secrets, value, raw.received_at.seconds())?;
            (secrets.keys().first().ok_or(Cause::UnknownKey)?, said)
        }
        Place::Archive => {
            let kept = value.strip_prefix(WITNESS).ok_or(Cause::Malformed)?;
            let (kept, said) = kept.split_once('.').ok_or(Cause::Malformed)?;
            let kept = hex::decode(kept).map_err(|_| Cause::Malformed)?;
            let fits = |key: &&Key| bool::from(seal(key, said, raw.body).as_slice().ct_eq(&kept));
            (secrets.keys().iter().find(fits).ok_or(Cause::Wrong)?, said)
        }
    };
    let witness = hex::encode(seal(key, said, raw.body));
    Ok((key.id.clone(), vec![(CompactString::const_new(HEADER), format!("{WITNESS}{witness}.{said}"))]))
}

/// The HMAC over what a token said and the body. A line break is in neither half of a token.
fn seal(key: &Key, said: &str, body: &[u8]) -> Vec<u8> {
    let mut mac = [0; MAC_BYTES_MAX];
    let length = key.state.mac([said.as_bytes(), b"\n", body].into_iter(), &mut mac);
    mac.get(..length).unwrap_or_default().to_vec()
}

/// Checks a token and gives what it says: its header and claims, as they are written.
fn judge_token<'v>(scheme: &Oidc, secrets: &SecretSet, value: &'v str, now: i64) -> Result<&'v str, Cause> {
    let token = match value.split_once(' ') {
        Some((word, token)) if word.eq_ignore_ascii_case("bearer") => token.trim_start_matches(' '),
        _ => return Err(Cause::Malformed),
    };
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| Cause::Malformed);
    let (said, signature) = token.rsplit_once('.').ok_or(Cause::Malformed)?;
    let (head, claims) = said.split_once('.').ok_or(Cause::Malformed)?;
    let (head, claims, signature) = (decode(head)?, decode(claims)?, decode(signature)?);
    let head: Head = serde_json::from_slice(&head).map_err(|_| Cause::Malformed)?;
    let kid = head.kid.filter(|kid| !kid.is_empty()).ok_or(Cause::Malformed)?;
    if head.crit.is_some() {
        // Something that must be understood, and is not.
        return Err(Cause::Malformed);
    }
    if !matches!(head.alg.as_str(), "RS256" | "ES256" | "EdDSA" | "Ed25519") {
        // Before any key is looked for.
        return Err(Cause::Wrong);
    }
    let key = secrets.token_keys().ok_or(Cause::UnknownKey)?.key(&kid).found()?;
    if !key.fits(&head.alg, said.as_bytes(), &signature) {
        return Err(Cause::Wrong);
    }
    let claims: BTreeMap<String, Value> = serde_json::from_slice(&claims).map_err(|_| Cause::Malformed)?;
    judge_claims(scheme, &claims)?;
    judge_times(scheme.tolerance, &claims, now)?;
    Ok(said)
}

fn judge_claims(scheme: &Oidc, claims: &BTreeMap<String, Value>) -> Result<(), Cause> {
    let issuer = claims.get("iss").and_then(Value::as_str) == Some(&scheme.issuer);
    let audience = match claims.get("aud") {
        Some(Value::String(one)) => *one == scheme.audience,
        Some(Value::Array(many)) => many.iter().any(|one| one.as_str() == Some(&scheme.audience)),
        _ => false,
    };
    let says = |(name, wanted): (&String, &String)| match claims.get(name) {
        Some(Value::String(text)) => text == wanted,
        Some(Value::Bool(truth)) => wanted == if *truth { "true" } else { "false" },
        _ => false,
    };
    if issuer && audience && scheme.claims.iter().all(says) { Ok(()) } else { Err(Cause::WrongClaims) }
}

/// Seconds since 1970 in `exp`, which must be there, `nbf` and `iat`.
fn judge_times(tolerance: Tolerance, claims: &BTreeMap<String, Value>, now: i64) -> Result<(), Cause> {
    let time = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(value) => seconds(value).map(Some).ok_or(Cause::Malformed),
    };
    let (end, begin, issued) = (time("exp")?.ok_or(Cause::Malformed)?, time("nbf")?, time("iat")?);
    let Tolerance::Seconds(tolerance) = tolerance else { return Ok(()) };
    let tolerance = i64::from(tolerance);
    if now.saturating_sub(tolerance) >= end {
        return Err(Cause::TooOld);
    }
    let early = |at: i64| at > now.saturating_add(tolerance);
    if begin.is_some_and(early) || issued.is_some_and(early) {
        return Err(Cause::InFuture);
    }
    Ok(())
}

/// A NumericDate; fractions of a second are dropped.
fn seconds(value: &Value) -> Option<i64> {
    if let Some(whole) = value.as_i64() {
        return Some(whole);
    }
    let number = value.as_f64().filter(|number| number.abs() < 1e15)?;
    // Far inside the range of an i64.
    Some(number.trunc() as i64)
}
