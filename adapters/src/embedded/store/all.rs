//! All records, page by page, in the order of their making.
//!
//! Rows have numbers. Blocks of them go to the parts in turn, so that parts are about equal, whatever is added
//! meanwhile, and each reads pages of the file that the others do not.

use ledgerline_domain::Result;
use ledgerline_domain::ids::EntityKey;
use ledgerline_domain::ports::{Stored, StoredPage, StoredPart};
use rusqlite::{Connection, params};

use crate::embedded::sqlite::sql_error;

/// Rows of one block.
const BLOCK: i64 = 4096;

/// Records of a part from the one behind row `after`.
pub(super) fn stored(
    connection: &Connection,
    part: StoredPart,
    after: Option<i64>,
    limit: usize,
) -> Result<StoredPage> {
    let failed = |e| sql_error("read all records", e);
    let mut newest = connection.prepare_cached("SELECT ifnull(max(id), 0) FROM entities").map_err(failed)?;
    let newest: i64 = newest.query_row([], |row| row.get(0)).map_err(failed)?;
    let mut statement = connection
        .prepare_cached(
            "SELECT id, key, revision, record FROM entities WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3",
        )
        .map_err(failed)?;
    let limit = limit.max(1);
    let mut after = after.unwrap_or(i64::from(part.number) * BLOCK);
    let mut page = StoredPage { records: Vec::with_capacity(limit.min(4096)), next: None };
    while after < newest && page.records.len() < limit {
        let end = (after / BLOCK + 1) * BLOCK;
        let most = i64::try_from(limit - page.records.len()).unwrap_or(i64::MAX);
        let mut rows = statement.query(params![after, end, most]).map_err(failed)?;
        let mut last = end;
        while let Some(row) = rows.next().map_err(failed)? {
            page.records.push(record(row)?);
            if page.records.len() == limit {
                last = row.get(0).map_err(failed)?;
            }
        }
        // From the end of a block on to the part's next.
        after = if last == end { end + i64::from(part.of.max(1) - 1) * BLOCK } else { last };
    }
    page.next = (after < newest).then(|| after.to_string());
    Ok(page)
}

fn record(row: &rusqlite::Row<'_>) -> Result<Stored> {
    let failed = |e| sql_error("read all records", e);
    let value = |at| row.get_ref(at).map_err(failed);
    Ok(Stored {
        key: EntityKey::parse(value(1)?.as_str().map_err(|e| failed(e.into()))?)?,
        revision: row.get::<_, i64>(2).map_err(failed)?.unsigned_abs(),
        binary: value(3)?.as_blob().map_err(|e| failed(e.into()))?.to_vec(),
    })
}
