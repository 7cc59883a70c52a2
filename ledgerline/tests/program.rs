//! The program as its users meet it: the binary, its exit codes, its output, a server and its clients
//! as processes of their own.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// Runs the program in `folder`, where its settings file is.
fn run(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).output().unwrap()
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ledgerline"));
    command.current_dir(folder).args(args).env_remove("LEDGERLINE_CONFIG").env_remove("LEDGERLINE_LOG");
    command
}

/// Standard output of a run that must end with `code`.
fn expect(folder: &Path, code: i32, args: &[&str]) -> String {
    let output = run(folder, args);
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}\n{err}");
    if code == 0 { out } else { format!("{out}{err}") }
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A server as a process of its own.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let mut child = command(folder, &["serve", "--listen", "127.0.0.1:0"]).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let url = loop {
            let line = lines.next().expect("the server ended before it listened").unwrap();
            if let Some((_, url)) = line.split_once("listening on ") {
                break url.trim().to_owned();
            }
        };
        // Nobody may be held up by a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url }
    }

    fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "a stop by SIGTERM is no failure");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn settings(folder: &Path) {
    std::fs::write(folder.join("shop.secret"), "whsec_first\n").unwrap();
    std::fs::write(
        folder.join("ledgerline.toml"),
        "[limits]\nsegment_age_seconds_max = 1\n[[source]]\nname = \"shop\"\nprovider = \"generic\"\nsecrets = [\"file:shop.secret\"]\n",
    )
    .unwrap();
}

fn event(n: u64, event_type: &str, rest: &str) -> String {
    format!(
        r#"{{"id":"e{n}","type":"{event_type}","payment":"p1","sequence":{n},"time":"2026-09-01T10:00:0{n}Z"{rest}}}"#
    )
}

/// Waits until `show` of an entity says what is wanted.
fn wait_for(folder: &Path, entity: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..200 {
        let output = run(folder, &["show", entity, "--json"]);
        if let Ok(value) = serde_json::from_slice::<Value>(&output.stdout)
            && wanted(&value)
        {
            return value;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{entity} never became what was wanted");
}

#[test]
fn wrong_use_ends_with_code_2_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    for (args, wanted) in [
        (vec!["nonsense"], "unrecognized subcommand"),
        (vec!["serve"], "ledgerline check --example"),
        (vec!["--config", "absent.toml", "list"], "absent.toml"),
        (vec!["show", "no-entity"], "source/kind/id"),
        (vec!["list"], "holds no Ledgerline data"),
        (vec!["send", "--source", "shop", "x.json"], "none is configured"),
    ] {
        let said = expect(folder.path(), 2, &args);
        assert!(said.contains(wanted), "{args:?}: {said}");
    }
    std::fs::write(folder.path().join("ledgerline.toml"), "colour = 1\n").unwrap();
    let said = expect(folder.path(), 2, &["check"]);
    assert!(said.contains("ledgerline.toml") && said.contains("unknown field `colour`"), "{said}");
}

#[test]
fn help_and_examples_end_with_code_0() {
    let folder = tempfile::tempdir().unwrap();
    assert!(expect(folder.path(), 0, &["--help"]).contains("Exit codes:"));
    let example = expect(folder.path(), 0, &["check", "--example"]);
    std::fs::write(folder.path().join("ledgerline.toml"), example).unwrap();
    let said = expect(folder.path(), 2, &["check"]);
    assert!(said.contains("set the variable to the secret"), "{said}");
    let checked = command(folder.path(), &["check", "--json"]).env("STRIPE_SECRET", "whsec_x").output().unwrap();
    let checked: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!((&checked["ok"], &checked["sources"][0]["provider"]), (&true.into(), &"stripe".into()));
    assert!(expect(folder.path(), 0, &["check", "--provider", "generic"]).contains("x-signature"));
}

#[test]
fn a_server_takes_what_send_signs_and_tools_read_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    settings(folder);
    let server = Server::start(folder);
    let url = format!("{}/webhooks/shop", server.url);
    let eur = r#","amount":"12.50","currency":"EUR""#;
    let back = r#","amount":"3.00","currency":"EUR","reference":"re_1""#;
    std::fs::create_dir(folder.join("payloads")).unwrap();
    // The refund is sent first.
    for (name, body) in [
        ("1.json", event(4, "refund.succeeded", back)),
        ("2.json", event(1, "payment.created", eur)),
        ("3.json", event(2, "payment.authorized", eur)),
        ("4.json", event(3, "payment.captured", eur)),
    ] {
        std::fs::write(folder.join("payloads").join(name), body).unwrap();
    }
    let sent =
        expect(folder, 0, &["send", "--source", "shop", "--url", &url, "--duplicate", "1", "--json", "payloads"]);
    let sent: Value = serde_json::from_str(&sent).unwrap();
    assert_eq!((&sent["sent"], &sent["answers"]["200"]), (&8.into(), &8.into()));

    let shown =
        wait_for(folder, "shop/payment/p1", |v| v["timeline"][0]["copies"] == 2 && v["status"] == "partially_refunded");
    assert_eq!((&shown["state"]["captured"], &shown["state"]["refunded"]), (&1250.into(), &300.into()));
    let text = expect(folder, 0, &["show", "shop/payment/p1"]);
    assert!(text.contains("before the capture it refunds") && text.contains("the state counts both"), "{text}");
    let listed = json_lines(&expect(folder, 0, &["list", "--status", "partially_refunded", "--json"]));
    assert_eq!((listed.len(), &listed[0]["entity"]), (1, &"shop/payment/p1".into()));
    assert!(expect(folder, 0, &["list", "--attention"]).contains("nothing fits"));
    expect(folder, 4, &["show", "shop/payment/unknown"]);

    // A second process may not use the data, and is told who does.
    let said = expect(folder, 2, &["serve", "--listen", "127.0.0.1:0"]);
    assert!(said.contains("is using it") && said.contains(&server.child.id().to_string()), "{said}");

    // A new secret counts without a restart, beside the old one.
    std::fs::write(folder.join("shop.secret"), "whsec_second\nwhsec_first\n").unwrap();
    std::fs::write(folder.join("late.json"), event(5, "payment.fee", eur)).unwrap();
    let accepted = (0..60).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(200));
        run(folder, &["send", "--source", "shop", "--url", &url, "late.json"]).status.success()
    });
    assert!(accepted, "the second secret was never accepted");

    let load = ["load", "--source", "shop", "--url", &url, "--seconds", "1", "--connections", "4", "--json"];
    let measured: Value = serde_json::from_str(&expect(folder, 0, &load)).unwrap();
    assert!(measured["requests"].as_u64().unwrap() > 0 && measured["p99_us"].as_u64().unwrap() > 0);
    assert_eq!(measured["answers"]["200"], measured["requests"]);
    server.stop();
    let said = expect(folder, 5, &["send", "--source", "shop", "--url", &url, "--connections", "2", "late.json"]);
    assert!(said.contains("could not be reached"), "{said}");
}

