//! The README's provider of one's own, as it stands there: its file and its payloads give its table.

use std::path::Path;
use std::process::Command;

/// The text of the README's first fenced block of a language.
fn block<'a>(readme: &'a str, section: &str, language: &str) -> Option<&'a str> {
    let (_, section) = readme.split_once(section)?;
    let (_, block) = section.split_once(&format!("```{language}\n"))?;
    block.split_once("```").map(|(block, _)| block)
}

#[test]
fn the_provider_of_the_readme_reads_its_payloads() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    let section = "## A provider of your own";
    let folder = tempfile::tempdir().unwrap();
    let payloads = folder.path().join("payloads");
    std::fs::create_dir(&payloads).unwrap();
    std::fs::write(folder.path().join("acme.toml"), block(&readme, section, "toml").unwrap()).unwrap();
    let names = ["1-authorised.json", "2-settled.json", "3-refunded.json"];
    let lines: Vec<&str> = block(&readme, section, "json").unwrap().lines().collect();
    assert_eq!(lines.len(), names.len());
    for (name, line) in names.iter().zip(lines) {
        std::fs::write(payloads.join(name), line).unwrap();
    }
    for arguments in [vec!["provider", "check", "acme.toml"], vec!["provider", "test", "acme.toml", "payloads"]] {
        let out = Command::new(env!("CARGO_BIN_EXE_ledgerline"))
            .args(&arguments)
            .current_dir(folder.path())
            .output()
            .expect("the program runs");
        assert!(out.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
        if arguments[1] == "test" {
            assert_eq!(String::from_utf8(out.stdout).unwrap().trim(), block(&readme, section, "text").unwrap().trim());
        }
    }
}
