//! What a command line asks of the process that owns the data, without a port for it: rows in a
//! table. The process looks at [`EmbeddedStore::pending_releases`] now and then, does it, and writes
//! the outcome in words. Bounded: so many requests may wait, and so many outcomes are kept.

use ledgerline_domain::ports::Quarantine as _;
use ledgerline_domain::{Error, Result};
use rusqlite::{OptionalExtension as _, TransactionBehavior, params};

use super::schema::sql_error;
use super::{EmbeddedStore, open_beside};
use crate::embedded::files::blocking;

/// Most requests that may wait.
const PENDING_MAX: i64 = 10_000;
/// Outcomes of the newest requests are kept, so many.
const FINISHED_MAX: i64 = 1000;

/// A wish to release a quarantined item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseRequest {
    /// Its number.
    pub id: i64,
    /// The item.
    pub quarantine_id: String,
}

impl EmbeddedStore {
    /// Asks the process that owns the data to release an item; gives the request's number. Asked
    /// again while it waits, the number is the same. `Invalid` when there is no such item or it was
    /// released before; `Retry` when too many requests wait.
    pub async fn request_release(&self, quarantine_id: &str) -> Result<i64> {
        let item = self.quarantined_one(quarantine_id).await?;
        match item {
            None => return Err(Error::invalid(format!("release {quarantine_id:?}: it is not in the quarantine"))),
            Some(item) if item.released_at.is_some() => {
                return Err(Error::invalid(format!("release {quarantine_id:?}: it was released before")));
            }
            Some(_) => {}
        }
        let (path, id) = (self.inner.path.clone(), quarantine_id.to_owned());
        blocking(move || {
            let failed = |e| sql_error("ask for a release", e);
            let mut connection = open_beside(&path)?;
            let ask = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
            let known: Option<i64> = ask
                .query_row("SELECT id FROM requests WHERE quarantine_id = ?1 AND outcome IS NULL", [&id], |row| {
                    row.get(0)
                })
                .optional()
                .map_err(failed)?;
            if let Some(known) = known {
                return Ok(known);
            }
            let waiting: i64 = ask
                .query_row("SELECT count(*) FROM requests WHERE outcome IS NULL", [], |row| row.get(0))
                .map_err(failed)?;
            if waiting >= PENDING_MAX {
                return Err(Error::retry(format!(
                    "ask for a release: {waiting} requests wait already; is the program that serves this data running?"
                )));
            }
            ask.execute("INSERT INTO requests (quarantine_id) VALUES (?1)", [&id]).map_err(failed)?;
            let number = ask.last_insert_rowid();
            ask.commit().map_err(failed)?;
            Ok(number)
        })
        .await
    }

    /// Requests that wait, oldest first.
    pub async fn pending_releases(&self) -> Result<Vec<ReleaseRequest>> {
        let failed = |e| sql_error("read the requests", e);
        self.read("read the requests", move |connection| {
            let mut statement = connection
                .prepare_cached("SELECT id, quarantine_id FROM requests WHERE outcome IS NULL ORDER BY id")
                .map_err(failed)?;
            let found = statement
                .query_map([], |row| Ok(ReleaseRequest { id: row.get(0)?, quarantine_id: row.get(1)? }))
                .map_err(failed)?;
            found.map(|request| request.map_err(failed)).collect()
        })
        .await
    }

    /// Notes what became of a request; the first outcome stands.
    pub async fn finish_release(&self, id: i64, outcome: &str) -> Result<()> {
        let outcome = outcome.to_owned();
        self.write(move |connection, _| {
            let failed = |e| sql_error("note the outcome of a request", e);
            let note = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
            note.execute("UPDATE requests SET outcome = ?2 WHERE id = ?1 AND outcome IS NULL", params![id, outcome])
                .map_err(failed)?;
            note.execute("DELETE FROM requests WHERE outcome IS NOT NULL AND id <= ?1", [id - FINISHED_MAX])
                .map_err(failed)?;
            note.commit().map_err(failed)
        })
        .await
    }

    /// What became of a request; `None` while it waits, or when it is unknown or long gone.
    pub async fn release_outcome(&self, id: i64) -> Result<Option<String>> {
        self.read("read the outcome of a request", move |connection| {
            connection
                .query_row("SELECT outcome FROM requests WHERE id = ?1", [id], |row| row.get(0))
                .optional()
                .map(Option::flatten)
                .map_err(|e| sql_error("read the outcome of a request", e))
        })
        .await
    }
}
