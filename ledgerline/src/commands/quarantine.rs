//! `quarantine list | show | release`.

use std::path::Path;
use std::time::Duration;

use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::ports::{Quarantine as _, Quarantined};
use serde_json::{Value, json};

use crate::cli::QuarantineCommand;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Output};
use crate::release::Released;
use crate::requests::{self, Request};
use crate::settings::Loaded;
use crate::wiring::Reader;
use crate::words;

/// Runs the command.
pub async fn run(loaded: &Loaded, command: &QuarantineCommand, out: &mut Output) -> Outcome {
    match command {
        QuarantineCommand::List { all, limit, after, json } => {
            let reader = Reader::open(loaded).await?;
            let items = reader.store.quarantined(*all, after.as_deref(), *limit as usize).await?;
            list(&items, items.len() == *limit as usize, *json, out)?;
            Ok(Exit::Ok)
        }
        QuarantineCommand::Show { id, body, json } => {
            let reader = Reader::open(loaded).await?;
            let Some(item) = reader.store.quarantined_one(id).await? else { return Err(unknown(id)) };
            show(&item, body.as_deref(), *json, out)?;
            Ok(Exit::Ok)
        }
        QuarantineCommand::Release { id, wait, json } => {
            let released = ask(loaded, id, Duration::from_secs(*wait)).await?;
            if *json {
                out.json(&json!({ "exit": Exit::Ok as u8, "message": "", "released": released }))?;
            } else {
                for event in &released {
                    out.line(format!("released {} about {}", event.event_id, event.entity))?;
                }
                out.line("the processor counts it from here: see `ledgerline show`")?;
            }
            Ok(Exit::Ok)
        }
    }
}

fn unknown(id: &str) -> Failure {
    Failure::not_found(format!("find the quarantine item {id}: `ledgerline quarantine list --all` shows all"))
}

/// Has an item released, here or by the server that holds the data.
async fn ask(loaded: &Loaded, id: &str, wait: Duration) -> Outcome<Vec<Released>> {
    let reader = Reader::open(loaded).await?;
    let Some(item) = reader.store.quarantined_one(id).await? else { return Err(unknown(id)) };
    if let Some(at) = item.released_at {
        return Err(Failure::new(Exit::Refused, format!("release {id}: it was released at {at}")));
    }
    let done = requests::ask(loaded, &reader.control, &Request::Release { item: id.to_owned() }, wait).await?;
    serde_json::from_value(done).map_err(|e| Failure::failed(format!("read the server's answer: {e}")))
}

fn as_json(item: &Quarantined) -> Value {
    json!({
        "id": item.id,
        "source": item.source,
        "entity": item.entity,
        "event_id": item.event_id,
        "reason": item.reason,
        "received_at": item.received_at.to_string(),
        "released_at": item.released_at.map(|at| at.to_string()),
    })
}

fn list(items: &[Quarantined], more: bool, json: bool, out: &mut Output) -> Outcome<()> {
    if json {
        return items.iter().try_for_each(|item| out.json(&as_json(item)));
    }
    if items.is_empty() {
        return out.line("the quarantine is empty");
    }
    let mut table = output::table(&["item", "source", "event", "why", "received (UTC)", ""]);
    for item in items {
        table.add_row([
            item.id.clone(),
            item.source.to_string(),
            shortened(&item.event_id),
            item.reason.clone(),
            words::time(item.received_at),
            if item.released_at.is_some() { "released".into() } else { String::new() },
        ]);
    }
    out.table(&table, 0)?;
    out.gap()?;
    out.line(words::count(items.len() as u64, "item", "items"))?;
    match items.last() {
        Some(last) if more => out.line(format!("there may be more: add --after {}", last.id)),
        _ => Ok(()),
    }
}

/// Digests of unreadable requests are long and alike; their beginning is enough to tell them apart.
fn shortened(id: &str) -> String {
    if id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return format!("{}…", id.get(..12).unwrap_or(id));
    }
    id.to_owned()
}

fn show(item: &Quarantined, body_file: Option<&Path>, json: bool, out: &mut Output) -> Outcome<()> {
    let envelope = Envelope::decode(&item.envelope)?;
    let body = &envelope.event.body;
    if let Some(path) = body_file {
        std::fs::write(path, body).map_err(|e| Failure::failed(format!("write {}: {e}", path.display())))?;
    }
    let text = std::str::from_utf8(body).ok();
    if json {
        let mut value = as_json(item);
        if let Some(object) = value.as_object_mut() {
            object.insert("body_bytes".into(), body.len().into());
            object.insert("body".into(), text.into());
        }
        return out.json_pretty(&value);
    }
    for (what, value) in [
        ("item", item.id.clone()),
        ("source", item.source.to_string()),
        ("entity", item.entity.to_string()),
        ("event", item.event_id.clone()),
        ("why", item.reason.clone()),
        ("received", words::time(item.received_at)),
        ("released", item.released_at.map_or_else(|| "no".to_owned(), words::time)),
        ("body", words::count(body.len() as u64, "byte", "bytes")),
    ] {
        out.line(format!("{what:<9} {value}"))?;
    }
    match (body_file, text) {
        (Some(path), _) => out.line(format!("written to {}", path.display())),
        (None, Some(text)) => {
            out.gap()?;
            out.line(text)
        }
        (None, None) => out.line("the body is no text: write it to a file with --body FILE"),
    }
}
