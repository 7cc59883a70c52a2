//! Compares two records of one entity: the live one and the one folded from the archive.

use std::collections::{BTreeMap, BTreeSet};

use ledgerline_domain::fold::refold;
use ledgerline_domain::ids::SequenceNumber;
use ledgerline_domain::record::{EntityRecord, Entry, State};

use crate::report::{Drift, Figures, MoneyDifference, StatusChange};

/// What the comparison of an entity's records gave.
pub(crate) enum Verdict {
    /// They are equal, byte for byte.
    Equal,
    /// They are not.
    Differs(Drift),
}

/// Compares `live` with `archived` at the latest position that both have reached: everything up to
/// `archived_through` is in the archive, everything up to `folded_through` is in the live state.
pub(crate) fn compare(
    live: &EntityRecord,
    archived: &EntityRecord,
    archived_through: &SequenceNumber,
    folded_through: Option<&SequenceNumber>,
) -> Verdict {
    if live.through == archived.through {
        return judge(live, archived, true);
    }
    let own = refold(live, |_| true);
    if own.state != live.state || own.folded != live.folded || own.entries != live.entries {
        return judge(live, &own, true);
    }
    // One of them has seen more. Without the events that only one can have, they must agree.
    let reached = live.through.clone().max(folded_through.cloned().unwrap_or(live.through.clone()));
    let live = refold(live, |entry| entry.delivery.sequence <= *archived_through);
    let archived = refold(archived, |entry| entry.delivery.sequence <= reached);
    let (live, archived) = level_copies(live, archived);
    judge(&live, &archived, false)
}

/// A later copy of an event may carry an earlier time of receipt: where one side has seen more
/// copies than the other, the earlier time stands for both.
fn level_copies(mut a: EntityRecord, mut b: EntityRecord) -> (EntityRecord, EntityRecord) {
    let mut places: BTreeMap<_, _> = b.entries.iter_mut().map(|entry| (entry.id.clone(), entry)).collect();
    for mine in &mut a.entries {
        if let Some(other) = places.get_mut(&mine.id)
            && mine.delivery.copies != other.delivery.copies
        {
            let earliest = mine.received_at.min(other.received_at);
            mine.received_at = earliest;
            other.received_at = earliest;
        }
    }
    (a, b)
}

fn judge(live: &EntityRecord, archived: &EntityRecord, same_position: bool) -> Verdict {
    let same = live.key == archived.key
        && live.entries == archived.entries
        && live.folded == archived.folded
        && live.state == archived.state
        && live.quarantined == archived.quarantined;
    if same || (!same_position && live.canonical() == archived.canonical()) {
        return Verdict::Equal;
    }
    let money = money(Some(live), Some(archived));
    let mut words = words(live, archived, same_position);
    words.extend(money.iter().map(MoneyDifference::in_words));
    if live.entries == archived.entries && live.state != archived.state {
        words.push("the stored state is not what its own events fold to".into());
    }
    let status = (live.status() != archived.status()).then(|| StatusChange {
        live: live.status().to_owned(),
        archive: archived.status().to_owned(),
        entities: 1,
    });
    Verdict::Differs(Drift { entity: live.key.clone(), words, money, status })
}

/// What differs besides the money.
fn words(live: &EntityRecord, archived: &EntityRecord, same_position: bool) -> Vec<String> {
    let mut words = Vec::new();
    let mut say = |text: String| words.push(text);
    if live.status() != archived.status() {
        say(format!("status: live {:?}, archive {:?}", live.status(), archived.status()));
    }
    let by_id = |record: &EntityRecord| -> BTreeMap<String, Entry> {
        record.entries.iter().map(|entry| (entry.id.to_string(), entry.clone())).collect()
    };
    let (ours, theirs) = (by_id(live), by_id(archived));
    let ids: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    for id in ids {
        match (ours.get(id), theirs.get(id)) {
            (Some(_), None) => say(format!("event {id} is not in the archive")),
            (None, Some(_)) => say(format!("event {id} is not in the live state")),
            (Some(a), Some(b)) => {
                let parts = [
                    ("type", a.event_type == b.event_type),
                    ("order", a.order == b.order),
                    ("time", a.occurred_at == b.occurred_at),
                    ("time of receipt", a.received_at == b.received_at),
                    ("facts", a.meaning == b.meaning && a.digest == b.digest),
                    ("delivery", !same_position || a.delivery == b.delivery),
                ];
                let differing: Vec<&str> = parts.iter().filter(|(_, same)| !same).map(|(name, _)| *name).collect();
                if !differing.is_empty() {
                    say(format!("event {id} differs in {}", differing.join(", ")));
                }
            }
            (None, None) => {}
        }
    }
    if live.held() != archived.held() {
        say(format!("held events: live {}, archive {}", live.held(), archived.held()));
    }
    if same_position && live.quarantined != archived.quarantined {
        let (a, b) = (live.quarantined.len(), archived.quarantined.len());
        say(format!("events in quarantine: live {a}, archive {b}"));
    }
    words
}

/// The figures that differ; a side that is not there counts as zero.
pub(crate) fn money(live: Option<&EntityRecord>, archived: Option<&EntityRecord>) -> Vec<MoneyDifference> {
    let (ours, theirs) = (figures(live), figures(archived));
    let mut found = Vec::new();
    let currencies: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    for currency in currencies {
        let get = |side: &BTreeMap<String, Figures>, figure| {
            side.get(currency).and_then(|figures| figures.get(figure)).copied().unwrap_or(0)
        };
        for figure in FIGURES {
            let (live, archive) = (get(&ours, figure), get(&theirs, figure));
            if live != archive {
                found.push(MoneyDifference::new(currency, figure, live, archive));
            }
        }
    }
    found
}

/// The figures of a payment, in the order in which they are told.
pub(crate) const FIGURES: [&str; 6] = ["requested", "authorized", "captured", "refunded", "disputed", "fees"];

/// A record's figures by its currency.
fn figures(record: Option<&EntityRecord>) -> BTreeMap<String, Figures> {
    let Some(EntityRecord { state: State::Payment(payment), .. }) = record else { return BTreeMap::new() };
    let amounts = [
        payment.requested(),
        payment.authorized(),
        payment.captured(),
        payment.refunded(),
        payment.disputed(),
        payment.fees(),
    ];
    let currency = payment.currency().unwrap_or_default().to_owned();
    BTreeMap::from([(currency, FIGURES.into_iter().zip(amounts).collect())])
}
