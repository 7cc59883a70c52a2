//! What a command line asks of the process that owns the data, without a port for it: rows in a
//! table. The process looks at [`Control::pending_requests`] now and then, does it, and writes the
//! outcome. What is asked and answered is text; the program gives it its meaning. Bounded: so many
//! requests may wait, and so many outcomes are kept.

use ledgerline_domain::{Error, Result};
use rusqlite::{OptionalExtension as _, params};

use super::Control;
use crate::control::Request;
use crate::embedded::sqlite::sql_error;

/// Most requests that may wait.
const PENDING_MAX: i64 = 10_000;
/// Outcomes of the newest requests are kept, so many.
const FINISHED_MAX: i64 = 1000;

impl Control {
    /// Asks the process that owns the data; gives the request's number. Asked again in the same words
    /// while it waits, the number is the same. `Retry` when too many requests wait.
    pub async fn request(&self, ask: &str) -> Result<i64> {
        let ask = ask.to_owned();
        self.write("ask the process that holds the data", move |all| {
            let failed = |e| sql_error("ask the process that holds the data", e);
            let known: Option<i64> = all
                .query_row("SELECT id FROM requests WHERE ask = ?1 AND outcome IS NULL", [&ask], |row| row.get(0))
                .optional()
                .map_err(failed)?;
            if let Some(known) = known {
                return Ok(known);
            }
            let waiting: i64 = all
                .query_row("SELECT count(*) FROM requests WHERE outcome IS NULL", [], |row| row.get(0))
                .map_err(failed)?;
            if waiting >= PENDING_MAX {
                return Err(Error::retry(format!(
                    "ask the process that holds the data: {waiting} requests wait already; is a server running?"
                )));
            }
            all.execute("INSERT INTO requests (ask) VALUES (?1)", [&ask]).map_err(failed)?;
            Ok(all.last_insert_rowid())
        })
        .await
    }

    /// Requests that wait, oldest first.
    pub async fn pending_requests(&self) -> Result<Vec<Request>> {
        let failed = |e| sql_error("read the requests", e);
        self.read("read the requests", move |connection| {
            let mut statement = connection
                .prepare_cached("SELECT id, ask FROM requests WHERE outcome IS NULL ORDER BY id")
                .map_err(failed)?;
            let found =
                statement.query_map([], |row| Ok(Request { id: row.get(0)?, ask: row.get(1)? })).map_err(failed)?;
            found.map(|request| request.map_err(failed)).collect()
        })
        .await
    }

    /// Notes what became of a request; the first outcome stands.
    pub async fn finish_request(&self, id: i64, outcome: &str) -> Result<()> {
        let outcome = outcome.to_owned();
        self.write("note the outcome of a request", move |all| {
            let failed = |e| sql_error("note the outcome of a request", e);
            all.execute("UPDATE requests SET outcome = ?2 WHERE id = ?1 AND outcome IS NULL", params![id, outcome])
                .map_err(failed)?;
            all.execute("DELETE FROM requests WHERE outcome IS NOT NULL AND id <= ?1", [id - FINISHED_MAX])
                .map_err(failed)?;
            Ok(())
        })
        .await
    }

    /// Takes a request back that still waits; false when it was done, or is being done, in the meantime.
    pub async fn withdraw_request(&self, id: i64) -> Result<bool> {
        self.write("take a request back", move |all| {
            let failed = |e| sql_error("take a request back", e);
            Ok(all.execute("DELETE FROM requests WHERE id = ?1 AND outcome IS NULL", [id]).map_err(failed)? == 1)
        })
        .await
    }

    /// What became of a request; `None` while it waits, or when it is unknown or long gone.
    pub async fn request_outcome(&self, id: i64) -> Result<Option<String>> {
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
