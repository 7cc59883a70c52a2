//! What finance teams get, as they meet it: closes of days, their proof, adjustments and exports, with the
//! binary and a server as processes.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ledgerline::wiring::SystemClock;
use ledgerline_domain::ports::Clock as _;
use ledgerline_domain::time::UnixNanos;
use serde_json::{Value, json};

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ledgerline"));
    command.current_dir(folder).args(args).env_remove("LEDGERLINE_CONFIG").env_remove("LEDGERLINE_LOG");
    command
}

/// Standard output, and standard error, of a run that must end with `code`.
fn expect(folder: &Path, code: i32, args: &[&str]) -> (String, String) {
    let output = command(folder, args).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}\n{err}");
    (out.into_owned(), err.into_owned())
}

/// Runs a server as long as `work` takes, then stops it: the archive then holds everything.
fn served(folder: &Path, work: impl FnOnce(&str)) {
    let mut child = command(folder, &["serve", "--listen", "127.0.0.1:0"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let url = loop {
        let line = lines.next().expect("the server ended before it listened").unwrap();
        if let Some((_, url)) = line.split_once("listening on ") {
            break url.trim().to_owned();
        }
    };
    std::thread::spawn(move || lines.for_each(drop));
    let mut server = Server(child);
    work(&format!("{url}/webhooks/shop"));
    assert!(Command::new("kill").args(["-TERM", &server.0.id().to_string()]).status().unwrap().success());
    assert_eq!(server.0.wait().unwrap().code(), Some(0));
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn settings(folder: &Path) {
    for (file, secret) in [("ledgerline.toml", "whsec_right"), ("stranger.toml", "whsec_wrong")] {
        std::fs::write(folder.join(format!("{secret}.txt")), format!("{secret}\n")).unwrap();
        let text = format!("[[source]]\nname = \"shop\"\nprovider = \"generic\"\nsecrets = [\"file:{secret}.txt\"]\n");
        std::fs::write(folder.join(file), text).unwrap();
    }
}

/// An event of payment `p`, in a file of its own.
fn event(folder: &Path, payment: u32, sequence: u32, event_type: &str, time: UnixNanos, more: &str) -> String {
    let name = format!("p{payment}-{sequence}.json");
    let body = format!(
        r#"{{"id":"e{payment}-{sequence}","type":"{event_type}","payment":"p{payment}","sequence":{sequence},"time":"{time}"{more}}}"#
    );
    std::fs::write(folder.join(&name), body).unwrap();
    name
}

fn send(folder: &Path, url: &str, files: &[String]) {
    let mut args = vec!["send", "--source", "shop", "--url", url];
    args.extend(files.iter().map(String::as_str));
    expect(folder, 0, &args);
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let shards = std::fs::read_dir(folder.join("ledgerline-data/archive/segments/main")).unwrap();
    let files = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

fn figure(statement: &Value, name: &str) -> i128 {
    let figures = statement["content"]["sums"][0]["figures"].as_array().unwrap();
    let figure = figures.iter().find(|f| f["figure"] == name).unwrap();
    figure["end"].as_str().unwrap().parse().unwrap()
}

const EUR: &str = r#","amount":"12.50","currency":"EUR""#;

#[test]
fn a_day_is_closed_proved_and_corrected() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    settings(folder);
    let now = SystemClock.now();
    let today = now.to_string().get(..10).unwrap().to_owned();
    let held = event(folder, 3, 2, "payment.captured", now, EUR);
    let files: Vec<String> = (1..=3)
        .map(|payment| event(folder, payment, 1, "payment.authorized", now, EUR))
        .chain([event(folder, 1, 2, "payment.captured", now, EUR)])
        .collect();
    let close = |code, more: &[&str]| {
        let mut args = vec!["replay", "close", "--day", &today];
        args.extend(more);
        expect(folder, code, &args)
    };
    served(folder, |url| {
        send(folder, url, &files);
        send(folder, url, &files[..1]);
        // Whose numbers have a hole is held; whose signature is wrong is refused.
        let behind = event(folder, 2, 3, "payment.captured", now, EUR);
        send(folder, url, &[behind]);
        expect(folder, 5, &["--config", "stranger.toml", "send", "--source", "shop", "--url", url, &held]);
    });

    assert!(close(4, &["--check"]).1.contains("find a close"));
    let said = close(6, &[]).1;
    assert!(said.contains("the archive holds what arrived until") && said.contains("--open"), "{said}");
    assert!(close(2, &["--check", "--open"]).1.contains("cannot be used with"));
    let first: Value = serde_json::from_str(&close(0, &["--open", "--by", "M. Rossi", "--json"]).0).unwrap();
    assert_eq!((&first["complete"], &first["by"], &first["number"]), (&json!(false), &json!("M. Rossi"), &json!(1)));
    assert_eq!(
        first["content"]["counts"]["shop"],
        json!({ "received": 6, "applied": 5, "duplicates": 1, "contradictions": 0, "unreadable": 0, "originals": 0 })
    );
    assert_eq!(first["rejected"], json!({ "shop": { "wrong": 1 } }));
    assert_eq!(first["content"]["open"]["named"][0]["entity"], "shop/payment/p2");
    assert_eq!((figure(&first, "authorized"), figure(&first, "captured")), (3750, 1250));
    let said = close(0, &["--check"]).0;
    assert!(said.contains("✓ proved: 6 records") && said.contains("before the day was over"), "{said}");
    let said = close(5, &["--open"]).1;
    assert!(said.contains("by M. Rossi") && said.contains("--correct"), "{said}");

    let object = folder.join(format!("ledgerline-data/archive/closes/main/{today}.json"));
    let by_hand = format!("grep -v '^  \"statement_sha256\":' {} | sha256sum", object.display());
    let by_hand = Command::new("sh").args(["-c", &by_hand]).output().unwrap().stdout;
    let by_hand = String::from_utf8(by_hand).unwrap();
    assert!(by_hand.starts_with(first["statement_sha256"].as_str().unwrap()), "{by_hand}");

    // What comes later does not disturb the proof; it is an adjustment.
    served(folder, |url| send(folder, url, &[held]));
    assert!(close(0, &["--check"]).0.contains("✓ proved: 6 records"));
    let lines = expect(folder, 0, &["replay", "adjustments", "--period", &today]).0;
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (lines.len(), &lines[0]["entity"], &lines[0]["late"][0]["id"]),
        (2, &json!("shop/payment/p3"), &json!("e3-2"))
    );
    let summary = &lines[1];
    assert_eq!((&summary["entities_changed"], &summary["not_explained"]), (&json!(1), &json!([])));
    let change = json!({ "source": "shop", "currency": "EUR", "figure": "captured", "then": 1250, "now": 2500, "difference": 1250 });
    assert_eq!(summary["changes"], json!([change]));
    let table = expect(folder, 0, &["replay", "adjustments", "--period", &today, "--format", "table"]).0;
    assert!(table.contains("authorized → captured") && table.contains("12.50\u{a0}EUR"), "{table}");
    let second: Value = serde_json::from_str(&close(0, &["--open", "--correct", "--json"]).0).unwrap();
    assert_eq!(
        (&second["number"], &second["corrects"]["key"]),
        (&json!(2), &json!(format!("closes/main/{today}.json")))
    );
    assert_eq!(figure(&second, "captured") - figure(&first, "captured"), 1250);
    let said = close(0, &["--check"]).0;
    assert!(said.contains("✓ proved: 7 records"), "{said}");

    let segment = segments(folder).remove(0);
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    *bytes.get_mut(middle).unwrap() ^= 1;
    std::fs::remove_file(&segment).unwrap();
    std::fs::write(&segment, &bytes).unwrap();
    let said = close(3, &["--check"]).0;
    let name = segment.file_name().unwrap().to_string_lossy().into_owned();
    assert!(said.contains(&name) && said.contains("✗ not proved"), "{said}");
}

/// A Python with DuckDB, where there is one: `LEDGERLINE_DUCKDB_PYTHON`, else `python3`.
fn duckdb(folder: &Path, script: &str) -> Option<String> {
    let python = std::env::var("LEDGERLINE_DUCKDB_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has = Command::new(&python).args(["-c", "import duckdb"]).output();
    if !has.is_ok_and(|output| output.status.success()) {
        return None;
    }
    let output = Command::new(&python).current_dir(folder).args(["-c", script]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn exports_say_what_they_are_and_their_sums_agree() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    expect(folder, 0, &["demo", "--payments", "40", "--data", "kept"]);
    let export = |more: &[&str]| {
        let mut args = vec!["--config", "kept/ledgerline.toml", "replay", "export"];
        args.extend(more);
        expect(folder, 0, &args)
    };
    let said = export(&["--format", "parquet", "--out", "all.parquet", "--manifest", "all.json"]).1;
    assert!(said.contains("40 rows") && said.contains("SHA-256"), "{said}");
    let manifest: Value = serde_json::from_slice(&std::fs::read(folder.join("all.json")).unwrap()).unwrap();
    assert_eq!((&manifest["rows"], manifest["positions"].as_object().unwrap().is_empty()), (&json!(40), false));
    let totals: Vec<Value> = export(&["--totals"]).0.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(manifest["totals"], json!(totals));
    let csv = export(&["--totals", "--format", "csv"]).0;
    assert_eq!(csv.lines().count(), totals.len() + 1);
    // The rows come to the same sums.
    let rows: Vec<Value> = export(&[]).0.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for total in &totals {
        let of = |row: &&Value| row["source"] == total["source"] && row["currency"] == total["currency"];
        let sum: i64 = rows.iter().filter(of).map(|row| row["captured"].as_i64().unwrap()).sum();
        assert_eq!(sum, total["captured"].as_i64().unwrap());
    }
    let refused = ["--config", "kept/ledgerline.toml", "replay", "export", "--format", "parquet", "--totals"];
    assert!(expect(folder, 2, &refused).1.contains("--format jsonl or csv"));
    let names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().ends_with(".part")), "{names:?}");

    // DuckDB reads the types, the sums and the footer.
    let script = "import duckdb, json\n\
        types = duckdb.sql(\"select column_name, column_type from (describe select * from 'all.parquet')\").fetchall()\n\
        sums = duckdb.sql(\"select source, currency, sum(captured), sum(refunded), count(*) from 'all.parquet' group by all order by all\").fetchall()\n\
        pairs = duckdb.sql(\"select decode(key), decode(value) from parquet_kv_metadata('all.parquet')\").fetchall()\n\
        print(json.dumps({'types': dict(types), 'sums': [[a, b, int(c), int(d), e] for a, b, c, d, e in sums], 'pairs': dict(pairs)}))";
    let Some(found) = duckdb(folder, script) else {
        println!("skipped: no Python with DuckDB (LEDGERLINE_DUCKDB_PYTHON)");
        return;
    };
    let found: Value = serde_json::from_str(&found).unwrap();
    for (column, wanted) in [
        ("captured", "DECIMAL(38,0)"),
        ("last_at", "TIMESTAMP WITH TIME ZONE"),
        ("events", "BIGINT"),
        ("status", "VARCHAR"),
    ] {
        assert_eq!(found["types"][column], wanted, "{found}");
    }
    let wanted: Vec<Value> = totals
        .iter()
        .map(|t| json!([t["source"], t["currency"], t["captured"], t["refunded"], t["payments"]]))
        .collect();
    assert_eq!(found["sums"], json!(wanted));
    assert_eq!(found["pairs"]["ledgerline.export"], "1");
    for (shard, last) in manifest["positions"].as_object().unwrap() {
        assert_eq!(found["pairs"][format!("ledgerline.position.{shard}")], *last);
    }
}
