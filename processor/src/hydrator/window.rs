//! What was read of a shard and is not done yet. Pure: it says what to fetch next and how far the
//! checkpoint may go.
//!
//! Fetches of one address go one after the other, so that what the log holds of an object is in the
//! order in which it was seen.

use std::collections::{BTreeMap, HashMap};

use ledgerline_domain::ids::SequenceNumber;
use ledgerline_domain::provider::Fetch;

/// One fetch, and the notifications that it is for.
#[derive(Debug)]
pub(super) struct Job {
    pub fetch: Fetch,
    pub covers: Vec<SequenceNumber>,
}

/// Notifications between the checkpoint and what was read.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Position of the last record read.
    read: Option<SequenceNumber>,
    /// Not done, each with the position before it.
    open: BTreeMap<SequenceNumber, Option<SequenceNumber>>,
    /// Addresses that are being fetched, with what came for them in the meantime.
    busy: HashMap<String, Option<Job>>,
}

impl Window {
    /// Begins behind `read`.
    pub(super) fn behind(read: Option<SequenceNumber>) -> Self {
        Self { read, ..Self::default() }
    }

    /// Where to read on.
    pub(super) fn read(&self) -> Option<&SequenceNumber> {
        self.read.as_ref()
    }

    /// Begins to read anew, with what the log still keeps.
    pub(super) fn rewind(&mut self) {
        self.read = None;
    }

    /// Notifications that are not done.
    pub(super) fn waiting(&self) -> usize {
        self.open.len()
    }

    /// A record with nothing to fetch.
    pub(super) fn pass(&mut self, sequence: SequenceNumber) {
        self.read = Some(sequence);
    }

    /// A notification. Gives what to start now: nothing while its address is being fetched.
    pub(super) fn take(&mut self, sequence: SequenceNumber, fetch: Fetch) -> Option<Job> {
        let before = self.read.replace(sequence.clone());
        self.open.insert(sequence.clone(), before);
        match self.busy.get_mut(fetch.address()) {
            None => {
                self.busy.insert(fetch.address().to_owned(), None);
                Some(Job { fetch, covers: vec![sequence] })
            }
            Some(Some(next)) => {
                next.fetch = fetch;
                next.covers.push(sequence);
                None
            }
            Some(next) => {
                *next = Some(Job { fetch, covers: vec![sequence] });
                None
            }
        }
    }

    /// A job is done, whatever became of it. Gives what to start in its place.
    pub(super) fn done(&mut self, job: &Job) -> Option<Job> {
        for sequence in &job.covers {
            self.open.remove(sequence);
        }
        let next = self.busy.remove(job.fetch.address()).flatten()?;
        self.busy.insert(next.fetch.address().to_owned(), None);
        Some(next)
    }

    /// Everything up to here is done.
    pub(super) fn checkpoint(&self) -> Option<&SequenceNumber> {
        match self.open.first_key_value() {
            Some((_, before)) => before.as_ref(),
            None => self.read.as_ref(),
        }
    }
}
