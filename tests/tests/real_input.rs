//! Real payloads and signature vectors through the real HTTP door.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ledgerline_domain::provider::Provider;
use ledgerline_domain::signature::{SecretSet, sign};
use ledgerline_domain::time::UnixNanos;
use ledgerline_ingest::Settings;
use ledgerline_tests::fixtures::{Vector, files, folder, vectors};
use ledgerline_tests::stack::{Spec, Stack};

const GITHUB: &str = r#"
name = "github"
format = 1
[signature]
scheme = "body-hmac"
header = "x-hub-signature-256"
prefix = "sha256="
hash = "sha256"
encoding = "hex"
[event]
id = ["header:x-github-delivery"]
type = ["header:x-github-event"]
[order]
class = "arrival"
[[entity]]
types = ["*"]
kind = "event"
id = ["header:x-github-delivery"]
"#;

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
            "github" => Provider::parse("github.toml", GITHUB).expect("a good file"),
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
