//! `provider`: start, check and try a provider file, and the table of those that are built in.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use ledgerline_domain::ids::SourceName;
use ledgerline_domain::provider::Provider;
use serde::Serialize;

use crate::cli::ProviderCommand;
use crate::commands::send::files;
use crate::examine::{Examined, examine};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Output};
use crate::words;

/// A file to start from.
const SCAFFOLD: &str = include_str!("provider.scaffold.toml");
/// The name in it.
const SCAFFOLD_NAME: &str = "my-provider";

/// Runs the command.
pub fn run(command: &ProviderCommand, out: &mut Output) -> Outcome {
    match command {
        ProviderCommand::New { name, from, out: file } => new(name, from.as_deref(), file.as_deref(), out),
        ProviderCommand::Check { file, json } => check(file, *json, out),
        ProviderCommand::Test { provider, paths, header, json } => test(provider, paths, header, *json, out),
        ProviderCommand::Docs => {
            out.line(docs())?;
            Ok(Exit::Ok)
        }
    }
}

fn new(name: &str, from: Option<&str>, file: Option<&Path>, out: &mut Output) -> Outcome {
    let (text, its_name) = match from {
        None => (SCAFFOLD, SCAFFOLD_NAME),
        Some(from) => (Provider::built_in_text(from).ok_or_else(|| unknown(from))?, from),
    };
    let text = text.replacen(&format!("name = \"{its_name}\""), &format!("name = \"{name}\""), 1);
    let path = file.map_or_else(|| PathBuf::from(format!("{name}.toml")), Path::to_owned);
    Provider::parse(&path.display().to_string(), &text)?;
    let written = std::fs::File::create_new(&path).and_then(|mut f| std::io::Write::write_all(&mut f, text.as_bytes()));
    written.map_err(|e| Failure::new(Exit::Refused, format!("write {}: {e}", path.display())))?;
    out.line(format!("{} written; next:", path.display()))?;
    out.line(format!("  ledgerline provider check {}", path.display()))?;
    out.line(format!("  ledgerline provider test {} FOLDER-OF-PAYLOADS", path.display()))?;
    Ok(Exit::Ok)
}

fn unknown(name: &str) -> Failure {
    let known: Vec<_> = Provider::built_in_names().collect();
    Failure::not_found(format!("find a provider file or built-in provider {name:?}: there are {}", known.join(", ")))
}

fn read(file: &Path) -> Outcome<Provider> {
    let shown = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|e| Failure::usage(format!("read provider file {shown}: {e}")))?;
    Ok(Provider::parse(&shown, &text)?)
}

/// What a good file says.
#[derive(Debug, Serialize)]
struct Said {
    name: String,
    description: String,
    signature: &'static str,
    id: String,
    payments: String,
    order: String,
    facts: String,
    not_signed: String,
}

fn check(file: &Path, json: bool, out: &mut Output) -> Outcome {
    let provider = read(file)?;
    let row = provider.summary();
    let said = Said {
        name: row.name,
        description: provider.description().to_owned(),
        signature: row.scheme,
        id: row.id.replace('`', ""),
        payments: row.entity.replace('`', ""),
        order: row.order.replace('`', ""),
        facts: row.facts,
        not_signed: row.not_signed,
    };
    if json {
        out.json_pretty(&said)?;
        return Ok(Exit::Ok);
    }
    for (what, text) in [
        ("provider", &said.name),
        ("what it is", &said.description),
        ("signature", &said.signature.to_owned()),
        ("event id", &said.id),
        ("payments by", &said.payments),
        ("order by", &said.order),
        ("facts", &said.facts),
        ("not signed", &said.not_signed),
    ] {
        out.line(format!("{what:<12} {text}"))?;
    }
    out.gap()?;
    out.line("✓ it can be used: name it in `providers` of ledgerline.toml")?;
    Ok(Exit::Ok)
}

/// One event, as printed.
#[derive(Debug, Serialize)]
struct Row {
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    event_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<String>,
    says: String,
    readable: bool,
}

impl Row {
    fn new(file: &str, event: &Examined) -> Self {
        let known = !event.is_unidentified();
        Self {
            file: file.to_owned(),
            id: known.then(|| event.id.clone()),
            event_type: known.then(|| event.event_type.clone()),
            entity: known.then(|| format!("{}/{}", event.entity.kind(), event.entity.id())),
            order: known.then(|| event.order_in_words()),
            says: event.in_words(),
            readable: event.meaning.is_ok(),
        }
    }
}

