//! The walls: who may import whom, kept by the manifests and checked here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Workspace crates and what they depend on (normal dependencies only), by name.
fn edges() -> BTreeMap<String, BTreeSet<String>> {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&out.stdout).expect("cargo metadata is JSON");
    let text = |value: &serde_json::Value| value.as_str().expect("a string").to_owned();
    metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("dependencies").iter();
            // What only a feature brings is not in the build of somebody who names none.
            let normal = dependencies
                .filter(|d| d["kind"].is_null() && d["optional"] != true)
                .map(|d| text(&d["name"]))
                .collect();
            (text(&package["name"]), normal)
        })
        .collect()
}

#[test]
fn who_may_import_whom() {
    let edges = edges();
    let inner: BTreeSet<&str> = edges.keys().map(String::as_str).collect();
    let of = |name: &str| -> BTreeSet<&str> {
        edges[name].iter().map(String::as_str).filter(|d| inner.contains(d)).collect()
    };
    assert_eq!(of("ledgerline-domain"), BTreeSet::new(), "domain imports nobody");
    for room in ["ledgerline-adapters", "ledgerline-ingest", "ledgerline-processor", "ledgerline-replay"] {
        assert_eq!(of(room), BTreeSet::from(["ledgerline-domain"]), "{room} imports domain alone");
    }
    for (name, imported) in &edges {
        assert!(!imported.contains("ledgerline-tests"), "{name} imports the tests");
        if name != "ledgerline-tests" {
            assert!(!imported.contains("ledgerline"), "{name} imports the program");
        }
    }
}

#[test]
fn the_domain_is_pure() {
    let edges = edges();
    for runtime in ["tokio", "axum", "hyper", "rusqlite", "libc", "tracing", "metrics", "reqwest", "rand"] {
        assert!(!edges["ledgerline-domain"].contains(runtime), "domain depends on {runtime}");
    }
    // What clippy's list (domain/clippy.toml) forbids by path, looked for by text as well: a list
    // that nobody reads is a drawing of a wall.
    for file in sources(&root().join("domain/src")) {
        let text = std::fs::read_to_string(&file).expect("a source file");
        for banned in [
            "SystemTime",
            "Instant::now",
            "Timestamp::now",
            "std::fs",
            "std::net",
            "std::thread",
            "std::env",
            "tokio::",
        ] {
            assert!(!text.contains(banned), "{} speaks of {banned}", file.display());
        }
    }
}

#[test]
fn nothing_reachable_from_input_may_panic_by_unwrap() {
    // clippy denies unwrap, expect and panic outside tests; an `#[expect]` of them needs a reason.
    for room in ["domain", "adapters", "ingest", "processor", "replay", "ledgerline"] {
        let manifest = std::fs::read_to_string(root().join(room).join("Cargo.toml")).expect("a manifest");
        assert!(manifest.contains("[lints]\nworkspace = true"), "{room} does not take the workspace's lints");
        for file in sources(&root().join(room).join("src")) {
            let text = std::fs::read_to_string(&file).expect("a source file");
            assert!(!text.contains("#[allow(") && !text.contains("#![allow("), "{}: use #[expect]", file.display());
        }
    }
    let workspace = std::fs::read_to_string(root().join("Cargo.toml")).expect("the workspace manifest");
    for lint in ["unwrap_used", "expect_used", "panic", "unsafe_code"] {
        assert!(workspace.contains(lint), "the workspace does not forbid {lint}");
    }
}

#[test]
fn files_stay_calm() {
    for room in ["domain", "adapters", "ingest", "processor", "replay", "ledgerline", "tests"] {
        for file in sources(&root().join(room)) {
            let lines = std::fs::read_to_string(&file).expect("a source file").lines().count();
            assert!(lines <= 450, "{} has {lines} lines: split it by idea", file.display());
        }
    }
}

#[test]
fn the_newcomers_build_has_no_aws_sdk() {
    for (name, imported) in edges() {
        let aws: Vec<_> = imported.iter().filter(|d| d.starts_with("aws-")).collect();
        assert!(name == "ledgerline-tests" || aws.is_empty(), "{name} depends on {aws:?}");
    }
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a source folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && path.file_name().is_some_and(|n| n != "target" && n != "fuzz") {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}
