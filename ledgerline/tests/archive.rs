//! `ledgerline archive …` as a process: exit codes, words and JSON.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn run(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ledgerline"));
    command.current_dir(folder).env_remove("LEDGERLINE_CONFIG").args(arguments);
    let out = command.output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    (out.status.code().unwrap(), text)
}

fn archive(folder: &Path, code: i32, arguments: &[&str]) -> String {
    let all = [&["--config", "kept/ledgerline.toml", "archive"], arguments].concat();
    let (found, text) = run(folder, &all);
    assert_eq!(found, code, "{arguments:?}: {text}");
    text
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[test]
fn damage_is_named_with_its_place_and_manifests_are_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (code, text) = run(folder, &["demo", "--payments", "40", "--data", "kept"]);
    assert_eq!(code, 0, "{text}");
    let said = archive(folder, 0, &["check"]);
    assert!(said.contains("the archive is whole") && said.contains("shard-0000"), "{said}");

    let root = folder.join("kept/data/archive");
    let segment = files(&root.join("segments")).remove(0);
    let good = std::fs::read(&segment).unwrap();
    let mut bad = good.clone();
    bad[100] ^= 1;
    std::fs::write(&segment, &bad).unwrap();
    let said = archive(folder, 3, &["check"]);
    assert!(
        said.contains("bytes 0 to ") && said.contains("row group 0") && said.contains("restore the object"),
        "{said}"
    );
    let report: Value = serde_json::from_str(&archive(folder, 3, &["check", "--json"])).unwrap();
    let fault = &report["faults"][0];
    assert_eq!((fault["kind"].as_str(), fault["bytes"]["first"].as_u64()), (Some("damaged"), Some(0)), "{report}");
    assert!(root.join(fault["key"].as_str().unwrap()) == segment, "{report}");
    // What is missing stays named: nothing is derived from a damaged archive.
    archive(folder, 3, &["manifests", "--yes"]);
    std::fs::write(&segment, &good).unwrap();

    let (manifest, head) = (files(&root.join("manifests")).remove(0), files(&root.join("heads")).remove(0));
    std::fs::remove_file(&head).unwrap();
    let said = archive(folder, 3, &["check"]);
    assert!(said.contains("1 fault") && said.contains("heads/main/shard-0000.json"), "{said}");
    // That a head is missing is known from the manifests.
    std::fs::write(&manifest, "{").unwrap();
    let said = archive(folder, 3, &["check"]);
    assert!(said.contains("manifests/main/") && said.contains("ledgerline archive manifests"), "{said}");
    let said = archive(folder, 0, &["manifests", "--dry-run"]);
    assert!(said.contains("it is missing") && said.contains("it is damaged") && !head.exists(), "{said}");
    archive(folder, 2, &["manifests"]);
    let said = archive(folder, 0, &["manifests", "--yes", "--reason", "a test"]);
    assert!(said.contains("2 objects written"), "{said}");
    archive(folder, 0, &["check"]);
    assert!(archive(folder, 0, &["manifests"]).contains("nothing to write"));

    let said = archive(folder, 0, &["compact", "--before", "2100-01-01", "--yes"]);
    assert!(said.contains("not complete yet"), "{said}");
    assert!(archive(folder, 0, &["compact", "--hour", "2020-01-01T00"]).contains("no such hour"));
    archive(folder, 2, &["compact", "--hour", "yesterday"]);
    archive(folder, 2, &["compact"]);
}
