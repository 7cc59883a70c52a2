//! Claim check: an envelope whose body is kept elsewhere, because it is larger than the log's records.
//!
//! Its JSON text is version 2 and has no `data`; instead it says where the body is:
//!
//! | extension | meaning |
//! | --- | --- |
//! | `dataref` | key of the object that holds the body's bytes |
//! | `datadigest` | SHA-256 of them, lower-case hex |
//! | `datasize` | how many they are |
//! | `dataencoding` | `base64` when the body goes back as `data_base64` |
//!
//! [`check_in`] takes the body out, [`Claim::redeem`] puts it back: the text is then, byte for byte, what it
//! was. Readers of the log get it so and need not know.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use memchr::memmem;
use sha2::{Digest as _, Sha256};

use super::ENVELOPE_VERSION;
use super::text::{BEGINNING, DATA, DATA_FINDER};
use crate::error::{Error, Result};

/// Version of an envelope whose body is kept elsewhere.
pub(super) const CLAIM_VERSION: u32 = ENVELOPE_VERSION + 1;

const DATA_BASE64: &[u8] = b",\"data_base64\":\"";
const VERSION: &[u8] = b",\"ledgerlineversion\":\"1\"";
const VERSION_CLAIM: &[u8] = b",\"ledgerlineversion\":\"2\"";
const REFERENCE: &[u8] = b",\"dataref\":\"";
const RECEIVED: &[u8] = b",\"receivedat\":\"";
const ENCODED: &str = ",\"dataencoding\":\"base64\"";

/// An envelope without its body, and the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedIn {
    /// The JSON text for the log.
    pub text: Bytes,
    /// Key under which the body must be kept before the text is appended: `claims/<day of receipt>/<digest>`.
    pub location: String,
    /// The body's bytes.
    pub body: Bytes,
}

/// Where the body of an envelope is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Key of the object.
    pub location: String,
    digest: String,
    size: usize,
    encoded: bool,
    /// The text before `dataref`.
    head: Bytes,
}

/// Takes the body out of an encoded envelope. [`Data`](crate::ErrorKind::Data) for anything else.
pub fn check_in(text: &Bytes) -> Result<CheckedIn> {
    let no_envelope = || Error::data("keep the body of an envelope apart: this is not the JSON that was written");
    let members = text.strip_suffix(b"}").filter(|text| text.starts_with(BEGINNING)).ok_or_else(no_envelope)?;
    let (head, body, encoded) = match DATA_FINDER.find(members) {
        Some(at) => (&members[..at], text.slice_ref(&members[at + DATA.len()..]), ""),
        None => {
            let at = memmem::rfind(members, DATA_BASE64).ok_or_else(no_envelope)?;
            let coded = members[at + DATA_BASE64.len()..].strip_suffix(b"\"").ok_or_else(no_envelope)?;
            (&members[..at], BASE64.decode(coded).map_err(|e| no_envelope().because(e))?.into(), ENCODED)
        }
    };
    let version = memmem::find(head, VERSION).ok_or_else(no_envelope)?;
    let received = memmem::find(head, RECEIVED).map(|at| at + RECEIVED.len());
    let day = received.and_then(|at| std::str::from_utf8(head.get(at..at + 10)?).ok()).ok_or_else(no_envelope)?;
    let digest = hex(&Sha256::digest(&body));
    let location = format!("claims/{day}/{digest}");
    let mut out = Vec::with_capacity(head.len() + 256);
    out.extend_from_slice(&head[..version]);
    out.extend_from_slice(VERSION_CLAIM);
    out.extend_from_slice(&head[version + VERSION.len()..]);
    let size = body.len();
    out.extend_from_slice(
        format!(",\"dataref\":\"{location}\",\"datadigest\":\"{digest}\",\"datasize\":\"{size}\"{encoded}}}")
            .as_bytes(),
    );
    Ok(CheckedIn { text: out.into(), location, body })
}

