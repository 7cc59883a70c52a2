//! What a change of generation would change, for people and programs.

use ledgerline_domain::money;
use ledgerline_replay::report::{MoneyDifference, Report, StatusChange};
use serde_json::{Value, json};

use crate::consent::Plan;
use crate::words;

/// Most entities that people get by name; JSON has more.
const NAMED_MAX: usize = 20;

/// Adds to a plan how a new generation differs from the live one. In `report`, `live` is the live one and
/// `archive` the new one.
pub fn describe(plan: &mut Plan, report: &Report) {
    plan.figure(words::thousands(report.equal), "entities that stay as they are, byte for byte");
    plan.figure(words::thousands(report.drift_total), "entities that change");
    for (count, what) in [
        (report.missing_in_live_total, "entities that the live generation lacks"),
        (report.missing_in_archive_total, "entities that only the live generation has"),
    ] {
        if count > 0 {
            plan.figure(words::thousands(count), what);
        }
    }
    for StatusChange { live, archive, entities } in &report.statuses {
        let what = words::count(*entities, "entity", "entities");
        plan.change(format!("status {} → {}: {what}", named(live), named(archive)));
    }
    for sum in &report.money {
        plan.change(in_money(sum));
    }
    if report.money.is_empty() && (report.drift_total > 0 || report.missing_in_live_total > 0) {
        plan.change("no sum of money changes");
    }
    for drift in report.drift.iter().take(NAMED_MAX) {
        let mut what: Vec<String> = drift.money.iter().map(in_money).collect();
        if let Some(StatusChange { live, archive, .. }) = &drift.status {
            what.insert(0, format!("{} → {}", named(live), named(archive)));
        }
        if what.is_empty() {
            what.push("another reading, the same money and status".to_owned());
        }
        plan.change(format!("{}: {}", drift.entity, what.join("; ")));
    }
    let more = report.drift_total.saturating_sub(NAMED_MAX as u64);
    if more > 0 {
        plan.change(format!("and {} more entities (see --json)", words::thousands(more)));
    }
}

/// The same for programs.
pub fn as_json(report: &Report) -> Value {
    let money = |sums: &[MoneyDifference]| -> Vec<Value> {
        let one = |sum: &MoneyDifference| {
            json!({
                "currency": sum.currency, "figure": sum.figure, "live": sum.live, "new": sum.archive,
                "change": -sum.difference,
            })
        };
        sums.iter().map(one).collect()
    };
    let status = |change: &StatusChange| json!({ "live": change.live, "new": change.archive });
    let entities: Vec<Value> = report
        .drift
        .iter()
        .map(|drift| {
            json!({
                "entity": drift.entity,
                "status": drift.status.as_ref().map(status),
                "money": money(&drift.money),
            })
        })
        .collect();
    json!({
        "equal": report.equal,
        "changed": report.drift_total,
        "only_new": report.missing_in_live_total,
        "only_live": report.missing_in_archive_total,
        "statuses": report.statuses.iter().map(|change| {
            json!({ "live": change.live, "new": change.archive, "entities": change.entities })
        }).collect::<Vec<_>>(),
        "money": money(&report.money),
        "entities": entities,
    })
}

/// `fees: 12.50 EUR → 10.00 EUR (−2.50 EUR)`.
fn in_money(sum: &MoneyDifference) -> String {
    let text = |minor: i128| money::format(minor, &sum.currency);
    let change = -sum.difference;
    let sign = if change < 0 { "−" } else { "+" };
    let change = text(i128::try_from(change.unsigned_abs()).unwrap_or(i128::MAX));
    format!("{}: {} → {} ({sign}{change})", sum.figure, text(sum.live), text(sum.archive))
}

fn named(status: &str) -> &str {
    if status.is_empty() { "none" } else { status }
}
