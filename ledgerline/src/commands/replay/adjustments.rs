//! `replay adjustments`: what arrived after the close of a period, and what it changed.

use std::io::Write as _;

use ledgerline_domain::time::UnixNanos;
use ledgerline_replay::adjustments::{self, Adjustment, Change, Closed, Period, Summary};
use ledgerline_replay::close::{self, Day, Stored};
use ledgerline_replay::export::write_json_line;
use ledgerline_replay::rebuild::rebuild;
use serde::Serialize;

use super::sink::Sink;
use super::{check_whole, progress};
use crate::cli::{AdjustmentsArgs, AdjustmentsFormat};
use crate::exit::{Exit, Outcome};
use crate::output::{self, Output};
use crate::settings::Loaded;
use crate::times;
use crate::wiring::Reader;
use crate::words;

/// Most entities that people get to see; the other formats have all.
const LINES_MAX: usize = 50;

/// The last line of JSON: what all of it comes to.
#[derive(Serialize)]
struct SummaryLine<'a> {
    /// The statement that it is held against.
    close: Option<&'a str>,
    closed_at: String,
    entities: u64,
    entities_changed: u64,
    late_events: u64,
    late_events_before_the_period: u64,
    changes: Vec<Change>,
    /// Where the archive up to the statement's positions says other sums than the statement.
    not_explained: Vec<String>,
}

/// Runs the command.
pub async fn run(loaded: &Loaded, args: &AdjustmentsArgs, out: &mut Output) -> Outcome {
    let (from, until) = times::bounds("--period", &args.period)?;
    let closed_at = args.closed_at.as_deref().map(|text| times::until("--closed-at", text)).transpose()?;
    let reader = Reader::open(loaded).await?;
    let stored = match closed_at {
        Some(_) => None,
        None => close::newest(&*reader.archive, &reader.stream, &Day::of(until)).await?,
    };
    let (bar, mut tell) = progress("segments folded");
    let replay = reader.replay(loaded, None);
    let rebuilt = rebuild(&*reader.archive, &replay.input(None), &mut tell).await?;
    bar.finish_and_clear();
    check_whole("find adjustments", &rebuilt)?;
    let closed = match &stored {
        Some(stored) => Closed::Through(&stored.statement.positions, &*reader.shard_of),
        None => Closed::At(closed_at.unwrap_or(until)),
    };
    let period = Period { from, until, closed };
    let people = out.is_terminal() && args.out.is_none();
    let format = args.format.unwrap_or(if people { AdjustmentsFormat::Table } else { AdjustmentsFormat::Jsonl });
    let made_at = stored.as_ref().map(|stored| stored.statement.made_at.clone());
    let closed_at = made_at.unwrap_or_else(|| closed_at.unwrap_or(until).to_string());
    let mut sink = Sink::open(args.out.as_deref(), out)?;
    let mut shown = Vec::new();
    if format == AdjustmentsFormat::Csv {
        adjustments::write_csv_heading(&mut sink).map_err(|e| sink.failed(e))?;
    }
    let summary = adjustments::find(&rebuilt, &period, |row| -> Outcome<()> {
        match format {
            AdjustmentsFormat::Jsonl => write_json_line(&row, &mut sink).map_err(|e| sink.failed(e)),
            AdjustmentsFormat::Csv => adjustments::write_csv(&row, &mut sink).map_err(|e| sink.failed(e)),
            AdjustmentsFormat::Table => {
                if shown.len() < LINES_MAX {
                    shown.push(row);
                }
                Ok(())
            }
        }
    })?;
    let line = SummaryLine {
        close: stored.as_ref().map(|stored| stored.key.as_str()),
        closed_at,
        entities: summary.entities,
        entities_changed: summary.changed,
        late_events: summary.events,
        late_events_before_the_period: summary.events_before,
        changes: summary.changes(),
        not_explained: stored.as_ref().map(|stored| not_explained(stored, &summary)).unwrap_or_default(),
    };
    let exit = if line.not_explained.is_empty() { Exit::Ok } else { Exit::Drift };
    match format {
        AdjustmentsFormat::Jsonl => write_json_line(&line, &mut sink).map_err(|e| sink.failed(e))?,
        AdjustmentsFormat::Csv => {}
        AdjustmentsFormat::Table => {
            let lines = output::Lines::default();
            print(&args.period, &line, &shown, &mut Output::to(lines.clone()))?;
            sink.write_all(&lines.take()).map_err(|e| sink.failed(e))?;
        }
    }
    sink.finish()?;
    if format == AdjustmentsFormat::Csv {
        line.not_explained.iter().for_each(|words| output::note(format!("ledgerline: {words}")));
        output::note(in_words(&line));
    }
    Ok(exit)
}

