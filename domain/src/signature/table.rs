//! The `[signature]` table as it is written, and its check. Unknown keys are refused; every message
//! names the key and the fix.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::Deserialize;

use super::scheme::{
    Adyen, AdyenBody, Encoding, GenericHmac, Hash, KeyText, Oidc, PayPal, RsaBody, Scheme, SecretForm, SharedSecret,
    StandardWebhooks, TimeHeader, TimeUnit, TimestampedList, Tolerance,
};
use super::template::{self, HEADERS_MAX, Piece};
use super::{TOLERANCE_SECONDS_DEFAULT, URL_BYTES_MAX};
use crate::error::{Error, Result};

/// Longest header name in settings, in bytes.
const HEADER_NAME_BYTES_MAX: usize = 128;
/// Most claims that a token must have.
const CLAIMS_MAX: usize = 16;
/// How far clocks may be apart, where the settings say nothing: a token has its own age limit.
const TOKEN_TOLERANCE_SECONDS: u32 = 60;
/// Longest prefix of a signature or key of a list, in bytes.
const PREFIX_BYTES_MAX: usize = 64;

#[derive(Deserialize)]
#[serde(tag = "scheme", rename_all = "kebab-case")]
pub(super) enum SchemeTable {
    Stripe(StripeTable),
    TimestampedList(TimestampedListTable),
    StandardWebhooks(StandardWebhooksTable),
    BodyHmac(BodyHmacTable),
    Hmac(GenericHmacTable),
    Adyen(AdyenTable),
    Braintree(NoParameters),
    RsaSha256(RsaTable),
    #[serde(rename = "paypal")]
    PayPal(PayPalTable),
    Bearer(NoParameters),
    Basic(NoParameters),
    SharedSecret(SharedSecretTable),
    Oidc(OidcTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoParameters {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StripeTable {
    header: Option<String>,
    tolerance_seconds: Option<u32>,
    #[serde(default)]
    accept_any_age: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TimestampedListTable {
    header: String,
    separator: String,
    timestamp_key: String,
    signature_key: String,
    content: String,
    #[serde(default)]
    hash: Hash,
    tolerance_seconds: Option<u32>,
    #[serde(default)]
    accept_any_age: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StandardWebhooksTable {
    tolerance_seconds: Option<u32>,
    #[serde(default)]
    accept_any_age: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BodyHmacTable {
    header: String,
    prefix: Option<String>,
    #[serde(default)]
    hash: Hash,
    #[serde(default)]
    encoding: Encoding,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GenericHmacTable {
    header: String,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    prefix_optional: bool,
    #[serde(default)]
    hash: Hash,
    #[serde(default)]
    encoding: Encoding,
    content: Option<String>,
    id_header: Option<String>,
    timestamp_header: Option<String>,
    timestamp_unit: Option<TimeUnit>,
    tolerance_seconds: Option<u32>,
    #[serde(default)]
    accept_any_age: bool,
    #[serde(default)]
    key: KeyText,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AdyenTable {
    #[serde(default)]
    body: AdyenBody,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RsaTable {
    header: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PayPalTable {
    #[serde(default)]
    sandbox: bool,
    tolerance_seconds: Option<u32>,
    #[serde(default)]
    accept_any_age: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SharedSecretTable {
    header: String,
    #[serde(default)]
    prefix: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OidcTable {
    issuer: String,
    audience: String,
    jwks_url: Option<String>,
    subject: Option<String>,
    email: Option<String>,
    #[serde(default)]
    claims: BTreeMap<String, String>,
    tolerance_seconds: Option<u32>,
}

impl TryFrom<SchemeTable> for Scheme {
    type Error = Error;
    fn try_from(table: SchemeTable) -> Result<Self> {
        let authorization = |name, form| SharedSecret { name, header: CompactString::const_new("authorization"), form };
        Ok(match table {
            SchemeTable::Stripe(table) => Self::TimestampedList(table.read()?),
            SchemeTable::TimestampedList(table) => Self::TimestampedList(table.read()?),
            SchemeTable::StandardWebhooks(table) => Self::StandardWebhooks(StandardWebhooks {
                tolerance: tolerance_of(table.tolerance_seconds, table.accept_any_age)?,
            }),
            SchemeTable::BodyHmac(table) => Self::Hmac(table.read()?),
            SchemeTable::Hmac(table) => Self::Hmac(table.read()?),
            SchemeTable::Adyen(table) => Self::Adyen(Adyen { body: table.body }),
            SchemeTable::Braintree(_) => Self::Braintree,
            SchemeTable::RsaSha256(table) => Self::Rsa(RsaBody { header: header_name("header", &table.header)? }),
            SchemeTable::PayPal(table) => Self::PayPal(table.read()?),
            SchemeTable::Bearer(_) => Self::SharedSecret(authorization("bearer", SecretForm::Bearer)),
            SchemeTable::Basic(_) => Self::SharedSecret(authorization("basic", SecretForm::Basic)),
            SchemeTable::Oidc(table) => Self::Oidc(Box::new(table.read()?)),
            SchemeTable::SharedSecret(table) => Self::SharedSecret(SharedSecret {
                name: "shared-secret",
                header: header_name("header", &table.header)?,
                form: SecretForm::Plain(short_text("prefix", table.prefix)?),
            }),
        })
    }
}

impl StripeTable {
    fn read(self) -> Result<TimestampedList> {
        Ok(TimestampedList {
            name: "stripe",
            header: header_name("header", self.header.as_deref().unwrap_or("stripe-signature"))?,
            separator: ',',
            timestamp_key: CompactString::const_new("t"),
            signature_key: CompactString::const_new("v1"),
            content: template::parse("{timestamp}.{body}")?,
            hash: Hash::Sha256,
            tolerance: tolerance_of(self.tolerance_seconds, self.accept_any_age)?,
        })
    }
}

impl TimestampedListTable {
    fn read(self) -> Result<TimestampedList> {
        let content = template::parse(&self.content)?;
        let known = |piece: &Piece| matches!(piece, Piece::Text(_) | Piece::Timestamp | Piece::Body);
        if !content.iter().all(known) || !content.contains(&Piece::Timestamp) {
            return Err(Error::invalid(
                "read `content`: a timestamped list signs {timestamp} and {body}, and nothing else; use both",
            ));
        }
        let mut letters = self.separator.chars();
        let separator = match (letters.next(), letters.next()) {
            (Some(one @ (',' | ';' | ' ' | '&' | '|')), None) => one,
            _ => return Err(Error::invalid("read `separator`: use one of \",\", \";\", \" \", \"&\" and \"|\"")),
        };
        let (timestamp_key, signature_key) =
            (list_key("timestamp_key", &self.timestamp_key)?, list_key("signature_key", &self.signature_key)?);
        if timestamp_key == signature_key {
            return Err(Error::invalid("read `signature_key`: it must differ from `timestamp_key`"));
        }
        Ok(TimestampedList {
            name: "timestamped-list",
            header: header_name("header", &self.header)?,
            separator,
            timestamp_key,
            signature_key,
            content,
            hash: self.hash,
            tolerance: tolerance_of(self.tolerance_seconds, self.accept_any_age)?,
        })
    }
}

impl PayPalTable {
    fn read(self) -> Result<PayPal> {
        // PayPal sends again for days, and says nowhere whether it signs again.
        if self.tolerance_seconds.is_none() && !self.accept_any_age {
            return Err(Error::invalid(
                "read `tolerance_seconds`: say how old a transmission may be, or write `accept_any_age = true`",
            ));
        }
        let tolerance = tolerance_of(self.tolerance_seconds, self.accept_any_age)?;
        Ok(PayPal { sandbox: self.sandbox, tolerance })
    }
}

impl OidcTable {
    fn read(mut self) -> Result<Oidc> {
        for (key, url) in [("issuer", Some(&self.issuer)), ("jwks_url", self.jwks_url.as_ref())] {
            let Some(url) = url else { continue };
            let visible = url.bytes().all(|b| (b'!'..=b'~').contains(&b)) && url.len() <= URL_BYTES_MAX;
            let host = url.strip_prefix("https://").is_some_and(|rest| !rest.is_empty() && !rest.contains(['@', '#']));
            if !visible || !host {
                return Err(Error::invalid(format!(
                    "read `{key}`: give an address such as \"https://accounts.google.com\", https and visible ASCII"
                )));
            }
        }
        if self.audience.is_empty() {
            return Err(Error::invalid("read `audience`: say for whom tokens must be made out, usually this source"));
        }
        let named = [("sub", self.subject.take()), ("email", self.email.take())];
        for (claim, wanted) in named.into_iter().filter_map(|(claim, wanted)| Some((claim, wanted?))) {
            if claim == "email" {
                // An address that the issuer did not check is what the caller says it is.
                self.claims.insert("email_verified".to_owned(), "true".to_owned());
            }
            self.claims.insert(claim.to_owned(), wanted);
        }
        if self.claims.values().any(String::is_empty) || self.claims.len() > CLAIMS_MAX {
            return Err(Error::invalid(format!(
                "read `claims`: give at most {CLAIMS_MAX}, each with the text that it must be"
            )));
        }
        let tolerance = tolerance_of(Some(self.tolerance_seconds.unwrap_or(TOKEN_TOLERANCE_SECONDS)), false)?;
        let Self { issuer, audience, jwks_url, claims, .. } = self;
        Ok(Oidc { issuer, audience, jwks_url, claims, tolerance })
    }
}

impl BodyHmacTable {
    fn read(self) -> Result<GenericHmac> {
        // GitHub's style names the hash in front of the signature.
        let named = match self.hash {
            Hash::Sha1 => "sha1=",
            Hash::Sha256 => "sha256=",
            Hash::Sha512 => "sha512=",
        };
        Ok(GenericHmac {
            name: "body-hmac",
            header: header_name("header", &self.header)?,
            prefix: short_text("prefix", self.prefix.unwrap_or_else(|| named.to_owned()))?,
            prefix_optional: false,
            hash: self.hash,
            encoding: self.encoding,
            content: vec![Piece::Body],
            id_header: None,
            time: None,
            key: KeyText::Utf8,
            url: None,
        })
    }
}

impl GenericHmacTable {
    fn read(self) -> Result<GenericHmac> {
        let content = template::parse(self.content.as_deref().unwrap_or("{id}.{timestamp}.{body}"))?;
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
        let id_header = part(Piece::Id, "{id}", "id_header", &self.id_header)?;
        let timestamp_header = part(Piece::Timestamp, "{timestamp}", "timestamp_header", &self.timestamp_header)?;
        let timed = self.tolerance_seconds.is_some() || self.accept_any_age || self.timestamp_unit.is_some();
        let time = match timestamp_header {
            Some(header) => Some(TimeHeader {
                header,
                unit: self.timestamp_unit.unwrap_or_default(),
                tolerance: tolerance_of(self.tolerance_seconds, self.accept_any_age)?,
            }),
            None if timed => {
                return Err(Error::invalid(
                    "read `tolerance_seconds`: `content` signs no {timestamp}, so there is no age to check; remove the key",
                ));
            }
            None => None,
        };
        for piece in &content {
            if let Piece::Header(name) = piece {
                header_name("content", name)?;
            }
        }
        if content.iter().filter(|piece| matches!(piece, Piece::Header(_))).count() > HEADERS_MAX {
            return Err(Error::invalid(format!("read `content`: it names more than {HEADERS_MAX} headers")));
        }
        if self.prefix_optional && self.prefix.is_empty() {
            return Err(Error::invalid("read `prefix_optional`: there is no `prefix`; remove the key"));
        }
        Ok(GenericHmac {
            name: "hmac",
            header: header_name("header", &self.header)?,
            prefix: short_text("prefix", self.prefix)?,
            prefix_optional: self.prefix_optional,
            hash: self.hash,
            encoding: self.encoding,
            content,
            id_header,
            time,
            key: self.key,
            url: None,
        })
    }
}

/// 0 is not "off" here: an age check that is off must be written down as such (I2).
pub(super) fn tolerance_of(seconds: Option<u32>, accept_any_age: bool) -> Result<Tolerance> {
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

fn list_key(key: &str, text: &str) -> Result<CompactString> {
    if text.is_empty() || text.len() > PREFIX_BYTES_MAX || !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(Error::invalid(format!("read `{key}`: use 1 to {PREFIX_BYTES_MAX} letters and digits")));
    }
    Ok(text.into())
}

fn short_text(key: &str, text: String) -> Result<String> {
    let visible = text.bytes().all(|b| (b' '..=b'~').contains(&b));
    if !visible || text.len() > PREFIX_BYTES_MAX {
        return Err(Error::invalid(format!(
            "read `{key}`: use at most {PREFIX_BYTES_MAX} characters of visible ASCII, such as \"sha256=\""
        )));
    }
    Ok(text)
}
