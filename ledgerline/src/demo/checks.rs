//! What must hold at the end, checked against the generator's truth and printed with ✓ or ✗.

use std::collections::{BTreeMap, BTreeSet};

use ledgerline_domain::record::{EntityRecord, State};
use ledgerline_replay::report::Report;

use super::deliver::Tally;
use super::plan::{Kind, Plan};
use crate::words;

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Whether it holds.
    pub holds: bool,
    /// What was checked, as a statement.
    pub what: String,
    /// Where it does not hold; at most a few lines.
    pub faults: Vec<String>,
}

impl Check {
    /// A check that holds when there are no faults.
    pub fn new(what: impl Into<String>, mut faults: Vec<String>) -> Self {
        let holds = faults.is_empty();
        let more = faults.len().saturating_sub(5);
        faults.truncate(5);
        if more > 0 {
            faults.push(format!("and {more} more"));
        }
        Self { holds, what: what.into(), faults }
    }
}

/// Checks the answers and the state. `quarantined` are the event ids in the quarantine.
pub fn check_state(plan: &Plan, tally: &Tally, records: &[EntityRecord], quarantined: usize) -> Vec<Check> {
    let by_key: BTreeMap<&str, &EntityRecord> = records.iter().map(|r| (r.key.as_str(), r)).collect();
    vec![
        answers(plan, tally),
        once(plan, tally, &by_key),
        strangers(plan, &by_key),
        truths(plan, &by_key),
        waiting(plan, &by_key),
        parked(plan, quarantined),
    ]
}

fn answers(plan: &Plan, tally: &Tally) -> Check {
    let mut faults = Vec::new();
    for ((kind, status), count) in &tally.answers {
        if *status != kind.answer() {
            faults.push(format!("{}: {count} answered with {status} instead of {}", kind.in_words(), kind.answer()));
        }
    }
    let planned = (plan.deliveries.len() + plan.contradictions.len()) as u64;
    if tally.total() != planned {
        faults.push(format!("{} of {planned} deliveries were answered", tally.total()));
    }
    let refused = tally.total() - tally.accepted();
    Check::new(
        format!(
            "the door gave every delivery the answer it deserves: {} accepted, {} refused",
            words::thousands(tally.accepted()),
            words::thousands(refused)
        ),
        faults,
    )
}

/// Every acknowledged event exactly once, every copy counted.
fn once(plan: &Plan, tally: &Tally, by_key: &BTreeMap<&str, &EntityRecord>) -> Check {
    let mut faults = Vec::new();
    for expected in &plan.expected {
        let entries = by_key.get(expected.key.as_str()).map(|r| r.entries.as_slice()).unwrap_or_default();
        let found: BTreeSet<&str> = entries.iter().map(|e| e.id.as_str()).collect();
        if found.len() != entries.len() {
            faults.push(format!("{} holds an event twice", expected.key));
        }
        for id in expected.ids.iter().filter(|id| !found.contains(id.as_str())) {
            faults.push(format!("{} lacks {id}, which was acknowledged", expected.key));
        }
        for entry in entries {
            let acknowledged = tally.acknowledged.get(entry.id.as_str()).copied().unwrap_or_default();
            let copies = u64::from(entry.delivery.copies);
            // An attempt whose answer got lost may have been durable all the same.
            if copies < acknowledged || copies > acknowledged + tally.tried_again {
                faults.push(format!("{}: {acknowledged} copies were acknowledged, {copies} are counted", entry.id));
            }
        }
    }
    Check::new(
        format!(
            "each of the {} acknowledged events is in the state exactly once, however often it came",
            words::thousands(tally.acknowledged.len() as u64)
        ),
        faults,
    )
}

/// Nothing that was refused left a trace.
fn strangers(plan: &Plan, by_key: &BTreeMap<&str, &EntityRecord>) -> Check {
    let mut faults = Vec::new();
    let expected: BTreeMap<&str, &BTreeSet<String>> = plan.expected.iter().map(|e| (e.key.as_str(), &e.ids)).collect();
    for (key, record) in by_key {
        if plan.unread.iter().any(|unread| unread == key) {
            continue;
        }
        match expected.get(key) {
            None => faults.push(format!("{key} exists, but nothing genuine was sent about it")),
            Some(ids) => {
                for entry in record.entries.iter().filter(|e| !ids.contains(e.id.as_str())) {
                    faults.push(format!("{key} holds {}, which is not genuine", entry.id));
                }
            }
        }
    }
    let hostile: u64 = [Kind::Forged, Kind::Tampered, Kind::Unsigned, Kind::Stale, Kind::Future]
        .map(|kind| plan.count(kind))
        .iter()
        .sum();
    Check::new(
        format!("none of the {hostile} forged, tampered, unsigned, stale and future requests left a trace"),
        faults,
    )
}

