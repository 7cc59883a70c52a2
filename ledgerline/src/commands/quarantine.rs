//! `quarantine list | show | release`.

use std::path::Path;
use std::time::{Duration, Instant};

use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::ports::{Quarantine as _, Quarantined};
use serde_json::{Value, json};

use crate::cli::QuarantineCommand;
use crate::exit::{Exit, Failure, Outcome};
use crate::housekeeping::ReleaseAnswer;
use crate::output::{self, Output};
use crate::release::release;
use crate::settings::Loaded;
use crate::wiring::{self, Machine, SystemClock};
use crate::words;

/// How often the answer of a running server is looked for.
const ANSWER_LOOK: Duration = Duration::from_millis(200);

/// Runs the command.
pub async fn run(loaded: &Loaded, command: &QuarantineCommand, out: &mut Output) -> Outcome {
    match command {
        QuarantineCommand::List { all, limit, after, json } => {
            let reader = wiring::reader(&loaded.settings.data).await?;
            let items = reader.store.quarantined(*all, after.as_deref(), *limit as usize).await?;
            list(&items, items.len() == *limit as usize, *json, out)?;
            Ok(Exit::Ok)
        }
        QuarantineCommand::Show { id, body, json } => {
            let reader = wiring::reader(&loaded.settings.data).await?;
            let Some(item) = reader.store.quarantined_one(id).await? else { return Err(unknown(id)) };
            show(&item, body.as_deref(), *json, out)?;
            Ok(Exit::Ok)
        }
        QuarantineCommand::Release { id, wait, json } => {
            let answer = ask(loaded, id, Duration::from_secs(*wait)).await?;
            if answer.exit != Exit::Ok as u8 {
                return Err(Failure::new(exit_of(answer.exit), answer.message));
            }
            if *json {
                out.json(&answer)?;
            } else {
                for event in &answer.released {
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

fn exit_of(code: u8) -> Exit {
    [Exit::Failed, Exit::Usage, Exit::Drift, Exit::NotFound, Exit::Refused, Exit::Busy]
        .into_iter()
        .find(|exit| *exit as u8 == code)
        .unwrap_or(Exit::Failed)
}

/// Releases here when nobody else holds the data, else through the server that does.
async fn ask(loaded: &Loaded, id: &str, wait: Duration) -> Outcome<ReleaseAnswer> {
    let reader = wiring::reader(&loaded.settings.data).await?;
    let Some(item) = reader.store.quarantined_one(id).await? else { return Err(unknown(id)) };
    if let Some(at) = item.released_at {
        return Err(Failure::new(Exit::Refused, format!("release {id}: it was released at {at}")));
    }
    let held = match Machine::open_without_secrets(loaded).await {
        Ok(data) => {
            let done = release(id, &*data.store, &*data.log, &SystemClock, &loaded.sources).await;
            return Ok(ReleaseAnswer::of(done));
        }
        Err(held) => held,
    };
    let number = reader.store.request_release(id).await?;
    let began = Instant::now();
    while began.elapsed() < wait {
        if let Some(text) = reader.store.release_outcome(number).await? {
            return serde_json::from_str(&text).map_err(|e| Failure::failed(format!("read the server's answer: {e}")));
        }
        tokio::time::sleep(ANSWER_LOOK).await;
    }
    Err(Failure::new(
        Exit::Busy,
        format!(
            "release {id} within {} s: the request waits for the process that holds the data ({held})",
            wait.as_secs()
        ),
    ))
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
