//! Secrets out of Secrets Manager: rotation, fields, what may not be read, and the program itself.

#![expect(clippy::expect_used, reason = "a broken promise ends the test")]

use std::process::Command;
use std::time::Duration;

use ledgerline::aws_secrets::Keeper;
use ledgerline_adapters::aws::{AwsOptions, Timeouts};
use ledgerline_domain::ErrorKind;
use ledgerline_tests::aws::LocalSecrets;
use secrecy::ExposeSecret as _;

const NOW: Duration = Duration::ZERO;

fn keeper(secrets: &LocalSecrets, poll: Duration) -> Keeper {
    let options = AwsOptions {
        region: Some("eu-central-1".into()),
        endpoints: secrets.endpoints(),
        timeouts: Timeouts::default(),
        local: true,
    };
    Keeper::start(options, poll).expect("a keeper")
}

fn texts(keeper: &Keeper, name: &str, field: Option<&str>) -> Vec<String> {
    let found = keeper.secrets(name, field).expect("secrets");
    found.iter().map(|secret| secret.expose_secret().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_has_an_overlap() {
    let secrets = LocalSecrets::start().await;
    let keeper = keeper(&secrets, NOW);
    secrets.rotate("shop", "one");
    let first = keeper.stamp("shop");
    assert_eq!(texts(&keeper, "shop", None), ["one"]);
    assert_eq!(keeper.stamp("shop"), first, "nothing changed");
    secrets.rotate("shop", "second");
    assert_ne!(keeper.stamp("shop"), first);
    assert_eq!(texts(&keeper, "shop", None), ["second", "one"], "both count, and what is pending does not");
    secrets.rotate("shop", "the third");
    assert_eq!(texts(&keeper, "shop", None), ["the third", "second"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_cannot_be_read_changes_nothing() {
    let secrets = LocalSecrets::start().await;
    let keeper = keeper(&secrets, NOW);
    secrets.rotate("shop", "one");
    let stamp = keeper.stamp("shop");
    assert!(stamp.is_some());
    secrets.delete("shop");
    assert_eq!(keeper.stamp("shop"), stamp, "the secrets in force stay");
    let error = keeper.secrets("shop", None).expect_err("it is gone");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("there is none of that name"), "{error}");
    let error = keeper.secrets("forbidden", None).expect_err("not allowed");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("allow secretsmanager:GetSecretValue on forbidden"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_may_be_a_field() {
    let secrets = LocalSecrets::start().await;
    let keeper = keeper(&secrets, NOW);
    secrets.rotate("shop", r#"{"webhook":"s3cret","api":7}"#);
    assert_eq!(texts(&keeper, "shop", Some("webhook")), ["s3cret"]);
    for field in ["api", "none"] {
        let error = keeper.secrets("shop", Some(field)).expect_err("no such text");
        assert!(error.to_string().contains(field) && !error.to_string().contains("s3cret"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_kept_for_a_while() {
    let secrets = LocalSecrets::start().await;
    let keeper = keeper(&secrets, Duration::from_secs(600));
    secrets.rotate("shop", "one");
    let first = keeper.stamp("shop");
    assert!(first.is_some());
    secrets.rotate("shop", "second");
    assert_eq!(keeper.stamp("shop"), first, "AWS is not asked again so soon");
}

/// The program, with the environment that AWS gives it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_reads_secrets_from_secrets_manager() {
    let secrets = LocalSecrets::start().await;
    secrets.rotate("prod/shop", "whsec_first");
    secrets.rotate("prod/shop", "whsec_second");
    let dir = tempfile::tempdir().expect("a directory");
    let settings = dir.path().join("ledgerline.toml");
    let write = |name: &str| {
        let text = format!("[[source]]\nname = \"shop\"\nprovider = \"stripe\"\nsecrets = [\"{name}\"]\n");
        std::fs::write(&settings, text).expect("a settings file");
    };
    let check = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ledgerline-under-test"));
        command.args(["--config".as_ref(), settings.as_os_str()]).args(["check", "--json"]);
        command.env("AWS_REGION", "eu-central-1").env("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.address());
        command.env("AWS_ACCESS_KEY_ID", "local").env("AWS_SECRET_ACCESS_KEY", "local");
        let out = command.output().expect("it runs");
        (out.status.code(), String::from_utf8_lossy(&out.stdout).into_owned())
    };
    write("aws-secretsmanager:prod/shop");
    let (code, text) = check();
    assert_eq!(code, Some(0), "{text}");
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(report["sources"][0]["key_ids"].as_array().map(Vec::len), Some(2), "{text}");
    assert_eq!(report["sources"][0]["secrets"][0], "aws-secretsmanager:prod/shop");
    assert!(!text.contains("whsec_"), "{text}");
    write("aws-secretsmanager:prod/none");
    let (code, text) = check();
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("prod/none: there is none of that name"), "{text}");
}
