//! Tokens of an issuer of the tests' own, by RSA, P-256 and ed25519.

use ::rsa::PrivateKey;
use ::rsa::pkcs1v15::SigningKey as RsaSigner;
use ::rsa::pkcs8::{DecodePrivateKey as _, EncodePublicKey as _};
use ::rsa::signature::SignatureEncoding as _;
use ::rsa::traits::PublicKeyParts as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use std::sync::Arc;

use super::*;

const TABLE: &str = "scheme = 'oidc'\nissuer = 'https://issuer.example.com'\naudience = 'https://us.example.com/hook'";
const SEAL: &str = "a random text that seals";

fn rsa_key() -> PrivateKey {
    PrivateKey::from_pkcs8_pem(include_str!("rsa_for_tests.pem")).unwrap()
}

fn p256_key() -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap()
}

fn ed25519_key() -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[9; 32])
}

fn jwks() -> Value {
    let encode = |bytes: &[u8]| BASE64URL.encode(bytes);
    let (rsa, ed) = (rsa_key(), ed25519_key().verifying_key());
    let point = p256_key().verifying_key().to_sec1_point(false);
    let (n, e) = (rsa.n_bytes(), rsa.e_bytes());
    let e: Vec<u8> = e.iter().copied().skip_while(|b| *b == 0).collect();
    json!({"keys": [
        {"kty": "RSA", "kid": "rsa", "use": "sig", "alg": "RS256", "n": encode(&n), "e": encode(&e)},
        {"kty": "EC", "kid": "ec", "crv": "P-256", "x": encode(&point.as_bytes()[1..33]), "y": encode(&point.as_bytes()[33..])},
        {"kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": encode(ed.as_bytes())},
        {"kty": "oct", "kid": "hmac", "k": "c2VjcmV0"},
        {"kty": "RSA", "kid": "enc", "use": "enc", "n": encode(&n), "e": encode(&e)},
        {"kty": "RSA", "kid": "ps", "alg": "PS256", "n": encode(&n), "e": encode(&e)},
        {"kty": "RSA", "kid": "short", "n": encode(&n[..64]), "e": encode(&e)},
        {"kty": "RSA", "n": encode(&n), "e": encode(&e)},
        {"kty": "EC", "kid": "off", "crv": "P-256", "x": encode(&[1; 32]), "y": encode(&[1; 32])},
        {"kty": "OKP", "kid": "weak", "crv": "Ed25519", "x": encode(&[0; 32])},
        {"kty": 1},
    ]})
}

fn with_keys(scheme: &Scheme, secrets: &[&str]) -> SecretSet {
    let keys = TokenKeySet::from_jwks(jwks().to_string().as_bytes()).unwrap();
    assert_eq!(keys.count(), 3, "{keys:?}");
    set(scheme, secrets).with_named_keys(NamedKeys::Tokens(Arc::new(keys)))
}

fn claims() -> Value {
    json!({
        "iss": "https://issuer.example.com", "aud": "https://us.example.com/hook", "sub": "42",
        "email": "a@example.com", "email_verified": true, "iat": NOW, "exp": NOW + 3600,
    })
}

fn token_of(head: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let encode = |value: &Value| BASE64URL.encode(value.to_string());
    let said = format!("{}.{}", encode(head), encode(claims));
    let signature = BASE64URL.encode(sign(said.as_bytes()));
    format!("{said}.{signature}")
}

fn sign_by(kid: &str, message: &[u8]) -> Vec<u8> {
    use ed25519_dalek::Signer as _;
    match kid {
        "rsa" => RsaSigner::<Sha256>::new(rsa_key()).sign(message).to_vec(),
        "ec" => {
            let signature: p256::ecdsa::Signature = p256_key().sign(message);
            signature.to_bytes().to_vec()
        }
        _ => ed25519_key().sign(message).to_bytes().to_vec(),
    }
}

fn token(claims: &Value) -> String {
    token_of(&json!({"alg": "ES256", "kid": "ec", "typ": "JWT"}), claims, |m| sign_by("ec", m))
}

