//! What the demonstration says, in words that need no knowledge of webhooks.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use comfy_table::Row;
use ledgerline_domain::payment::PaymentStatus;
use ledgerline_domain::ports::Quarantined;
use ledgerline_domain::record::{EntityRecord, State};

use super::checks::Check;
use super::deliver::Tally;
use super::plan::{Plan, SOURCES};
use crate::cli::DemoArgs;
use crate::commands::{list, show};
use crate::exit::Outcome;
use crate::explain::explain;
use crate::output::{self, Output};
use crate::payments::Shape;
use crate::settings::FILE_NAME;
use crate::{timeline, words};

/// Most lines of things that need attention.
const ATTENTION_MAX: usize = 6;
/// Longest history of the payment that is shown.
const HISTORY_MAX: usize = 9;
/// The statuses in the order of a payment's life.
const STATUSES: [PaymentStatus; 11] = [
    PaymentStatus::Pending,
    PaymentStatus::RequiresAction,
    PaymentStatus::Processing,
    PaymentStatus::Failed,
    PaymentStatus::Canceled,
    PaymentStatus::Authorized,
    PaymentStatus::Captured,
    PaymentStatus::PartiallyRefunded,
    PaymentStatus::Refunded,
    PaymentStatus::Disputed,
    PaymentStatus::ChargedBack,
];

/// Everything there is to tell.
pub struct Story<'a> {
    /// What was answered.
    pub tally: &'a Tally,
    /// Refusals by cause, as the server counted them.
    pub causes: Vec<(String, u64)>,
    /// After how many deliveries the processor was killed.
    pub killed_at: usize,
    /// All entities.
    pub records: &'a [EntityRecord],
    /// All quarantined events.
    pub quarantine: &'a [Quarantined],
    /// How long the deliveries and their folding took.
    pub took: Duration,
}

fn heading(out: &mut Output, text: &str) -> Outcome<()> {
    out.gap()?;
    out.line(text)?;
    out.line("─".repeat(text.chars().count()))
}

/// What is about to happen.
pub fn opening(plan: &Plan, args: &DemoArgs, out: &mut Output) -> Outcome<()> {
    out.line("Ledgerline turns payment webhooks into ordered payment state that can be proved.")?;
    out.line("Everything below really happens on this machine: real files, real HTTP, real signatures.")?;
    heading(out, "1. The payments")?;
    let mut table = output::table(&["source", ">payments", ">events", "told like", "put in order by"]);
    for (source, (name, shape)) in SOURCES.iter().enumerate() {
        let stories = || plan.stories.iter().filter(|story| story.shape == *shape);
        let events: usize = stories().map(|s| s.events.len()).sum();
        let (like, order) = match shape {
            Shape::Stripe => {
                let ties: usize = stories()
                    .map(|s| s.events.windows(2).filter(|pair| matches!(pair, [a, b] if a.at == b.at)).count())
                    .sum();
                let share = ties * 100 / events.max(1);
                ("Stripe", format!("time in whole seconds; {share} % share theirs with the event before"))
            }
            Shape::Plain => ("a ledger of our own", "numbers 1, 2, 3, … of each payment".to_owned()),
        };
        debug_assert_eq!(super::plan::name(source), *name);
        table.add_row([
            (*name).to_owned(),
            words::thousands(stories().count() as u64),
            words::thousands(events as u64),
            like.to_owned(),
            order,
        ]);
    }
    out.table(&table, 2)?;
    out.gap()?;
    out.say(&format!("Seed {}: the same seed tells the same story.", args.seed))
}

/// What was sent and what was answered.
pub fn deliveries(story: &Story<'_>, out: &mut Output) -> Outcome<()> {
    heading(out, "2. What arrived at the door")?;
    out.say("In random order, a fifth of it twice, with hostile and broken requests in between.")?;
    out.gap()?;
    let mut table = output::table(&[">requests", "what", ">answer", "what became of it"]);
    for ((kind, status), count) in &story.tally.answers {
        table.add_row([
            words::thousands(*count),
            kind.in_words().to_owned(),
            status.to_string(),
            if *status == kind.answer() { kind.fate() } else { "UNEXPECTED" }.to_owned(),
        ]);
    }
    out.table(&table, 2)?;
    out.gap()?;
    if !story.causes.is_empty() {
        let causes: Vec<String> = story
            .causes
            .iter()
            .map(|(cause, n)| format!("{} {}", words::thousands(*n), cause_in_words(cause)))
            .collect();
        out.say(&format!("The caller of a refused request never learns why; the metrics do: {}.", causes.join(", ")))?;
    }
    out.say(&format!(
        "After {} requests the processor was killed without warning and started again from what it had stored.",
        words::thousands(story.killed_at as u64)
    ))?;
    let seconds = story.took.as_secs_f64();
    out.say(&format!("{} requests in {seconds:.1} s.", words::thousands(story.tally.total())))
}

