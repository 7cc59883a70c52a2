//! Generations: complete sets of entity records, each in a file of its own; exactly one is live.
//!
//! | status | what | kept up to date by the server |
//! | --- | --- | --- |
//! | `building` | being folded from the archive | no; the log keeps what follows its positions |
//! | `ready` | complete | yes |
//! | `live` | complete, and the one that is read | yes |
//! | `previous` | complete, and was live before | yes |
//! | `retired` | its records are deleted | no |

use std::collections::BTreeMap;

use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::time::UnixNanos;
use ledgerline_domain::{Error, ErrorKind, Result};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::Serialize;

use super::{Control, ProviderTexts, damaged, providers};
use crate::embedded::sqlite::sql_error;

/// A position per shard.
pub type Positions = BTreeMap<ShardId, SequenceNumber>;

/// Where a generation stands in its life. See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GenerationStatus {
    /// Being folded from the archive.
    Building,
    /// Complete, and kept up to date.
    Ready,
    /// The one that is read.
    Live,
    /// Live before the live one, and kept up to date.
    Previous,
    /// Deleted.
    Retired,
}

impl GenerationStatus {
    /// As it is written: `building`, `ready`, `live`, `previous`, `retired`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Ready => "ready",
            Self::Live => "live",
            Self::Previous => "previous",
            Self::Retired => "retired",
        }
    }

    /// Whether it has all records, so that new events are folded into it.
    pub fn is_complete(self) -> bool {
        matches!(self, Self::Ready | Self::Live | Self::Previous)
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Building, Self::Ready, Self::Live, Self::Previous, Self::Retired].into_iter().find(|s| s.name() == name)
    }
}

/// A generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Generation {
    /// Its number, from 1; later ones are higher.
    pub number: u32,
    /// Where it stands.
    pub status: GenerationStatus,
    /// When it was begun.
    pub made_at: UnixNanos,
    /// Why, in the words of who made it.
    pub reason: Option<String>,
    /// In how many parts it is folded.
    pub parts: u32,
    /// The parts that are complete, from 1.
    pub parts_done: Vec<u32>,
    /// It is folded from the archive up to here, and from the log behind. `None` before this was fixed, and
    /// for the first generation, which is folded from the log alone.
    pub positions: Option<Positions>,
}

const COLUMNS: &str = "SELECT number, status, made_at, reason, parts, parts_done, positions FROM generations";

fn generation(row: &Row<'_>) -> rusqlite::Result<Result<Generation>> {
    let number: u32 = row.get(0)?;
    let status = GenerationStatus::parse(row.get_ref(1)?.as_str()?);
    let parts_done = serde_json::from_str(row.get_ref(5)?.as_str()?).ok();
    let positions: Option<String> = row.get(6)?;
    let positions = positions.map(|text| serde_json::from_str(&text)).transpose().ok();
    let (Some(status), Some(parts_done), Some(positions)) = (status, parts_done, positions) else {
        return Ok(Err(damaged(&format!("generation {number}"))));
    };
    let made_at = UnixNanos::from_nanos(row.get(2)?);
    let (reason, parts) = (row.get(3)?, row.get(4)?);
    Ok(Ok(Generation { number, status, made_at, reason, parts, parts_done, positions }))
}

fn all(connection: &Connection) -> Result<Vec<Generation>> {
    let failed = |e| sql_error("read the generations", e);
    let mut statement = connection.prepare_cached(&format!("{COLUMNS} ORDER BY number")).map_err(failed)?;
    let found = statement.query_map([], generation).map_err(failed)?;
    found.map(|generation| generation.map_err(failed)?).collect()
}

fn one(connection: &Connection, number: u32) -> Result<Generation> {
    let failed = |e| sql_error("read a generation", e);
    let mut statement = connection.prepare_cached(&format!("{COLUMNS} WHERE number = ?1")).map_err(failed)?;
    let found = statement.query_row([number], generation).optional().map_err(failed)?;
    found.unwrap_or_else(|| Err(Error::invalid(format!("find generation {number}: there is none of that number"))))
}

fn set_status(connection: &Connection, number: u32, status: GenerationStatus) -> Result<()> {
    connection
        .execute("UPDATE generations SET status = ?2 WHERE number = ?1", params![number, status.name()])
        .map_err(|e| sql_error("change a generation", e))?;
    Ok(())
}

/// [`ErrorKind::Conflict`]: it is not in the state that the step needs.
fn not_so(what: &str, generation: &Generation) -> Error {
    let text = format!("{what} generation {}: it is {}", generation.number, generation.status.name());
    Error::new(ErrorKind::Conflict, text)
}

impl Control {
    /// All generations, oldest first, the retired ones too.
    pub async fn generations(&self) -> Result<Vec<Generation>> {
        self.read("read the generations", all).await
    }

    /// One of them; [`ErrorKind::Invalid`] when there is none of that number.
    pub async fn generation(&self, number: u32) -> Result<Generation> {
        self.read("read a generation", move |connection| one(connection, number)).await
    }

