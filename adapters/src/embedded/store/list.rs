//! One page of records by filter, in key order.
//!
//! Source and kind are the front of the key and become a range of it. A status that few entities
//! have is found by its index and sorted; one that many have is met soon enough in key order.

use ledgerline_domain::Result;
use ledgerline_domain::ids::EntityKey;
use ledgerline_domain::ports::EntityFilter;
use ledgerline_domain::record::EntityRecord;
use rusqlite::{Connection, params_from_iter};

use super::rows::decode;
use crate::embedded::sqlite::sql_error;

/// What of a key is behind its source: kind, slash, id.
const REST: &str = "substr(key, instr(key, '/') + 1)";
/// Up to so many entities of a status are sorted.
const SORTED_MAX: i64 = 10_000;

/// See the module.
pub(crate) fn list(
    connection: &Connection,
    filter: &EntityFilter,
    after: Option<&EntityKey>,
    limit: usize,
) -> Result<Vec<EntityRecord>> {
    let failed = |e| sql_error("list records", e);
    let has_slash = |name: &Option<String>| name.as_ref().is_some_and(|name| name.contains('/'));
    if has_slash(&filter.source) || has_slash(&filter.kind) {
        // No source or kind has one; as the front of a key it would mean something else.
        return Ok(Vec::new());
    }
    let (from, to) = range(filter);
    let after = after.map_or("", EntityKey::as_str);
    // A key is longer than the prefix it has, so both bounds are exclusive.
    let mut values = vec![from.as_str().max(after).to_owned()];
    let mut sql = "WHERE key > ?1".to_owned();
    let mut and = |condition: &str, value: Option<&str>| {
        sql.push_str(" AND ");
        sql.push_str(condition);
        if let Some(value) = value {
            values.push(value.to_owned());
            sql.push_str(&format!(" ?{}", values.len()));
        }
    };
    if let Some(to) = &to {
        and("key <", Some(to));
    }
    if filter.source.is_none()
        && let Some(kind) = &filter.kind
    {
        and(&format!("substr({REST}, 1, instr({REST}, '/') - 1) ="), Some(kind));
    }
    if filter.attention {
        and("attention = 1", None);
    }
    let mut index = if filter.attention { " INDEXED BY entities_for_attention" } else { "" };
    if let Some(status) = &filter.status {
        // The plus sign keeps the planner from the index; whether it is used is decided here.
        let few = !filter.attention && is_rare(connection, status)?;
        and(if few { "status =" } else { "+status =" }, Some(status));
        if few {
            index = " INDEXED BY entities_by_status";
        }
    }
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let sql = format!("SELECT key, record FROM entities{index} {sql} ORDER BY key LIMIT {limit}");
    let mut statement = connection.prepare(&sql).map_err(failed)?;
    let mut rows = statement.query(params_from_iter(values)).map_err(failed)?;
    let mut records = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let text = |at| row.get_ref(at).map_err(failed);
        let key = text(0)?.as_str().map_err(|e| failed(e.into()))?;
        records.push(decode(key, text(1)?.as_blob().map_err(|e| failed(e.into()))?)?);
    }
    Ok(records)
}

/// Keys of a source, or of a kind in it, lie strictly between these.
fn range(filter: &EntityFilter) -> (String, Option<String>) {
    let Some(source) = &filter.source else { return (String::new(), None) };
    let front = match &filter.kind {
        Some(kind) => format!("{source}/{kind}"),
        None => source.clone(),
    };
    // '0' follows '/' in byte order.
    (format!("{front}/"), Some(format!("{front}0")))
}

fn is_rare(connection: &Connection, status: &str) -> Result<bool> {
    let failed = |e| sql_error("list records", e);
    let mut statement = connection
        .prepare_cached("SELECT count(*) FROM (SELECT 1 FROM entities WHERE status = ?1 LIMIT ?2)")
        .map_err(failed)?;
    let count: i64 =
        statement.query_row(rusqlite::params![status, SORTED_MAX + 1], |row| row.get(0)).map_err(failed)?;
    Ok(count <= SORTED_MAX)
}