fn cause_in_words(cause: &str) -> String {
    match cause {
        "missing" => "without a signature".into(),
        "malformed" => "with an unreadable signature".into(),
        "wrong" => "with a signature that does not hold".into(),
        "too_old" => "signed too long ago".into(),
        "in_future" => "signed in the future".into(),
        other => other.replace('_', " "),
    }
}

/// What the fold made of it.
pub fn behind_the_door(story: &Story<'_>, out: &mut Output) -> Outcome<()> {
    heading(out, "3. What was made of it")?;
    let entries = || story.records.iter().flat_map(|r| &r.entries);
    let copies: u64 = entries().map(|e| u64::from(e.delivery.copies.saturating_sub(1))).sum();
    let late: usize = story.records.iter().map(|r| timeline::late(&r.entries).iter().filter(|l| **l).count()).sum();
    let held: usize = story.records.iter().map(EntityRecord::held).sum();
    let anomalies: usize = story.records.iter().map(|r| r.anomalies().len()).sum();
    let mut table = output::table(&[">", "what", "what it means"]);
    for (count, what, meaning) in [
        (entries().count() as u64, "events in the state", "each counts exactly once"),
        (copies, "extra copies", "recognised however late they come; they change nothing"),
        (late as u64, "late events", "came after one that happened later, and were put in their places"),
        (held as u64, "held events", "wait behind a number that never came; they count when it does"),
        (anomalies as u64, "anomalies", "what does not add up, stated until the missing event comes"),
        (story.quarantine.len() as u64, "in quarantine", "cannot be read or contradicts; kept, and can be released"),
    ] {
        table.add_row([words::thousands(count), what.to_owned(), meaning.to_owned()]);
    }
    out.table(&table, 2)?;
    let odd: Vec<&EntityRecord> = story.records.iter().filter(|r| r.needs_attention()).collect();
    if !odd.is_empty() {
        out.gap()?;
        out.say("Somebody should look at:")?;
        for record in odd.iter().take(ATTENTION_MAX) {
            out.bullet("•", &format!("{}: {}", record.key, list::attention(record)))?;
        }
        if odd.len() > ATTENTION_MAX {
            out.bullet("•", &format!("and {} more", odd.len() - ATTENTION_MAX))?;
        }
    }
    Ok(())
}

#[derive(Default)]
struct Totals {
    payments: u64,
    captured: i128,
    refunded: i128,
    lost: i128,
    fees: i128,
}

/// Payments by status and currency, and the money.
pub fn money(story: &Story<'_>, out: &mut Output) -> Outcome<()> {
    heading(out, "4. The money")?;
    let mut by_currency: BTreeMap<&str, Totals> = BTreeMap::new();
    let mut by_status: BTreeMap<PaymentStatus, BTreeMap<&str, u64>> = BTreeMap::new();
    for record in story.records {
        let State::Payment(payment) = &record.state else { continue };
        let Some(currency) = payment.currency().filter(|_| record.folded > 0) else { continue };
        let totals = by_currency.entry(currency).or_default();
        totals.payments += 1;
        totals.captured += payment.captured();
        totals.refunded += payment.refunded();
        totals.lost += payment.disputed();
        totals.fees += payment.fees();
        *by_status.entry(payment.status()).or_default().entry(currency).or_default() += 1;
    }
    let mut table = output::table(&["currency", ">payments", ">captured", ">refunded", ">disputed", ">fees", ">left"]);
    for (currency, totals) in &by_currency {
        let amount = |minor: i128| words::amount(minor, currency);
        table.add_row([
            (*currency).to_owned(),
            words::thousands(totals.payments),
            amount(totals.captured),
            amount(totals.refunded),
            amount(totals.lost),
            amount(totals.fees),
            amount(totals.captured - totals.refunded - totals.lost - totals.fees),
        ]);
    }
    out.table(&table, 2)?;
    out.gap()?;
    let currencies: Vec<&str> = by_currency.keys().copied().collect();
    let mut headings = vec!["status".to_owned()];
    headings.extend(currencies.iter().map(|c| format!(">{c}")));
    headings.push(">all".to_owned());
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let mut table = output::table(&headings);
    for status in STATUSES {
        let Some(counts) = by_status.get(&status) else { continue };
        let mut row = Row::new();
        row.add_cell(status.as_str().replace('_', " ").into());
        for currency in &currencies {
            let count = counts.get(currency).copied().unwrap_or_default();
            row.add_cell(if count == 0 { "–".into() } else { words::thousands(count).into() });
        }
        row.add_cell(words::thousands(counts.values().sum()).into());
        table.add_row(row);
    }
    out.table(&table, 2)
}

