//! Signature vectors of public origin, judged as their list says: frozen vectors and official test
//! cases of the schemes. They are read from `../shared/fixtures` beside the project; where that is
//! absent the test says so and passes.

#![expect(clippy::expect_used, clippy::panic, reason = "tests stop at the first surprise")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ledgerline_domain::request::RawRequest;
use ledgerline_domain::signature::{Scheme, SecretSet, answer_challenge, verify};
use ledgerline_domain::time::UnixNanos;
use secrecy::SecretString;
use serde_json::Value;

const LISTS: [&str; 14] = [
    "adyen",
    "braintree",
    "checkout",
    "github",
    "gocardless",
    "mollie",
    "other",
    "paddle",
    "shopify",
    "slack",
    "square",
    "standard-webhooks",
    "stripe",
    "svix",
];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures")
}

/// The scheme's table, as a provider file would have it.
fn table(scheme: &str) -> &'static str {
    match scheme {
        "adyen-item-hmac" => "scheme = 'adyen'",
        "adyen-form-hmac" => "scheme = 'adyen'\nbody = 'form'",
        "adyen-header-hmac" => {
            "scheme = 'hmac'\nheader = 'HmacSignature'\ncontent = '{body}'\nkey = 'hex'\nencoding = 'base64'"
        }
        "braintree-sha1" | "braintree-challenge" => "scheme = 'braintree'",
        "checkout-hmac-hex" => "scheme = 'hmac'\nheader = 'Cko-Signature'\ncontent = '{body}'",
        "github-sha256" => "scheme = 'body-hmac'\nheader = 'x-hub-signature-256'",
        "gocardless-hmac-hex" => "scheme = 'hmac'\nheader = 'Webhook-Signature'\ncontent = '{body}'",
        "mollie-hmac-hex" => {
            "scheme = 'hmac'\nheader = 'X-Mollie-Signature'\ncontent = '{body}'\nprefix = 'sha256='\nprefix_optional = true"
        }
        "paddle-h1" => {
            "scheme = 'timestamped-list'\nheader = 'Paddle-Signature'\nseparator = ';'\ntimestamp_key = 'ts'
             signature_key = 'h1'\ncontent = '{timestamp}:{body}'"
        }
        "razorpay-hmac-hex" => "scheme = 'hmac'\nheader = 'X-Razorpay-Signature'\ncontent = '{body}'",
        "shopify-hmac" => "scheme = 'hmac'\nheader = 'X-Shopify-Hmac-Sha256'\ncontent = '{body}'\nencoding = 'base64'",
        "slack-v0" => {
            "scheme = 'hmac'\nheader = 'X-Slack-Signature'\nprefix = 'v0='\ncontent = 'v0:{timestamp}:{body}'
             timestamp_header = 'X-Slack-Request-Timestamp'"
        }
        "square-hmac-sha256" => {
            "scheme = 'hmac'\nheader = 'x-square-hmacsha256-signature'\ncontent = '{url}{body}'\nencoding = 'base64'"
        }
        "standard-webhooks-v1" | "standard-webhooks-v1a" => "scheme = 'standard-webhooks'",
        "stripe-v1" => "scheme = 'stripe'",
        other => panic!("the vectors have a scheme that nobody wrote a table for: {other}"),
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

/// The scheme as the receiver of this vector would have it.
fn scheme_of(vector: &Value) -> Scheme {
    let table = table(&text(&vector["scheme"]));
    let mut scheme: Scheme = toml::from_str(table).expect("a scheme");
    if scheme.tolerance().is_some() && vector["now"].is_null() {
        // Without a receiver's clock there is no age to check.
        scheme = toml::from_str(&format!("{table}\naccept_any_age = true")).expect("a scheme");
    }
    if let Some(tolerance) = vector["tolerance_s"].as_u64() {
        scheme = scheme.with_tolerance(u32::try_from(tolerance).expect("seconds")).expect("a tolerance");
    }
    if let Some(url) = vector["url"].as_str() {
        scheme = scheme.with_url(url).expect("an address");
    }
    scheme
}

/// A secret as this program wants it: the vectors name Braintree's two keys apart.
fn secret_of(vector: &Value, secret: &str) -> String {
    match vector["public_key"].as_str() {
        Some(public) => format!("{public}:{secret}"),
        None => secret.to_owned(),
    }
}

/// Whether the request passes: a secret that is refused lets nothing pass.
fn passes(vector: &Value, secrets: &[&str]) -> bool {
    let scheme = scheme_of(vector);
    let secrets = secrets.iter().map(|secret| SecretString::from(secret_of(vector, secret)));
    let Ok(secrets) = SecretSet::new(&scheme, secrets) else { return false };
    if vector["scheme"] == "braintree-challenge" {
        let answer = answer_challenge(&scheme, &secrets, &text(&vector["body"]));
        return answer.as_deref() == vector["expected_response"].as_str();
    }
    let headers: Vec<(String, String)> = vector["headers"]
        .as_object()
        .expect("headers")
        .iter()
        .map(|(name, value)| (name.clone(), text(value)))
        .collect();
    let body = Bytes::from(text(&vector["body"]));
    let now = vector["now"].as_i64().unwrap_or_default();
    let raw = RawRequest { headers: &headers, body: &body, received_at: UnixNanos::from_seconds(now).expect("a time") };
    verify(&scheme, &secrets, raw).is_ok()
}

#[test]
fn every_vector_is_judged_as_its_list_says() {
    if !fixtures().is_dir() {
        println!("skipped: no signature vectors beside the project (../shared/fixtures)");
        return;
    }
    let mut all = 0;
    for list in LISTS {
        let path = fixtures().join(list).join("signature-vectors.json");
        let vectors: Vec<Value> =
            serde_json::from_slice(&std::fs::read(&path).expect("the list can be read")).expect("a JSON list");
        let mut judged: BTreeMap<String, [usize; 2]> = BTreeMap::new();
        for vector in &vectors {
            let valid = match vector["expect"].as_str() {
                Some("valid") => true,
                Some("invalid") => false,
                other => panic!("{}: unknown expectation {other:?}", vector["id"]),
            };
            let secret = vector["secret"].as_str().expect("a secret");
            let why = format!("{}: {}", vector["id"], vector["why"]);
            assert_eq!(passes(vector, &[secret]), valid, "{why}");
            // The same among others, as during a rotation.
            if let Some(secrets) = vector["secrets"].as_array() {
                let secrets: Vec<&str> = secrets.iter().filter_map(Value::as_str).collect();
                assert_eq!(passes(vector, &secrets), valid, "{why}");
            }
            judged.entry(text(&vector["scheme"])).or_default()[usize::from(valid)] += 1;
        }
        for (scheme, [invalid, valid]) in judged {
            println!("{list}: {scheme}: {} vectors judged, {valid} valid, {invalid} invalid", valid + invalid);
            all += valid + invalid;
        }
    }
    println!("{all} vectors, all judged as their lists say");
    assert!(all > 0, "the lists hold no vector");
}
