//! All records, page by page, in the order of their making.
//!
//! Rows have numbers. Blocks of them go to the parts in turn, so that parts are about equal, whatever is added
//! meanwhile, and each reads pages of the file that the others do not. The records of a page lie in one piece of
//! memory: one thread reads them, another lets go of them, and an allocation each would make the two wait for each
//! other.

use std::ops::Range;

use bytes::Bytes;
use ledgerline_domain::Result;
use ledgerline_domain::ids::EntityKey;
use ledgerline_domain::ports::{Stored, StoredPage, StoredPart};
use rusqlite::{Connection, params};

use crate::embedded::sqlite::sql_error;

/// Rows of one block.
const BLOCK: i64 = 4096;
/// What a usual record takes.
const RECORD_BYTES: usize = 768;

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
    let mut found = Vec::with_capacity(limit.min(4096));
    let mut room = Vec::with_capacity(found.capacity() * RECORD_BYTES);
    while after < newest && found.len() < limit {
        let end = (after / BLOCK + 1) * BLOCK;
        let most = i64::try_from(limit - found.len()).unwrap_or(i64::MAX);
        let mut rows = statement.query(params![after, end, most]).map_err(failed)?;
        let mut last = end;
        while let Some(row) = rows.next().map_err(failed)? {
            found.push(read(row, &mut room)?);
            if found.len() == limit {
                last = row.get(0).map_err(failed)?;
            }
        }
        // From the end of a block on to the part's next.
        after = if last == end { end + i64::from(part.of.max(1) - 1) * BLOCK } else { last };
    }
    let room = Bytes::from(room);
    let stored = |(key, revision, place)| Stored { key, revision, binary: room.slice(place) };
    let records = found.into_iter().map(stored).collect();
    Ok(StoredPage { records, next: (after < newest).then(|| after.to_string()) })
}

/// A row's key, revision, and where its binary form lies in `room` now.
fn read(row: &rusqlite::Row<'_>, room: &mut Vec<u8>) -> Result<(EntityKey, u64, Range<usize>)> {
    let failed = |e| sql_error("read all records", e);
    let value = |at| row.get_ref(at).map_err(failed);
    let key = EntityKey::parse(value(1)?.as_str().map_err(|e| failed(e.into()))?)?;
    let revision = row.get::<_, i64>(2).map_err(failed)?.unsigned_abs();
    let from = room.len();
    room.extend_from_slice(value(3)?.as_blob().map_err(|e| failed(e.into()))?);
    Ok((key, revision, from..room.len()))
}
