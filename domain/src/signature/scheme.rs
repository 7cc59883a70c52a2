//! How one provider signs: the schemes with their parameters, as the `[signature]` table of a
//! provider file states them.
//!
//! A scheme that exists is valid: [`table`](super::table) checks its keys while they are read, with
//! messages that name the key and the fix. Units: tolerances are whole seconds. What differs from
//! one source to the next (tolerance, address) is set on a copy: [`Scheme::with_tolerance`],
//! [`Scheme::with_url`].

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::Deserialize;

use super::URL_BYTES_MAX;
use super::paypal;
use super::table::{self, SchemeTable};
use super::template::{ID_TIMESTAMP_BODY, Piece};
use crate::error::{Error, Result};

/// How a provider signs. Read from a table whose key `scheme` names it.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "SchemeTable")]
pub enum Scheme {
    /// `t=<unix seconds>,v1=<hex>` in one header: Stripe
    /// (<https://docs.stripe.com/webhooks#verify-manually>), Paddle and others, by their separators.
    TimestampedList(TimestampedList),
    /// <https://www.standardwebhooks.com>: HMAC (`v1`) and ed25519 (`v1a`) over
    /// `{id}.{timestamp}.{body}`; Svix header names are the same scheme.
    StandardWebhooks(StandardWebhooks),
    /// Any other HMAC in a header: a content template, the headers its parts stand in, and how key
    /// and signature are written.
    Hmac(GenericHmac),
    /// An HMAC inside the body, one for each event of the request
    /// (<https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures/>).
    Adyen(Adyen),
    /// A form that holds a payload and its signatures by public key
    /// (<https://developer.paypal.com/braintree/docs/guides/webhooks/parse>).
    Braintree,
    /// RSA PKCS#1 v1.5 with SHA-256 over the body, as Wise signs
    /// (<https://docs.wise.com/guides/developer/webhooks/event-handling>).
    Rsa(RsaBody),
    /// RSA by a certificate that a header names, as PayPal signs.
    PayPal(PayPal),
    /// No signature: the secret itself travels in a header. All that some providers offer; it proves
    /// who calls, and nothing about the body.
    SharedSecret(SharedSecret),
    /// A token of OpenID Connect in `Authorization: Bearer`, signed by its issuer. It proves who calls,
    /// and nothing about the body.
    Oidc(Box<Oidc>),
}

/// How far the signed time may be from the time of receipt, in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tolerance {
    /// At most so many seconds; never 0.
    Seconds(u32),
    /// Any age: `accept_any_age = true` was written down.
    AnyAge,
}

/// Parameters of [`Scheme::TimestampedList`].
#[derive(Clone, Debug)]
pub struct TimestampedList {
    /// The scheme's name in the file.
    pub(super) name: &'static str,
    pub(super) header: CompactString,
    pub(super) separator: char,
    pub(super) timestamp_key: CompactString,
    pub(super) signature_key: CompactString,
    pub(super) content: Vec<Piece>,
    pub(super) hash: Hash,
    pub(super) tolerance: Tolerance,
}

/// Parameters of [`Scheme::StandardWebhooks`].
#[derive(Clone, Debug)]
pub struct StandardWebhooks {
    pub(super) tolerance: Tolerance,
}

/// Parameters of [`Scheme::Hmac`].
#[derive(Clone, Debug)]
pub struct GenericHmac {
    /// The scheme's name in the file.
    pub(super) name: &'static str,
    pub(super) header: CompactString,
    pub(super) prefix: String,
    /// Whether a signature without the prefix is taken as well.
    pub(super) prefix_optional: bool,
    pub(super) hash: Hash,
    pub(super) encoding: Encoding,
    pub(super) content: Vec<Piece>,
    /// Set exactly when the content holds the id.
    pub(super) id_header: Option<CompactString>,
    /// Set exactly when the content holds the time.
    pub(super) time: Option<TimeHeader>,
    pub(super) key: KeyText,
    /// The source's own address, where the content holds it. Without one nothing verifies.
    pub(super) url: Option<String>,
}

/// A header that holds the signed time.
#[derive(Clone, Debug)]
pub(super) struct TimeHeader {
    pub(super) header: CompactString,
    pub(super) unit: TimeUnit,
    pub(super) tolerance: Tolerance,
}

