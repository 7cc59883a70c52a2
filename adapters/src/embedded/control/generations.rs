//! Generations in the control database: read, taken a [step](crate::control::steps), and written back in one
//! transaction.

use ledgerline_domain::Error;
use ledgerline_domain::Result;
use ledgerline_domain::time::UnixNanos;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{Control, damaged, providers};
use crate::control::{Generation, GenerationStatus, Generations, Positions, ProviderTexts, steps};
use crate::embedded::sqlite::sql_error;

const ALL: &str =
    "SELECT number, status, made_at, reason, parts, parts_done, positions FROM generations ORDER BY number";

const INSERT: &str = "INSERT INTO generations (number, status, made_at, reason, parts, parts_done, positions) \
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

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

pub(super) fn all(connection: &Connection) -> Result<Vec<Generation>> {
    let failed = |e| sql_error("read the generations", e);
    let mut statement = connection.prepare_cached(ALL).map_err(failed)?;
    let found = statement.query_map([], generation).map_err(failed)?;
    found.map(|generation| generation.map_err(failed)?).collect()
}

/// Makes the rows those of `new`; `old` is what they are.
pub(super) fn replace(change: &Connection, old: &[Generation], new: &[Generation]) -> Result<()> {
    let failed = |e| sql_error("change the generations", e);
    let text = |e| Error::internal("write the generations").because(e);
    let changed: Vec<&Generation> = new.iter().filter(|generation| !old.contains(generation)).collect();
    // Out of the way first: there is one live and one previous generation at a time.
    for generation in &changed {
        change.execute("DELETE FROM generations WHERE number = ?1", [generation.number]).map_err(failed)?;
    }
    for Generation { number, status, made_at, reason, parts, parts_done, positions } in changed {
        let parts_done = serde_json::to_string(parts_done).map_err(text)?;
        let positions = positions.as_ref().map(serde_json::to_string).transpose().map_err(text)?;
        let row = params![number, status.name(), made_at.nanos(), reason, parts, parts_done, positions];
        change.execute(INSERT, row).map_err(failed)?;
    }
    Ok(())
}

impl Control {
    /// All generations, oldest first, the retired ones too.
    pub async fn generations(&self) -> Result<Vec<Generation>> {
        self.read("read the generations", all).await
    }

    /// One of them; [`Invalid`](ledgerline_domain::ErrorKind::Invalid) when there is none of that number.
    pub async fn generation(&self, number: u32) -> Result<Generation> {
        self.read("read a generation", move |connection| steps::one(&all(connection)?, number).cloned()).await
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

    /// Takes a step, in one transaction.
    async fn step<T, F>(&self, action: &'static str, step: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Vec<Generation>) -> Result<T> + Send + 'static,
    {
        self.write(action, move |change| {
            let old = all(change)?;
            let mut new = old.clone();
            let done = step(&mut new)?;
            replace(change, &old, &new)?;
            Ok(done)
        })
        .await
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
        self.write("begin a generation", move |change| {
            let old = all(change)?;
            let mut new = old.clone();
            let number = steps::begin(&mut new, reason, parts, now);
            replace(change, &old, &new)?;
            providers::set(change, number, &texts)?;
            Ok(number)
        })
        .await
    }

    /// Fixes up to where a building generation is folded from the archive; the first claim stands. Gives
    /// the generation.
    pub async fn claim(&self, number: u32, positions: Positions) -> Result<Generation> {
        self.step("fix the positions of a generation", move |all| steps::claim(all, number, positions)).await
    }

    /// Notes that a part is complete. Its records must be on the disk. Gives the generation.
    /// [`Conflict`](ledgerline_domain::ErrorKind::Conflict) when it is not being built any more.
    pub async fn part_done(&self, number: u32, part: u32) -> Result<Generation> {
        self.step("note a complete part of a generation", move |all| steps::part_done(all, number, part)).await
    }

    /// Notes that a generation with all its parts has its checkpoints, on the disk: from now on it is
    /// kept up to date and may be promoted.
    pub async fn ready(&self, number: u32) -> Result<()> {
        self.step("complete a generation", move |all| steps::ready(all, number)).await
    }

    /// Moves the live mark, in one step: the live generation becomes the previous one.
    pub(crate) async fn move_live(&self, number: u32) -> Result<()> {
        self.step("move the live mark", move |all| steps::move_live(all, number)).await
    }

    /// Gives a generation up; the live one is refused.
    pub(crate) async fn retire(&self, number: u32) -> Result<()> {
        self.step("retire a generation", move |all| steps::retire(all, number)).await
    }
}

/// The methods of the same names. [`move_live`](Generations::move_live) and [`retire`](Generations::retire) are for
/// the process that owns the directory; it has [`make_live`](super::super::Embedded::make_live) and
/// [`retire`](super::super::Embedded::retire), which do the rest too.
impl Generations for Control {
    async fn generations(&self) -> Result<Vec<Generation>> {
        self.generations().await
    }

    async fn generation(&self, number: u32) -> Result<Generation> {
        self.generation(number).await
    }

    async fn live(&self) -> Result<u32> {
        self.live().await
    }

    async fn begin_generation(
        &self,
        reason: Option<String>,
        parts: u32,
        texts: ProviderTexts,
        now: UnixNanos,
    ) -> Result<u32> {
        self.begin_generation(reason, parts, texts, now).await
    }

    async fn claim(&self, number: u32, positions: Positions) -> Result<Generation> {
        self.claim(number, positions).await
    }

    async fn part_done(&self, number: u32, part: u32) -> Result<Generation> {
        self.part_done(number, part).await
    }

    async fn ready(&self, number: u32) -> Result<()> {
        self.ready(number).await
    }

    async fn move_live(&self, number: u32) -> Result<()> {
        self.move_live(number).await
    }

    async fn retire(&self, number: u32) -> Result<()> {
        self.retire(number).await
    }

    async fn provider_texts(&self, generation: u32) -> Result<ProviderTexts> {
        self.provider_texts(generation).await
    }

    async fn set_provider_texts(&self, generation: u32, texts: ProviderTexts) -> Result<()> {
        self.set_provider_texts(generation, texts).await
    }
}
