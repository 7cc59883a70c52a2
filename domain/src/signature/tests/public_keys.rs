//! ed25519 beside HMAC, and RSA: tables, mixtures, and mutations.

use ::rsa::PrivateKey;
use ::rsa::pkcs1v15::SigningKey;
use ::rsa::pkcs8::{DecodePrivateKey as _, EncodePublicKey as _, LineEnding};
use ::rsa::signature::{SignatureEncoding as _, Signer as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::*;

const RSA_HEADER: &str = "scheme = 'rsa-sha256'\nheader = 'X-Signature-SHA256'";

/// An ed25519 pair as Standard Webhooks writes it.
fn pair(seed: u8) -> (String, String) {
    let key = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]);
    let public = BASE64.encode(key.verifying_key().to_bytes());
    (format!("whsk_{}", BASE64.encode(key.to_keypair_bytes())), format!("whpk_{public}"))
}

fn rsa_key() -> PrivateKey {
    PrivateKey::from_pkcs8_pem(include_str!("rsa_for_tests.pem")).unwrap()
}

fn rsa_signed(body: &[u8]) -> Vec<(String, String)> {
    let signature = SigningKey::<sha2::Sha256>::new(rsa_key()).sign(body);
    vec![("x-signature-sha256".to_owned(), BASE64.encode(signature.to_bytes()))]
}

#[test]
fn both_kinds_of_standard_webhooks_stand_in_one_set_and_one_header() {
    let scheme = scheme("scheme = 'standard-webhooks'");
    let ((private, public), (_, stranger)) = (pair(7), pair(8));
    let by_pair = signed(&scheme, &private, NOW);
    let by_hmac = signed(&scheme, WHSEC, NOW);
    let mut both = by_pair.clone();
    both[2].1 = format!("{} {}", by_hmac[2].1, by_pair[2].1);
    for (secrets, headers, expected) in [
        (vec![public.as_str()], &by_pair, Ok(0)),
        (vec![WHSEC, &stranger, &public], &by_pair, Ok(2)),
        (vec![WHSEC, &public], &by_hmac, Ok(0)),
        (vec![WHSEC], &both, Ok(0)),
        (vec![&public], &both, Ok(0)),
        (vec![&stranger, WHSEC], &both, Ok(1)),
        (vec![&stranger], &by_pair, Err(Cause::Wrong)),
        (vec![&stranger], &by_hmac, Err(Cause::Wrong)),
        (vec![WHSEC], &by_pair, Err(Cause::UnknownKey)),
    ] {
        let set = set(&scheme, &secrets);
        let ids: Vec<String> = set.key_ids().map(ToOwned::to_owned).collect();
        let expected = expected.map(|place: usize| ids[place].clone());
        assert_eq!(judge(&scheme, &set, headers, BODY, at(NOW)), expected);
    }
    // The seed alone is a private key too; a public key signs nothing.
    let seed = format!("whsk_{}", BASE64.encode([7; 32]));
    assert_eq!(signed(&scheme, &seed, NOW), by_pair);
    for wrong in [public.as_str(), "whsk_", "whsk_AAAA", "whsk_!"] {
        assert!(sign(&scheme, &wrong.into(), "msg_1", at(NOW), BODY).is_err(), "{wrong}");
    }
    let mut many = by_pair.clone();
    many[2].1 = [by_pair[2].1.as_str(); PUBLIC_KEY_SIGNATURES_MAX + 1].join(" ");
    assert_eq!(judge(&scheme, &set(&scheme, &[&public]), &many, BODY, at(NOW)), Err(Cause::Malformed));
}

#[test]
fn no_bit_of_an_ed25519_request_can_change() {
    let scheme = scheme("scheme = 'standard-webhooks'");
    let (private, public) = pair(7);
    let secrets = set(&scheme, &[&public]);
    let headers = signed(&scheme, &private, NOW);
    for place in 0..BODY.len() {
        let mut body = BODY.to_vec();
        body[place] ^= 1;
        assert_eq!(judge(&scheme, &secrets, &headers, &body, at(NOW)), Err(Cause::Wrong));
    }
    for header in 0..3 {
        for bit in 0..headers[header].1.len() * 8 {
            let mut changed: Vec<(String, Vec<u8>)> =
                headers.iter().map(|(n, v)| (n.clone(), v.clone().into_bytes())).collect();
            changed[header].1[bit / 8] ^= 1 << (bit % 8);
            assert!(judge(&scheme, &secrets, &changed, BODY, at(NOW)).is_err(), "{header} {bit}");
        }
    }
    assert_eq!(judge(&scheme, &secrets, &headers, BODY, at(NOW + 301)), Err(Cause::TooOld));
}

#[test]
fn rsa_keys_are_read_in_every_usual_form_and_cover_the_body() {
    let scheme = scheme(RSA_HEADER);
    let public = rsa_key().to_public_key();
    let pem = public.to_public_key_pem(LineEnding::LF).unwrap();
    let der = BASE64.encode(public.to_public_key_der().unwrap());
    let headers = rsa_signed(BODY);
    for secret in [pem.trim_ascii(), der.as_str(), pem.replace('\n', "\r\n").trim_ascii()] {
        let secrets = set(&scheme, &[secret]);
        assert!(judge(&scheme, &secrets, &headers, BODY, at(NOW)).is_ok());
        assert!(!format!("{secrets:?}").contains("BEGIN"));
    }
    let secrets = set(&scheme, &[&der]);
    for place in 0..BODY.len() {
        let mut body = BODY.to_vec();
        body[place] ^= 1;
        assert_eq!(judge(&scheme, &secrets, &headers, &body, at(NOW)), Err(Cause::Wrong));
    }
    let value = headers[0].1.as_bytes();
    for place in 0..value.len() {
        let mut changed = value.to_vec();
        changed[place] ^= 1;
        let changed = vec![("x-signature-sha256".to_owned(), changed)];
        assert!(judge(&scheme, &secrets, &changed, BODY, at(NOW)).is_err(), "{place}");
    }
    for (value, cause) in [
        ("", Cause::Missing),
        ("AAAA", Cause::Wrong),
        ("!", Cause::Malformed),
        (&"A".repeat(HEADER_BYTES_MAX + 4), Cause::Malformed),
    ] {
        let headers = pairs(&[("x-signature-sha256", value)]);
        assert_eq!(judge(&scheme, &secrets, &headers, BODY, at(NOW)), Err(cause), "{value}");
    }
    assert!(sign(&scheme, &der.into(), "", at(NOW), BODY).unwrap_err().to_string().contains("private key"));
}