/// Parameters of [`Scheme::Adyen`].
#[derive(Clone, Debug)]
pub struct Adyen {
    pub(super) body: AdyenBody,
}

/// Parameters of [`Scheme::Rsa`].
#[derive(Clone, Debug)]
pub struct RsaBody {
    pub(super) header: CompactString,
}

/// Parameters of [`Scheme::PayPal`].
#[derive(Clone, Debug)]
pub struct PayPal {
    /// Whether certificates are those of PayPal's sandbox.
    pub(super) sandbox: bool,
    pub(super) tolerance: Tolerance,
}

/// Parameters of [`Scheme::SharedSecret`].
#[derive(Clone, Debug)]
pub struct SharedSecret {
    /// The scheme's name in the file.
    pub(super) name: &'static str,
    pub(super) header: CompactString,
    pub(super) form: SecretForm,
}

/// Parameters of [`Scheme::Oidc`].
#[derive(Clone, Debug)]
pub struct Oidc {
    pub(super) issuer: String,
    pub(super) audience: String,
    pub(super) jwks_url: Option<String>,
    /// Claims that must be there, and the text that each must be.
    pub(super) claims: BTreeMap<String, String>,
    pub(super) tolerance: Tolerance,
}

impl Oidc {
    /// Who signs the tokens, exactly as the claim `iss` says it.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Where the issuer's keys are; `None` when the issuer is to be asked.
    pub fn jwks_url(&self) -> Option<&str> {
        self.jwks_url.as_deref()
    }
}

/// How a shared secret stands in its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SecretForm {
    /// Behind this text, which may be empty.
    Plain(String),
    /// `Bearer <secret>`; the word in any case (RFC 6750).
    Bearer,
    /// `Basic <base64 of user:password>`; the word in any case (RFC 7617).
    Basic,
}

/// How Adyen's notifications are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum AdyenBody {
    /// `{"notificationItems": […]}`.
    #[default]
    Json,
    /// One notification as a form.
    Form,
}

/// The hash inside the HMAC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Hash {
    Sha1,
    #[default]
    Sha256,
    Sha512,
}

/// How signature bytes are written in the header. Hex in either case; base64 with padding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Encoding {
    #[default]
    Hex,
    Base64,
}

/// How a signed time is written in its header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TimeUnit {
    /// Seconds since 1970, digits only.
    #[default]
    Seconds,
    /// Milliseconds since 1970, digits only.
    Milliseconds,
    /// RFC 3339.
    Rfc3339,
}

/// How a secret's text stands for the key's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum KeyText {
    /// The text's own bytes.
    #[default]
    Utf8,
    Base64,
    Hex,
}