/// The claim of an encoded envelope whose body is kept elsewhere; `None` for every other record.
/// [`Data`](crate::ErrorKind::Data) when the claim is damaged.
pub fn claim(text: &Bytes) -> Result<Option<Claim>> {
    // A body that stands in the envelope may hold anything; only an envelope without one is asked.
    if !text.starts_with(BEGINNING) || DATA_FINDER.find(text).is_some() || memmem::find(text, VERSION_CLAIM).is_none() {
        return Ok(None);
    }
    let damaged = || Error::data("read where the body of an envelope is kept");
    let at = memmem::find(text, REFERENCE).ok_or_else(damaged)?;
    let rest = std::str::from_utf8(&text[at + REFERENCE.len()..]).map_err(|e| damaged().because(e))?;
    let (location, rest) = rest.split_once("\",\"datadigest\":\"").ok_or_else(damaged)?;
    let (digest, rest) = rest.split_once("\",\"datasize\":\"").ok_or_else(damaged)?;
    let (size, rest) = rest.split_once('"').ok_or_else(damaged)?;
    let encoded = match rest {
        "}" => false,
        rest if rest.strip_suffix('}') == Some(ENCODED) => true,
        _ => return Err(damaged()),
    };
    Ok(Some(Claim {
        location: location.to_owned(),
        digest: digest.to_owned(),
        size: size.parse().map_err(|_| damaged())?,
        encoded,
        head: text.slice(..at),
    }))
}

impl Claim {
    /// The envelope with its body. [`Data`](crate::ErrorKind::Data) when `body` is not the one that was kept.
    pub fn redeem(&self, body: &Bytes) -> Result<Bytes> {
        if body.len() != self.size || hex(&Sha256::digest(body)) != self.digest {
            return Err(Error::data(format!(
                "read the body {}: its {} bytes are not the {} that were kept there; restore the object",
                self.location,
                body.len(),
                self.size
            )));
        }
        let damaged = || Error::data("read an envelope whose body is kept elsewhere");
        let version = memmem::find(&self.head, VERSION_CLAIM).ok_or_else(damaged)?;
        let mut out = Vec::with_capacity(self.head.len() + body.len() * 4 / 3 + 32);
        out.extend_from_slice(&self.head[..version]);
        out.extend_from_slice(VERSION);
        out.extend_from_slice(&self.head[version + VERSION_CLAIM.len()..]);
        if self.encoded {
            out.extend_from_slice(DATA_BASE64);
            out.extend_from_slice(BASE64.encode(body).as_bytes());
            out.push(b'"');
        } else {
            out.extend_from_slice(DATA);
            out.extend_from_slice(body);
        }
        out.push(b'}');
        Ok(out.into())
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a `String` has no way to fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::super::Envelope;
    use super::*;

    fn text(data: &str) -> Bytes {
        Bytes::from(format!(
            r#"{{"specversion":"1.0","id":"evt_1","source":"shop","type":"a \"b\"","subject":"shop/order/1","ledgerlineversion":"1","receivedat":"2026-11-24T10:00:00.000000000Z","orderclass":"arrival","ordervalue":"1","keyid":"k","signatureheaders":"h: v\n"{data}}}"#
        ))
    }

    #[test]
    fn the_way_out_and_back() {
        let tricky = r#"{"a":1,"ledgerlineversion":"2","dataref":"x"}"#;
        for data in [format!(",\"data\":{tricky}"), ",\"data_base64\":\"AP8=\"".to_owned()] {
            let whole = text(&data);
            let envelope = Envelope::decode(&whole).unwrap();
            assert_eq!(claim(&whole).unwrap(), None, "nothing to fetch");
            let checked_in = check_in(&whole).unwrap();
            assert_eq!(checked_in.body, envelope.event.body);
            assert!(checked_in.location.starts_with("claims/2026-11-24/") && checked_in.location.len() == 82);
            let claimed = claim(&checked_in.text).unwrap().unwrap();
            assert_eq!(claimed.location, checked_in.location);
            assert_eq!(claimed.redeem(&checked_in.body).unwrap(), whole);
            assert!(claimed.redeem(&Bytes::from_static(b"other")).is_err());
            let error = Envelope::decode(&checked_in.text).unwrap_err();
            assert!(error.to_string().contains("kept apart"), "{error}");
            let json: serde_json::Value = serde_json::from_slice(&checked_in.text).unwrap();
            assert_eq!(json["datasize"], checked_in.body.len().to_string());
        }
        assert_eq!(claim(&Bytes::from_static(b"no envelope")).unwrap(), None);
        assert!(check_in(&Bytes::from_static(b"no envelope")).is_err());
    }

    #[test]
    fn a_damaged_claim_is_no_other_record() {
        let checked_in = check_in(&text(",\"data\":{}")).unwrap();
        let whole = String::from_utf8(checked_in.text.to_vec()).unwrap();
        for (from, to) in [
            ("dataref", "datarex"),
            ("datadigest", "d"),
            ("\"datasize\":\"", "\"datasize\":\"x"),
            ("\"}", "\",\"x\":\"\"}"),
        ] {
            assert!(claim(&Bytes::from(whole.replace(from, to))).is_err(), "{from}");
        }
    }
}
