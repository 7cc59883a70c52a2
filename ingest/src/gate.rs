//! How much is inside: requests and bytes of bodies, counted without a lock, each given back by the
//! drop of its [`Ticket`]. A ticket travels with the append, so what is counted is what is held.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The counts and their limits.
#[derive(Debug)]
pub(crate) struct Gate {
    requests: AtomicUsize,
    bytes: AtomicUsize,
    closing: AtomicBool,
    requests_max: usize,
    bytes_max: usize,
}

impl Gate {
    pub(crate) fn new(requests_max: usize, bytes_max: usize) -> Self {
        Self {
            requests: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            requests_max,
            bytes_max,
        }
    }

    /// A place inside; `None` when it is full or closing.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Ticket> {
        if self.is_closing() {
            return None;
        }
        // Taken first, looked at then: two at once may both turn back, never both squeeze in.
        let ticket_before = self.requests.fetch_add(1, Ordering::Relaxed);
        let ticket = Ticket { gate: self.clone(), bytes: 0 };
        (ticket_before < self.requests_max).then_some(ticket)
    }

    /// From now on nobody enters.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Requests inside.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Acquire)
    }
}

/// One request inside, with its bytes.
#[derive(Debug)]
pub(crate) struct Ticket {
    gate: Arc<Gate>,
    bytes: usize,
}

impl Ticket {
    /// Takes room for `more` bytes; false, with nothing taken, when there is none.
    pub(crate) fn grow(&mut self, more: usize) -> bool {
        let before = self.gate.bytes.fetch_add(more, Ordering::Relaxed);
        let fits = before.saturating_add(more) <= self.gate.bytes_max;
        if fits {
            self.bytes += more;
        } else {
            self.gate.bytes.fetch_sub(more, Ordering::Relaxed);
        }
        fits
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.gate.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        // Release: whoever sees the count at 0 sees what the requests did.
        self.gate.requests.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_and_everything_is_given_back() {
        let gate = Arc::new(Gate::new(2, 10));
        let mut one = gate.enter().unwrap();
        let two = gate.enter().unwrap();
        assert!(gate.enter().is_none() && gate.requests() == 2);
        assert!(one.grow(4) && one.grow(6) && !one.grow(1));
        drop(two);
        let mut three = gate.enter().unwrap();
        assert!(!three.grow(1));
        drop(one);
        assert!(three.grow(10));
        gate.close();
        drop(three);
        assert!(gate.enter().is_none() && gate.requests() == 0 && gate.bytes.load(Ordering::Relaxed) == 0);
    }
}
