//! What we fetched ourselves: the other way to a [`Verified`].
//!
//! Nobody signs the answer of an API. What vouches for it is that this program asked for it, over TLS,
//! at an address whose host the provider file fixes, with the source's API key. A [`Fetch`] says all of
//! that and comes from a rule and a verified notification alone, so I2 holds: nothing that a caller
//! of the door can send becomes one.
//!
//! The evidence are two names that no header can have: `:fetched`, the address, and `:fetched-witness`,
//! our own HMAC of address and body under the API key. The key itself is not kept (I12).

use bytes::Bytes;
use compact_str::CompactString;
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use super::key::{MAC_BYTES_MAX, State};
use super::scheme::{Scheme, SecretForm, SharedSecret};
use super::{Cause, SecretSet};
use crate::envelope::Envelope;
use crate::error::Result;
use crate::provider::{Fetch, Provider};
use crate::request::{RawRequest, Verified};
use crate::time::UnixNanos;

/// Name of the address in the evidence.
const ADDRESS: &str = ":fetched";
/// Name of the witness in the evidence.
const WITNESS: &str = ":fetched-witness";

/// API keys of a source: the first fetches, all of them check what was fetched before.
pub struct ApiKeys {
    secrets: Vec<SecretString>,
    set: SecretSet,
}

impl ApiKeys {
    /// Prepares the keys. Errors are [`Invalid`](crate::ErrorKind::Invalid), as of [`SecretSet::new`].
    pub fn new(secrets: Vec<SecretString>) -> Result<Self> {
        let header = CompactString::const_new(WITNESS);
        let form = SecretForm::Plain(String::new());
        let scheme = Scheme::SharedSecret(SharedSecret { name: "api-key", header, form });
        let set = SecretSet::new(&scheme, secrets.iter().cloned())?;
        Ok(Self { secrets, set })
    }

    /// The value of the header that carries the key, `prefix` in front.
    pub fn header_value(&self, prefix: &str) -> SecretString {
        let key = self.secrets.first().map(|key| key.expose_secret()).unwrap_or_default();
        format!("{prefix}{key}").into()
    }

    /// Key ids, in the order they were given.
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.set.key_ids()
    }
}

/// Key ids only (I12).
impl std::fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiKeys")?;
        f.debug_list().entries(self.key_ids()).finish()
    }
}

/// The answer to a [`Fetch`] as an event for the log, and how it came: by the first of `keys`, at
/// `received_at`. Errors are [`Data`](crate::ErrorKind::Data): the answer is no JSON object. An
/// object that the provider's rules cannot read becomes an unreadable event, as at the door.
pub fn seal_fetched(
    fetch: &Fetch,
    provider: &Provider,
    keys: &ApiKeys,
    answer: &[u8],
    received_at: UnixNanos,
) -> Result<Envelope> {
    let body: Bytes = fetch.body(answer)?;
    let headers = vec![("content-type".to_owned(), "application/json")];
    let raw = RawRequest { headers: &headers, body: &body, received_at };
    let key = keys.set.keys().first();
    let witness = key.map(|key| hex::encode(mac(&key.state, fetch.address(), &body))).unwrap_or_default();
    let verified = Verified {
        raw,
        key_id: key.map(|key| key.id.clone()).unwrap_or_default(),
        evidence: vec![
            (CompactString::const_new(ADDRESS), fetch.address().to_owned()),
            (CompactString::const_new(WITNESS), witness),
        ],
    };
    Ok(Envelope::seal(&verified, provider.identify_fetched(fetch.source(), raw)))
}

/// Whether evidence is that of something fetched.
pub(crate) fn is_fetched(signature_headers: &str) -> bool {
    signature_headers.strip_prefix(ADDRESS).is_some_and(|rest| rest.starts_with(": "))
}

/// Checks an archived answer again (I7): whether address and body are those that one of `keys` vouched
/// for. Gives the id of that key.
pub fn reverify_fetched(keys: &ApiKeys, envelope: &Envelope) -> Result<CompactString, Cause> {
    let line = |name: &str| {
        let mut lines = envelope.signature_headers.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(n, _)| *n == name).map(|(_, value)| value).ok_or(Cause::Missing)
    };
    let (address, witness) = (line(ADDRESS)?, line(WITNESS)?);
    let witness = hex::decode(witness).map_err(|_| Cause::Malformed)?;
    let fits = |state: &State| bool::from(mac(state, address, &envelope.event.body).as_slice().ct_eq(&witness));
    let key = keys.set.keys().iter().find(|key| fits(&key.state));
    match key {
        Some(key) => Ok(key.id.clone()),
        None if !keys.key_ids().any(|id| id == envelope.key_id) => Err(Cause::UnknownKey),
        None => Err(Cause::Wrong),
    }
}

fn mac(state: &State, address: &str, body: &[u8]) -> Vec<u8> {
    let mut mac = [0; MAC_BYTES_MAX];
    // No address holds a line break, so address and body cannot run into each other.
    let length = state.mac([address.as_bytes(), b"\n", body].into_iter(), &mut mac);
    mac.get(..length).unwrap_or_default().to_vec()
}
