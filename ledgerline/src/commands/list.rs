//! `list`: entities in key order, a page at a time.

use ledgerline_domain::ids::EntityKey;
use ledgerline_domain::money;
use ledgerline_domain::ports::{Entities as _, EntityFilter};
use ledgerline_domain::record::{EntityRecord, State};
use serde_json::json;

use crate::cli::ListArgs;
use crate::exit::{Exit, Outcome};
use crate::output::{self, Output};
use crate::settings::Loaded;
use crate::wiring::Reader;
use crate::words;

/// Records per read of the store.
const PAGE: usize = 500;

/// Runs the command.
pub async fn run(loaded: &Loaded, args: &ListArgs, out: &mut Output) -> Outcome {
    let filter = EntityFilter {
        source: args.source.clone(),
        kind: args.kind.clone(),
        status: args.status.clone(),
        attention: args.attention,
    };
    let reader = Reader::open(loaded).await?;
    let mut after = args.after.as_deref().map(EntityKey::parse).transpose()?;
    let mut left = args.limit as usize;
    let mut records = Vec::new();
    // One more than is shown tells whether there is a next page.
    let mut more = false;
    while left > 0 && !more {
        let page = reader.store.list(&filter, after.as_ref(), PAGE.min(left + 1)).await?;
        let full = page.len() == PAGE.min(left + 1);
        after = page.last().map(|record| record.key.clone());
        more = page.len() > left;
        records.extend(page.into_iter().take(left));
        left = (args.limit as usize).saturating_sub(records.len());
        if !full {
            break;
        }
    }
    if args.json {
        for record in &records {
            out.json(&as_json(record))?;
        }
        return Ok(Exit::Ok);
    }
    if records.is_empty() {
        out.line("nothing fits")?;
        return Ok(Exit::Ok);
    }
    print(&records, out)?;
    out.gap()?;
    out.line(words::count(records.len() as u64, "entity", "entities"))?;
    if more && let Some(last) = records.last() {
        out.line(format!("there are more: add --after {}", last.key))?;
    }
    Ok(Exit::Ok)
}

fn as_json(record: &EntityRecord) -> serde_json::Value {
    let state: serde_json::Value = serde_json::from_str(&record.state_json()).unwrap_or_default();
    json!({
        "entity": record.key,
        "revision": record.revision,
        "status": record.status(),
        "attention": record.needs_attention(),
        "quarantined": record.quarantined.len(),
        "state": state,
    })
}

fn print(records: &[EntityRecord], out: &mut Output) -> Outcome<()> {
    let mut table = output::table(&[
        "entity",
        "status",
        ">captured",
        ">refunded",
        ">disputed",
        ">events",
        "last event (UTC)",
        "attention",
    ]);
    for record in records {
        let amounts = match &record.state {
            State::Payment(payment) => {
                let currency = payment.currency().unwrap_or_default();
                let amount = |minor: i128| if minor == 0 { "–".to_owned() } else { money::format(minor, currency) };
                [amount(payment.captured()), amount(payment.refunded()), amount(payment.disputed())]
            }
            State::Document(_) => ["", "", ""].map(str::to_owned),
        };
        let [captured, refunded, disputed] = amounts;
        table.add_row([
            record.key.to_string(),
            record.status().to_owned(),
            captured,
            refunded,
            disputed,
            record.entries.len().to_string(),
            record.last_at().map(words::time).unwrap_or_default(),
            attention(record),
        ]);
    }
    out.table(&table, 0)
}

/// Why somebody should look, in a few words.
pub fn attention(record: &EntityRecord) -> String {
    let mut reasons = Vec::new();
    if record.held() > 0 {
        reasons.push(format!("{} held", record.held()));
    }
    if !record.quarantined.is_empty() {
        reasons.push(format!("{} in quarantine", record.quarantined.len()));
    }
    let currency = match &record.state {
        State::Payment(payment) => payment.currency().unwrap_or_default(),
        State::Document(_) => "",
    };
    reasons.extend(record.anomalies().iter().map(|a| a.in_words(currency)));
    reasons.join("; ")
}
