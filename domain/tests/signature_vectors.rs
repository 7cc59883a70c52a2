//! Signature vectors of public origin, judged as their list says: frozen vectors and official test
//! cases of the schemes. They are read from `../shared/fixtures` beside the project; where that is
//! absent the test says so and passes.

#![expect(clippy::expect_used, reason = "tests stop at the first surprise")]

use std::path::{Path, PathBuf};

use bytes::Bytes;
use ledgerline_domain::request::RawRequest;
use ledgerline_domain::signature::{Scheme, SecretSet, verify};
use ledgerline_domain::time::UnixNanos;
use secrecy::SecretString;
use serde_json::Value;

const LISTS: [&str; 4] = ["stripe", "standard-webhooks", "svix", "github"];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures")
}

/// The scheme's table; `None` for a scheme that is not built in.
fn table(scheme: &str) -> Option<&'static str> {
    match scheme {
        "stripe-v1" => Some("scheme = 'stripe'"),
        "standard-webhooks-v1" => Some("scheme = 'standard-webhooks'"),
        "github-sha256" => Some("scheme = 'body-hmac'\nheader = 'x-hub-signature-256'"),
        _ => None,
    }
}

/// Whether the request passes: a secret that is refused lets nothing pass.
fn passes(vector: &Value, scheme: &Scheme, secrets: &[&str]) -> bool {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let headers: Vec<(String, String)> = vector["headers"]
        .as_object()
        .expect("headers")
        .iter()
        .map(|(name, value)| (name.clone(), text(value)))
        .collect();
    let body = Bytes::from(text(&vector["body"]));
    let now = vector["now"].as_i64().unwrap_or_default();
    let raw = RawRequest { headers: &headers, body: &body, received_at: UnixNanos::from_seconds(now).expect("a time") };
    SecretSet::new(scheme, secrets.iter().map(|s| SecretString::from(*s)))
        .is_ok_and(|secrets| verify(scheme, &secrets, raw).is_ok())
}

#[test]
fn every_vector_is_judged_as_its_list_says() {
    if !fixtures().is_dir() {
        println!("skipped: no signature vectors beside the project (../shared/fixtures)");
        return;
    }
    for list in LISTS {
        let path = fixtures().join(list).join("signature-vectors.json");
        let vectors: Vec<Value> =
            serde_json::from_slice(&std::fs::read(&path).expect("the list can be read")).expect("a JSON list");
        let (mut judged, mut skipped) = (0, 0);
        for vector in &vectors {
            let Some(table) = table(vector["scheme"].as_str().expect("a scheme")) else {
                skipped += 1;
                continue;
            };
            let mut scheme: Scheme = match vector["now"].as_i64() {
                // Without a receiver's clock there is no age to check.
                None if !table.contains("body-hmac") => {
                    toml::from_str(&format!("{table}\naccept_any_age = true")).expect("a scheme")
                }
                _ => toml::from_str(table).expect("a scheme"),
            };
            if let Some(tolerance) = vector["tolerance_s"].as_u64() {
                scheme = scheme.with_tolerance(u32::try_from(tolerance).expect("seconds")).expect("a tolerance");
            }
            let valid = match vector["expect"].as_str() {
                Some("valid") => true,
                Some("invalid") => false,
                other => panic!("{}: unknown expectation {other:?}", vector["id"]),
            };
            let secret = vector["secret"].as_str().expect("a secret");
            let why = format!("{}: {}", vector["id"], vector["why"]);
            assert_eq!(passes(vector, &scheme, &[secret]), valid, "{why}");
            // The same among others, as during a rotation.
            if let Some(secrets) = vector["secrets"].as_array() {
                let secrets: Vec<&str> = secrets.iter().filter_map(Value::as_str).collect();
                assert_eq!(passes(vector, &scheme, &secrets), valid, "{why}");
            }
            judged += 1;
        }
        println!("{list}: {judged} vectors judged, {skipped} skipped (a scheme that is not built in)");
        assert!(judged > 0, "{list} holds no vector of a built-in scheme");
    }
}
