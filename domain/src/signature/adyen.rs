//! Adyen's standard notifications: each item of a request carries an HMAC-SHA256 of eight of its own
//! fields, joined by `:` without escaping, an absent one being empty.
//!
//! Every item must hold: one that does not makes the whole request wrong. Fields are read by their
//! exact names, as the fold reads them: a field under another spelling is no field, so what is
//! folded is what was signed. A field that stands twice, or is no text, whole number or boolean, is
//! malformed. Since nothing is escaped, a colon could move the border between two fields: only the
//! merchant's reference may hold one, which leaves a single way to read what was signed. Everything
//! else of an item (`eventDate`, `reason`, `paymentMethod`, `live` …) is *not* covered.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use compact_str::CompactString;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use subtle::ConstantTimeEq as _;

use super::key::MAC_BYTES_MAX;
use super::scheme::{Adyen, AdyenBody};
use super::secrets::{Key, SecretSet};
use super::{Cause, form};
use crate::provider::ITEMS_MAX;

/// Bytes of an HMAC-SHA256.
const MAC_BYTES: usize = 32;
/// Names of a form's fields, in the order in which they are signed, and that of the signature.
const FORM_FIELDS: [&str; 9] = [
    "pspReference",
    "originalReference",
    "merchantAccountCode",
    "merchantReference",
    "value",
    "currency",
    "eventCode",
    "success",
    "additionalData.hmacSignature",
];

/// The place of the one field that a merchant writes freely, colons included.
const MERCHANT_REFERENCE: usize = 3;

/// The signed fields of one item, in their order.
pub(super) type Fields<'a> = [Cow<'a, [u8]>; 8];

/// The signed fields of an item, and its signature if it has one.
pub(super) type SignedItem<'a> = (Fields<'a>, Option<Cow<'a, [u8]>>);

/// Judges all items; gives the id of the key that the first of them fits.
pub(super) fn judge(scheme: &Adyen, secrets: &SecretSet, body: &[u8]) -> Result<CompactString, Cause> {
    let items = match scheme.body {
        AdyenBody::Json => json_items(body)?,
        AdyenBody::Form => vec![form_item(body)?],
    };
    let mut decoded = Vec::with_capacity(items.len());
    for (fields, signature) in items {
        let signature = signature.filter(|text| !text.is_empty()).ok_or(Cause::Missing)?;
        let mut others = fields.iter().enumerate().filter(|(at, _)| *at != MERCHANT_REFERENCE);
        if others.any(|(_, field)| field.contains(&b':')) {
            return Err(Cause::Malformed);
        }
        let mut bytes = [0; MAC_BYTES];
        match BASE64.decode_slice(&*signature, &mut bytes) {
            Ok(MAC_BYTES) => decoded.push((fields, bytes)),
            _ => return Err(Cause::Malformed),
        }
    }
    let (mut first, mut unfit) = (None, None);
    for (at, (fields, signature)) in (0_u32..).zip(&decoded) {
        match fitting(secrets, fields, signature) {
            Some(key) => first = first.or(Some(key)),
            None => unfit = unfit.or(Some(at)),
        }
    }
    match (first, unfit) {
        (Some(key), None) => Ok(key.id.clone()),
        (Some(_), Some(item)) => Err(Cause::WrongItem(item)),
        (None, Some(_)) => Err(Cause::Wrong),
        // A request without any item proves nothing.
        (None, None) => Err(Cause::Missing),
    }
}

fn fitting<'k>(secrets: &'k SecretSet, fields: &Fields<'_>, signature: &[u8]) -> Option<&'k Key> {
    let mut fitting = None;
    for key in secrets.keys() {
        let mut mac = [0; MAC_BYTES_MAX];
        let length = key.state.mac(content(fields), &mut mac);
        let fits = mac.get(..length).is_some_and(|mac| bool::from(signature.ct_eq(mac)));
        if fits && fitting.is_none() {
            fitting = Some(key);
        }
    }
    fitting
}

