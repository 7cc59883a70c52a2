//! The close of a day: a statement of what the archive says about it, and the proof that it still does.
//!
//! A day is one of UTC. A statement is an object of the archive, made once and never replaced:
//! `closes/{stream}/{day}.json`, corrections as `{day}.2.json` and so on, each naming the SHA-256 of the
//! one before; each day's first statement names the newest of the day before, if there is one.
//!
//! It says up to which positions of the archive it was made, and with which provider files. So it can be
//! made again whatever came later: [`check()`] does so and names what differs.
//!
//! | part | what it says |
//! | --- | --- |
//! | counts | the records that the log took on that day, by source and by what became of them |
//! | sums | the state as of the end of the day and of the day before, by source and currency |
//! | hours, shards | digests of the day's segments and of every record in them |
//! | rejected | requests refused at the door; the archive has none of them, so this is told, not proved |

mod check;
mod content;
mod digest;
mod passed;
mod rejected;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::ports::Archive;
use ledgerline_domain::provider::Sources;
use ledgerline_domain::segment::{SegmentSummary, keys};
use ledgerline_domain::time::UnixNanos;
use ledgerline_domain::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::chain::OnProgress;
use crate::within::{Positions, positions};

pub use check::{Checked, Difference, check};
pub use content::HOLES_NAMED_MAX;
pub use passed::{archived_until, note_archived_until};
pub use rejected::{add_rejected, rejected};
pub use store::{Stored, newest, statements};

/// Version of the statements that this program writes.
pub const CLOSE_VERSION: u32 = 1;
/// Arrival times may step back this much: a day counts as over so long after its end.
pub const GRACE_NANOS: i64 = 120_000_000_000;
const DAY_NANOS: i64 = 86_400_000_000_000;

/// A day of UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Day {
    name: String,
    from: UnixNanos,
}

impl Day {
    /// Reads `2026-10-31`.
    pub fn parse(name: &str) -> Result<Self> {
        let fault = || Error::invalid(format!("read the day {name:?}: write it as 2026-10-31"));
        let plain = name.len() == 10 && name.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        let from = UnixNanos::parse_rfc3339(&format!("{name}T00:00:00Z")).map_err(|_| fault())?;
        if plain { Ok(Self { name: name.to_owned(), from }) } else { Err(fault()) }
    }

    /// The day in which an instant lies.
    pub fn of(at: UnixNanos) -> Self {
        let from = UnixNanos::from_nanos(at.nanos().div_euclid(DAY_NANOS) * DAY_NANOS);
        let name = from.to_string().get(..10).unwrap_or_default().to_owned();
        Self { name, from }
    }

    /// `2026-10-31`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its first instant.
    pub fn from(&self) -> UnixNanos {
        self.from
    }

    /// Its last instant.
    pub fn until(&self) -> UnixNanos {
        UnixNanos::from_nanos(self.from.nanos().saturating_add(DAY_NANOS - 1))
    }

    /// The last instant of the day before.
    pub fn until_before(&self) -> UnixNanos {
        UnixNanos::from_nanos(self.from.nanos().saturating_sub(1))
    }

    /// The day before.
    pub fn before(&self) -> Self {
        Self::of(self.until_before())
    }

    /// Whether an instant lies in it.
    pub fn holds(&self, at: UnixNanos) -> bool {
        self.from <= at && at <= self.until()
    }

    /// Whether an hour such as `2026-10-31T13` lies in it.
    pub fn holds_hour(&self, hour: &str) -> bool {
        hour.strip_prefix(self.name.as_str()).is_some_and(|rest| rest.starts_with('T'))
    }

    /// Whether everything that arrived on it is in an archive that has come to `until`.
    pub fn is_over_at(&self, until: UnixNanos) -> bool {
        until.nanos().saturating_sub(GRACE_NANOS) > self.until().nanos()
    }
}

/// Another object, as a statement names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Its key.
    pub key: String,
    /// SHA-256 of the object, lower-case hex.
    pub sha256: String,
}

/// Requests refused at the door, by source and cause.
pub type Rejected = BTreeMap<String, BTreeMap<String, u64>>;

/// A signed-off day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Version of the object.
    #[serde(rename = "ledgerline_close")]
    pub version: u32,
    /// SHA-256 of the object without the line that holds this.
    pub statement_sha256: String,
    /// The stream.
    pub stream: String,
    /// The day.
    pub day: String,
    /// 1 for the first statement of the day, 2 and more for corrections.
    pub number: u32,
    /// When it was made.
    pub made_at: String,
    /// Who signed it off.
    pub by: Option<String>,
    /// The statement that this one corrects.
    pub corrects: Option<Named>,
    /// The newest statement of the day before, when there was one.
    pub previous: Option<Named>,
    /// Archived up to where when it was made.
    pub positions: Positions,
    /// Whether the archive had passed the end of the day.
    pub complete: bool,
    /// SHA-256 of each source's provider file; the texts are objects of the archive.
    pub providers: BTreeMap<String, String>,
    /// Requests refused at the door on that day, as the server counted them; null when nobody did.
    pub rejected: Option<Rejected>,
    /// What can be made again from the archive.
    pub content: Content,
}

