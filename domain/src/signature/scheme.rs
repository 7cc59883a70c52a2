//! How one provider signs: the schemes with their parameters, as the `[signature]` table of a
//! provider file states them.
//!
//! A scheme that exists is valid: its tables are checked while they are read, unknown keys are
//! refused, and messages name the key and the fix. Units: tolerances are whole seconds.

use compact_str::CompactString;
use serde::Deserialize;

use super::TOLERANCE_SECONDS_DEFAULT;
use super::template::{self, BODY, ID_TIMESTAMP_BODY, Piece, TIMESTAMP_BODY};
use crate::error::{Error, Result};

/// Longest header name in settings, in bytes.
const HEADER_NAME_BYTES_MAX: usize = 128;
/// Longest prefix of a signature, in bytes.
const PREFIX_BYTES_MAX: usize = 64;

/// How a provider signs. Read from a table whose key `scheme` names the variant.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "scheme")]
pub enum Scheme {
    /// `t=<unix seconds>,v1=<hex>` in one header, over `{timestamp}.{body}`
    /// (<https://docs.stripe.com/webhooks#verify-manually>).
    #[serde(rename = "stripe")]
    Stripe(Stripe),
    /// Symmetric signatures (`v1`) of <https://www.standardwebhooks.com>, over
    /// `{id}.{timestamp}.{body}`; Svix header names are the same scheme.
    #[serde(rename = "standard-webhooks")]
    StandardWebhooks(StandardWebhooks),
    /// A signature of the body alone, as GitHub sends it. It signs no time: a request can be
    /// repeated for ever, and only the event's id tells.
    #[serde(rename = "body-hmac")]
    BodyHmac(BodyHmac),
    /// Any other HMAC: a content template, the headers its parts stand in, and the key's encoding.
    #[serde(rename = "hmac")]
    Hmac(GenericHmac),
}

/// How far the signed time may be from the time of receipt, in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tolerance {
    /// At most so many seconds; never 0.
    Seconds(u32),
    /// Any age: `accept_any_age = true` was written down.
    AnyAge,
}

/// Parameters of [`Scheme::Stripe`].
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "StripeTable")]
pub struct Stripe {
    pub(super) header: CompactString,
    pub(super) tolerance: Tolerance,
}

/// Parameters of [`Scheme::StandardWebhooks`].
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "StandardWebhooksTable")]
pub struct StandardWebhooks {
    pub(super) tolerance: Tolerance,
}

/// Parameters of [`Scheme::BodyHmac`].
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "BodyHmacTable")]
pub struct BodyHmac {
    pub(super) header: CompactString,
    pub(super) prefix: String,
    pub(super) hash: Hash,
    pub(super) encoding: Encoding,
}

/// Parameters of [`Scheme::Hmac`].
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "GenericHmacTable")]
pub struct GenericHmac {
    pub(super) header: CompactString,
    pub(super) prefix: String,
    pub(super) hash: Hash,
    pub(super) encoding: Encoding,
    pub(super) content: Vec<Piece>,
    /// Set exactly when the content holds the id.
    pub(super) id_header: Option<CompactString>,
    /// Set exactly when the content holds the time, with the tolerance.
    pub(super) time: Option<(CompactString, Tolerance)>,
    pub(super) key: KeyText,
}

/// The hash inside the HMAC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Hash {
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

/// How a secret's text stands for the key's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum KeyText {
    /// The text's own bytes.
    #[default]
    Utf8,
    Base64,
    Hex,
    /// Base64, with or without `whsec_` in front.
    #[serde(skip)]
    Whsec,
}