/// Every payment agrees with what the generator knows to be true.
fn truths(plan: &Plan, by_key: &BTreeMap<&str, &EntityRecord>) -> Check {
    let mut faults = Vec::new();
    let mut captured: BTreeMap<&str, i128> = BTreeMap::new();
    for expected in &plan.expected {
        let Some(record) = by_key.get(expected.key.as_str()) else {
            faults.push(format!("{} is missing", expected.key));
            continue;
        };
        let State::Payment(payment) = &record.state else {
            faults.push(format!("{} is no payment", expected.key));
            continue;
        };
        let differences = expected.truth.differences(payment);
        if !differences.is_empty() {
            faults.push(format!("{}: {}", expected.key, differences.join(", ")));
        }
        *captured.entry(expected.truth.currency).or_default() += expected.truth.captured;
    }
    let captured: Vec<String> = captured.iter().map(|(currency, minor)| words::amount(*minor, currency)).collect();
    Check::new(
        format!(
            "all {} payments equal the truth that only the generator knows, to the cent (captured: {})",
            plan.expected.len(),
            captured.join(", ")
        ),
        faults,
    )
}

/// Held events and anomalies exactly where something was withheld.
fn waiting(plan: &Plan, by_key: &BTreeMap<&str, &EntityRecord>) -> Check {
    let mut faults = Vec::new();
    for expected in &plan.expected {
        let Some(record) = by_key.get(expected.key.as_str()) else { continue };
        if record.held() != expected.held {
            faults.push(format!("{} holds {} events back, should be {}", expected.key, record.held(), expected.held));
        }
        let odd = !record.anomalies().is_empty();
        if odd != (expected.anomaly || expected.held > 0) {
            faults.push(format!("{}: anomalies are {:?}", expected.key, record.anomalies()));
        }
    }
    Check::new(
        format!("the {} withheld events show as holes and anomalies, and nothing else does", plan.withheld),
        faults,
    )
}

fn parked(plan: &Plan, quarantined: usize) -> Check {
    let wanted = plan.quarantined();
    let faults = if quarantined as u64 == wanted {
        Vec::new()
    } else {
        vec![format!("the quarantine holds {quarantined} items, should be {wanted}")]
    };
    Check::new(format!("all {wanted} unreadable or contradicting events are in quarantine, none was dropped"), faults)
}

/// Checks what a replay of the archive found.
pub fn check_replay(report: &Report, tally: &Tally, is_archived: bool) -> Vec<Check> {
    let mut archive = Vec::new();
    let (records, accepted) = (report.counts.records, tally.accepted());
    if records < accepted || records > accepted + tally.tried_again {
        archive.push(format!("{accepted} requests were accepted, {records} are archived"));
    }
    if !is_archived || report.not_yet_archived > 0 || report.ahead > 0 {
        archive.push("the end of the log is not archived".into());
    }
    archive.extend(report.chain.faults.iter().map(|fault| format!("{}: {}", fault.key, fault.words)));

    let mut state: Vec<String> =
        report.drift.iter().map(|drift| format!("{}: {}", drift.entity, drift.words.join("; "))).collect();
    state.extend(report.missing_in_live.iter().map(|key| format!("{key} is archived and not in the state")));
    state.extend(report.missing_in_archive.iter().map(|key| format!("{key} is in the state and not archived")));
    if report.equal != report.entities {
        state.push(format!("{} of {} entities were compared and equal", report.equal, report.entities));
    }

    let signatures = report.signatures.clone().unwrap_or_default();
    let mut unsigned: Vec<String> =
        signatures.bad.iter().map(|bad| format!("{}:{}: {}", bad.shard, bad.sequence, bad.reason)).collect();
    if signatures.good != records {
        unsigned.push(format!("{} of {records} signatures fit", signatures.good));
    }
    vec![
        Check::new(
            format!(
                "the archive is an unbroken chain: {} in {}, each naming its predecessor's digest",
                words::count(records, "signed original", "signed originals"),
                words::count(report.chain.segments(), "segment", "segments")
            ),
            archive,
        ),
        Check::new(
            format!(
                "replay: folding the archive again gives the same {} entities, byte for byte",
                words::thousands(report.entities)
            ),
            state,
        ),
        Check::new(
            format!("all {} archived originals still carry a signature that fits", words::thousands(signatures.good)),
            unsigned,
        ),
    ]
}

#[cfg(test)]
#[path = "checks_tests.rs"]
mod tests;
