//! `replay close`: the signed-off statement of a day, and its proof.

use ledgerline_domain::ports::Clock as _;
use ledgerline_domain::time::UnixNanos;
use ledgerline_replay::close::{self, Checked, Day, DayCounts, Order, Rejected, Statement, Stored};
use ledgerline_replay::within;

use super::progress;
use crate::cli::CloseArgs;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Output};
use crate::settings::Loaded;
use crate::wiring::{Reader, SystemClock};
use crate::words;

/// Most lines about one kind of thing that people get; JSON has more.
const LINES_MAX: usize = 20;

/// Runs the command.
pub async fn run(loaded: &Loaded, args: &CloseArgs, out: &mut Output) -> Outcome {
    let day = Day::parse(&args.day)?;
    let Reader { archive, stream, .. } = Reader::open(loaded).await?;
    let stream = &*stream;
    let (bar, mut tell) = progress("segments folded");
    if args.check {
        let checked = close::check(&archive, stream, &day, &mut tell).await?;
        bar.finish_and_clear();
        let checked = checked.ok_or_else(|| {
            Failure::not_found(format!("find a close of {}: make one with `replay close --day {0}`", day.name()))
        })?;
        if args.json {
            out.json_pretty(&checked)?;
        } else {
            print_check(&checked, out)?;
        }
        return Ok(if checked.proved { Exit::Ok } else { Exit::Drift });
    }
    if let Some(before) = close::newest(&*archive, stream, &day).await?
        && !args.correct
    {
        let by = before.statement.by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default();
        return Err(Failure::new(
            Exit::Refused,
            format!(
                "close {}: it was closed on {}{by} ({}); prove that with --check, or add --correct to make a further \
                 statement that names it",
                day.name(),
                before.statement.made_at,
                before.key
            ),
        ));
    }
    let made_at = SystemClock.now();
    let positions = within::positions(&*archive, stream).await?;
    let archived_until = close::archived_until(&*archive, stream, &day, &positions).await?;
    if !args.open && !archived_until.is_some_and(|until| day.is_over_at(until)) {
        return Err(Failure::new(Exit::Busy, not_over(&day, archived_until, made_at)));
    }
    let order = Order {
        stream,
        day: &day,
        by: args.by.clone(),
        made_at,
        sources: &loaded.sources,
        archived_until,
        rejected: close::rejected(&*archive, stream, &day).await?,
    };
    let stored = close::make(&archive, order, &mut tell).await?;
    bar.finish_and_clear();
    if args.json {
        out.json_pretty(&stored.statement)?;
    } else {
        print_made(&stored, out)?;
    }
    Ok(Exit::Ok)
}

/// Why the day cannot be closed yet.
fn not_over(day: &Day, archived_until: Option<UnixNanos>, now: UnixNanos) -> String {
    let reached = match archived_until {
        Some(until) => format!("the archive holds what arrived until {}", words::time(until)),
        None => "nothing says how far the archive has come".to_owned(),
    };
    let fix = match day.is_over_at(now) {
        true => "let the server run for a minute, then try again",
        false => "try again two minutes after its end",
    };
    format!(
        "close {}: {reached}, not past the end of the day; {fix}, or add --open to close it all the same",
        day.name()
    )
}