/// A payment whose refund arrived before its capture, explained.
pub fn one_payment(story: &Story<'_>, out: &mut Output) -> Outcome<()> {
    let Some(record) = example(story) else { return Ok(()) };
    heading(out, "5. One payment: its refund arrived before its capture")?;
    show::print(record, out)
}

/// The payment that is shown, and that the next steps name: the first whose refund came early.
fn example<'a>(story: &Story<'a>) -> Option<&'a EntityRecord> {
    let early = |record: &&EntityRecord| {
        !record.needs_attention()
            && record.entries.len() <= HISTORY_MAX
            && explain(record).late.iter().any(|said| said.contains("before the capture it refunds"))
    };
    // Those of the ledger first: their histories have a number for every step.
    let of = |source: &'static str| story.records.iter().filter(move |r| r.key.source() == source);
    SOURCES.iter().rev().find_map(|(source, _)| of(source).find(early))
}

/// The checks; true when all hold.
pub fn proof(checks: &[Check], took: Duration, out: &mut Output) -> Outcome<bool> {
    heading(out, "6. The proof")?;
    for check in checks {
        out.bullet(if check.holds { "✓" } else { "✗" }, &check.what)?;
        for fault in &check.faults {
            out.bullet("   ", fault)?;
        }
    }
    let failed = checks.iter().filter(|check| !check.holds).count();
    out.gap()?;
    match failed {
        0 => out.say(&format!("All {} checks hold. {:.1} s in all.", checks.len(), took.as_secs_f64()))?,
        n => out.say(&format!("{n} of {} checks do NOT hold: this is a bug in Ledgerline.", checks.len()))?,
    }
    Ok(failed == 0)
}

/// What to do now.
pub fn next_steps(story: &Story<'_>, data: Option<&Path>, holds: bool, out: &mut Output) -> Outcome<()> {
    heading(out, "What to try next")?;
    let Some(folder) = data else {
        let again =
            if holds { "ledgerline demo --data demo-data" } else { "ledgerline demo --data demo-data --log info" };
        out.line(format!("  {again:<62} keep the data and look around in it"))?;
        out.line(format!(
            "  {:<62} a settings file for your own webhooks",
            "ledgerline check --example > ledgerline.toml"
        ))?;
        return out.line(format!("  {:<62} every command, by example", "ledgerline --help"));
    };
    let config = folder.join(FILE_NAME);
    let config = config.display();
    let entity = example(story).or(story.records.first()).map(|r| r.key.to_string()).unwrap_or_default();
    for (command, what) in [
        (format!("show {entity}"), "the payment above"),
        ("list --attention".to_owned(), "what somebody should look at"),
        ("list --status charged_back".to_owned(), "lost disputes"),
        ("quarantine list".to_owned(), "what could not be read, and why"),
        ("replay verify".to_owned(), "prove the state again"),
        (
            "replay export --as-of 2026-09-15T00:00:00Z --format csv".to_owned(),
            "every payment as it was in mid-September",
        ),
        ("serve".to_owned(), "receive webhooks on this data"),
    ] {
        out.line(format!("  ledgerline --config {config} {command}"))?;
        out.line(format!("      {what}"))?;
    }
    Ok(())
}