impl Scheme {
    /// The scheme's name in a provider file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stripe(_) => "stripe",
            Self::StandardWebhooks(_) => "standard-webhooks",
            Self::BodyHmac(_) => "body-hmac",
            Self::Hmac(_) => "hmac",
        }
    }

    /// How far the signed time may be off; `None` when the scheme signs no time.
    pub fn tolerance(&self) -> Option<Tolerance> {
        match self {
            Self::Stripe(Stripe { tolerance, .. }) | Self::StandardWebhooks(StandardWebhooks { tolerance }) => {
                Some(*tolerance)
            }
            Self::BodyHmac(_) => None,
            Self::Hmac(hmac) => hmac.time.as_ref().map(|(_, tolerance)| *tolerance),
        }
    }

    /// The same scheme with another tolerance: a source's own setting. Errors are
    /// [`Invalid`](crate::ErrorKind::Invalid): 0 seconds, or a scheme that signs no time.
    pub fn with_tolerance(&self, tolerance_seconds: u32) -> Result<Self> {
        let tolerance = tolerance_of(Some(tolerance_seconds), false)?;
        let mut scheme = self.clone();
        let place = match &mut scheme {
            Self::Stripe(stripe) => Some(&mut stripe.tolerance),
            Self::StandardWebhooks(standard) => Some(&mut standard.tolerance),
            Self::BodyHmac(_) => None,
            Self::Hmac(hmac) => hmac.time.as_mut().map(|(_, tolerance)| tolerance),
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

    pub(super) fn content(&self) -> &[Piece] {
        match self {
            Self::Stripe(_) => &TIMESTAMP_BODY,
            Self::StandardWebhooks(_) => &ID_TIMESTAMP_BODY,
            Self::BodyHmac(_) => &BODY,
            Self::Hmac(hmac) => &hmac.content,
        }
    }

    pub(super) fn hash(&self) -> Hash {
        match self {
            Self::Stripe(_) | Self::StandardWebhooks(_) => Hash::Sha256,
            Self::BodyHmac(BodyHmac { hash, .. }) | Self::Hmac(GenericHmac { hash, .. }) => *hash,
        }
    }

    pub(super) fn key_text(&self) -> KeyText {
        match self {
            // Stripe's key is the whole `whsec_…` text.
            Self::Stripe(_) | Self::BodyHmac(_) => KeyText::Utf8,
            Self::StandardWebhooks(_) => KeyText::Whsec,
            Self::Hmac(hmac) => hmac.key,
        }
    }
}

impl Hash {
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StripeTable {
    header: Option<String>,
    tolerance_seconds: Option<u32>,
    #[serde(default)]
    accept_any_age: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StandardWebhooksTable {
    tolerance_seconds: Option<u32>,
    #[serde(default)]
    accept_any_age: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BodyHmacTable {
    header: String,
    prefix: Option<String>,
    #[serde(default)]
    hash: Hash,
    #[serde(default)]
    encoding: Encoding,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GenericHmacTable {
    header: String,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    hash: Hash,
    #[serde(default)]
    encoding: Encoding,
    content: Option<String>,
    id_header: Option<String>,
    timestamp_header: Option<String>,
    tolerance_seconds: Option<u32>,
    #[serde(default)]
    accept_any_age: bool,
    #[serde(default)]
    key: KeyText,
}

impl TryFrom<StripeTable> for Stripe {
    type Error = Error;
    fn try_from(table: StripeTable) -> Result<Self> {
        Ok(Self {
            header: header_name("header", table.header.as_deref().unwrap_or("stripe-signature"))?,
            tolerance: tolerance_of(table.tolerance_seconds, table.accept_any_age)?,
        })
    }
}

impl TryFrom<StandardWebhooksTable> for StandardWebhooks {
    type Error = Error;
    fn try_from(table: StandardWebhooksTable) -> Result<Self> {
        Ok(Self { tolerance: tolerance_of(table.tolerance_seconds, table.accept_any_age)? })
    }
}

impl TryFrom<BodyHmacTable> for BodyHmac {
    type Error = Error;
    fn try_from(table: BodyHmacTable) -> Result<Self> {
        // GitHub's style names the hash in front of the signature.
        let named = match table.hash {
            Hash::Sha256 => "sha256=",
            Hash::Sha512 => "sha512=",
        };
        Ok(Self {
            header: header_name("header", &table.header)?,
            prefix: prefix(table.prefix.unwrap_or_else(|| named.to_owned()))?,
            hash: table.hash,
            encoding: table.encoding,
        })
    }
}

impl TryFrom<GenericHmacTable> for GenericHmac {
    type Error = Error;
    fn try_from(table: GenericHmacTable) -> Result<Self> {
        let content = template::parse(table.content.as_deref().unwrap_or("{id}.{timestamp}.{body}"))?;
        let part =
            |piece: Piece, name: &str, key: &str, header: &Option<String>| match (content.contains(&piece), header) {
                (true, Some(header)) => header_name(key, header).map(Some),
                (false, None) => Ok(None),
                (true, None) => {
                    Err(Error::invalid(format!("read `{key}`: `content` signs {name}, so say which header holds it")))
                }
                // A value that nobody signed would look like evidence.
                (false, Some(_)) => Err(Error::invalid(format!(
                    "read `{key}`: `content` does not sign {name}; add it there or remove the key"
                ))),
            };
        let id_header = part(Piece::Id, "{id}", "id_header", &table.id_header)?;
        let timestamp_header = part(Piece::Timestamp, "{timestamp}", "timestamp_header", &table.timestamp_header)?;
        let time = match timestamp_header {
            Some(header) => Some((header, tolerance_of(table.tolerance_seconds, table.accept_any_age)?)),
            None if table.tolerance_seconds.is_some() || table.accept_any_age => {
                return Err(Error::invalid(
                    "read `tolerance_seconds`: `content` signs no {timestamp}, so there is no age to check; remove the key",
                ));
            }
            None => None,
        };
        Ok(Self {
            header: header_name("header", &table.header)?,
            prefix: prefix(table.prefix)?,
            hash: table.hash,
            encoding: table.encoding,
            content,
            id_header,
            time,
            key: table.key,
        })
    }
}

/// 0 is not "off" here: an age check that is off must be written down as such (I2).
fn tolerance_of(seconds: Option<u32>, accept_any_age: bool) -> Result<Tolerance> {
    match (seconds, accept_any_age) {
        (None, false) => Ok(Tolerance::Seconds(TOLERANCE_SECONDS_DEFAULT)),
        (Some(0), false) => Err(Error::invalid(
            "read `tolerance_seconds`: 0 would refuse everything or check nothing; give seconds (300 is usual), \
             or write `accept_any_age = true` instead to accept requests of any age",
        )),
        (Some(seconds), false) => Ok(Tolerance::Seconds(seconds)),
        (None | Some(0), true) => Ok(Tolerance::AnyAge),
        (Some(_), true) => {
            Err(Error::invalid("read `accept_any_age`: it contradicts `tolerance_seconds`; keep one of the two"))
        }
    }
}

/// A header's name in lower case, as [`crate::request::Headers`] wants it.
fn header_name(key: &str, name: &str) -> Result<CompactString> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if name.is_empty() || name.len() > HEADER_NAME_BYTES_MAX || !name.bytes().all(token) {
        return Err(Error::invalid(format!(
            "read `{key}`: {name:?} is no header name: use 1 to {HEADER_NAME_BYTES_MAX} letters, digits, '-' and '_'"
        )));
    }
    Ok(CompactString::from(name.to_ascii_lowercase()))
}

fn prefix(prefix: String) -> Result<String> {
    let visible = prefix.bytes().all(|b| (b' '..=b'~').contains(&b));
    if !visible || prefix.len() > PREFIX_BYTES_MAX {
        return Err(Error::invalid(format!(
            "read `prefix`: use at most {PREFIX_BYTES_MAX} characters of visible ASCII, such as \"sha256=\""
        )));
    }
    Ok(prefix)
}
