//! What happens to one payment, and what it must add up to.
//!
//! The truth here is the oracle of the demonstration: it walks the steps in the order in which they
//! happened and knows nothing of providers, events or the fold.

use ledgerline_domain::payment::Payment;
use rand::RngExt;
use rand::rngs::StdRng;

use super::Shape;

/// One thing that happens. Amounts are minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The shop asks for the amount.
    Created,
    /// The payer must confirm.
    RequiresAction,
    /// An attempt fails.
    Failed,
    /// The whole amount is reserved.
    Authorized,
    /// So much is taken.
    Captured(i64),
    /// The provider's fee.
    Fee(i64),
    /// Refund number `.0` of amount `.1` is on its way.
    RefundPending(usize, i64),
    /// It went back.
    RefundSucceeded(usize, i64),
    /// It did not.
    RefundFailed(usize, i64),
    /// The payer disputes so much.
    DisputeOpened(i64),
    /// Decided for the shop.
    DisputeWon(i64),
    /// Decided for the payer.
    DisputeLost(i64),
    /// Given up before anything was taken.
    Canceled,
}

/// A payment's life.
#[derive(Clone, Debug)]
pub struct Life {
    /// ISO 4217, upper case.
    pub currency: &'static str,
    /// What the shop asks for, in minor units.
    pub amount: i64,
    /// Taken at once, or reserved first and taken later.
    pub automatic: bool,
    /// When (unix seconds, never falling) and what.
    pub steps: Vec<(i64, Step)>,
}

/// What a payment adds up to. Amounts are minor units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    /// ISO 4217.
    pub currency: &'static str,
    /// Asked for.
    pub requested: i128,
    /// Reserved.
    pub authorized: i128,
    /// Taken.
    pub captured: i128,
    /// Gone back.
    pub refunded: i128,
    /// In open or lost disputes.
    pub disputed: i128,
    /// Fees.
    pub fees: i128,
    /// The status word.
    pub status: &'static str,
}

impl Truth {
    /// Where a folded payment differs, in words; empty when it agrees.
    pub fn differences(&self, folded: &Payment) -> Vec<String> {
        let mut found = Vec::new();
        for (what, truth, folded) in [
            ("requested", self.requested, folded.requested()),
            ("authorised", self.authorized, folded.authorized()),
            ("captured", self.captured, folded.captured()),
            ("refunded", self.refunded, folded.refunded()),
            ("disputed", self.disputed, folded.disputed()),
            ("fees", self.fees, folded.fees()),
        ] {
            if truth != folded {
                found.push(format!("{what} is {folded}, in truth {truth}"));
            }
        }
        let status = folded.status().as_str();
        if status != self.status {
            found.push(format!("status is {status}, in truth {}", self.status));
        }
        if folded.currency() != Some(self.currency) {
            found.push(format!("currency is {:?}, in truth {}", folded.currency(), self.currency));
        }
        found
    }
}

impl Life {
    /// What the first `count` steps add up to.
    pub fn truth(&self, count: usize) -> Truth {
        let mut truth = Truth { currency: self.currency, status: "pending", ..Truth::default() };
        let (mut lost, mut open) = (false, false);
        for (_, step) in self.steps.iter().take(count) {
            match *step {
                Step::Created => truth.requested = self.amount.into(),
                Step::RequiresAction => truth.status = "requires_action",
                Step::Failed => truth.status = "failed",
                Step::Authorized => {
                    truth.authorized = self.amount.into();
                    truth.status = "authorized";
                }
                Step::Captured(amount) => truth.captured += i128::from(amount),
                Step::Fee(amount) => truth.fees += i128::from(amount),
                Step::RefundPending(..) | Step::RefundFailed(..) => {}
                Step::RefundSucceeded(_, amount) => truth.refunded += i128::from(amount),
                Step::DisputeOpened(amount) => {
                    open = true;
                    truth.disputed += i128::from(amount);
                }
                Step::DisputeWon(amount) => {
                    open = false;
                    truth.disputed -= i128::from(amount);
                }
                Step::DisputeLost(_) => (open, lost) = (false, true),
                Step::Canceled => truth.status = "canceled",
            }
        }
        if lost {
            truth.status = "charged_back";
        } else if open {
            truth.status = "disputed";
        } else if truth.captured > 0 {
            truth.status = match truth.refunded {
                0 => "captured",
                back if back < truth.captured => "partially_refunded",
                _ => "refunded",
            };
        }
        truth
    }

