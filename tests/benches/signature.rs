//! What a verification costs, per scheme, on one thread: nanoseconds, and as a multiple of the bare
//! HMAC-SHA256 of the same body of 1 KiB in the same run.
//!
//! `cargo bench -p ledgerline-tests --bench signature`

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD as BASE64URL};
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use ledgerline_domain::request::RawRequest;
use ledgerline_domain::signature::{
    Certificate, Certificates, Lookup, NamedKeys, Scheme, SecretSet, TokenKeySet, sign_request, verify,
};
use ledgerline_domain::time::UnixNanos;
use ledgerline_tests::limits::median;
use rsa::PrivateKey;
use rsa::pkcs1v15::SigningKey;
use rsa::pkcs8::{DecodePrivateKey as _, EncodePublicKey as _};
use rsa::signature::{SignatureEncoding as _, Signer as _};
use rsa::traits::PublicKeyParts as _;
use sha2::Sha256;

const ROUNDS: usize = 15;
/// Longer than a switch of the processor's clock, shorter than anybody's patience.
const ROUND: Duration = Duration::from_millis(20);
const BODY_BYTES: usize = 1024;
/// When the certificate of the tests is valid.
const KEYS_AT: i64 = 1_800_000_000;
const HEX_KEY: &str = "DFB1EB5485895CFA84146406857104ABB4CBCABDC8AAF103A624C8F6A3EAAB00";
const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const WHSK: &str = "whsk_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
const WHPK: &str = "whpk_6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=";

/// What it is called, the table, the secrets that sign and that verify.
const SCHEMES: [(&str, &str, &str, &str); 13] = [
    ("stripe", "scheme = 'stripe'", "whsec_bench", "whsec_bench"),
    (
        "timestamped-list (Paddle)",
        "scheme = 'timestamped-list'\nheader = 'p'\nseparator = ';'\ntimestamp_key = 'ts'\nsignature_key = 'h1'\ncontent = '{timestamp}:{body}'",
        "pdl",
        "pdl",
    ),
    ("standard-webhooks v1", "scheme = 'standard-webhooks'", WHSEC, WHSEC),
    ("standard-webhooks v1a (ed25519)", "scheme = 'standard-webhooks'", WHSK, WHPK),
    ("hmac {body}, hex", "scheme = 'hmac'\nheader = 'x'\ncontent = '{body}'", "k", "k"),
    (
        "hmac {url}{body}, base64 (Square)",
        "scheme = 'hmac'\nheader = 'x'\ncontent = '{url}{body}'\nencoding = 'base64'",
        "k",
        "k",
    ),
    ("hmac {body}, SHA-512", "scheme = 'hmac'\nheader = 'x'\ncontent = '{body}'\nhash = 'sha512'", "k", "k"),
    ("hmac {body}, SHA-1", "scheme = 'hmac'\nheader = 'x'\ncontent = '{body}'\nhash = 'sha1'", "k", "k"),
    ("adyen, one item", "scheme = 'adyen'", HEX_KEY, HEX_KEY),
    ("braintree", "scheme = 'braintree'", "public:private", "public:private"),
    ("bearer", "scheme = 'bearer'", "token", "token"),
    ("basic", "scheme = 'basic'", "user:password", "user:password"),
    ("rsa-sha256, 2048 bits", "scheme = 'rsa-sha256'\nheader = 'x'", "", ""),
];

fn main() {
    let body = Bytes::from(vec![b'x'; BODY_BYTES]);
    let hmac = Hmac::<Sha256>::new_from_slice(b"whsec_bench").expect("any length is a key");
    let bare = nanos(|| {
        let mut hmac = hmac.clone();
        hmac.update(black_box(&body));
        black_box(hmac.finalize());
    });
    println!("{:36} {:>12} {:>8}", "scheme", "ns", "ratio");
    println!("{:36} {bare:12.0} {:8.2}", "bare HMAC-SHA256 of 1 KiB", 1.0);
    for (name, table, signer, verifier) in SCHEMES {
        let mut scheme: Scheme = toml::from_str(table).expect("a scheme");
        if scheme.signs_url() {
            scheme = scheme.with_url("https://example.com/webhooks/bench").expect("an address");
        }
        let at = UnixNanos::from_seconds(1_790_000_000).expect("a time");
        let (headers, body, verifier) = if name.starts_with("rsa") {
            let (headers, public) = rsa_signed(&body);
            (headers, body.clone(), public)
        } else {
            let body = if name.starts_with("adyen") { notification() } else { body.clone() };
            let signed = sign_request(&scheme, &signer.into(), "msg_1", at, &body).expect("signed");
            (signed.headers, signed.body, verifier.to_owned())
        };
        let secrets = SecretSet::new(&scheme, [verifier.into()]).expect("a secret");
        let raw = RawRequest { headers: &headers, body: &body, received_at: at };
        assert!(verify(&scheme, &secrets, raw).is_ok(), "{name}");
        let took = nanos(|| {
            black_box(verify(black_box(&scheme), &secrets, black_box(raw)).is_ok());
        });
        println!("{name:36} {took:12.0} {:8.2}", took / bare);
    }
    for (name, scheme, secrets, headers) in [paypal(&body), oidc()] {
        let at = UnixNanos::from_seconds(KEYS_AT).expect("a time");
        let raw = RawRequest { headers: &headers, body: &body, received_at: at };
        assert!(verify(&scheme, &secrets, raw).is_ok(), "{name}");
        let took = nanos(|| {
            black_box(verify(black_box(&scheme), &secrets, black_box(raw)).is_ok());
        });
        println!("{name:36} {took:12.0} {:8.2}", took / bare);
    }
}

