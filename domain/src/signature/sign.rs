//! The other side: headers that a sender would put on a request. For sending test events; nothing
//! in the route of received events signs anything.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::SecretString;

use super::HEADER_BYTES_MAX;
use super::read::STANDARD_NAMES;
use super::scheme::{Encoding, Scheme};
use super::secrets::{Key, MAC_BYTES_MAX};
use super::template::Piece;
use crate::error::{Error, Result};
use crate::time::UnixNanos;

/// Headers (name in lower case, value) that make `body` pass [`verify`](super::verify) under `scheme`
/// and `secret`. `id` is used where the scheme signs one, `timestamp` (cut to seconds) likewise.
/// Errors are [`Invalid`](crate::ErrorKind::Invalid): a secret that the scheme cannot use, an id that no
/// header can hold, a time before 1970.
pub fn sign(
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
    let seconds = timestamp.seconds().to_string();
    let key = Key::new(scheme, secret)?;
    let mut mac = [0; MAC_BYTES_MAX];
    let content = scheme.content().iter().map(|piece| match piece {
        Piece::Text(text) => text.as_bytes(),
        Piece::Id => id.as_bytes(),
        Piece::Timestamp => seconds.as_bytes(),
        Piece::Body => body,
    });
    let length = key.mac(content, &mut mac);
    let mac = mac.get(..length).unwrap_or_default();
    let encoded = |encoding: Encoding| match encoding {
        Encoding::Hex => hex::encode(mac),
        Encoding::Base64 => BASE64.encode(mac),
    };
    let pair = |name: &str, value: String| (name.to_owned(), value);
    Ok(match scheme {
        Scheme::Stripe(stripe) => {
            vec![pair(&stripe.header, format!("t={seconds},v1={}", encoded(Encoding::Hex)))]
        }
        Scheme::StandardWebhooks(_) => {
            let signature = format!("v1,{}", encoded(Encoding::Base64));
            STANDARD_NAMES.into_iter().zip([id.to_owned(), seconds, signature]).map(|(n, v)| pair(n, v)).collect()
        }
        Scheme::BodyHmac(hmac) => {
            vec![pair(&hmac.header, format!("{}{}", hmac.prefix, encoded(hmac.encoding)))]
        }
        Scheme::Hmac(hmac) => {
            let mut headers = vec![pair(&hmac.header, format!("{}{}", hmac.prefix, encoded(hmac.encoding)))];
            headers.extend(hmac.id_header.as_ref().map(|name| pair(name, id.to_owned())));
            headers.extend(hmac.time.as_ref().map(|(name, _)| pair(name, seconds)));
            headers
        }
    })
}
