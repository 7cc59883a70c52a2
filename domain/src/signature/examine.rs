//! Why a captured request was refused: what was read, what was signed, and which of the usual mistakes
//! explains it. For operators; nothing on the route of received events calls this.
//!
//! Promises: nothing of a secret, a signature or a body is in an [`Examination`], only names and
//! lengths. Each hypothesis changes one thing, and is judged whatever the age, so that a capture of
//! last week can still be explained.

use std::borrow::Cow;

use bytes::Bytes;
use compact_str::CompactString;
use secrecy::{ExposeSecret as _, SecretString};

use super::lookup::NamedKeys;
use super::reformat::{compact, pretty, spaced};
use super::scheme::{Encoding, Hash, Scheme};
use super::secrets::SecretSet;
use super::template::Piece;
use super::{Cause, adyen, form, key, oidc, paypal, read, verify};
use crate::error::Result;
use crate::request::RawRequest;

/// What was found out about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examination {
    /// The headers that the scheme reads, with the length of each value in bytes; `None` is absent.
    pub headers: Vec<(CompactString, Option<usize>)>,
    /// What the signature covers, part by part, with lengths in bytes. Empty when it covers nothing
    /// or the request cannot be read so far.
    pub signed: Vec<(String, usize)>,
    /// The id of the key that fits, or why none does.
    pub verdict: Result<CompactString, Cause>,
    /// What was tried when the verdict is against it, and whether the request would hold then.
    pub hypotheses: Vec<Hypothesis>,
}

/// One change that might explain a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hypothesis {
    /// What was changed.
    pub change: &'static str,
    /// What to do if it fits.
    pub fix: &'static str,
    /// Whether the request holds with it.
    pub fits: bool,
}

/// Judges a request as [`verify`] does, and looks further when it does not hold. Errors are those of
/// [`SecretSet::new`].
pub fn examine(
    scheme: &Scheme,
    secrets: &[SecretString],
    named: NamedKeys,
    raw: RawRequest<'_>,
) -> Result<Examination> {
    let set = SecretSet::new(scheme, secrets.iter().cloned())?.with_named_keys(named);
    let verdict = verify(scheme, &set, raw).map(|verified| CompactString::from(verified.key_id()));
    let mut trial = Trial { scheme: scheme.at_any_age(), secrets, set: &set, raw, hypotheses: Vec::new() };
    match verdict {
        Ok(_) | Err(Cause::Missing) => {}
        Err(Cause::TooOld | Cause::InFuture) => trial.ages(),
        Err(Cause::WrongClaims | Cause::KeyComing) => {}
        Err(Cause::Malformed | Cause::Wrong | Cause::WrongItem(_) | Cause::UnknownKey) => {
            trial.bodies();
            trial.addresses();
            trial.keys();
            trial.encodings();
        }
    }
    let hypotheses = trial.hypotheses;
    Ok(Examination { headers: headers(scheme, raw), signed: signed(scheme, raw), verdict, hypotheses })
}

struct Trial<'t> {
    scheme: Scheme,
    secrets: &'t [SecretString],
    set: &'t SecretSet,
    raw: RawRequest<'t>,
    hypotheses: Vec<Hypothesis>,
}