/// A scheme whose keys come from elsewhere: its name, its table, the secrets with those keys, headers.
type Outer = (&'static str, Scheme, SecretSet, Vec<(String, String)>);

/// The one certificate that is at hand.
struct One(Arc<Certificate>);

impl Certificates for One {
    fn certificate(&self, _: &str) -> Lookup<Certificate> {
        Lookup::Found(self.0.clone())
    }
}

fn key() -> PrivateKey {
    PrivateKey::from_pkcs8_pem(include_str!("../../domain/src/signature/tests/rsa_for_tests.pem")).expect("a key")
}

fn rsa_of(message: &str) -> Vec<u8> {
    SigningKey::<Sha256>::new(key()).sign(message.as_bytes()).to_vec()
}

fn paypal(body: &[u8]) -> Outer {
    let pem = include_str!("../../domain/src/signature/tests/certificate_for_tests.pem");
    let certificate = Arc::new(One(Arc::new(Certificate::from_pem(pem).expect("a certificate"))));
    let scheme: Scheme = toml::from_str("scheme = 'paypal'\naccept_any_age = true").expect("a scheme");
    let secrets = SecretSet::new(&scheme, ["WEBHOOK".into()]).expect("a secret");
    let secrets = secrets.with_named_keys(NamedKeys::Certificates(certificate));
    let (id, time) = ("69cd13f0-d67a-11e5-baa3-778b53f4ae55", "2027-01-15T08:00:00Z");
    let signature = rsa_of(&format!("{id}|{time}|WEBHOOK|{}", crc32fast::hash(body)));
    let headers = [
        ("paypal-transmission-id", id.to_owned()),
        ("paypal-transmission-time", time.to_owned()),
        ("paypal-transmission-sig", BASE64.encode(signature)),
        ("paypal-cert-url", "https://api.paypal.com/v1/notifications/certs/CERT-test".to_owned()),
        ("paypal-auth-algo", "SHA256withRSA".to_owned()),
    ];
    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    ("paypal, certificate at hand", scheme, secrets, headers)
}

fn oidc() -> Outer {
    let table = "scheme = 'oidc'\nissuer = 'https://issuer.example.com'\naudience = 'us'";
    let scheme: Scheme = toml::from_str(table).expect("a scheme");
    let (n, e) = (key().n_bytes(), key().e_bytes());
    let e: Vec<u8> = e.iter().copied().skip_while(|b| *b == 0).collect();
    let keys = serde_json::json!({ "keys": [
        { "kty": "RSA", "kid": "k", "alg": "RS256", "n": BASE64URL.encode(&n), "e": BASE64URL.encode(&e) }
    ]});
    let keys = TokenKeySet::from_jwks(keys.to_string().as_bytes()).expect("keys");
    let secrets = SecretSet::new(&scheme, ["a random text that seals".into()]).expect("a secret");
    let secrets = secrets.with_named_keys(NamedKeys::Tokens(Arc::new(keys)));
    let head = serde_json::json!({ "alg": "RS256", "kid": "k", "typ": "JWT" });
    let claims = serde_json::json!({
        "iss": "https://issuer.example.com", "aud": "us", "sub": "42", "iat": KEYS_AT, "exp": KEYS_AT + 3600
    });
    let said = format!("{}.{}", BASE64URL.encode(head.to_string()), BASE64URL.encode(claims.to_string()));
    let token = format!("{said}.{}", BASE64URL.encode(rsa_of(&said)));
    ("oidc, RS256, keys at hand", scheme, secrets, vec![("authorization".to_owned(), format!("Bearer {token}"))])
}

/// Median nanoseconds of one call.
fn nanos(mut work: impl FnMut()) -> f64 {
    let mut figures = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let (began, mut calls) = (Instant::now(), 0_u32);
        while began.elapsed() < ROUND {
            for _ in 0..16 {
                work();
            }
            calls += 16;
        }
        figures.push(began.elapsed().as_nanos() as f64 / f64::from(calls));
    }
    median(figures)
}

/// One notification of about the same size.
fn notification() -> Bytes {
    let item = serde_json::json!({ "NotificationRequestItem": {
        "pspReference": "NC6HT9CRT65ZGN82", "originalReference": "9913140798220028", "merchantAccountCode": "TestMerchant",
        "merchantReference": "order-4711", "amount": { "value": 1130, "currency": "EUR" }, "eventCode": "CAPTURE",
        "success": "true", "eventDate": "2026-09-21T14:13:20+02:00", "reason": "x".repeat(512),
    }});
    serde_json::json!({ "live": "false", "notificationItems": [item] }).to_string().into()
}

/// Headers, and the public key as a secret.
fn rsa_signed(body: &[u8]) -> (Vec<(String, String)>, String) {
    let public = BASE64.encode(key().to_public_key().to_public_key_der().expect("it can be written"));
    let signature = SigningKey::<Sha256>::new(key()).sign(body);
    (vec![("x".to_owned(), BASE64.encode(signature.to_bytes()))], public)
}
