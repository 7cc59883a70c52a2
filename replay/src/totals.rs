//! Sums over payments by source and currency, in minor units: what finance holds against its own books.

use std::collections::BTreeMap;
use std::io::{self, Write};

use ledgerline_domain::record::{EntityRecord, State};
use serde::Serialize;

use crate::compare::FIGURES;
use crate::export::write_csv_line;

/// How many figures a payment has.
pub const FIGURES_COUNT: usize = FIGURES.len();

/// Names of the figures, in their order: requested, authorized, captured, refunded, disputed, fees.
pub fn figures() -> [&'static str; FIGURES_COUNT] {
    FIGURES
}

/// The sums of one source and currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Payments with at least one event that counts.
    pub payments: u64,
    /// The figures, in minor units.
    pub amounts: [i128; FIGURES_COUNT],
}

/// Sums by source and currency. A payment of which no event named a currency stands under an empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals(BTreeMap<(String, String), Sum>);

impl Totals {
    /// Adds a record; one without payment meaning adds nothing.
    pub fn add(&mut self, record: &EntityRecord) {
        let Some((currency, amounts)) = amounts(record) else { return };
        let sum = self.0.entry((record.key.source().to_owned(), currency.to_owned())).or_default();
        sum.payments += 1;
        sum.amounts.iter_mut().zip(amounts).for_each(|(sum, amount)| *sum += amount);
    }

    /// Sums by source and currency, in that order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &Sum)> {
        self.0.iter().map(|((source, currency), sum)| (source.as_str(), currency.as_str(), sum))
    }

    /// The sums of a source and currency; zeros where there are none.
    pub fn get(&self, source: &str, currency: &str) -> Sum {
        self.0.get(&(source.to_owned(), currency.to_owned())).copied().unwrap_or_default()
    }

    /// All pairs of source and currency of either.
    pub(crate) fn pairs<'a>(&'a self, other: &'a Self) -> Vec<(&'a str, &'a str)> {
        let mut pairs: Vec<_> = self.iter().chain(other.iter()).map(|(s, c, _)| (s, c)).collect();
        pairs.sort_unstable();
        pairs.dedup();
        pairs
    }

    /// As rows to write.
    pub fn rows(&self) -> Vec<TotalRow> {
        let row = |(source, currency, sum): (&str, &str, &Sum)| {
            let [requested, authorized, captured, refunded, disputed, fees] = sum.amounts;
            TotalRow {
                source: source.to_owned(),
                currency: currency.to_owned(),
                payments: sum.payments,
                requested,
                authorized,
                captured,
                refunded,
                disputed,
                fees,
            }
        };
        self.iter().map(row).collect()
    }
}

/// The sums of a source and currency, as they are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TotalRow {
    /// The source.
    pub source: String,
    /// ISO 4217 code; empty for payments of which none is known.
    pub currency: String,
    /// Payments.
    pub payments: u64,
    /// Minor units asked for.
    pub requested: i128,
    /// Minor units authorised.
    pub authorized: i128,
    /// Minor units captured.
    pub captured: i128,
    /// Minor units that went back.
    pub refunded: i128,
    /// Minor units in disputes that hold or took the money.
    pub disputed: i128,
    /// Minor units of fees.
    pub fees: i128,
}

/// Writes sums as CSV with a heading (RFC 4180).
pub fn write_csv(rows: &[TotalRow], out: &mut impl Write) -> io::Result<()> {
    write!(out, "source,currency,payments,{}\r\n", FIGURES.join(","))?;
    for row in rows {
        let mut fields = vec![row.source.clone(), row.currency.clone(), row.payments.to_string()];
        let amounts = [row.requested, row.authorized, row.captured, row.refunded, row.disputed, row.fees];
        fields.extend(amounts.map(|amount| amount.to_string()));
        write_csv_line(&fields, out)?;
    }
    Ok(())
}

/// Currency and figures of a payment's record; nothing for a document.
pub(crate) fn amounts(record: &EntityRecord) -> Option<(&str, [i128; FIGURES_COUNT])> {
    let State::Payment(payment) = &record.state else { return None };
    let amounts = [
        payment.requested(),
        payment.authorized(),
        payment.captured(),
        payment.refunded(),
        payment.disputed(),
        payment.fees(),
    ];
    Some((payment.currency().unwrap_or_default(), amounts))
}