/// Where the sums of a statement are not those of the events that it knew: somebody changed the reading
/// since, or the statement does not hold.
fn not_explained(stored: &Stored, summary: &Summary) -> Vec<String> {
    let mut found = Vec::new();
    // As of the end of the period, which is the end of the statement's day.
    let mut seen = std::collections::BTreeSet::new();
    for sums in &stored.statement.content.sums {
        let then = summary.then.get(&sums.source, &sums.currency);
        seen.insert((sums.source.as_str(), sums.currency.as_str()));
        for (figure, then) in sums.figures.iter().zip(then.amounts) {
            if figure.end != then.to_string() {
                found.push(format!(
                    "{} of {} in {:?}: {} says {}, its events come to {then} today",
                    figure.figure, sums.source, sums.currency, stored.key, figure.end
                ));
            }
        }
    }
    for (source, currency, _) in summary.then.iter().filter(|(s, c, _)| !seen.contains(&(*s, *c))) {
        found.push(format!("{} says nothing of {source} in {currency:?}", stored.key));
    }
    found
}

fn in_words(line: &SummaryLine<'_>) -> String {
    let at = UnixNanos::parse_rfc3339(&line.closed_at).map_or_else(|_| line.closed_at.clone(), words::time);
    let close = line.close.map(|key| format!(" ({key})")).unwrap_or_default();
    format!(
        "{} after the close of {at}{close}: {} of {} changed",
        words::count(line.late_events, "event", "events"),
        words::thousands(line.entities_changed),
        words::count(line.entities, "entity", "entities"),
    )
}

fn print(period: &str, line: &SummaryLine<'_>, shown: &[Adjustment], out: &mut Output) -> Outcome<()> {
    out.line(format!("Period {period}. {}.", in_words(line)))?;
    if line.late_events_before_the_period > 0 {
        let before = words::thousands(line.late_events_before_the_period);
        out.line(format!("Of the events, {before} happened before the period; they change its end as well."))?;
    }
    if !shown.is_empty() {
        out.gap()?;
        let mut table = output::table(&["entity", "status", "figure", ">then", ">now", ">difference", ">late events"]);
        for row in shown {
            let status = match row.status_then == row.status_now {
                true => row.status_now.clone(),
                false => format!("{} → {}", row.status_then, row.status_now),
            };
            let late = row.late.len().to_string();
            for (n, m) in row.money.iter().enumerate() {
                let [then, now, difference] = [m.archive, m.live, m.difference].map(|a| words::amount(a, &m.currency));
                let first = |text: &str| if n == 0 { text.to_owned() } else { String::new() };
                table.add_row([
                    first(&row.entity),
                    first(&status),
                    m.figure.into(),
                    then,
                    now,
                    difference,
                    first(&late),
                ]);
            }
            if row.money.is_empty() {
                let none = String::new;
                table.add_row([row.entity.clone(), status, "–".into(), none(), none(), none(), late]);
            }
        }
        out.table(&table, 0)?;
        let more = line.entities.saturating_sub(shown.len() as u64);
        if more > 0 {
            out.line(format!("and {} more (see --format jsonl)", words::thousands(more)))?;
        }
    }
    if !line.changes.is_empty() {
        out.gap()?;
        let mut table = output::table(&["source", "figure", ">then", ">now", ">difference"]);
        for c in &line.changes {
            let [then, now, difference] =
                [c.then, c.now, c.difference].map(|amount| words::amount(amount, &c.currency));
            table.add_row([c.source.clone(), c.figure.to_owned(), then, now, difference]);
        }
        out.table(&table, 0)?;
    }
    if !line.not_explained.is_empty() {
        out.gap()?;
        out.line(
            "✗ Late events do not explain all of it (a provider file changed, or `replay close --check` tells more):",
        )?;
        line.not_explained.iter().try_for_each(|words| out.bullet("•", words))?;
    }
    Ok(())
}