/// The statement, for people.
fn print_made(stored: &Stored, out: &mut Output) -> Outcome<()> {
    let statement = &stored.statement;
    let by = statement.by.as_deref().map(|by| format!(", signed off by {by}")).unwrap_or_default();
    out.line(format!("Close of {}{by}: {}", statement.day, stored.key))?;
    out.gap()?;
    print_counts(statement, out)?;
    print_sums(statement, out)?;
    let content = &statement.content;
    if content.open.events > 0 {
        let (events, entities) = (content.open.events, content.open.entities);
        out.line(format!(
            "• {} of {} wait behind holes in their numbers:",
            words::count(events, "event", "events"),
            words::count(entities, "entity", "entities")
        ))?;
        for hole in content.open.named.iter().take(LINES_MAX) {
            let missing = match hole.from == hole.to {
                true => format!("number {}", hole.from),
                false => format!("numbers {} to {}", hole.from, hole.to),
            };
            out.bullet(" ", &format!("{}: {missing} missing, {} held", hole.entity, hole.held))?;
        }
    }
    if content.anomalies > 0 {
        let entities = words::count(content.anomalies, "entity has", "entities have");
        out.line(format!("• {entities} something that does not add up (`ledgerline list --attention`)"))?;
    }
    if let Some(corrects) = &statement.corrects {
        out.line(format!("• it corrects {}", corrects.key))?;
    }
    if !statement.complete {
        out.line("• open: the archive had not passed the end of the day")?;
    }
    out.line(format!("SHA-256 {}  keep it elsewhere: it proves this statement", stored.sha256))
}

fn print_counts(statement: &Statement, out: &mut Output) -> Outcome<()> {
    let mut table =
        output::table(&["records of the day", ">received", ">applied", ">duplicate", ">quarantined", ">rejected"]);
    let rejected = |source: &str| match &statement.rejected {
        None => "not counted".to_owned(),
        Some(rejected) => words::thousands(rejected.get(source).map_or(0, |causes| causes.values().sum())),
    };
    let none = Rejected::new();
    let mut sources: Vec<&String> = statement.content.counts.keys().collect();
    sources.extend(statement.rejected.as_ref().unwrap_or(&none).keys());
    sources.sort_unstable();
    sources.dedup();
    for source in sources {
        let counts: DayCounts = statement.content.counts.get(source).copied().unwrap_or_default();
        let numbers = [counts.received, counts.applied, counts.duplicates, counts.contradictions + counts.unreadable];
        let mut row = vec![source.clone()];
        row.extend(numbers.map(words::thousands));
        row.push(rejected(source));
        table.add_row(row);
    }
    out.table(&table, 0)?;
    out.gap()
}

fn print_sums(statement: &Statement, out: &mut Output) -> Outcome<()> {
    let mut table = output::table(&["source", "figure", ">the day before", ">movement", ">end of the day"]);
    for sums in &statement.content.sums {
        for figure in &sums.figures {
            let shown =
                |text: &str| text.parse().map_or_else(|_| text.to_owned(), |n| words::amount(n, &sums.currency));
            let amounts = [&figure.before, &figure.movement, &figure.end].map(|text| shown(text));
            if figure.end != "0" || figure.before != "0" {
                let [before, movement, end] = amounts;
                table.add_row([sums.source.clone(), figure.figure.clone(), before, movement, end]);
            }
        }
    }
    if table.row_count() == 0 {
        return out.line("No payment has an amount as of the end of the day.");
    }
    out.table(&table, 0)?;
    out.gap()
}

/// What a check found, for people.
fn print_check(checked: &Checked, out: &mut Output) -> Outcome<()> {
    let by = checked.by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default();
    let made_at = UnixNanos::parse_rfc3339(&checked.made_at).map_or_else(|_| checked.made_at.clone(), words::time);
    out.line(format!("{}, made on {made_at}{by}, SHA-256 {}", checked.key, checked.sha256))?;
    for note in checked.notes.iter().take(LINES_MAX) {
        out.bullet("•", note)?;
    }
    for difference in checked.differences.iter().take(LINES_MAX) {
        out.bullet("✗", &format!("{}: {}", difference.place, difference.words))?;
    }
    let more = checked.differences.len().saturating_sub(LINES_MAX);
    if more > 0 {
        out.bullet("✗", &format!("and {more} more (see --json)"))?;
    }
    if !checked.proved {
        return out.line("✗ not proved: the archive does not say what was signed off");
    }
    let open = if checked.complete { "" } else { "; it was made before the day was over" };
    out.line(format!(
        "✓ proved: {} of the day are the same, byte for byte, and come to the same counts and sums{open}",
        words::count(checked.records, "record", "records")
    ))
}
