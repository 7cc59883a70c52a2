//! A secret that travels itself: bearer tokens, user and password, a header of the provider's own.
//!
//! It proves who calls and nothing else: neither the body nor a time is covered. Digests are
//! compared, in constant time and whatever the length. The secret must not be archived, so the
//! evidence is a witness instead: the door's own HMAC of the body under the secret. It shows later
//! that the body is the one that came with the secret, and it opens no door.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Cause;
use super::key::{MAC_BYTES_MAX, State};
use super::read;
use super::scheme::{SecretForm, SharedSecret};
use super::secrets::{Key, SecretSet};
use super::verify::{Place, Proof};
use crate::request::RawRequest;

/// What stands before the witness in the evidence.
const WITNESS: &str = "ledgerline-witness=";

/// Judges the secret in the scheme's header, or the witness that stands for it in the archive.
pub(super) fn judge(
    scheme: &SharedSecret,
    secrets: &SecretSet,
    raw: RawRequest<'_>,
    place: Place,
) -> Result<Proof, Cause> {
    let value = read::text(raw.headers, &scheme.header)?;
    let mut fitting = None;
    match place {
        Place::Door => {
            let digest: [u8; 32] = Sha256::digest(presented(&scheme.form, value)?).into();
            for key in secrets.keys() {
                if let State::Shared { digest: wanted, .. } = &key.state
                    && bool::from(digest.ct_eq(wanted))
                    && fitting.is_none()
                {
                    fitting = Some(key);
                }
            }
        }
        Place::Archive => {
            let kept = value.strip_prefix(WITNESS).and_then(|text| hex::decode(text).ok()).ok_or(Cause::Malformed)?;
            for key in secrets.keys() {
                let mut mac = [0; MAC_BYTES_MAX];
                let length = key.state.mac(std::iter::once(raw.body.as_ref()), &mut mac);
                let fits = mac.get(..length).is_some_and(|mac| bool::from(kept.as_slice().ct_eq(mac)));
                if fits && fitting.is_none() {
                    fitting = Some(key);
                }
            }
        }
    }
    let key = fitting.ok_or(Cause::Wrong)?;
    Ok((key.id.clone(), vec![(scheme.header.clone(), witness(key, raw.body))]))
}

fn witness(key: &Key, body: &[u8]) -> String {
    let mut mac = [0; MAC_BYTES_MAX];
    let length = key.state.mac(std::iter::once(body), &mut mac);
    format!("{WITNESS}{}", hex::encode(mac.get(..length).unwrap_or_default()))
}

/// The secret as the header holds it.
fn presented(form: &SecretForm, value: &str) -> Result<Vec<u8>, Cause> {
    let behind = |word: &str| match value.split_once(' ') {
        Some((first, rest)) if first.eq_ignore_ascii_case(word) => Ok(rest.trim_start_matches(' ')),
        _ => Err(Cause::Malformed),
    };
    match form {
        SecretForm::Plain(prefix) => {
            value.strip_prefix(prefix.as_str()).map(|secret| secret.as_bytes().to_vec()).ok_or(Cause::Malformed)
        }
        SecretForm::Bearer => behind("bearer").map(|secret| secret.as_bytes().to_vec()),
        SecretForm::Basic => BASE64.decode(behind("basic")?).map_err(|_| Cause::Malformed),
    }
}
