//! The other side: what a sender would put on a request, or into it. For sending test events; nothing
//! in the route of received events signs anything but Braintree's challenge.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use ed25519_dalek::{Signer as _, SigningKey};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::key::{LENIENT_BASE64, MAC_BYTES_MAX, State};
use super::read::STANDARD_NAMES;
use super::scheme::{AdyenBody, Encoding, Scheme, SecretForm, TimeUnit};
use super::secrets::Key;
use super::template::Piece;
use super::{HEADER_BYTES_MAX, adyen, braintree, form};
use crate::error::{Error, Result};
use crate::time::UnixNanos;

/// Content type of a form.
const FORM: &str = "application/x-www-form-urlencoded";

/// A request as its provider would send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Headers, name in lower case and value.
    pub headers: Vec<(String, String)>,
    /// The body: as it was given, or with the signature in it.
    pub body: Bytes,
}

/// Headers (name in lower case, value) that make `body` pass [`verify`](super::verify) under `scheme`
/// and `secret`. `id` is used where the scheme signs one, `timestamp` (cut to the scheme's unit)
/// likewise. Errors are [`Invalid`](crate::ErrorKind::Invalid): a secret that the scheme cannot use or
/// that only verifies, an id that no header can hold, a time before 1970, a scheme whose signature
/// stands in the body ([`sign_request`] is for those) or whose address was not given.
pub fn sign(
    scheme: &Scheme,
    secret: &SecretString,
    id: &str,
    timestamp: UnixNanos,
    body: &[u8],
) -> Result<Vec<(String, String)>> {
    if scheme.signs_in_body() {
        return Err(Error::invalid(format!("sign headers: the signature of {} stands in the body", scheme.name())));
    }
    header_signature(scheme, secret, id, timestamp, body)
}

/// Signs a request, whatever its scheme. Where the signature stands in the body, the body is written
/// anew: Adyen's items get theirs in place of any other, and for Braintree a form is made of the
/// body's own `bt_payload`, or else of all of it. Errors are those of [`sign`], and a body that has
/// no such items.
pub fn sign_request(
    scheme: &Scheme,
    secret: &SecretString,
    id: &str,
    timestamp: UnixNanos,
    body: &Bytes,
) -> Result<Signed> {
    let form_type = || vec![("content-type".to_owned(), FORM.to_owned())];
    Ok(match scheme {
        Scheme::Adyen(adyen) if adyen.body == AdyenBody::Form => {
            Signed { headers: form_type(), body: adyen_form(&Key::new(scheme, secret)?, body)? }
        }
        Scheme::Adyen(_) => Signed { headers: Vec::new(), body: adyen_json(&Key::new(scheme, secret)?, body)? },
        Scheme::Braintree => Signed { headers: form_type(), body: braintree_form(&Key::new(scheme, secret)?, body) },
        _ => Signed { headers: header_signature(scheme, secret, id, timestamp, body)?, body: body.clone() },
    })
}

fn header_signature(
    scheme: &Scheme,
    secret: &SecretString,
    id: &str,
    timestamp: UnixNanos,
    body: &[u8],
) -> Result<Vec<(String, String)>> {
    let id_ok = (1..=HEADER_BYTES_MAX).contains(&id.len()) && id.bytes().all(|b| (b'!'..=b'~').contains(&b));
    if scheme.content().contains(&Piece::Id) && !id_ok {
        return Err(Error::invalid(format!(
            "sign an event: its id must be 1 to {HEADER_BYTES_MAX} characters of visible ASCII without spaces"
        )));
    }
    if timestamp.seconds() < 0 {
        return Err(Error::invalid("sign an event: the time must not be before 1970"));
    }
    if scheme.lacks_url() {
        return Err(Error::invalid("sign an event: the scheme signs the source's address; give its `url`"));
    }
    let time = match scheme {
        Scheme::Hmac(hmac) => written_time(timestamp, hmac.time.as_ref().map(|time| time.unit).unwrap_or_default()),
        _ => written_time(timestamp, TimeUnit::Seconds),
    };
    let content = || {
        scheme.content().iter().map(|piece| match piece {
            Piece::Text(text) => text.as_bytes(),
            Piece::Id => id.as_bytes(),
            Piece::Timestamp => time.as_bytes(),
            Piece::Body => body,
            Piece::Url => scheme.url().unwrap_or_default().as_bytes(),
            // What a sender writes into headers of its own cannot be known here: any value will do.
            Piece::Header(_) => OTHER_HEADER.as_bytes(),
        })
    };
    let mac = |encoding: Encoding| -> Result<String> {
        let key = Key::new(scheme, secret)?;
        let mut mac = [0; MAC_BYTES_MAX];
        let length = key.state.mac(content(), &mut mac);
        let mac = mac.get(..length).unwrap_or_default();
        if mac.is_empty() {
            return Err(Error::invalid("sign an event: the secret is a public key, which only verifies"));
        }
        Ok(match encoding {
            Encoding::Hex => hex::encode(mac),
            Encoding::Base64 => BASE64.encode(mac),
        })
    };
    let pair = |name: &str, value: String| (name.to_owned(), value);
    Ok(match scheme {
        Scheme::TimestampedList(list) => {
            let (at, by) = (&list.timestamp_key, &list.signature_key);
            vec![pair(&list.header, format!("{at}={time}{}{by}={}", list.separator, mac(Encoding::Hex)?))]
        }
        Scheme::StandardWebhooks(_) => {
            let signature = match secret.expose_secret().strip_prefix("whsk_") {
                Some(private) => {
                    let message: Vec<u8> = content().flatten().copied().collect();
                    format!("v1a,{}", BASE64.encode(signing_key(private)?.sign(&message).to_bytes()))
                }
                None => format!("v1,{}", mac(Encoding::Base64)?),
            };
            STANDARD_NAMES.into_iter().zip([id.to_owned(), time, signature]).map(|(n, v)| pair(n, v)).collect()
        }
        Scheme::Hmac(hmac) => {
            let mut headers = vec![pair(&hmac.header, format!("{}{}", hmac.prefix, mac(hmac.encoding)?))];
            headers.extend(hmac.id_header.as_ref().map(|name| pair(name, id.to_owned())));
            headers.extend(hmac.time.as_ref().map(|at| pair(&at.header, time.clone())));
            headers.extend(hmac.content.iter().filter_map(|piece| match piece {
                Piece::Header(name) => Some(pair(name, OTHER_HEADER.to_owned())),
                _ => None,
            }));
            headers
        }
        Scheme::SharedSecret(shared) => {
            // Checked like any other, so that what is sent can be accepted.
            Key::new(scheme, secret)?;
            let secret = secret.expose_secret();
            let value = match &shared.form {
                SecretForm::Plain(prefix) => format!("{prefix}{secret}"),
                SecretForm::Bearer => format!("Bearer {secret}"),
                SecretForm::Basic => format!("Basic {}", BASE64.encode(secret)),
            };
            vec![pair(&shared.header, value)]
        }
        Scheme::Adyen(_) | Scheme::Braintree | Scheme::Rsa(_) | Scheme::PayPal(_) | Scheme::Oidc(_) => {
            return Err(Error::invalid(format!(
                "sign for the scheme {}: only the provider has the private key",
                scheme.name()
            )));
        }
    })
}

