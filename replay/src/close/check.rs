//! Makes a statement again and compares.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ledgerline_domain::ports::Archive;
use ledgerline_domain::segment::SegmentSummary;
use ledgerline_domain::{ErrorKind, Result};
use serde::Serialize;

use super::store::{self, Stored};
use super::{Content, Day, Named, content};
use crate::chain::OnProgress;

/// One thing that a statement says and the archive does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Where: the key of an object, or a part of the statement.
    pub place: String,
    /// What is wrong, in words.
    pub words: String,
}

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The statement's key.
    pub key: String,
    /// SHA-256 of the object.
    pub sha256: String,
    /// The day.
    pub day: String,
    /// Which statement of the day it is.
    pub number: u32,
    /// When it was made.
    pub made_at: String,
    /// By whom.
    pub by: Option<String>,
    /// Whether the archive had passed the end of the day when it was made.
    pub complete: bool,
    /// Whether the archive still says all of it.
    pub proved: bool,
    /// Records of the day that were compared, byte for byte.
    pub records: u64,
    /// What differs.
    pub differences: Vec<Difference>,
    /// What changed since and takes nothing from the proof.
    pub notes: Vec<String>,
}

/// Proves the newest statement of a day, or names what differs; `None` when the day was never closed.
pub async fn check<A: Archive>(
    archive: &Arc<A>,
    stream: &str,
    day: &Day,
    on_progress: OnProgress<'_>,
) -> Result<Option<Checked>> {
    let Some(stored) = store::newest(&**archive, stream, day).await? else { return Ok(None) };
    let mut found = Found::default();
    let statement = &stored.statement;
    if !stored.is_sound {
        found.differs(&stored.key, "the digest in it is not that of its text: it was changed after it was made");
    }
    if statement.stream != stream || statement.day != day.name() {
        found.differs(&stored.key, "it speaks of another day or stream");
    }
    linked(&**archive, &stored, &mut found).await?;
    let mut records = 0;
    match store::providers_of(&**archive, statement).await {
        Ok(sources) => {
            let (now, chain) = content::of(archive, stream, day, &statement.positions, &sources, on_progress).await?;
            for fault in &chain.faults {
                found.differs(&fault.key, &fault.words);
            }
            for (shard, through) in &statement.positions {
                let reached = chain.through(shard);
                if reached.is_none_or(|reached| reached < through) {
                    let reached = reached.map_or_else(|| "nothing".to_owned(), |r| format!("{r}"));
                    found.differs(
                        shard.as_str(),
                        &format!("the archive reached {through} when it was made and reaches {reached}"),
                    );
                }
            }
            records = now.shards.iter().map(|shard| shard.records).sum();
            found.compare(&statement.content, &now);
        }
        Err(error) if error.kind() == ErrorKind::Data => found.differs("providers", &error.to_string()),
        Err(error) => return Err(error),
    }
    Ok(Some(Checked {
        key: stored.key.clone(),
        sha256: stored.sha256.clone(),
        day: statement.day.clone(),
        number: statement.number,
        made_at: statement.made_at.clone(),
        by: statement.by.clone(),
        complete: statement.complete,
        proved: found.differences.is_empty(),
        records,
        differences: found.differences,
        notes: found.notes,
    }))
}