/// A verified request as it is archived.
fn sealed(verified: &crate::request::Verified<'_>) -> Envelope {
    let event = Identified {
        id: "evt_1".into(),
        event_type: "t".into(),
        entity: EntityKey::new(&SourceName::new("s").unwrap(), "payment", "p").unwrap(),
        order: OrderKey { class: OrderClass::Arrival, value: 0 },
        occurred_at: None,
        body: verified.raw().body.clone(),
        part: None,
        unreadable: None,
    };
    Envelope::decode(&Envelope::seal(verified, event).encode().into()).unwrap()
}

fn bearer(token: &str) -> Vec<(String, String)> {
    pairs(&[("Authorization", &format!("Bearer {token}"))])
}

#[test]
fn a_token_of_each_kind_holds_and_no_byte_of_it_can_change() {
    let scheme = scheme(TABLE);
    let secrets = with_keys(&scheme, &[SEAL]);
    for (kid, alg) in [("rsa", "RS256"), ("ec", "ES256"), ("ed", "EdDSA"), ("ed", "Ed25519")] {
        let token = token_of(&json!({"alg": alg, "kid": kid}), &claims(), |m| sign_by(kid, m));
        let key = secrets.key_ids().next().unwrap().to_owned();
        assert_eq!(judge(&scheme, &secrets, &bearer(&token), BODY, at(NOW)), Ok(key), "{alg}");
        for place in 0..token.len() {
            for bit in [0, 1, 5] {
                let mut changed = token.clone().into_bytes();
                changed[place] ^= 1 << bit;
                let headers = vec![("authorization".to_owned(), [b"Bearer ", changed.as_slice()].concat())];
                assert!(judge(&scheme, &secrets, &headers, BODY, at(NOW)).is_err(), "{alg} {place} {bit}");
            }
            assert!(judge(&scheme, &secrets, &bearer(&token[..place]), BODY, at(NOW)).is_err(), "{alg} {place}");
        }
    }
    let none: Vec<(String, String)> = Vec::new();
    assert_eq!(judge(&scheme, &secrets, &none, BODY, at(NOW)), Err(Cause::Missing));
    assert!(sign(&scheme, &SEAL.into(), "", at(NOW), BODY).is_err());
}

