//! The SQLite file of a generation: its tables and their version.
//!
//! State is derived from the log, so commits are not synced one by one (`synchronous=NORMAL`): a
//! power loss may take the newest ones, records and checkpoint together, and they are folded again.
//!
//! Indexes are few since each costs every write. Records lie in the order of their making, so that
//! writes about recent entities touch few pages; source and kind are the front of the key and need
//! no index; the one on status holds the word alone. What the record says is not said again in columns that
//! nobody asks for: each costs every write and every reading of all records.

use crate::embedded::sqlite::Schema;

/// The tables.
pub(crate) const STATE: Schema = Schema { version: 2, tables: TABLES, steps: &[FROM_1], synchronous: "NORMAL" };

/// Version 1 had columns that were never read.
const FROM_1: &str = "
ALTER TABLE entities DROP COLUMN source;
ALTER TABLE entities DROP COLUMN kind;
ALTER TABLE entities DROP COLUMN last_at;
ALTER TABLE entities DROP COLUMN state;
";

const TABLES: &str = "
CREATE TABLE entities (
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL UNIQUE,
  revision INTEGER NOT NULL,
  status TEXT NOT NULL,
  attention INTEGER NOT NULL,
  record BLOB NOT NULL
);
CREATE INDEX entities_by_status ON entities (status);
CREATE INDEX entities_for_attention ON entities (key) WHERE attention = 1;
CREATE TABLE checkpoints (
  shard TEXT PRIMARY KEY,
  sequence TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE quarantine (
  id TEXT NOT NULL UNIQUE,
  source TEXT NOT NULL,
  entity TEXT NOT NULL,
  event_id TEXT NOT NULL,
  reason TEXT NOT NULL,
  received_at INTEGER NOT NULL,
  released_at INTEGER,
  envelope BLOB NOT NULL
);
CREATE INDEX quarantine_open ON quarantine (id) WHERE released_at IS NULL;
";
