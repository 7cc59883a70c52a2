//! The limits that benchmarks compare with, measured in the same run: what a program that does
//! nothing but the work itself would reach on this machine.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use serde::Deserialize;

/// The fields that a hand-written consumer of Stripe payments would read.
#[derive(Deserialize)]
struct Event<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    created: i64,
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    object: Object<'a>,
}

#[derive(Deserialize)]
struct Object<'a> {
    id: &'a str,
    payment_intent: Option<&'a str>,
    #[serde(default)]
    amount: i64,
    #[serde(default)]
    amount_received: i64,
    #[serde(default)]
    amount_captured: i64,
    currency: Option<&'a str>,
    status: Option<&'a str>,
}

/// A payment as the limit folds it.
#[derive(Default)]
pub struct Payment {
    seen: HashSet<Box<str>>,
    last: i64,
    status: Box<str>,
    currency: Box<str>,
    amount: i64,
    captured: i64,
}

/// Parse + dedupe + fold into a hash map, by sonic-rs, on one thread: the replay limit.
/// Gives the number of payments and the sum captured, so that nothing can be optimised away.
pub fn parse_and_fold<'a>(bodies: impl Iterator<Item = &'a [u8]>) -> (usize, i64) {
    let mut payments: HashMap<Box<str>, Payment> = HashMap::new();
    for body in bodies {
        let Ok(event) = sonic_rs::from_slice::<Event<'_>>(body) else { continue };
        let object = &event.data.object;
        let key = object.payment_intent.unwrap_or(object.id);
        if !payments.contains_key(key) {
            payments.insert(key.into(), Payment::default());
        }
        let Some(payment) = payments.get_mut(key) else { continue };
        if !payment.seen.insert(event.id.into()) {
            continue;
        }
        payment.amount = payment.amount.max(object.amount);
        payment.captured = payment.captured.max(object.amount_received).max(object.amount_captured);
        if event.created >= payment.last {
            payment.last = event.created;
            payment.status = object.status.unwrap_or(event.event_type).into();
        }
        if payment.currency.is_empty() {
            payment.currency = object.currency.unwrap_or_default().into();
        }
    }
    (payments.len(), payments.values().map(|p| p.captured).sum())
}

/// The middle of several figures.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

/// A stopwatch. With `LEDGERLINE_BENCH_CPU` in the environment it counts the processor time of this process, to a
/// hundredth of a second, and not the time that goes by: for a machine that does something else meanwhile, and for
/// one thread only.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    began: Instant,
    cpu: Option<f64>,
}

impl Watch {
    /// Starts one.
    pub fn start() -> Self {
        let cpu = std::env::var_os("LEDGERLINE_BENCH_CPU").and_then(|_| cpu_seconds());
        Self { began: Instant::now(), cpu }
    }

    /// Seconds since then.
    pub fn seconds(&self) -> f64 {
        match self.cpu {
            Some(cpu) => cpu_seconds().unwrap_or(cpu) - cpu,
            None => self.began.elapsed().as_secs_f64(),
        }
    }
}

/// Processor time of this process so far, as Linux tells it.
fn cpu_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The fields behind the name; of them user and system time are the 12th and 13th, in hundredths of a second.
    let mut fields = text.rsplit_once(") ")?.1.split(' ').skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some((next()? + next()?) / 100.0)
}