#[test]
fn what_a_token_says_of_its_algorithm_opens_nothing() {
    let scheme = scheme(TABLE);
    let secrets = with_keys(&scheme, &[SEAL]);
    let verdict = |head: Value, sign: &dyn Fn(&[u8]) -> Vec<u8>| {
        let token = token_of(&head, &claims(), sign);
        judge(&scheme, &secrets, &bearer(&token), BODY, at(NOW)).unwrap_err()
    };
    let keyed = |key: Vec<u8>| {
        move |m: &[u8]| Hmac::<Sha256>::new_from_slice(&key).unwrap().chain_update(m).finalize().into_bytes().to_vec()
    };
    for alg in ["none", "None", "", "HS256", "HS384", "HS512", "RS1", "PS256", "ES384", "rs256"] {
        assert_eq!(verdict(json!({"alg": alg, "kid": "rsa"}), &|_| Vec::new()), Cause::Wrong, "{alg}");
        assert_eq!(verdict(json!({"alg": alg, "kid": "rsa"}), &|m| sign_by("rsa", m)), Cause::Wrong, "{alg}");
    }
    // Keyed by what everybody can read.
    let public = rsa_key().to_public_key().to_public_key_pem(Default::default()).unwrap();
    for key in [public.as_bytes().to_vec(), rsa_key().n_bytes().to_vec(), b"secret".to_vec()] {
        for (alg, kid) in [("HS256", "rsa"), ("RS256", "rsa"), ("HS256", "hmac")] {
            assert_eq!(verdict(json!({"alg": alg, "kid": kid}), &keyed(key.clone())), Cause::Wrong, "{alg} {kid}");
        }
    }
    // Another algorithm than the key's, with a signature that is good by it.
    assert_eq!(verdict(json!({"alg": "ES256", "kid": "rsa"}), &|m| sign_by("rsa", m)), Cause::Wrong);
    assert_eq!(verdict(json!({"alg": "RS256", "kid": "ec"}), &|m| sign_by("rsa", m)), Cause::Wrong);
    for (head, cause) in [
        (json!({"alg": "ES256", "kid": "other"}), Cause::UnknownKey),
        (json!({"alg": "ES256", "kid": "off"}), Cause::UnknownKey),
        (json!({"alg": "ES256", "kid": ""}), Cause::Malformed),
        (json!({"alg": "ES256"}), Cause::Malformed),
        (json!({"kid": "ec"}), Cause::Malformed),
        (json!({"alg": "ES256", "kid": "ec", "crit": ["b64"]}), Cause::Malformed),
        (json!([1]), Cause::Malformed),
    ] {
        assert_eq!(verdict(head.clone(), &|m| sign_by("ec", m)), cause, "{head}");
    }
    let good = token(&claims());
    for value in
        [format!("Basic {good}"), good.clone(), format!("Bearer {good}."), "Bearer a.b".into(), "Bearer ..".into()]
    {
        let headers = pairs(&[("authorization", &value)]);
        assert_eq!(judge(&scheme, &secrets, &headers, BODY, at(NOW)), Err(Cause::Malformed), "{value}");
    }
    assert_eq!(judge(&scheme, &set(&scheme, &[SEAL]), &bearer(&good), BODY, at(NOW)), Err(Cause::UnknownKey));
}

#[test]
fn claims_and_times_are_those_of_the_source() {
    let plain = scheme(TABLE);
    let strict =
        scheme(&format!("{TABLE}\nsubject = '42'\nemail = 'a@example.com'\nclaims = {{ hd = 'example.com' }}"));
    let verdict = |scheme: &Scheme, change: Value, seconds: i64| {
        let mut claims = claims();
        claims["hd"] = json!("example.com");
        for (name, value) in change.as_object().unwrap() {
            claims[name.as_str()] = value.clone();
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            }
        }
        judge(scheme, &with_keys(scheme, &[SEAL]), &bearer(&token(&claims)), BODY, at(seconds)).err()
    };
    let wrong = Some(Cause::WrongClaims);
    for (change, by_plain, by_strict) in [
        (json!({}), None, None),
        (json!({"aud": ["x", "https://us.example.com/hook"]}), None, None),
        (json!({"aud": "https://us.example.com/hook/"}), wrong, wrong),
        (json!({"aud": ["x"]}), wrong, wrong),
        (json!({"aud": null}), wrong, wrong),
        (json!({"iss": "https://issuer.example.com/"}), wrong, wrong),
        (json!({"iss": null}), wrong, wrong),
        (json!({"sub": "43"}), None, wrong),
        (json!({"email": "b@example.com"}), None, wrong),
        (json!({"email_verified": false}), None, wrong),
        (json!({"email_verified": null}), None, wrong),
        (json!({"hd": null}), None, wrong),
        (json!({"exp": null}), Some(Cause::Malformed), Some(Cause::Malformed)),
        (json!({"exp": "soon"}), Some(Cause::Malformed), Some(Cause::Malformed)),
    ] {
        assert_eq!(verdict(&plain, change.clone(), NOW), by_plain, "{change}");
        assert_eq!(verdict(&strict, change.clone(), NOW), by_strict, "{change}");
    }
    for (change, seconds, cause) in [
        (json!({}), NOW + 3659, None),
        (json!({}), NOW + 3660, Some(Cause::TooOld)),
        (json!({"exp": NOW as f64 + 0.5}), NOW, None),
        (json!({"exp": 1e300}), NOW, Some(Cause::Malformed)),
        (json!({}), NOW - 60, None),
        (json!({}), NOW - 61, Some(Cause::InFuture)),
        (json!({"nbf": NOW + 61}), NOW, Some(Cause::InFuture)),
        (json!({"nbf": NOW + 60, "iat": null}), NOW, None),
    ] {
        assert_eq!(verdict(&plain, change.clone(), seconds), cause, "{change} {seconds}");
    }
    let wide = plain.with_tolerance(600).unwrap();
    assert_eq!(verdict(&wide, json!({}), NOW + 4000), None);
}

