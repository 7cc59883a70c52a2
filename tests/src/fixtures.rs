//! Real payloads and signature vectors. They belong to third parties and stand beside the project
//! (`../shared/fixtures`) on a developer's machine; where they are absent a test says so and passes.

use std::path::{Path, PathBuf};

/// The folder of a provider's fixtures, or nothing and a printed line.
pub fn folder(provider: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures").join(provider);
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: no fixtures of {provider} beside the project (../shared/fixtures/{provider})");
    None
}

/// All files below `dir` with one of the extensions, in name order.
pub fn files(dir: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(dir) else { return found };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            found.extend(files(&path, extensions));
        } else if path.extension().is_some_and(|e| extensions.iter().any(|wanted| e == *wanted)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// One signature vector, as the fixtures' README describes it.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Vector {
    /// Its name.
    pub id: String,
    /// Scheme, such as `stripe-v1`.
    pub scheme: String,
    /// The secret as the provider gives it.
    pub secret: String,
    /// Request headers.
    pub headers: std::collections::BTreeMap<String, String>,
    /// Exact body.
    pub body: String,
    /// `valid` or `invalid`, about the signature only.
    pub expect: String,
    /// What it is about.
    pub why: String,
    /// The receiver's clock in unix seconds; absent: make no age check.
    pub now: Option<i64>,
    /// Tolerance in seconds.
    pub tolerance_s: Option<u64>,
    /// Several secrets at once.
    pub secrets: Option<Vec<String>>,
}

/// The vectors of a provider.
pub fn vectors(provider: &str) -> Vec<Vector> {
    let Some(dir) = folder(provider) else { return Vec::new() };
    let text = std::fs::read_to_string(dir.join("signature-vectors.json")).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// One of Stripe's real event streams: the bodies in Stripe's own order, and the furthest status
/// that the stream itself shows per object.
pub struct Lifecycle {
    /// Name of the scenario.
    pub name: String,
    /// Exact bodies.
    pub bodies: Vec<bytes::Bytes>,
    /// Object id → status.
    pub final_status: std::collections::BTreeMap<String, String>,
}

/// All lifecycles, or none and a printed line.
pub fn lifecycles() -> Vec<Lifecycle> {
    #[derive(serde::Deserialize)]
    struct Index {
        final_status: std::collections::BTreeMap<String, String>,
        order: Vec<Place>,
    }
    #[derive(serde::Deserialize)]
    struct Place {
        file: String,
    }
    let Some(dir) = folder("stripe") else { return Vec::new() };
    let mut found = Vec::new();
    for index in files(&dir.join("lifecycles"), &["json"]).into_iter().filter(|p| p.ends_with("_index.json")) {
        let folder = index.parent().unwrap_or(&dir).to_owned();
        let text = std::fs::read_to_string(&index).unwrap_or_default();
        let Ok(read) = serde_json::from_str::<Index>(&text) else { continue };
        let bodies =
            read.order.iter().filter_map(|p| std::fs::read(folder.join(&p.file)).ok()).map(Into::into).collect();
        let name = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        found.push(Lifecycle { name, bodies, final_status: read.final_status });
    }
    found
}