impl Scheme {
    /// The scheme's name in a provider file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::TimestampedList(list) => list.name,
            Self::StandardWebhooks(_) => "standard-webhooks",
            Self::Hmac(hmac) => hmac.name,
            Self::Adyen(_) => "adyen",
            Self::Braintree => "braintree",
            Self::Rsa(_) => "rsa-sha256",
            Self::PayPal(_) => "paypal",
            Self::SharedSecret(shared) => shared.name,
            Self::Oidc(_) => "oidc",
        }
    }

    /// How far the signed time may be off; `None` when the scheme signs no time.
    pub fn tolerance(&self) -> Option<Tolerance> {
        match self {
            Self::TimestampedList(list) => Some(list.tolerance),
            Self::StandardWebhooks(standard) => Some(standard.tolerance),
            Self::PayPal(paypal) => Some(paypal.tolerance),
            Self::Oidc(oidc) => Some(oidc.tolerance),
            Self::Hmac(hmac) => hmac.time.as_ref().map(|time| time.tolerance),
            Self::Adyen(_) | Self::Braintree | Self::Rsa(_) | Self::SharedSecret(_) => None,
        }
    }

    /// The same scheme with another tolerance: a source's own setting. Errors are
    /// [`Invalid`](crate::ErrorKind::Invalid): 0 seconds, or a scheme that signs no time.
    pub fn with_tolerance(&self, tolerance_seconds: u32) -> Result<Self> {
        self.with(table::tolerance_of(Some(tolerance_seconds), false)?)
    }

    /// The same scheme without an age check: for looking at captured requests.
    pub(super) fn at_any_age(&self) -> Self {
        self.with(Tolerance::AnyAge).unwrap_or_else(|_| self.clone())
    }

    fn with(&self, tolerance: Tolerance) -> Result<Self> {
        let mut scheme = self.clone();
        let place = match &mut scheme {
            Self::TimestampedList(list) => Some(&mut list.tolerance),
            Self::StandardWebhooks(standard) => Some(&mut standard.tolerance),
            Self::PayPal(paypal) => Some(&mut paypal.tolerance),
            Self::Oidc(oidc) => Some(&mut oidc.tolerance),
            Self::Hmac(hmac) => hmac.time.as_mut().map(|time| &mut time.tolerance),
            Self::Adyen(_) | Self::Braintree | Self::Rsa(_) | Self::SharedSecret(_) => None,
        };
        match place {
            Some(place) => *place = tolerance,
            None => {
                return Err(Error::invalid(format!(
                    "use `tolerance_seconds`: the scheme {} signs no time here; remove the key",
                    self.name()
                )));
            }
        }
        Ok(scheme)
    }

    /// Whether the source's own address is part of what is signed, so that a source needs its `url`.
    pub fn signs_url(&self) -> bool {
        self.content().contains(&Piece::Url)
    }

    /// Whether the address it signs is still to be given with [`with_url`](Self::with_url).
    pub fn lacks_url(&self) -> bool {
        self.signs_url() && self.url().is_none()
    }

    /// The address that is signed, if it was given.
    pub fn url(&self) -> Option<&str> {
        match self {
            Self::Hmac(hmac) => hmac.url.as_deref(),
            _ => None,
        }
    }

    /// The same scheme for a source whose address, exactly as it was entered at the provider, is
    /// `url`. Errors are [`Invalid`](crate::ErrorKind::Invalid): no http address, or a scheme that
    /// does not sign one.
    pub fn with_url(&self, url: &str) -> Result<Self> {
        let visible = url.bytes().all(|b| (b'!'..=b'~').contains(&b));
        let web = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        if !visible || url.len() > URL_BYTES_MAX || web.is_none_or(str::is_empty) {
            return Err(Error::invalid(format!(
                "use `url` = {url:?}: give the address exactly as it was entered at the provider, such as \
                 \"https://example.com/webhooks/shop\": visible ASCII, at most {URL_BYTES_MAX} bytes"
            )));
        }
        let mut scheme = self.clone();
        match &mut scheme {
            Self::Hmac(hmac) if hmac.content.contains(&Piece::Url) => hmac.url = Some(url.to_owned()),
            _ => {
                return Err(Error::invalid(format!(
                    "use `url`: the scheme {} does not sign the address here; remove the key",
                    self.name()
                )));
            }
        }
        Ok(scheme)
    }

    /// Whether anybody who can verify can also sign. Of the others only the provider can.
    pub fn is_symmetric(&self) -> bool {
        !matches!(self, Self::Rsa(_) | Self::PayPal(_) | Self::Oidc(_))
    }

    /// Whether the signature stands in the body, which signing therefore changes.
    pub fn signs_in_body(&self) -> bool {
        matches!(self, Self::Adyen(_) | Self::Braintree)
    }

    /// What a signature in a header covers; empty for the schemes that have none.
    pub(super) fn content(&self) -> &[Piece] {
        match self {
            Self::TimestampedList(list) => &list.content,
            Self::StandardWebhooks(_) => &ID_TIMESTAMP_BODY,
            Self::Hmac(hmac) => &hmac.content,
            Self::Rsa(_) => &[Piece::Body],
            Self::Adyen(_) | Self::Braintree | Self::PayPal(_) | Self::SharedSecret(_) | Self::Oidc(_) => &[],
        }
    }
}

impl PayPal {
    /// The address of all certificates; the name of one follows.
    pub fn certificates_url(&self) -> &'static str {
        if self.sandbox { paypal::SANDBOX } else { paypal::LIVE }
    }
}

impl Hash {
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}