/// Whether the statements before it are what it names, down to the first of all. They are read, not proved.
async fn linked<A: Archive>(archive: &A, stored: &Stored, found: &mut Found) -> Result<()> {
    let mut left: Vec<Named> =
        [&stored.statement.corrects, &stored.statement.previous].into_iter().flatten().cloned().collect();
    let mut seen = BTreeSet::new();
    while let Some(named) = left.pop() {
        if !seen.insert(named.key.clone()) {
            continue;
        }
        match store::read(archive, &named.key).await {
            Ok(other) if other.sha256 == named.sha256 => {
                left.extend([other.statement.corrects, other.statement.previous].into_iter().flatten());
            }
            Ok(_) => found.differs(&named.key, "it is not the statement that a later one names"),
            Err(error) if error.kind() == ErrorKind::Data => found.differs(&named.key, &error.to_string()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[derive(Default)]
struct Found {
    differences: Vec<Difference>,
    notes: Vec<String>,
}

impl Found {
    fn differs(&mut self, place: &str, words: &str) {
        self.differences.push(Difference { place: place.to_owned(), words: words.to_owned() });
    }

    fn compare(&mut self, stated: &Content, now: &Content) {
        self.originals(stated, now);
        self.sources(stated, now);
        self.sums(stated, now);
        if stated.open != now.open {
            let (a, b) = (&stated.open, &now.open);
            self.differs(
                "open holes",
                &format!(
                    "stated {} events of {} entities held, found {} of {}",
                    a.events, a.entities, b.events, b.entities
                ),
            );
        }
        if stated.anomalies != now.anomalies {
            self.differs("anomalies", &format!("stated {}, found {}", stated.anomalies, now.anomalies));
        }
    }

    /// Records first: when they are all there byte for byte, other segments around them are only noted.
    fn originals(&mut self, stated: &Content, now: &Content) {
        let shards = |content: &Content| -> BTreeMap<_, _> {
            content.shards.iter().map(|s| (s.shard.clone(), s.clone())).collect()
        };
        let (ours, theirs) = (shards(stated), shards(now));
        let mut whole = true;
        for shard in ours.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
            let (stated, found) = (ours.get(shard), theirs.get(shard));
            if stated != found {
                whole = false;
                let records = |side: Option<&super::ShardRecords>| side.map_or(0, |s| s.records);
                let words = format!("stated {} records of the day, found {}", records(stated), records(found));
                let same = if records(stated) == records(found) { ", and not the same ones" } else { "" };
                self.differs(shard.as_str(), &format!("{words}{same}"));
            }
        }
        let segments = |content: &Content| -> BTreeMap<String, SegmentSummary> {
            content.hours.iter().flat_map(|hour| &hour.segments).map(|s| (s.key.clone(), s.clone())).collect()
        };
        let (ours, theirs) = (segments(stated), segments(now));
        for key in ours.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
            let words = match (ours.get(key), theirs.get(key)) {
                (Some(a), Some(b)) if a == b => continue,
                (Some(_), Some(_)) => "it is another object than the one stated",
                (Some(_), None) => "it was stated and is not there, or cannot be read",
                (None, _) => "it is there and was not stated",
            };
            if whole {
                self.notes.push(format!("{key}: {words}; the day's records are the same, byte for byte"));
            } else {
                self.differs(key, words);
            }
        }
    }

    fn sources(&mut self, stated: &Content, now: &Content) {
        for source in stated.counts.keys().chain(now.counts.keys()).collect::<BTreeSet<_>>() {
            let (a, b) = (stated.counts.get(source).copied(), now.counts.get(source).copied());
            let (a, b) = (a.unwrap_or_default(), b.unwrap_or_default());
            for (what, a, b) in [
                ("received", a.received, b.received),
                ("applied", a.applied, b.applied),
                ("duplicates", a.duplicates, b.duplicates),
                ("contradictions", a.contradictions, b.contradictions),
                ("unreadable", a.unreadable, b.unreadable),
                ("originals", a.originals, b.originals),
            ] {
                if a != b {
                    self.differs(&format!("counts of {source}"), &format!("{what}: stated {a}, found {b}"));
                }
            }
        }
    }

    fn sums(&mut self, stated: &Content, now: &Content) {
        type Sums<'a> = BTreeMap<(&'a str, &'a str, &'a str), (&'a str, &'a str, &'a str)>;
        fn lines(content: &Content) -> Sums<'_> {
            let mut all = BTreeMap::new();
            for sums in &content.sums {
                let (source, currency) = (sums.source.as_str(), sums.currency.as_str());
                for f in &sums.figures {
                    all.insert(
                        (source, currency, f.figure.as_str()),
                        (f.before.as_str(), f.movement.as_str(), f.end.as_str()),
                    );
                }
            }
            all
        }
        let (ours, theirs) = (lines(stated), lines(now));
        for key in ours.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
            let (a, b) = (ours.get(key), theirs.get(key));
            if a != b {
                let (source, currency, figure) = key;
                let say = |side: Option<&(&str, &str, &str)>| {
                    side.map_or_else(
                        || "nothing".to_owned(),
                        |(before, movement, end)| format!("{before} + {movement} = {end}"),
                    )
                };
                let words = format!("{figure}: stated {}, found {}", say(a), say(b));
                self.differs(&format!("sums of {source} in {currency}"), &words);
            }
        }
        let payments = |content: &Content| content.sums.iter().map(|sums| sums.payments).sum::<u64>();
        if payments(stated) != payments(now) {
            let words = format!("stated {}, found {}", payments(stated), payments(now));
            self.differs("payments", &words);
        }
    }
}
