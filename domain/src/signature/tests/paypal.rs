//! PayPal's signatures, with a certificate of the tests' own.

use ::rsa::PrivateKey;
use ::rsa::pkcs1v15::SigningKey;
use ::rsa::pkcs8::DecodePrivateKey as _;
use ::rsa::signature::{SignatureEncoding as _, Signer as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::sync::Arc;

use super::*;

const TABLE: &str = "scheme = 'paypal'\naccept_any_age = true";
const WEBHOOK: &str = "1JE4291016473214C";
const NAME: &str = "CERT-360caa42-fca2a594-test";
/// After the certificate's first day, long before its last.
const RECEIVED: i64 = 1_800_000_000;

/// One certificate under one name.
struct One(&'static str, Arc<Certificate>);

impl Certificates for One {
    fn certificate(&self, name: &str) -> Lookup<Certificate> {
        match name {
            "CERT-coming" => Lookup::Coming,
            name if name == self.0 => Lookup::Found(self.1.clone()),
            _ => Lookup::Unknown,
        }
    }
}

fn with_certificate(scheme: &Scheme, secrets: &[&str]) -> SecretSet {
    let certificate = Certificate::from_pem(include_str!("certificate_for_tests.pem")).unwrap();
    set(scheme, secrets).with_named_keys(NamedKeys::Certificates(Arc::new(One(NAME, Arc::new(certificate)))))
}

fn signed(webhook: &str, time: &str, body: &[u8]) -> Vec<(String, String)> {
    let id = "69cd13f0-d67a-11e5-baa3-778b53f4ae55";
    let key = PrivateKey::from_pkcs8_pem(include_str!("rsa_for_tests.pem")).unwrap();
    let message = format!("{id}|{time}|{webhook}|{}", crc32fast::hash(body));
    let signature = SigningKey::<sha2::Sha256>::new(key).sign(message.as_bytes());
    pairs(&[
        ("PayPal-Transmission-Id", id),
        ("PayPal-Transmission-Time", time),
        ("PayPal-Transmission-Sig", &BASE64.encode(signature.to_bytes())),
        ("PayPal-Cert-Url", &format!("https://api.paypal.com/v1/notifications/certs/{NAME}")),
        ("PayPal-Auth-Algo", "SHA256withRSA"),
    ])
}

#[test]
fn a_pinned_certificate_covers_id_time_webhook_and_checksum() {
    let scheme = scheme(TABLE);
    let secrets = with_certificate(&scheme, &["OTHER", WEBHOOK]);
    let headers = signed(WEBHOOK, "2027-01-15T08:00:00Z", BODY);
    let key = secrets.key_ids().nth(1).unwrap().to_owned();
    assert_eq!(judge(&scheme, &secrets, &headers, BODY, at(RECEIVED)), Ok(key));
    for bit in 0..BODY.len() * 8 {
        let mut body = BODY.to_vec();
        body[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(judge(&scheme, &secrets, &headers, &body, at(RECEIVED)), Err(Cause::Wrong));
    }
    for header in 0..headers.len() {
        for place in 0..headers[header].1.len() {
            let mut changed: Vec<(String, Vec<u8>)> =
                headers.iter().map(|(n, v)| (n.clone(), v.clone().into_bytes())).collect();
            changed[header].1[place] ^= 1;
            assert!(judge(&scheme, &secrets, &changed, BODY, at(RECEIVED)).is_err(), "{header} {place}");
        }
        let mut without = headers.clone();
        without.remove(header);
        assert_eq!(judge(&scheme, &secrets, &without, BODY, at(RECEIVED)), Err(Cause::Missing));
    }
    let stranger = with_certificate(&scheme, &["OTHER"]);
    assert_eq!(judge(&scheme, &stranger, &headers, BODY, at(RECEIVED)), Err(Cause::Wrong));
    assert!(sign(&scheme, &WEBHOOK.into(), "", at(RECEIVED), BODY).is_err());
}

#[test]
fn certificates_come_from_pinned_addresses_and_in_their_time() {
    let scheme = scheme(TABLE);
    let secrets = with_certificate(&scheme, &[WEBHOOK]);
    let good = signed(WEBHOOK, "2027-01-15T08:00:00Z", BODY);
    for (url, cause) in [
        (format!("https://api.paypal.com/v1/notifications/certs/{NAME}"), None),
        ("https://api.paypal.com/v1/notifications/certs/CERT-other".to_owned(), Some(Cause::UnknownKey)),
        ("https://api.paypal.com/v1/notifications/certs/CERT-coming".to_owned(), Some(Cause::KeyComing)),
        (format!("https://api.sandbox.paypal.com/v1/notifications/certs/{NAME}"), Some(Cause::Malformed)),
        (format!("http://api.paypal.com/v1/notifications/certs/{NAME}"), Some(Cause::Malformed)),
        (format!("https://api.paypal.com.evil.example/v1/notifications/certs/{NAME}"), Some(Cause::Malformed)),
        (format!("https://api.paypal.com@evil.example/v1/notifications/certs/{NAME}"), Some(Cause::Malformed)),
        (format!("https://api.paypal.com/v1/notifications/certs/../{NAME}"), Some(Cause::Malformed)),
        (format!("https://api.paypal.com/v1/notifications/certs/{NAME}?x"), Some(Cause::Malformed)),
        ("https://api.paypal.com/v1/notifications/certs/".to_owned(), Some(Cause::Malformed)),
    ] {
        let mut headers = good.clone();
        headers[3].1 = url.clone();
        assert_eq!(judge(&scheme, &secrets, &headers, BODY, at(RECEIVED)).err(), cause, "{url}");
    }
    // Not at hand, or not valid yet.
    assert_eq!(judge(&scheme, &set(&scheme, &[WEBHOOK]), &good, BODY, at(RECEIVED)), Err(Cause::UnknownKey));
    assert_eq!(judge(&scheme, &secrets, &good, BODY, at(NOW)), Err(Cause::UnknownKey));
    for (name, value) in [(1, "yesterday"), (2, "!"), (4, "SHA1withRSA")] {
        let mut headers = good.clone();
        headers[name].1 = value.to_owned();
        assert_eq!(judge(&scheme, &secrets, &headers, BODY, at(RECEIVED)), Err(Cause::Malformed), "{value}");
    }
    let timed = scheme.with_tolerance(300).unwrap();
    assert_eq!(judge(&timed, &secrets, &good, BODY, at(RECEIVED + 301)), Err(Cause::TooOld));
    let error = toml::from_str::<Scheme>("scheme = 'paypal'").unwrap_err().to_string();
    assert!(error.contains("accept_any_age"), "{error}");
    for text in ["", "-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"] {
        assert!(Certificate::from_pem(text).unwrap_err().to_string().contains("read a certificate"));
    }
}
