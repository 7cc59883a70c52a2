//! Rows of the tables, to and from the domain's types.

use bytes::Bytes;
use ledgerline_domain::ids::{EntityKey, SourceName};
use ledgerline_domain::ports::{EntityWrite, Quarantined};
use ledgerline_domain::record::EntityRecord;
use ledgerline_domain::time::UnixNanos;
use ledgerline_domain::{Error, ErrorKind, Result};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::embedded::sqlite::sql_error;

/// A record as its columns.
pub(crate) struct Row<'a> {
    key: &'a EntityKey,
    expected: i64,
    revision: i64,
    status: &'a str,
    attention: bool,
    binary: Vec<u8>,
}

/// Encodes writes, in key order, which is the order of the pages they touch.
pub(crate) fn encode(writes: &[EntityWrite]) -> Result<Vec<Row<'_>>> {
    let mut rows = writes.iter().map(Row::encode).collect::<Result<Vec<_>>>()?;
    rows.sort_unstable_by(|a, b| a.key.cmp(b.key));
    match rows.windows(2).find(|pair| matches!(pair, [a, b] if a.key == b.key)) {
        Some([twice, ..]) => Err(Error::invalid(format!("commit {} twice in one batch", twice.key))),
        _ => Ok(rows),
    }
}

impl<'a> Row<'a> {
    fn encode(write: &'a EntityWrite) -> Result<Self> {
        let record = &write.record;
        let number = |n: u64| {
            i64::try_from(n)
                .map_err(|_| Error::invalid(format!("write revision {n} of {}: it is too large", record.key)))
        };
        if write.expected_revision.checked_add(1) != Some(record.revision) {
            return Err(Error::invalid(format!(
                "write revision {} of {} over revision {}: it must be one higher",
                record.revision, record.key, write.expected_revision
            )));
        }
        Ok(Self {
            key: &record.key,
            expected: number(write.expected_revision)?,
            revision: number(record.revision)?,
            status: record.status(),
            attention: record.needs_attention(),
            binary: record.encode()?,
        })
    }
}

/// Writes rows whose expected revision stands; [`ErrorKind::Conflict`] at the first that does not.
pub(crate) fn write(connection: &Connection, rows: &[Row<'_>]) -> Result<()> {
    let failed = |e| sql_error("write a record", e);
    let mut insert = connection
        .prepare_cached(
            "INSERT INTO entities (key, revision, status, attention, record) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (key) DO NOTHING",
        )
        .map_err(failed)?;
    let mut update = connection
        .prepare_cached(
            "UPDATE entities SET revision = ?2, status = ?4, attention = ?5, record = ?6 \
             WHERE key = ?1 AND revision = ?3",
        )
        .map_err(failed)?;
    for row in rows {
        let key = row.key.as_str();
        let changed = if row.expected == 0 {
            insert.execute(params![key, row.revision, row.status, row.attention, row.binary])
        } else {
            update.execute(params![key, row.revision, row.expected, row.status, row.attention, row.binary])
        };
        if changed.map_err(failed)? != 1 {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("write revision {} of {key}: it was changed in between", row.revision),
            ));
        }
    }
    Ok(())
}

/// Loads records, place by place.
pub(crate) fn load(connection: &Connection, keys: &[EntityKey]) -> Result<Vec<Option<EntityRecord>>> {
    let failed = |e| sql_error("load records", e);
    let mut statement = connection.prepare_cached("SELECT record FROM entities WHERE key = ?1").map_err(failed)?;
    let mut records = Vec::with_capacity(keys.len());
    for key in keys {
        let mut rows = statement.query([key.as_str()]).map_err(failed)?;
        let record = match rows.next().map_err(failed)? {
            Some(row) => Some(decode(key.as_str(), row.get_ref(0).and_then(|v| Ok(v.as_blob()?)).map_err(failed)?)?),
            None => None,
        };
        records.push(record);
    }
    Ok(records)
}

/// A record from its binary form; an error names the entity.
pub(crate) fn decode(key: &str, binary: &[u8]) -> Result<EntityRecord> {
    EntityRecord::decode(binary).map_err(|e| Error::new(e.kind(), format!("load {key}")).because(e))
}

/// Parks items; one that is there already stays as it is.
pub(crate) fn park(connection: &Connection, items: &[Quarantined]) -> Result<()> {
    let failed = |e| sql_error("park an event", e);
    if items.is_empty() {
        return Ok(());
    }
    let mut insert = connection
        .prepare_cached(
            "INSERT INTO quarantine (id, source, entity, event_id, reason, received_at, released_at, envelope) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO NOTHING",
        )
        .map_err(failed)?;
    for item in items {
        insert
            .execute(params![
                item.id,
                item.source.as_str(),
                item.entity.as_str(),
                item.event_id,
                item.reason,
                item.received_at.nanos(),
                item.released_at.map(UnixNanos::nanos),
                item.envelope.as_ref()
            ])
            .map_err(failed)?;
    }
    Ok(())
}

const ITEM: &str = "SELECT id, source, entity, event_id, reason, received_at, released_at, envelope FROM quarantine";

/// One page of parked items, in id order.
pub(crate) fn quarantined(
    connection: &Connection,
    include_released: bool,
    after: &str,
    limit: usize,
) -> Result<Vec<Quarantined>> {
    let failed = |e| sql_error("list the quarantine", e);
    let open_only = if include_released { "" } else { " AND released_at IS NULL" };
    let sql = format!("{ITEM} WHERE id > ?1{open_only} ORDER BY id LIMIT ?2");
    let mut statement = connection.prepare_cached(&sql).map_err(failed)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let items = statement.query_map(params![after, limit], item).map_err(failed)?;
    items.map(|found| found.map_err(failed)?).collect()
}

/// One parked item.
pub(crate) fn quarantined_one(connection: &Connection, id: &str) -> Result<Option<Quarantined>> {
    let failed = |e| sql_error("read a quarantined item", e);
    let mut statement = connection.prepare_cached(&format!("{ITEM} WHERE id = ?1")).map_err(failed)?;
    statement.query_row([id], item).optional().map_err(failed)?.transpose()
}

fn item(row: &rusqlite::Row<'_>) -> rusqlite::Result<Result<Quarantined>> {
    let id: String = row.get(0)?;
    let (source, entity): (String, String) = (row.get(1)?, row.get(2)?);
    let names = SourceName::new(source).and_then(|source| Ok((source, EntityKey::parse(&entity)?)));
    let (source, entity) = match names {
        Ok(names) => names,
        Err(e) => {
            return Ok(Err(Error::data(format!("read the quarantined item {id}: its row is damaged")).because(e)));
        }
    };
    Ok(Ok(Quarantined {
        id,
        source,
        entity,
        event_id: row.get(3)?,
        reason: row.get(4)?,
        received_at: UnixNanos::from_nanos(row.get(5)?),
        released_at: row.get::<_, Option<i64>>(6)?.map(UnixNanos::from_nanos),
        envelope: Bytes::from(row.get::<_, Vec<u8>>(7)?),
    }))
}