/// Value of a header that a template names and that the sender is free in.
const OTHER_HEADER: &str = "ledgerline";

fn written_time(time: UnixNanos, unit: TimeUnit) -> String {
    match unit {
        TimeUnit::Seconds => time.seconds().to_string(),
        TimeUnit::Milliseconds => time.nanos().div_euclid(1_000_000).to_string(),
        TimeUnit::Rfc3339 => time.to_string(),
    }
}

/// A private key as the reference libraries write it: the seed, or seed and public key.
fn signing_key(text: &str) -> Result<SigningKey> {
    let fault = || Error::invalid("sign an event: the private key is not whsk_ and the base64 of 32 or 64 bytes");
    let bytes = LENIENT_BASE64.decode(text).map_err(|_| fault())?;
    match bytes.len() {
        32 => bytes.as_slice().try_into().map(|seed| SigningKey::from_bytes(&seed)).map_err(|_| fault()),
        64 => {
            let pair: [u8; 64] = bytes.as_slice().try_into().map_err(|_| fault())?;
            SigningKey::from_keypair_bytes(&pair).map_err(|_| fault())
        }
        _ => Err(fault()),
    }
}

fn adyen_json(key: &Key, body: &Bytes) -> Result<Bytes> {
    let fault =
        || Error::invalid("sign a notification: the body is not {\"notificationItems\": […]} as Adyen writes it");
    let items = adyen::json_items(body).map_err(|_| fault())?;
    let mut request: Value = serde_json::from_slice(body).map_err(|_| fault())?;
    let list = request.get_mut("notificationItems").and_then(Value::as_array_mut).ok_or_else(fault)?;
    for (item, (fields, _)) in list.iter_mut().zip(items) {
        let item = item.get_mut("NotificationRequestItem").and_then(Value::as_object_mut).ok_or_else(fault)?;
        let additional = item.entry("additionalData").or_insert(Value::Null);
        if !additional.is_object() {
            *additional = Value::Object(serde_json::Map::new());
        }
        if let Some(additional) = additional.as_object_mut() {
            additional.insert("hmacSignature".into(), adyen_signature(key, &fields).into());
        }
    }
    Ok(request.to_string().into())
}

fn adyen_form(key: &Key, body: &Bytes) -> Result<Bytes> {
    const SIGNATURE: &[u8] = b"additionalData.hmacSignature=";
    let (fields, _) = adyen::form_item(body).map_err(|_| Error::invalid("sign a notification: the body is no form"))?;
    let mut pairs: Vec<&[u8]> = body.split(|b| *b == b'&').filter(|p| !p.starts_with(SIGNATURE)).collect();
    let signature = [SIGNATURE, form::encoded(adyen_signature(key, &fields).as_bytes()).as_bytes()].concat();
    pairs.push(&signature);
    Ok(pairs.join(&b'&').into())
}

fn adyen_signature(key: &Key, fields: &adyen::Fields<'_>) -> String {
    let mut mac = [0; MAC_BYTES_MAX];
    let length = key.state.mac(adyen::content(fields), &mut mac);
    BASE64.encode(mac.get(..length).unwrap_or_default())
}

fn braintree_form(key: &Key, body: &Bytes) -> Bytes {
    let own = form::fields(body, ["bt_payload"]).ok().and_then(|[payload]| payload);
    let payload = match own {
        Some(payload) => payload.into_owned(),
        None => format!("{}\n", BASE64.encode(body)).into_bytes(),
    };
    let State::Braintree { public_key, .. } = &key.state else { return body.clone() };
    let signature = braintree::pair(&key.state, public_key, &payload);
    format!("bt_signature={}&bt_payload={}", form::encoded(signature.as_bytes()), form::encoded(&payload)).into()
}
