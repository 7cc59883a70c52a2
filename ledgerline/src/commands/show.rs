//! `show`: one entity, its history in order, and why its state is what it is.

use ledgerline_domain::ids::EntityKey;
use ledgerline_domain::money;
use ledgerline_domain::ports::Entities as _;
use ledgerline_domain::record::{EntityRecord, State};
use serde_json::{Value, json};

use crate::cli::ShowArgs;
use crate::exit::{Exit, Failure, Outcome};
use crate::explain::explain;
use crate::output::{self, Output};
use crate::settings::Loaded;
use crate::timeline::{self, Row};
use crate::wiring::Reader;
use crate::words;

/// Longest id that a table shows whole.
const ID_CHARS_MAX: usize = 32;

/// Runs the command. Code 4 when there is no such entity.
pub async fn run(loaded: &Loaded, args: &ShowArgs, out: &mut Output) -> Outcome {
    let key = EntityKey::parse(&args.entity)?;
    let reader = Reader::open(loaded).await?;
    let found = reader.store.load(std::slice::from_ref(&key)).await?.into_iter().next().flatten();
    let Some(record) = found else {
        return Err(Failure::not_found(format!(
            "find {key} in {}: nothing is known about it; `ledgerline list` shows what is",
            loaded.settings.data.display()
        )));
    };
    if args.json {
        out.json_pretty(&as_json(&record))?;
    } else {
        print(&record, out)?;
    }
    Ok(Exit::Ok)
}

/// Everything about a record, for programs.
pub fn as_json(record: &EntityRecord) -> Value {
    let state: Value = serde_json::from_str(&record.state_json()).unwrap_or_default();
    json!({
        "entity": record.key,
        "revision": record.revision,
        "status": record.status(),
        "attention": record.needs_attention(),
        "quarantined": record.quarantined,
        "state": state,
        "timeline": timeline::rows(record),
        "explanation": explain(record),
    })
}

/// Everything about a record, for people.
pub fn print(record: &EntityRecord, out: &mut Output) -> Outcome<()> {
    out.line(format!("{}  {}", record.key, record.status()))?;
    if let State::Payment(payment) = &record.state {
        let currency = payment.currency().unwrap_or_default();
        let mut table = output::table(&["", ">amount"]);
        for (what, minor, always) in [
            ("asked for", payment.requested(), false),
            ("authorised", payment.authorized(), true),
            ("captured", payment.captured(), true),
            ("refunded", payment.refunded(), true),
            ("disputed", payment.disputed(), false),
            ("fees", payment.fees(), false),
        ] {
            if always || minor != 0 {
                table.add_row([what.to_owned(), money::format(minor, currency)]);
            }
        }
        out.gap()?;
        out.table(&table, 2)?;
    }
    print_timeline(&timeline::rows(record), out)?;
    let said = explain(record);
    for (heading, sentences) in
        [("Why it is so", &said.state), ("What came late", &said.late), ("What to know", &said.notes)]
    {
        if !sentences.is_empty() {
            out.gap()?;
            out.line(heading)?;
            for sentence in sentences {
                out.bullet("•", sentence)?;
            }
        }
    }
    Ok(())
}

fn print_timeline(rows: &[Row], out: &mut Output) -> Outcome<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut table =
        output::table(&[">#", "happened (UTC)", "event", "what it says", ">arrived", "order by", "remarks", "id"]);
    for row in rows {
        let happened = row.occurred_at.as_deref().map_or("–", |t| t).trim_end_matches('Z').replacen('T', " ", 1);
        let order = row.number.map_or_else(|| row.basis.to_owned(), |n| format!("{} {n}", row.basis));
        table.add_row([
            row.place.to_string(),
            happened,
            row.event_type.clone(),
            if row.facts.is_empty() { "–".to_owned() } else { row.facts.clone() },
            words::ordinal(row.arrived),
            order,
            remarks(row),
            shortened(&row.id),
        ]);
    }
    out.gap()?;
    out.table(&table, 2)
}

fn remarks(row: &Row) -> String {
    let mut remarks = Vec::new();
    if row.late {
        remarks.push("late".to_owned());
    }
    if row.held {
        remarks.push("held".to_owned());
    }
    if row.copies > 1 {
        remarks.push(format!("{} copies", row.copies));
    }
    remarks.join(", ")
}

fn shortened(id: &str) -> String {
    if id.chars().count() <= ID_CHARS_MAX {
        return id.to_owned();
    }
    id.chars().take(ID_CHARS_MAX - 1).chain(['…']).collect()
}