fn test(name: &str, paths: &[PathBuf], headers: &[String], json: bool, out: &mut Output) -> Outcome {
    let provider = match Provider::built_in(name) {
        Some(provider) => provider,
        None if Path::new(name).exists() => read(Path::new(name))?,
        None => return Err(unknown(name)),
    };
    let source = SourceName::new("test")?;
    let everywhere: Vec<_> = headers.iter().map(|line| header(line, "--header")).collect::<Outcome<_>>()?;
    let mut rows = Vec::new();
    for file in files(paths)? {
        let shown = shown(&file, paths);
        if file.extension().is_some_and(|e| e == "headers") {
            continue;
        }
        let body = std::fs::read(&file).map_err(|e| Failure::failed(format!("read {}: {e}", file.display())))?;
        let mut all = beside(&file)?;
        all.extend(everywhere.iter().cloned());
        rows.extend(examine(&provider, &source, &all, &Bytes::from(body)).iter().map(|e| Row::new(&shown, e)));
    }
    let unreadable = rows.iter().filter(|row| !row.readable).count();
    if json {
        rows.iter().try_for_each(|row| out.json(row))?;
    } else {
        print(&rows, unreadable, out)?;
    }
    Ok(if unreadable == 0 { Exit::Ok } else { Exit::Refused })
}

fn print(rows: &[Row], unreadable: usize, out: &mut Output) -> Outcome<()> {
    let mut table = output::table(&["file", "id", "type", "entity", "order", "says"]);
    for row in rows {
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        table.add_row([
            row.file.clone(),
            text(&row.id),
            text(&row.event_type),
            text(&row.entity),
            text(&row.order),
            row.says.clone(),
        ]);
    }
    out.table(&table, 0)?;
    out.gap()?;
    let events = words::count(rows.len() as u64, "event", "events");
    out.line(match unreadable {
        0 => format!("✓ {events}, all readable"),
        n => format!("✗ {events}, {n} unreadable: in service they would be kept in the quarantine"),
    })
}

/// A file's path below the one that was named.
fn shown(file: &Path, paths: &[PathBuf]) -> String {
    let below = paths.iter().filter_map(|p| file.strip_prefix(p).ok()).find(|p| !p.as_os_str().is_empty());
    below.unwrap_or(file).display().to_string()
}

/// The headers in the file beside `body`, if there is one.
fn beside(body: &Path) -> Outcome<Vec<(String, String)>> {
    let mut name = body.as_os_str().to_owned();
    name.push(".headers");
    match std::fs::read_to_string(&name) {
        Ok(text) => text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| header(line, &Path::new(&name).display().to_string()))
            .collect(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(Failure::failed(format!("read {}: {e}", Path::new(&name).display()))),
    }
}

fn header(line: &str, from: &str) -> Outcome<(String, String)> {
    let (name, value) =
        line.split_once(':').ok_or_else(|| Failure::usage(format!("read a header of {from}: write `name: value`")))?;
    Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

/// The table of built-in providers in Markdown, one row each.
pub fn docs() -> String {
    let mut text = String::from(
        "| provider | signature | event id | payments by | order by | facts | not signed |\n| --- | --- | --- | --- | --- | --- | --- |",
    );
    for provider in Provider::built_in_names().filter_map(Provider::built_in) {
        let row = provider.summary();
        let link = format!("[`{0}`](../domain/src/provider/files/{0}.toml)", row.name);
        let cells = [link, format!("`{}`", row.scheme), row.id, row.entity, row.order, row.facts, row.not_signed];
        let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        text.push_str(&format!("\n| {} |", cells.join(" | ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn ran(command: &ProviderCommand) -> (Outcome, String) {
        let sink = Sink::default();
        let exit = run(command, &mut Output::to(sink.clone()));
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        (exit, text)
    }

    #[test]
    fn the_scaffold_is_a_good_file_and_names_every_key() {
        let provider = Provider::parse("scaffold", SCAFFOLD).unwrap();
        assert_eq!(provider.name(), SCAFFOLD_NAME);
        for key in
            ["encoding", "join", "hash", "time_without_zone", "split", "order.family", "decimals", "each", "abs:"]
        {
            assert!(SCAFFOLD.contains(key), "{key}");
        }
    }

    #[test]
    fn new_writes_once_and_check_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("shop.toml");
        let new = |from: Option<&str>| ProviderCommand::New {
            name: "shop".into(),
            from: from.map(Into::into),
            out: Some(file.clone()),
        };
        assert_eq!(ran(&new(None)).0.unwrap(), Exit::Ok);
        assert_eq!(ran(&new(None)).0.unwrap_err().exit, Exit::Refused);
        let (exit, text) = ran(&ProviderCommand::Check { file: file.clone(), json: false });
        assert_eq!(exit.unwrap(), Exit::Ok);
        assert!(text.contains("provider     shop"), "{text}");
        std::fs::remove_file(&file).unwrap();
        assert_eq!(ran(&new(Some("nobody"))).0.unwrap_err().exit, Exit::NotFound);
        assert_eq!(ran(&new(Some("adyen"))).0.unwrap(), Exit::Ok);
        std::fs::write(&file, "name = \"x\"").unwrap();
        let failed = ran(&ProviderCommand::Check { file, json: false }).0.unwrap_err();
        assert_eq!(failed.exit, Exit::Usage);
        assert!(failed.message.contains("shop.toml"), "{}", failed.message);
    }

    #[test]
    fn every_provider_has_a_row() {
        let table = docs();
        for name in Provider::built_in_names() {
            assert!(table.contains(&format!("[`{name}`]")), "{name}");
        }
    }
}
