//! Keys that are not among the settings but come from elsewhere: certificates and token keys, by name.

use std::sync::Arc;

use super::Cause;
use super::paypal::Certificates;
use super::token_keys::TokenKeys;

/// What is known of a key that a request names.
pub enum Lookup<K> {
    /// It is at hand.
    Found(Arc<K>),
    /// It is not at hand and is being fetched: the same request may be judged in a moment.
    Coming,
    /// It is not at hand and nobody fetches it.
    Unknown,
}

/// Where a source's keys are that its settings do not hold.
#[derive(Clone, Default)]
pub enum NamedKeys {
    /// Its scheme needs none.
    #[default]
    None,
    /// PayPal's certificates.
    Certificates(Arc<dyn Certificates>),
    /// The keys that an issuer signs tokens with.
    Tokens(Arc<dyn TokenKeys>),
}

impl<K> Lookup<K> {
    /// The key, or why there is none.
    pub fn found(self) -> Result<Arc<K>, Cause> {
        match self {
            Self::Found(key) => Ok(key),
            Self::Coming => Err(Cause::KeyComing),
            Self::Unknown => Err(Cause::UnknownKey),
        }
    }
}