#[test]
fn quarantined_events_are_released_by_the_server_or_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    settings(folder);
    let eur = |amount: &str| format!(r#","amount":"{amount}","currency":"EUR""#);
    std::fs::write(folder.join("1.json"), event(1, "payment.created", &eur("12.50"))).unwrap();
    std::fs::write(folder.join("2.json"), event(1, "payment.created", &eur("99.00"))).unwrap();
    std::fs::write(folder.join("3.json"), event(2, "payment.authorized", &eur("12,50"))).unwrap();
    let server = Server::start(folder);
    let url = format!("{}/webhooks/shop", server.url);
    expect(folder, 0, &["send", "--source", "shop", "--url", &url, "1.json", "2.json", "3.json"]);
    wait_for(folder, "shop/payment/p1", |v| v["quarantined"].as_array().is_some_and(|q| q.len() == 2));

    let items = json_lines(&expect(folder, 0, &["quarantine", "list", "--json"]));
    let id_of = |part: &str| {
        let item = items.iter().find(|item| item["reason"].as_str().unwrap().contains(part));
        item.unwrap()["id"].as_str().unwrap().to_owned()
    };
    let (contradiction, unreadable) = (id_of("other facts"), id_of("decimal text"));
    let shown = expect(folder, 0, &["quarantine", "show", &unreadable, "--body", "body.json"]);
    assert!(shown.contains("decimal text"), "{shown}");
    assert_eq!(std::fs::read(folder.join("body.json")).unwrap(), std::fs::read(folder.join("3.json")).unwrap());

    // Through the server: the contradiction becomes an event of its own, the other one stays.
    let said = expect(folder, 0, &["quarantine", "release", &contradiction]);
    assert!(said.contains("released e1#"), "{said}");
    let said = expect(folder, 5, &["quarantine", "release", &contradiction]);
    assert!(said.contains("was released at"), "{said}");
    let said = expect(folder, 5, &["quarantine", "release", &unreadable]);
    assert!(said.contains("still unreadable") && said.contains("provider file"), "{said}");
    expect(folder, 4, &["quarantine", "release", "shard-0000:00000000000000099999"]);
    wait_for(folder, "shop/payment/p1", |v| v["timeline"].as_array().is_some_and(|t| t.len() == 2));
    server.stop();

    // Without a server, and with a provider file that reads the other currency notation.
    let provider = expect(folder, 0, &["check", "--provider", "generic"]);
    let provider = provider.replace("\"decimal:/amount\", ", "");
    std::fs::write(folder.join("ours.toml"), provider).unwrap();
    let settings = std::fs::read_to_string(folder.join("ledgerline.toml")).unwrap();
    std::fs::write(folder.join("ledgerline.toml"), format!("providers = [\"ours.toml\"]\n{settings}")).unwrap();
    let said = expect(folder, 0, &["quarantine", "release", &unreadable]);
    assert!(said.contains("released e2 about shop/payment/p1"), "{said}");
    let server = Server::start(folder);
    let shown = wait_for(folder, "shop/payment/p1", |v| v["timeline"].as_array().is_some_and(|t| t.len() == 3));
    assert_eq!(shown["quarantined"].as_array().unwrap().len(), 0);
    server.stop();
    assert!(expect(folder, 0, &["quarantine", "list"]).contains("empty"));
    assert_eq!(json_lines(&expect(folder, 0, &["quarantine", "list", "--all", "--json"])).len(), 2);
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = command(folder.path(), &["check", "--provider", "stripe"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(said, "");
}

#[test]
fn the_demonstration_proves_itself_and_its_data_can_be_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let told = expect(folder, 0, &["demo", "--payments", "60", "--seed", "3", "--data", "kept"]);
    assert!(told.contains("✓") && !told.contains("✗") && !told.contains("UNEXPECTED"), "{told}");
    let again = expect(folder, 2, &["demo", "--data", "kept"]);
    assert!(again.contains("it is not empty"), "{again}");

    let config = ["--config", "kept/ledgerline.toml"];
    let with = |args: &[&str]| -> String { expect(folder, 0, &[&config, args].concat()) };
    let all = json_lines(&with(&["list", "--json", "--limit", "1000"]));
    assert_eq!(all.len(), 61, "60 payments, and one of which nothing could be read");
    // Pages join to the same list.
    let mut paged: Vec<Value> = Vec::new();
    loop {
        let after = paged.last().map(|last| last["entity"].as_str().unwrap().to_owned());
        let after: Vec<&str> = after.iter().flat_map(|after| ["--after", after]).collect();
        let page = json_lines(&with(&[&["list", "--json", "--limit", "25"], after.as_slice()].concat()));
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, all);
    let odd = json_lines(&with(&["list", "--json", "--attention"]));
    assert!(!odd.is_empty() && odd.iter().all(|entity| entity["attention"] == true));
    assert!(with(&["list", "--limit", "5"]).contains("there are more: add --after"));
    assert!(!json_lines(&with(&["quarantine", "list", "--json"])).is_empty());
    let first = all.first().unwrap()["entity"].as_str().unwrap();
    assert!(with(&["show", first]).contains("Why it is so"));
}

#[test]
fn damage_to_the_archive_is_found_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    expect(folder, 0, &["demo", "--payments", "40", "--data", "kept"]);
    let verify = ["--config", "kept/ledgerline.toml", "replay", "verify", "--signatures", "--json"];
    let clean: Value = serde_json::from_str(&expect(folder, 0, &verify)).unwrap();
    assert!(clean["equal"] == clean["entities"] && clean["signatures"]["bad_total"] == 0);
    // In parts, of which each says what it left out, and of one entity.
    let mut equal = 0;
    for part in ["1/3", "2/3", "3/3"] {
        let of_part = [&verify[..4], &["--partition", part, "--json"]].concat();
        let report: Value = serde_json::from_str(&expect(folder, 0, &of_part)).unwrap();
        assert_eq!(report["equal"].as_u64().unwrap() + report["not_compared"].as_u64().unwrap(), 40);
        equal += report["equal"].as_u64().unwrap();
    }
    assert_eq!(equal, 40);
    let none_of = [&verify[..4], &["--source", "nobody"]].concat();
    let said = expect(folder, 0, &none_of);
    assert!(said.contains("40 other entities were not compared"), "{said}");
    for (option, wrong, fix) in
        [("--partition", "4/3", "1/3 to 3/3"), ("--entity", "x", "source/kind/id"), ("--source", "X", "use 1 to 63")]
    {
        let said = expect(folder, 2, &[&verify[..4], &[option, wrong]].concat());
        assert!(said.contains(option) && said.contains(fix), "{said}");
    }
    let exported = expect(folder, 0, &["--config", "kept/ledgerline.toml", "replay", "export", "--format", "csv"]);
    assert_eq!(exported.lines().count(), 41, "a heading and 40 payments");
    let none = ["--config", "kept/ledgerline.toml", "replay", "export", "--known-at", "2020-01-01T00:00:00Z"];
    assert_eq!(expect(folder, 0, &none), "");

    let shard = folder.join("kept/data/archive/segments/stream=main/shard=shard-0001");
    let first_in = |folder: &Path| std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let segment = first_in(&first_in(&shard));
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    *bytes.get_mut(middle).unwrap() ^= 1;
    std::fs::remove_file(&segment).unwrap();
    std::fs::write(&segment, &bytes).unwrap();
    let said = expect(folder, 3, &["--config", "kept/ledgerline.toml", "replay", "verify"]);
    assert!(said.contains("faults of the archive") && said.contains("shard-0001"), "{said}");
    let said = expect(folder, 3, &["--config", "kept/ledgerline.toml", "replay", "export"]);
    assert!(said.contains("not whole"), "{said}");
}

