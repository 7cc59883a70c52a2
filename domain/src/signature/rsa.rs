//! RSA signatures of the body, PKCS#1 v1.5 with SHA-256, base64 in one header.
//!
//! The crate `rsa` is pure Rust and needs nothing on the machine; its known weakness is in the timing
//! of private keys, and here are only public ones.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use compact_str::CompactString;
use rsa::pkcs1v15::Signature;
use rsa::signature::Verifier as _;

use super::Cause;
use super::key::State;
use super::read;
use super::scheme::RsaBody;
use super::secrets::SecretSet;
use super::verify::Proof;
use crate::request::RawRequest;

/// Judges the signature in the scheme's header. Nothing in it is secret, so the first key that fits
/// ends the search.
pub(super) fn judge(scheme: &RsaBody, secrets: &SecretSet, raw: RawRequest<'_>) -> Result<Proof, Cause> {
    let value = read::text(raw.headers, &scheme.header)?;
    let bytes = BASE64.decode(value).map_err(|_| Cause::Malformed)?;
    let signature = Signature::try_from(bytes.as_slice()).map_err(|_| Cause::Malformed)?;
    let fits = |state: &State| match state {
        State::Rsa(public) => public.verify(raw.body, &signature).is_ok(),
        _ => false,
    };
    let key = secrets.keys().iter().find(|key| fits(&key.state)).ok_or(Cause::Wrong)?;
    Ok((key.id.clone(), vec![(CompactString::from(scheme.header.as_str()), value.to_owned())]))
}
