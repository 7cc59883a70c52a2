//! Redrive: archived originals are appended to the log again, with their identity, evidence and times, for
//! another consumer or after a lost stream. The state does not change: every event is in it already (I4).
//!
//! Each record carries the name of the run (`redriverun`), so that a consumer that must not act twice has
//! a scope per run; and what a run appended is not redriven again by a later one.

use std::collections::BTreeMap;

use bytes::Bytes;
use ledgerline_domain::Result;
use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::ports::{Archive, Log, LogRecord};
use serde::{Deserialize, Serialize};

use crate::chain::Progress;
use crate::select::{Selection, SelectionReport};
use crate::selector::Selector;

/// How far a redrive is: what a resumed run begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redriven {
    /// Archived positions up to which events are in the log again, by shard.
    pub positions: BTreeMap<ShardId, SequenceNumber>,
    /// Events that were appended. After a crash some may have been appended once more than is counted.
    pub events: u64,
    /// Bytes of them, as the log holds them.
    pub bytes: u64,
    /// Selected records that an earlier run had appended; they are passed over, their originals are not.
    pub copies: u64,
}

/// A redrive at work.
pub struct Redrive<'a, A, L> {
    log: &'a L,
    run: &'a str,
    selection: Selection<'a, A>,
    done: Redriven,
    /// Read and not yet known to be in the log, and what is done once they are.
    waiting: Vec<LogRecord>,
    then: Redriven,
}

impl<'a, A: Archive, L: Log> Redrive<'a, A, L> {
    /// Begins, or goes on behind `done`, as the run named `run`.
    pub async fn begin(
        archive: &'a A,
        stream: &str,
        selector: &'a Selector,
        log: &'a L,
        run: &'a str,
        done: Redriven,
    ) -> Result<Self> {
        let selection = Selection::begin(archive, stream, selector).await?;
        Ok(Self { log, run, selection, then: done.clone(), done, waiting: Vec::new() })
    }

    /// Appends up to `most` further events, in the order of the archive; false when there are none left.
    /// After an error the same events are appended again by the next call: some may then be in the log
    /// twice, none is left out.
    pub async fn step(&mut self, most: usize) -> Result<bool> {
        while self.waiting.len() < most {
            let Some((shard, row)) = self.selection.next().await? else { break };
            if self.then.positions.get(&shard).is_some_and(|done| row.sequence <= *done) {
                continue;
            }
            self.then.positions.insert(shard, row.sequence);
            if row.value.redrive_run.is_some() {
                self.then.copies += 1;
                continue;
            }
            let key = row.value.event.entity.clone();
            let data = Bytes::from(row.value.redriven(self.run).encode());
            self.then.events += 1;
            self.then.bytes += data.len() as u64;
            self.waiting.push(LogRecord { key, data });
        }
        if self.waiting.is_empty() {
            self.done = self.then.clone();
            return Ok(false);
        }
        self.log.append(self.waiting.clone()).await?;
        self.waiting.clear();
        self.done = self.then.clone();
        Ok(true)
    }

    /// What is in the log again, durably.
    pub fn done(&self) -> &Redriven {
        &self.done
    }

    /// How far the pass over the archive is.
    pub fn progress(&self) -> Progress {
        self.selection.progress()
    }

    /// What was read, and what is wrong with it.
    pub fn finish(self) -> SelectionReport {
        self.selection.finish()
    }
}
