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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use ledgerline_domain::envelope::Envelope;
    use ledgerline_domain::ids::SourceName;
    use ledgerline_domain::provider::Provider;
    use ledgerline_domain::request::RawRequest;
    use ledgerline_domain::signature::{SecretSet, sign, verify};
    use ledgerline_domain::time::UnixNanos;

    use super::*;

    fn at(n: u64) -> SequenceNumber {
        SequenceNumber::from_u64(n)
    }

    /// What is to be fetched for a notification about `id`.
    fn fetch(id: &str) -> Fetch {
        let provider = Provider::built_in("mollie-classic").unwrap();
        let (body, received_at) = (Bytes::from(format!("id={id}")), UnixNanos::from_nanos(0));
        let headers = sign(provider.scheme(), &"x".into(), "", received_at, &body).unwrap();
        let secrets = SecretSet::new(provider.scheme(), ["x".into()]).unwrap();
        let raw = RawRequest { headers: &headers, body: &body, received_at };
        let verified = verify(provider.scheme(), &secrets, raw).unwrap();
        let source = SourceName::new("shop").unwrap();
        let envelope = Envelope::seal(&verified, provider.identify(&source, raw).remove(0));
        provider.fetch(&envelope).unwrap().unwrap()
    }

    #[test]
    fn the_checkpoint_stays_before_what_is_not_done() {
        let mut window = Window::behind(Some(at(3)));
        assert_eq!(window.checkpoint(), Some(&at(3)));
        let first = window.take(at(4), fetch("tr_1")).unwrap();
        window.pass(at(5));
        let second = window.take(at(6), fetch("tr_2")).unwrap();
        window.pass(at(7));
        assert_eq!((window.read(), window.checkpoint(), window.waiting()), (Some(&at(7)), Some(&at(3)), 2));
        assert!(window.done(&second).is_none());
        assert_eq!(window.checkpoint(), Some(&at(3)));
        assert!(window.done(&first).is_none());
        assert_eq!((window.checkpoint(), window.waiting()), (Some(&at(7)), 0));
        let mut new = Window::default();
        assert!(new.take(at(1), fetch("tr_1")).is_some());
        assert_eq!(new.checkpoint(), None);
    }

    #[test]
    fn one_address_is_fetched_once_at_a_time() {
        let mut window = Window::default();
        let first = window.take(at(1), fetch("tr_1")).unwrap();
        assert!(window.take(at(2), fetch("tr_1")).is_none());
        assert!(window.take(at(3), fetch("tr_1")).is_none());
        assert!(window.take(at(4), fetch("tr_2")).is_some());
        let next = window.done(&first).unwrap();
        assert_eq!(next.covers, [at(2), at(3)]);
        assert_eq!(window.checkpoint(), Some(&at(1)));
        assert!(window.take(at(5), fetch("tr_1")).is_none());
        assert_eq!(window.done(&next).unwrap().covers, [at(5)]);
        assert_eq!(window.checkpoint(), Some(&at(3)));
    }
}