#[test]
fn the_evidence_opens_no_door_and_holds_later() {
    let scheme = scheme(TABLE);
    let secrets = with_keys(&scheme, &[SEAL]);
    let token = token(&claims());
    let (headers, body) = (bearer(&token), Bytes::from_static(BODY));
    let raw = RawRequest { headers: &headers, body: &body, received_at: at(NOW) };
    let verified = verify(&scheme, &secrets, raw).unwrap();
    let [(name, value)] = verified.evidence() else { panic!("one header") };
    let signature = token.rsplit_once('.').unwrap().1;
    assert!(name == "authorization" && !value.contains(signature) && value.contains(&token[..20]), "{value}");
    for claimed in [value.clone(), format!("Bearer {value}")] {
        let headers = pairs(&[("authorization", &claimed)]);
        assert!(judge(&scheme, &secrets, &headers, BODY, at(NOW)).is_err());
    }
    let envelope = |value: &str, body: &[u8]| {
        let mut envelope = sealed(&verified);
        envelope.signature_headers = format!("authorization: {value}\n");
        envelope.event.body = Bytes::copy_from_slice(body);
        envelope
    };
    // Long after the token ended, without the issuer's keys, after a rotation of the seal.
    let later = set(&scheme, &["another text of the right length", SEAL]);
    assert!(reverify(&scheme, &later, &sealed(&verified)).unwrap().is_ok());
    assert!(reverify(&scheme, &later, &envelope(value, BODY)).unwrap().is_ok());
    assert_eq!(reverify(&scheme, &later, &envelope(value, b"other")).unwrap(), Err(Cause::Wrong));
    for place in 0..value.len() {
        let mut changed = value.clone().into_bytes();
        changed[place] ^= 1;
        let changed = String::from_utf8(changed).unwrap();
        assert!(reverify(&scheme, &later, &envelope(&changed, BODY)).unwrap().is_err(), "{place}");
    }
    let stranger = set(&scheme, &["another text of the right length"]);
    assert_eq!(reverify(&scheme, &stranger, &sealed(&verified)).unwrap(), Err(Cause::Wrong));
}

#[test]
fn settings_of_tokens_say_the_fix() {
    for (text, words) in [
        ("scheme = 'oidc'".to_owned(), "issuer"),
        (TABLE.replace("https://issuer", "http://issuer"), "`issuer`"),
        (TABLE.replace("https://issuer", "https://user@issuer"), "`issuer`"),
        (TABLE.replace("'https://us.example.com/hook'", "''"), "`audience`"),
        (format!("{TABLE}\njwks_url = 'file:///etc'"), "`jwks_url`"),
        (format!("{TABLE}\ntolerance_seconds = 0"), "tolerance_seconds"),
        (format!("{TABLE}\naccept_any_age = true"), "unknown field"),
        (format!("{TABLE}\nclaims = {{ hd = '' }}"), "`claims`"),
    ] {
        let error = toml::from_str::<Scheme>(&text).unwrap_err().to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
    let scheme = scheme(TABLE);
    assert!(SecretSet::new(&scheme, [SecretString::from("short")]).unwrap_err().to_string().contains("at least 16"));
    for text in [
        "",
        "{}",
        "{\"keys\": []}",
        "{\"keys\": [{}]}",
        "{\"keys\": [{\"kty\": \"oct\", \"kid\": \"a\", \"k\": \"AA\"}]}",
    ] {
        assert!(TokenKeySet::from_jwks(text.as_bytes()).is_err(), "{text}");
    }
}