/// What is signed of an item.
pub(super) fn content<'p>(fields: &'p Fields<'_>) -> impl Iterator<Item = &'p [u8]> {
    let colon = |n: usize| if n == 0 { b"".as_slice() } else { b":" };
    fields.iter().enumerate().flat_map(move |(n, field)| [colon(n), &**field])
}

/// Fields and signature of the only item of a form.
pub(super) fn form_item(body: &[u8]) -> Result<SignedItem<'_>, Cause> {
    let [a, b, c, d, e, f, g, h, signature] = form::fields(body, FORM_FIELDS)?;
    Ok(([a, b, c, d, e, f, g, h].map(Option::unwrap_or_default), signature))
}

/// Fields and signature of every item of a JSON request.
pub(super) fn json_items(body: &[u8]) -> Result<Vec<SignedItem<'_>>, Cause> {
    let text = simdutf8::basic::from_utf8(body).map_err(|_| Cause::Malformed)?;
    let request: Request<'_> = serde_json::from_str(text).map_err(|_| Cause::Malformed)?;
    Ok(request.items.0.into_iter().map(|wrapped| wrapped.item.split()).collect())
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow, rename = "notificationItems")]
    items: Items<'a>,
}

/// At most [`ITEMS_MAX`] of them.
struct Items<'a>(Vec<Wrapped<'a>>);

#[derive(Deserialize)]
struct Wrapped<'a> {
    #[serde(borrow, rename = "NotificationRequestItem")]
    item: Item<'a>,
}

// A field that stands twice is refused by the derived reader.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    #[serde(borrow, default)]
    psp_reference: Scalar<'a>,
    #[serde(borrow, default)]
    original_reference: Scalar<'a>,
    #[serde(borrow, default)]
    merchant_account_code: Scalar<'a>,
    #[serde(borrow, default)]
    merchant_reference: Scalar<'a>,
    #[serde(borrow, default)]
    amount: Option<Amount<'a>>,
    #[serde(borrow, default)]
    event_code: Scalar<'a>,
    #[serde(borrow, default)]
    success: Scalar<'a>,
    #[serde(borrow, default)]
    additional_data: Option<Additional<'a>>,
}

#[derive(Default, Deserialize)]
struct Amount<'a> {
    #[serde(borrow, default)]
    value: Scalar<'a>,
    #[serde(borrow, default)]
    currency: Scalar<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Additional<'a> {
    #[serde(borrow, default)]
    hmac_signature: Scalar<'a>,
}

/// Text, a whole number or a boolean as text; nothing and `null` are empty.
#[derive(Default)]
struct Scalar<'a>(Cow<'a, str>);

impl<'a> Item<'a> {
    fn split(self) -> SignedItem<'a> {
        let amount = self.amount.unwrap_or_default();
        let fields = [
            self.psp_reference,
            self.original_reference,
            self.merchant_account_code,
            self.merchant_reference,
            amount.value,
            amount.currency,
            self.event_code,
            self.success,
        ];
        (fields.map(Scalar::bytes), self.additional_data.map(|additional| additional.hmac_signature.bytes()))
    }
}

impl<'a> Scalar<'a> {
    fn bytes(self) -> Cow<'a, [u8]> {
        match self.0 {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Scalar<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, a whole number, true, false or null")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Scalar<'de>, E> {
                Ok(Scalar(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Scalar<'de>, E> {
                Ok(Scalar(Cow::Owned(text.to_owned())))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Scalar<'de>, E> {
                Ok(Scalar(Cow::Owned(number.to_string())))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Scalar<'de>, E> {
                Ok(Scalar(Cow::Owned(number.to_string())))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Scalar<'de>, E> {
                Ok(Scalar(Cow::Borrowed(if value { "true" } else { "false" })))
            }

            fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
                Ok(Scalar::default())
            }
        }
        json.deserialize_any(Read)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Items<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of items")
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Items<'de>, S::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    if items.len() == ITEMS_MAX {
                        return Err(S::Error::custom("too many items"));
                    }
                    items.push(item);
                }
                Ok(Items(items))
            }
        }
        json.deserialize_seq(Read)
    }
}