/// The part of a statement that the archive proves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Records that the log took on that day, by source.
    pub counts: BTreeMap<String, DayCounts>,
    /// The state as of the end of the day, by source and currency.
    pub sums: Vec<SourceSums>,
    /// What waits behind holes as of the end of the day.
    pub open: Open,
    /// Entities in which something does not add up, as of the end of the day.
    pub anomalies: u64,
    /// The day's arrival hours that hold records.
    pub hours: Vec<HourSegments>,
    /// The day's records by shard.
    pub shards: Vec<ShardRecords>,
}

/// What became of a source's records of a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayCounts {
    /// Records in all.
    pub received: u64,
    /// Events that count, each once; those held behind a hole among them.
    pub applied: u64,
    /// Further copies of events.
    pub duplicates: u64,
    /// Same id, other facts: in the quarantine.
    pub contradictions: u64,
    /// Not readable: in the quarantine.
    pub unreadable: u64,
    /// Originals of split requests.
    pub originals: u64,
}

/// Sums of a source and currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceSums {
    /// The source.
    pub source: String,
    /// ISO 4217 code; empty for payments of which none is known.
    pub currency: String,
    /// Payments as of the end of the day.
    pub payments: u64,
    /// By figure, in the order requested, authorized, captured, refunded, disputed, fees.
    pub figures: Vec<Figure>,
}

/// A figure of a day. Amounts are minor units as decimal text: sums may be larger than what readers of
/// JSON keep exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figure {
    /// Its name.
    pub figure: String,
    /// As of the end of the day before.
    pub before: String,
    /// What the day added.
    pub movement: String,
    /// As of the end of the day.
    pub end: String,
}

/// What waits behind holes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// Entities with held events.
    pub entities: u64,
    /// Held events.
    pub events: u64,
    /// The first [`HOLES_NAMED_MAX`] of the entities by key.
    pub named: Vec<OpenHole>,
}

/// An entity with held events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenHole {
    /// The entity.
    pub entity: String,
    /// Its held events.
    pub held: u64,
    /// First missing number.
    pub from: i64,
    /// Last missing number before the first held event.
    pub to: i64,
}

/// An arrival hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HourSegments {
    /// The hour, as `2026-10-31T13`.
    pub hour: String,
    /// SHA-256 of its manifest, when there was one. It may be written anew later and is not compared.
    pub manifest_sha256: Option<String>,
    /// Its segments.
    pub segments: Vec<SegmentSummary>,
}

/// The day's records of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardRecords {
    /// The shard.
    pub shard: ShardId,
    /// Records.
    pub records: u64,
    /// Position of the last one.
    pub last: SequenceNumber,
    /// SHA-256 over every one of them, whatever segments they lie in.
    pub sha256: String,
}

/// What a statement is made for.
pub struct Order<'a> {
    /// The stream.
    pub stream: &'a str,
    /// The day.
    pub day: &'a Day,
    /// Who signs it off.
    pub by: Option<String>,
    /// Now.
    pub made_at: UnixNanos,
    /// The provider files as they are.
    pub sources: &'a Sources,
    /// Everything that arrived before is in the archive, if that is known.
    pub archived_until: Option<UnixNanos>,
    /// Requests refused at the door on that day, if they were counted.
    pub rejected: Option<Rejected>,
}

/// Makes the next statement of a day and stores it. [`Data`](ledgerline_domain::ErrorKind::Data) when the
/// archive is not whole; [`Conflict`](ledgerline_domain::ErrorKind::Conflict) when somebody else closed the
/// day at the same moment.
pub async fn make<A: Archive>(archive: &Arc<A>, order: Order<'_>, on_progress: OnProgress<'_>) -> Result<Stored> {
    keys::check_stream(order.stream)?;
    let through = positions(&**archive, order.stream).await?;
    let (content, chain) = content::of(archive, order.stream, order.day, &through, order.sources, on_progress).await?;
    if let Some(fault) = chain.faults.first() {
        let (key, words) = (&fault.key, &fault.words);
        return Err(Error::data(format!("close {}: the archive is not whole ({key}: {words})", order.day.name())));
    }
    let before = newest(&**archive, order.stream, order.day).await?;
    let previous = newest(&**archive, order.stream, &order.day.before()).await?;
    let statement = Statement {
        version: CLOSE_VERSION,
        statement_sha256: String::new(),
        stream: order.stream.to_owned(),
        day: order.day.name().to_owned(),
        number: before.as_ref().map_or(1, |stored| stored.statement.number + 1),
        made_at: order.made_at.to_string(),
        by: order.by,
        corrects: before.map(|stored| stored.named()),
        previous: previous.map(|stored| stored.named()),
        positions: through,
        complete: order.archived_until.is_some_and(|until| order.day.is_over_at(until)),
        providers: store::keep_providers(&**archive, order.stream, order.sources).await?,
        rejected: order.rejected,
        content,
    };
    store::put(&**archive, statement).await
}
