//! The provider files that a generation is folded with, verbatim, by source. Equal files are kept once.

use ledgerline_domain::Result;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Control, generations};
use crate::control::{ProviderTexts, steps};
use crate::embedded::sqlite::sql_error;

impl Control {
    /// The provider files of a generation.
    pub async fn provider_texts(&self, generation: u32) -> Result<ProviderTexts> {
        self.read("read the provider files of a generation", move |connection| texts(connection, generation)).await
    }

    /// Gives a generation other provider files, for all of its sources.
    /// [`Invalid`](ledgerline_domain::ErrorKind::Invalid) when there is none of that number.
    pub async fn set_provider_texts(&self, generation: u32, texts: ProviderTexts) -> Result<()> {
        self.write("keep the provider files of a generation", move |change| {
            steps::one(&generations::all(change)?, generation)?;
            set(change, generation, &texts)
        })
        .await
    }
}

fn texts(connection: &Connection, generation: u32) -> Result<ProviderTexts> {
    let failed = |e| sql_error("read the provider files of a generation", e);
    let mut statement = connection
        .prepare_cached(
            "SELECT source, text FROM generation_sources JOIN provider_files ON file = number WHERE generation = ?1",
        )
        .map_err(failed)?;
    let rows = statement.query_map([generation], |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed)?;
    rows.map(|row| row.map_err(failed)).collect()
}

pub(super) fn set(connection: &Connection, generation: u32, texts: &ProviderTexts) -> Result<()> {
    let failed = |e| sql_error("keep the provider files of a generation", e);
    connection.execute("DELETE FROM generation_sources WHERE generation = ?1", [generation]).map_err(failed)?;
    for (source, text) in texts {
        let known = || connection.query_row("SELECT number FROM provider_files WHERE text = ?1", [text], |r| r.get(0));
        let file: i64 = match known().optional().map_err(failed)? {
            Some(file) => file,
            None => {
                connection.execute("INSERT INTO provider_files (text) VALUES (?1)", [text]).map_err(failed)?;
                connection.last_insert_rowid()
            }
        };
        connection
            .execute(
                "INSERT INTO generation_sources (generation, source, file) VALUES (?1, ?2, ?3)",
                params![generation, source, file],
            )
            .map_err(failed)?;
    }
    Ok(())
}