    /// A random life that begins at `start`.
    pub(super) fn random(shape: Shape, start: i64, rng: &mut StdRng) -> Self {
        let currency = match rng.random_range(0..100) {
            0..45 => "EUR",
            45..75 => "USD",
            75..90 => "GBP",
            _ => "JPY",
        };
        let amount = if currency == "JPY" { rng.random_range(500..60_000) } else { rng.random_range(500..50_000) };
        let automatic = rng.random_bool(0.7);
        let life = Self { currency, amount, automatic, steps: Vec::new() };
        Writer { life, now: start, shape, rng }.write()
    }
}

struct Writer<'a> {
    life: Life,
    now: i64,
    shape: Shape,
    rng: &'a mut StdRng,
}

impl Writer<'_> {
    fn write(mut self) -> Life {
        self.step(Step::Created);
        if self.rng.random_bool(0.2) {
            self.wait(1, 5);
            self.step(Step::RequiresAction);
        }
        self.wait(2, 90);
        let attempts = if self.rng.random_bool(0.15) { self.rng.random_range(1..=2) } else { 0 };
        for _ in 0..attempts {
            self.step(Step::Failed);
            self.wait(20, 400);
        }
        if attempts > 0 && self.rng.random_bool(0.3) {
            return self.life;
        }
        if !self.life.automatic && self.rng.random_bool(0.25) {
            // Reserved, and either given up or still waiting.
            self.step(Step::Authorized);
            if self.rng.random_bool(0.7) {
                self.wait(3_600, 90_000);
                self.step(Step::Canceled);
            }
            return self.life;
        }
        let captured = self.capture();
        let back = self.refunds(captured);
        let left = captured - back;
        if left > 0 && self.rng.random_bool(0.12) {
            self.dispute(left);
        }
        self.life
    }

    fn capture(&mut self) -> i64 {
        let amount = self.life.amount;
        self.step(Step::Authorized);
        let mut captured = amount;
        if !self.life.automatic {
            self.wait(600, 90_000);
        }
        // Several captures, or less than was reserved: told by steps, not by snapshots.
        if self.shape == Shape::Plain && !self.life.automatic && self.rng.random_bool(0.5) {
            let first = self.rng.random_range(1..amount);
            self.step(Step::Captured(first));
            captured = first;
            if self.rng.random_bool(0.6) {
                self.wait(3_600, 200_000);
                self.step(Step::Captured(amount - first));
                captured = amount;
            }
        } else {
            self.step(Step::Captured(amount));
        }
        if self.shape == Shape::Plain {
            self.step(Step::Fee(captured * 29 / 1_000 + 30));
        }
        captured
    }

    fn refunds(&mut self, captured: i64) -> i64 {
        let mut back = 0;
        if !self.rng.random_bool(0.35) {
            return back;
        }
        let whole = self.rng.random_bool(0.3);
        let count = if whole { 1 } else { self.rng.random_range(1..=3) };
        for n in 0..count {
            self.wait(5, 300_000);
            let left = captured - back;
            let amount = if whole { left } else { self.rng.random_range(1..=(left / 2).max(1)) };
            match self.rng.random_range(0..100) {
                // Back at once.
                0..80 => {
                    self.step(Step::RefundSucceeded(n, amount));
                    back += amount;
                }
                80..92 => {
                    self.step(Step::RefundPending(n, amount));
                    self.wait(60, 200_000);
                    self.step(Step::RefundSucceeded(n, amount));
                    back += amount;
                }
                _ => {
                    self.step(Step::RefundPending(n, amount));
                    self.wait(60, 200_000);
                    self.step(Step::RefundFailed(n, amount));
                }
            }
        }
        back
    }

    fn dispute(&mut self, amount: i64) {
        self.wait(86_400, 600_000);
        self.step(Step::DisputeOpened(amount));
        self.wait(86_400, 600_000);
        match self.rng.random_range(0..100) {
            0..40 => self.step(Step::DisputeWon(amount)),
            40..75 => self.step(Step::DisputeLost(amount)),
            _ => {}
        }
    }

    fn step(&mut self, step: Step) {
        self.life.steps.push((self.now, step));
    }

    fn wait(&mut self, least: i64, most: i64) {
        self.now += self.rng.random_range(least..=most);
    }
}