#[test]
fn verify_works_beside_a_running_server() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    settings(folder);
    let server = Server::start(folder);
    let url = format!("{}/webhooks/shop", server.url);
    let load = ["load", "--source", "shop", "--url", &url, "--seconds", "3", "--connections", "4", "--rate", "500"];
    let mut load = command(folder, &load).stdout(Stdio::null()).spawn().unwrap();
    for _ in 0..6 {
        std::thread::sleep(std::time::Duration::from_millis(400));
        // Clean, or too early: nothing is archived in the first second.
        let code = run(folder, &["replay", "verify", "--json"]).status.code();
        assert!(matches!(code, Some(0 | 6)), "{code:?}");
    }
    assert!(load.wait().unwrap().success());
    server.stop();
    let report: Value = serde_json::from_str(&expect(folder, 0, &["replay", "verify", "--json"])).unwrap();
    assert!(report["equal"] == report["entities"] && report["equal"].as_u64().unwrap() > 10, "{report}");
}

#[test]
fn verify_does_not_call_proved_what_it_could_not_compare() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    settings(folder);
    let text = std::fs::read_to_string(folder.join("ledgerline.toml")).unwrap();
    std::fs::write(folder.join("ledgerline.toml"), text.replace("_max = 1", "_max = 3600")).unwrap();
    let server = Server::start(folder);
    std::fs::write(folder.join("event.json"), event(1, "payment.created", r#","amount":"1.00","currency":"EUR""#))
        .unwrap();
    let url = format!("{}/webhooks/shop", server.url);
    expect(folder, 0, &["send", "--source", "shop", "--url", &url, "event.json"]);
    wait_for(folder, "shop/payment/p1", |_| true);
    let said = expect(folder, 6, &["replay", "verify"]);
    assert!(said.contains("nothing to prove yet"), "{said}");
    server.stop();
    let said = expect(folder, 0, &["replay", "verify"]);
    assert!(said.contains("the state is what the signed originals fold to"), "{said}");
}

#[test]
fn a_captured_request_is_explained_and_nothing_secret_is_shown() {
    use ledgerline_domain::{provider::Provider, signature::sign, time::UnixNanos};
    let folder = tempfile::tempdir().unwrap();
    settings(folder.path());
    let body = r#"{"id":"e1"}"#;
    let (generic, at) = (Provider::built_in("generic").unwrap(), UnixNanos::from_seconds(1_790_000_000).unwrap());
    let signed = sign(generic.scheme(), &"whsec_first".into(), "", at, body.as_bytes()).unwrap();
    let signature = signed.iter().find(|(name, _)| name == "x-signature").unwrap().1.clone();
    let headers = format!("POST /webhooks/shop HTTP/1.1\r\nX-Timestamp: 1790000000\r\nX-Signature: {signature}\r\n");
    std::fs::write(folder.path().join("headers"), headers).unwrap();
    let explain = |code: i32, body: &str, more: &[&str]| {
        std::fs::write(folder.path().join("body"), body).unwrap();
        let args = ["verify-signature", "--source", "shop", "--headers", "headers", "--body", "body"];
        let said = expect(folder.path(), code, &[args.as_slice(), more].concat());
        assert!(!said.contains("whsec_first") && !said.contains(&signature), "{said}");
        said
    };
    let now = ["--at", "2026-09-21T14:13:20Z"];
    assert!(explain(0, body, &now).contains("the signature holds"));
    assert!(explain(5, body, &[]).contains("check the clocks"));
    assert!(explain(5, "{\"id\": \"e1\"}", &now).contains("verify the bytes as they arrive"));
    assert!(explain(5, "{}", &now).contains("most likely the secret is another one"));
    let json: Value =
        serde_json::from_str(&explain(5, &format!("{body}\n"), &["--at", "1790000000", "--json"])).unwrap();
    assert_eq!((&json["valid"], &json["cause"]), (&false.into(), &"wrong".into()));
    let tried = json["tried"].as_array().unwrap();
    assert_eq!(tried.iter().filter(|t| t["fits"] == true).count(), 2, "{json}");
    assert!(
        expect(folder.path(), 2, &["verify-signature", "--source", "shop", "--headers", "no", "--body", "body"])
            .contains("no")
    );
}