    /// The number of the live one.
    pub async fn live(&self) -> Result<u32> {
        let control = self.clone();
        crate::embedded::files::blocking(move || control.live_now()).await
    }

    pub(crate) fn live_now(&self) -> Result<u32> {
        self.read_now("find the live generation", |connection| {
            let found = connection
                .query_row("SELECT number FROM generations WHERE status = 'live'", [], |row| row.get(0))
                .optional()
                .map_err(|e| sql_error("find the live generation", e))?;
            found.ok_or_else(|| damaged("the live generation"))
        })
    }

    /// Begins a generation of so many parts and gives its number. From now on the log forgets nothing,
    /// until [`claim`](Self::claim) says from where on it must keep: so nothing can fall between what the
    /// archive holds when it is read and what the log still keeps then.
    pub async fn begin_generation(
        &self,
        reason: Option<String>,
        parts: u32,
        texts: ProviderTexts,
        now: UnixNanos,
    ) -> Result<u32> {
        self.write("begin a generation", move |all| {
            let failed = |e| sql_error("begin a generation", e);
            let number: u32 = all
                .query_row("SELECT coalesce(max(number), 0) + 1 FROM generations", [], |row| row.get(0))
                .map_err(failed)?;
            all.execute(
                "INSERT INTO generations (number, status, made_at, reason, parts, parts_done) \
                 VALUES (?1, 'building', ?2, ?3, ?4, '[]')",
                params![number, now.nanos(), reason, parts],
            )
            .map_err(failed)?;
            providers::set(all, number, &texts)?;
            Ok(number)
        })
        .await
    }

    /// Fixes up to where a building generation is folded from the archive; the first claim stands. Gives
    /// the generation.
    pub async fn claim(&self, number: u32, positions: Positions) -> Result<Generation> {
        self.write("fix the positions of a generation", move |all| {
            let found = one(all, number)?;
            if found.status != GenerationStatus::Building {
                return Err(not_so("go on with", &found));
            }
            let failed = |e| sql_error("fix the positions of a generation", e);
            let text = serde_json::to_string(&positions)
                .map_err(|e| Error::internal("write the positions of a generation").because(e))?;
            all.execute(
                "UPDATE generations SET positions = ?2 WHERE number = ?1 AND positions IS NULL",
                params![number, text],
            )
            .map_err(failed)?;
            one(all, number)
        })
        .await
    }

    /// Notes that a part is complete; with the last one the generation is ready. Its records must be on
    /// the disk. Gives the generation. [`ErrorKind::Conflict`] when it is not being built any more.
    pub async fn part_done(&self, number: u32, part: u32) -> Result<Generation> {
        self.write("note a complete part of a generation", move |all| {
            let mut found = one(all, number)?;
            if found.status != GenerationStatus::Building {
                return Err(not_so("complete", &found));
            }
            if let Err(at) = found.parts_done.binary_search(&part) {
                found.parts_done.insert(at, part);
            }
            let text = serde_json::to_string(&found.parts_done)
                .map_err(|e| Error::internal("write the parts of a generation").because(e))?;
            all.execute("UPDATE generations SET parts_done = ?2 WHERE number = ?1", params![number, text])
                .map_err(|e| sql_error("note a complete part of a generation", e))?;
            one(all, number)
        })
        .await
    }

    /// Notes that a generation with all its parts has its checkpoints, on the disk: from now on it is
    /// kept up to date and may be promoted.
    pub async fn ready(&self, number: u32) -> Result<()> {
        self.write("complete a generation", move |all| {
            let found = one(all, number)?;
            let complete = (1..=found.parts).all(|part| found.parts_done.contains(&part));
            if found.status != GenerationStatus::Building || !complete {
                return Err(not_so("complete", &found));
            }
            set_status(all, number, GenerationStatus::Ready)
        })
        .await
    }

    /// Moves the live mark, in one step: the live generation becomes the previous one.
    pub(crate) async fn move_live(&self, number: u32) -> Result<()> {
        self.write("move the live mark", move |change| {
            let found = one(change, number)?;
            if found.status == GenerationStatus::Live {
                return Ok(());
            }
            if !found.status.is_complete() {
                return Err(not_so("promote", &found));
            }
            // Out of the way first: there is one live and one previous generation at a time.
            set_status(change, number, GenerationStatus::Ready)?;
            for other in all(change)?.iter().filter(|g| g.status == GenerationStatus::Previous) {
                set_status(change, other.number, GenerationStatus::Ready)?;
            }
            for other in all(change)?.iter().filter(|g| g.status == GenerationStatus::Live) {
                set_status(change, other.number, GenerationStatus::Previous)?;
            }
            set_status(change, number, GenerationStatus::Live)
        })
        .await
    }

    /// Gives a generation up; the live one is refused.
    pub(crate) async fn retire(&self, number: u32) -> Result<()> {
        self.write("retire a generation", move |all| {
            let found = one(all, number)?;
            if found.status == GenerationStatus::Live {
                return Err(not_so("retire", &found));
            }
            set_status(all, number, GenerationStatus::Retired)
        })
        .await
    }
}
