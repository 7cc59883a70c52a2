//! Real payloads and signature vectors through the real HTTP door.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ledgerline_domain::provider::Provider;
use ledgerline_domain::signature::{Scheme, SecretSet, sign, sign_request};
use ledgerline_domain::time::UnixNanos;
use ledgerline_ingest::Settings;
use ledgerline_tests::fixtures::{Vector, files, folder, vectors};
use ledgerline_tests::payloads::{Payload, payloads};
use ledgerline_tests::stack::{Spec, Stack};

/// The time that a vector's headers are signed for, to judge vectors that ask for no age check.
fn signed_time(vector: &Vector) -> i64 {
    let header =
        |name: &str| vector.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str());
    let stripe = header("stripe-signature").and_then(|v| v.split(',').find_map(|part| part.strip_prefix("t=")));
    let standard = header("webhook-timestamp").or_else(|| header("svix-timestamp"));
    stripe.or(standard).and_then(|t| t.parse().ok()).unwrap_or(1_700_000_000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_vector_is_judged_as_expected() {
    let mut table: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for provider in ["stripe", "standard-webhooks", "svix", "github"] {
        let reader = match provider {
            "svix" => Provider::built_in("standard-webhooks").expect("built in"),
            name => Provider::built_in(name).expect("built in"),
        };
        let reader = Arc::new(reader);
        let mut specs = Vec::new();
        let mut judged = Vec::new();
        for (n, vector) in vectors(provider).into_iter().enumerate() {
            let counts = table.entry(provider.to_owned()).or_default();
            let scheme = match vector.tolerance_s.and_then(|t| u32::try_from(t).ok()) {
                Some(tolerance) => reader.scheme().with_tolerance(tolerance).expect("a tolerance"),
                None => reader.scheme().clone(),
            };
            let secrets = vector.secrets.clone().unwrap_or_else(|| vec![vector.secret.clone()]);
            if SecretSet::new(&scheme, secrets.iter().cloned().map(Into::into)).is_err() {
                assert_eq!(vector.expect, "invalid", "{}: its secret is refused", vector.id);
                counts.1 += 1;
                continue;
            }
            let name = format!("v{n}");
            specs.push(Spec { name: name.clone(), provider: reader.clone(), scheme, secrets });
            judged.push((name, vector));
        }
        let dir = tempfile::tempdir().expect("a directory");
        let stack = Stack::start(dir.path(), specs, Settings::default()).await.expect("it starts");
        let mut accepted = 0;
        for (name, vector) in judged {
            stack.clock.set(vector.now.unwrap_or_else(|| signed_time(&vector)));
            let headers: Vec<_> = vector.headers.clone().into_iter().collect();
            let status = stack.post(&name, &headers, &Bytes::from(vector.body.clone())).await;
            let counts = table.entry(provider.to_owned()).or_default();
            match vector.expect.as_str() {
                "valid" => {
                    assert!((200..300).contains(&status), "{}: {status}, {}", vector.id, vector.why);
                    counts.0 += 1;
                    accepted += 1;
                }
                _ => {
                    assert_eq!(status, 401, "{}: {}", vector.id, vector.why);
                    counts.1 += 1;
                }
            }
        }
        stack.settle().await;
        let folded = stack.progress.counts();
        assert_eq!(folded.appended + folded.unreadable, accepted, "every accepted vector is folded or quarantined");
        stack.stop().await;
    }
    for (provider, (valid, invalid)) in table {
        println!("{provider}: {valid} accepted, {invalid} refused; all as expected");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_stripe_payload_is_acknowledged_and_folded_or_quarantined() {
    let Some(dir) = folder("stripe") else { return };
    let provider = Arc::new(Provider::built_in("stripe").expect("built in"));
    let secret = "whsec_for_tests".to_owned();
    let mut groups: BTreeMap<String, Vec<Bytes>> = BTreeMap::new();
    for file in files(&dir, &["json", "txt"]) {
        let name = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if name == "_index.json" || name == "signature-vectors.json" {
            continue;
        }
        // One source per folder: ids start again in every one.
        let folder = file.parent().and_then(|p| p.strip_prefix(&dir).ok()).map(|p| p.to_string_lossy().to_lowercase());
        let source: String =
            folder.unwrap_or_default().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let source: String = source.chars().rev().take(60).collect::<Vec<_>>().into_iter().rev().collect();
        let source = source.trim_start_matches('-').to_owned();
        groups.entry(source).or_default().push(std::fs::read(&file).expect("a payload").into());
    }
    let specs = groups.keys().map(|name| Spec {
        name: name.clone(),
        provider: provider.clone(),
        scheme: provider.scheme().clone(),
        secrets: vec![secret.clone()],
    });
    let data = tempfile::tempdir().expect("a directory");
    let stack = Stack::start(data.path(), specs.collect(), Settings::default()).await.expect("it starts");
    stack.clock.set(1_790_000_000);
    let (mut ok, mut parked) = (0, 0);
    for (source, bodies) in &groups {
        for body in bodies {
            let now = UnixNanos::from_seconds(1_790_000_000).expect("a time");
            let headers = sign(provider.scheme(), &secret.clone().into(), "", now, body).expect("signed");
            match stack.post(source, &headers, body).await {
                200 => ok += 1,
                202 => parked += 1,
                status => panic!("{source}: {status}"),
            }
        }
    }
    stack.settle().await;
    let counts = stack.progress.counts();
    let quarantine = stack.quarantine().await;
    let fates = counts.appended + counts.merged + counts.duplicates + counts.contradictions + counts.unreadable;
    assert_eq!(fates, ok + parked, "nothing is lost: {counts:?}");
    assert_eq!(quarantine.len() as u64, counts.contradictions + counts.unreadable);
    let mut entries = 0;
    for source in groups.keys() {
        entries += stack.records(source).await.iter().map(|r| r.entries.len() as u64).sum::<u64>();
    }
    assert_eq!(entries, counts.appended + counts.merged);
    println!("{} payloads in {} sources: {counts:?}", ok + parked, groups.len());
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for item in &quarantine {
        *reasons.entry(&item.reason).or_default() += 1;
    }
    println!("quarantine: {reasons:?}");
    stack.stop().await;
}

/// A secret that the provider's scheme accepts and can sign with.
fn secret_for(provider: &Provider) -> String {
    let hex_key = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
    match provider.name() {
        "adyen" | "adyen-form" | "adyen-platform" | "authorize-net" => hex_key.to_owned(),
        "braintree" => "public_key:private_key".to_owned(),
        "standard-webhooks" => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
        _ => "a-secret-for-tests-of-real-payloads".to_owned(),
    }
}

/// The provider's own scheme. Only Wise and PayPal have the key that their schemes verify, so their requests come
/// with a token here; an address is made up where one is signed.
fn scheme_for(provider: &Provider) -> Scheme {
    let scheme = provider.scheme().clone();
    match scheme.name() {
        "rsa-sha256" | "paypal" => toml::from_str("scheme = 'bearer'").expect("a scheme"),
        _ if scheme.signs_url() => scheme.with_url("https://example.com/webhooks/shop").expect("an address"),
        _ => scheme,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_payload_of_every_provider_passes_the_door_in_its_own_encoding() {
    let mut groups: BTreeMap<(&str, String), Vec<Payload>> = BTreeMap::new();
    for payload in payloads() {
        let source = format!("{}-{}", payload.provider, payload.group);
        let source = source.get(..63).unwrap_or(&source).trim_end_matches('-').to_owned();
        groups.entry((payload.provider, source)).or_default().push(payload);
    }
    let specs = groups.keys().map(|(provider, source)| {
        let provider = Arc::new(Provider::built_in(provider).expect("built in"));
        let (scheme, secrets) = (scheme_for(&provider), vec![secret_for(&provider)]);
        Spec { name: source.clone(), provider, scheme, secrets }
    });
    let data = tempfile::tempdir().expect("a directory");
    let stack = Stack::start(data.path(), specs.collect(), Settings::default()).await.expect("it starts");
    stack.clock.set(1_790_000_000);
    let now = UnixNanos::from_seconds(1_790_000_000).expect("a time");
    let (mut table, mut sent) = (BTreeMap::<&str, (u64, u64)>::new(), 0);
    for ((name, source), payloads) in &groups {
        let provider = Provider::built_in(name).expect("built in");
        let (scheme, secret) = (scheme_for(&provider), secret_for(&provider).into());
        for (n, payload) in payloads.iter().enumerate() {
            let signed = sign_request(&scheme, &secret, &format!("msg_{n}"), now, &payload.body)
                .unwrap_or_else(|e| panic!("{}: {e}", payload.file));
            // A header that the signature brings along stands for itself.
            let mut headers = signed.headers;
            for (name, value) in &payload.headers {
                if !headers.iter().any(|(known, _)| known == name) {
                    headers.push((name.clone(), value.clone()));
                }
            }
            let counts = table.entry(name).or_default();
            sent += 1;
            match stack.post(source, &headers, &signed.body).await {
                200 => counts.0 += 1,
                202 => counts.1 += 1,
                status => panic!("{}: {status}", payload.file),
            }
            // With another body it does not pass, where the body as a whole is signed.
            if scheme.is_symmetric() && !scheme.signs_in_body() && scheme.name() != "bearer" {
                let mut forged = signed.body.to_vec();
                forged.splice(0..0, *b" x=1&");
                assert_eq!(stack.post(source, &headers, &forged.into()).await, 401, "{}: forged", payload.file);
            }
        }
    }
    stack.settle().await;
    let counts = stack.progress.counts();
    let quarantine = stack.quarantine().await;
    assert_eq!(quarantine.len() as u64, counts.contradictions + counts.unreadable, "nothing is lost: {counts:?}");
    let fates = counts.appended + counts.merged + counts.duplicates + counts.contradictions + counts.unreadable;
    assert!(fates >= sent, "{fates} fates of {sent} requests: {counts:?}");
    for (name, (ok, parked)) in table {
        println!("{name}: {ok} accepted, {parked} accepted for the quarantine");
    }
    println!("{sent} requests: {counts:?}");
    stack.stop().await;
}