impl Trial<'_> {
    fn note(&mut self, change: &'static str, fix: &'static str, fits: bool) {
        self.hypotheses.push(Hypothesis { change, fix, fits });
    }

    fn ages(&mut self) {
        let fits = verify(&self.scheme, self.set, self.raw).is_ok();
        let fix = "the signature is good: check the clocks, or judge it at the time when it was received";
        self.note("the age is ignored", fix, fits);
    }

    fn bodies(&mut self) {
        let body = self.raw.body;
        let rewritten = "something rewrote the JSON on the way: verify the bytes as they arrive";
        let ending = "something changed the end of the body on the way, or the capture did";
        let lines = "something changed line ends on the way, or the capture did";
        let variants: [(&'static str, &'static str, Option<Vec<u8>>); 8] = [
            ("a trailing line break is removed", ending, trimmed(body)),
            ("a trailing line break is added", ending, Some([body.as_ref(), b"\n"].concat())),
            ("CRLF becomes LF", lines, replaced(body, b"\r\n", b"\n")),
            ("LF becomes CRLF", lines, replaced(body, b"\n", b"\r\n")),
            ("the JSON is written compactly", rewritten, compact(body)),
            ("the JSON is written with a space behind commas and colons", rewritten, spaced(body)),
            ("the JSON is indented by 2", rewritten, pretty(body, 2)),
            ("the JSON is indented by 4", rewritten, pretty(body, 4)),
        ];
        for (change, fix, variant) in variants {
            if let Some(variant) = variant.filter(|variant| variant != body.as_ref()) {
                let body = Bytes::from(variant);
                let fits = verify(&self.scheme, self.set, RawRequest { body: &body, ..self.raw }).is_ok();
                self.note(change, fix, fits);
            }
        }
    }

    fn addresses(&mut self) {
        let Some(url) = self.scheme.url().map(ToOwned::to_owned) else { return };
        let other_protocol = match url.strip_prefix("https://") {
            Some(rest) => format!("http://{rest}"),
            None => url.replacen("http://", "https://", 1),
        };
        let slash = url.strip_suffix('/').map_or_else(|| format!("{url}/"), ToOwned::to_owned);
        let query = url.split('?').next().unwrap_or_default().to_owned();
        let fix = "set the source's `url` to the address as it is entered at the provider";
        for (change, variant) in [
            ("the address has http and https exchanged", other_protocol),
            ("the address has a slash more or less at its end", slash),
            ("the address has no query", query),
            ("the address is in lower case", url.to_ascii_lowercase()),
        ] {
            if let Ok(scheme) = self.scheme.with_url(&variant)
                && variant != url
            {
                let fits = verify(&scheme, self.set, self.raw).is_ok();
                self.note(change, fix, fits);
            }
        }
    }

    fn keys(&mut self) {
        let hash = match &self.scheme {
            Scheme::TimestampedList(list) => list.hash,
            Scheme::Hmac(hmac) => hmac.hash,
            Scheme::StandardWebhooks(_) | Scheme::Adyen(_) => Hash::Sha256,
            Scheme::Braintree | Scheme::Rsa(_) | Scheme::PayPal(_) | Scheme::SharedSecret(_) | Scheme::Oidc(_) => {
                return;
            }
        };
        type Reading = fn(&str) -> Option<Vec<u8>>;
        let fix = "the secret is right and is read in another way than the sender's: correct `key` or the secret";
        let stray = "the sender's secret has a stray character: enter it anew there";
        let readings: [(&'static str, &'static str, Reading); 7] = [
            ("the secret is taken as plain text", fix, |text| Some(text.as_bytes().to_vec())),
            ("the secret is taken as hex", fix, |text| hex::decode(text).ok()),
            ("the secret is taken as base64", fix, from_base64),
            ("the secret is plain text without its prefix", fix, |text| Some(bare(text)?.as_bytes().to_vec())),
            ("the secret is base64 without its prefix", fix, |text| from_base64(bare(text)?)),
            ("the secret has a line break at its end", stray, |text| Some(format!("{text}\n").into_bytes())),
            ("the secret has a space at its end", stray, |text| Some(format!("{text} ").into_bytes())),
        ];
        for (change, fix, reading) in readings {
            let keys = self.secrets.iter().filter_map(|secret| reading(secret.expose_secret()));
            if let Some(set) = SecretSet::of_keys(hash, keys) {
                let fits = verify(&self.scheme, &set, self.raw).is_ok();
                self.note(change, fix, fits);
            }
        }
    }

    fn encodings(&mut self) {
        let Scheme::Hmac(hmac) = &self.scheme else { return };
        let mut other = hmac.clone();
        other.encoding = match hmac.encoding {
            Encoding::Hex => Encoding::Base64,
            Encoding::Base64 => Encoding::Hex,
        };
        let mut bare = hmac.clone();
        bare.prefix.clear();
        let had_prefix = !hmac.prefix.is_empty();
        let fits = |scheme| verify(&Scheme::Hmac(scheme), self.set, self.raw).is_ok();
        let (other, bare) = (fits(other), fits(bare));
        self.note("the signature is in the other of hex and base64", "correct `encoding` in the provider file", other);
        if had_prefix {
            self.note("the signature has no prefix", "set `prefix_optional = true` in the provider file", bare);
        }
    }
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    key::LENIENT_BASE64.decode(text).ok()
}

/// What stands behind a prefix such as `whsec_`.
fn bare(text: &str) -> Option<&str> {
    text.split_once('_').map(|(_, rest)| rest).filter(|rest| !rest.is_empty())
}

fn trimmed(body: &[u8]) -> Option<Vec<u8>> {
    let shorter = body.strip_suffix(b"\n")?;
    Some(shorter.strip_suffix(b"\r").unwrap_or(shorter).to_vec())
}

fn replaced(body: &[u8], from: &[u8], to: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(at) = memchr::memmem::find(rest, from) {
        let (before, after) = rest.split_at_checked(at)?;
        out.extend_from_slice(before);
        out.extend_from_slice(to);
        rest = after.get(from.len()..)?;
    }
    out.extend_from_slice(rest);
    Some(out)
}

/// The headers that the scheme reads, and how long they are here.
fn headers(scheme: &Scheme, raw: RawRequest<'_>) -> Vec<(CompactString, Option<usize>)> {
    let mut names: Vec<CompactString> = Vec::new();
    match scheme {
        Scheme::TimestampedList(list) => names.push(list.header.clone()),
        Scheme::StandardWebhooks(_) => names.extend(read::standard_names(raw.headers).map(CompactString::from)),
        Scheme::Hmac(hmac) => {
            names.push(hmac.header.clone());
            names.extend(hmac.id_header.clone());
            names.extend(hmac.time.as_ref().map(|time| time.header.clone()));
            names.extend(hmac.content.iter().filter_map(|piece| match piece {
                Piece::Header(name) => Some(name.clone()),
                _ => None,
            }));
        }
        Scheme::Rsa(rsa) => names.push(rsa.header.clone()),
        Scheme::PayPal(_) => names.extend(paypal::NAMES.map(CompactString::const_new)),
        Scheme::SharedSecret(shared) => names.push(shared.header.clone()),
        Scheme::Oidc(_) => names.push(CompactString::const_new(oidc::HEADER)),
        Scheme::Adyen(_) | Scheme::Braintree => {}
    }
    names.into_iter().map(|name| (name.clone(), raw.headers.get(&name).map(<[u8]>::len))).collect()
}

/// What is signed, with lengths.
fn signed(scheme: &Scheme, raw: RawRequest<'_>) -> Vec<(String, usize)> {
    let claim = match scheme {
        Scheme::TimestampedList(list) => read::list_claim(list, raw.headers),
        Scheme::StandardWebhooks(standard) => read::standard_claim(standard, raw.headers),
        Scheme::Hmac(hmac) => read::hmac_claim(hmac, raw.headers, scheme.url()),
        Scheme::Rsa(_) => return vec![("body".to_owned(), raw.body.len())],
        Scheme::Adyen(adyen) => return adyen_signed(adyen, raw.body),
        Scheme::Braintree => {
            let payload = form::fields(raw.body, ["bt_payload"]).ok().and_then(|[payload]| payload);
            return payload.map(|payload| ("bt_payload".to_owned(), payload.len())).into_iter().collect();
        }
        Scheme::PayPal(_) => {
            let length = |name: &str| raw.headers.get(name).map_or(0, <[u8]>::len);
            let [id, time, ..] = paypal::NAMES;
            return vec![("transmission id".to_owned(), length(id)), ("transmission time".to_owned(), length(time))];
        }
        Scheme::SharedSecret(_) | Scheme::Oidc(_) => return Vec::new(),
    };
    let Ok(claim) = claim else { return Vec::new() };
    let named = scheme.content().iter().map(|piece| match piece {
        Piece::Text(text) => format!("{text:?}"),
        Piece::Id => "id".to_owned(),
        Piece::Timestamp => "timestamp".to_owned(),
        Piece::Body => "body".to_owned(),
        Piece::Url => "url".to_owned(),
        Piece::Header(name) => format!("header {name}"),
    });
    named.zip(claim.parts(scheme.content(), raw.body).map(<[u8]>::len)).collect()
}

fn adyen_signed(scheme: &super::Adyen, body: &[u8]) -> Vec<(String, usize)> {
    let items: Vec<[Cow<'_, [u8]>; 8]> = match scheme.body {
        super::scheme::AdyenBody::Json => {
            adyen::json_items(body).map(|items| items.into_iter().map(|(fields, _)| fields).collect())
        }
        super::scheme::AdyenBody::Form => adyen::form_item(body).map(|(fields, _)| vec![fields]),
    }
    .unwrap_or_default();
    let length = |fields: &[Cow<'_, [u8]>; 8]| adyen::content(fields).map(<[u8]>::len).sum();
    items.iter().enumerate().map(|(at, fields)| (format!("item {at}: 8 fields and 7 colons"), length(fields))).collect()
}
