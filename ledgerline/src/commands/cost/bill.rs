//! From calls to money. What comes with every event is told from what comes with time: the rest behind the load shows
//! the second, and the load minus that is the first.

use ledgerline_adapters::aws::meter::{CallKey, Counted, Reading};
use serde::Serialize;

use super::prices::Prices;
use super::route::Measured;

/// Seconds of a month: 730 hours.
const MONTH_SECONDS: f64 = 730.0 * 3600.0;
const GB: f64 = 1e9;
/// What a provisioned shard takes in a second: bytes and records.
const SHARD_BYTES: f64 = 1_048_576.0;
const SHARD_RECORDS: f64 = 1_000.0;
/// How full a shard should be on average, so that a burst fits.
const SHARD_FILL: f64 = 0.5;
/// What an entry of the index `listing` takes: 100 bytes, part, key and status with their names.
const INDEX_ENTRY_BYTES: f64 = 100.0 + 75.0;
/// Calls per secret and second: two versions, asked every 30 seconds.
const SECRET_CALLS_PER_SECOND: f64 = 2.0 / 30.0;

/// What the bill is for. Plain data.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Month {
    /// Events in a month.
    pub events: f64,
    /// How many months of events are kept.
    pub kept_months: f64,
    /// Secrets of sources, read by each process of ingest.
    pub secrets: f64,
    /// Processes of ingest.
    pub ingest_processes: f64,
}

/// One item of the bill.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// What.
    pub item: &'static str,
    /// Name of its price.
    pub price: &'static str,
    /// So many of it per million events, the share of what comes with time included, at the rate of the load.
    pub per_million: f64,
    /// US dollars of it.
    pub dollars_per_million: f64,
    /// So many in the month.
    pub per_month: f64,
    /// US dollars of it.
    pub dollars_per_month: f64,
}

/// The whole bill.
#[derive(Clone, Debug, Serialize)]
pub struct Bill {
    /// Its items.
    pub lines: Vec<Line>,
    /// US dollars per million events in all, without the front door, at the rate of the load.
    pub dollars_per_million: f64,
    /// US dollars of the month.
    pub dollars_per_month: f64,
    /// DynamoDB's write units per event, all tables and indexes.
    pub write_units_per_event: f64,
    /// Shards that the month needs.
    pub shards: f64,
}

/// Something that is counted.
struct Item {
    item: &'static str,
    price: &'static str,
    counted: fn(&Reading) -> f64,
}

fn on(reading: &Reading, service: &str, end: &str) -> Counted {
    let meant = |key: &CallKey| key.service == service && (end.is_empty() || key.on.contains(end));
    reading.sum(meant)
}

const ITEMS: [Item; 10] = [
    Item {
        item: "Kinesis: PUT payload units",
        price: "kinesis_payload_unit",
        counted: |r| exact(on(r, "Kinesis", "").payload_units),
    },
    Item {
        item: "DynamoDB: writes of records",
        price: "dynamodb_write_unit",
        counted: |r| on(r, "DynamoDB", "-records-").write_units,
    },
    Item {
        item: "DynamoDB: writes of the records' indexes",
        price: "dynamodb_write_unit",
        counted: |r| on(r, "DynamoDB", "-records-").index_write_units,
    },
    Item {
        item: "DynamoDB: reads of records",
        price: "dynamodb_read_unit",
        counted: |r| on(r, "DynamoDB", "-records-").read_units,
    },
    Item {
        item: "DynamoDB: writes of checkpoints",
        price: "dynamodb_write_unit",
        counted: |r| on(r, "DynamoDB", "-checkpoints-").write_units,
    },
    Item {
        item: "DynamoDB: writes of leases",
        price: "dynamodb_write_unit",
        counted: |r| on(r, "DynamoDB", "-leases").write_units,
    },
    Item {
        item: "DynamoDB: reads of leases, checkpoints, control",
        price: "dynamodb_read_unit",
        counted: |r| on(r, "DynamoDB", "").read_units - on(r, "DynamoDB", "-records-").read_units,
    },
    Item {
        item: "DynamoDB: writes of the rest",
        price: "dynamodb_write_unit",
        counted: |r| {
            let of = |end: &str| on(r, "DynamoDB", end).write_units;
            of("") - of("-records-") - of("-checkpoints-") - of("-leases")
        },
    },
    Item { item: "S3: requests PUT and LIST", price: "s3_put", counted: |r| exact(on(r, "S3", "").s3_puts) },
    Item { item: "S3: requests GET", price: "s3_get", counted: |r| exact(on(r, "S3", "").s3_gets) },
];

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn exact(count: u64) -> f64 {
    count as f64
}

/// Puts it together.
pub fn bill(measured: &Measured, month: &Month, prices: &Prices) -> Bill {
    let events = exact(measured.events as u64);
    let loaded_for = measured.loaded_for.as_secs_f64();
    let rate = events / measured.applied_for.as_secs_f64();
    let seconds_per_million = 1e6 / rate;
    let shards = exact(measured.shards as u64);
    let bytes = exact(measured.stream_bytes) / events;
    let month_rate = month.events / MONTH_SECONDS;
    let needed = (month_rate * bytes / SHARD_BYTES).max(month_rate / SHARD_RECORDS) / SHARD_FILL;
    let month_shards = needed.ceil().max(1.0);

    let mut lines = Vec::new();
    let mut line = |item, price, per_million: f64, per_month: f64| {
        lines.push(Line {
            item,
            price,
            per_million,
            dollars_per_million: prices.dollars(price, per_million),
            per_month,
            dollars_per_month: prices.dollars(price, per_month),
        });
    };
    for Item { item, price, counted } in ITEMS {
        let idle = measured.idle_for.as_secs_f64();
        let standing = if idle > 0.0 { counted(&measured.idle) / idle } else { 0.0 };
        let per_event = ((counted(&measured.loaded) - standing * loaded_for) / events).max(0.0);
        let per_month = per_event * month.events + standing / shards * month_shards * MONTH_SECONDS;
        line(item, price, (per_event + standing / rate) * 1e6, per_month);
    }
    let hours = |seconds: f64, shards: f64| seconds / 3600.0 * shards;
    let month_hours = hours(MONTH_SECONDS, month_shards);
    line("Kinesis: shard hours", "kinesis_shard_hour", hours(seconds_per_million, shards), month_hours);
    line(
        "Kinesis: retention of 7 days",
        "kinesis_retention_shard_hour",
        hours(seconds_per_million, shards),
        month_hours,
    );
    // A million events are kept for one month in the first column, all months of the bill in the second.
    let table = exact(measured.item_bytes) / events / GB;
    let index = exact(measured.items) / events * INDEX_ENTRY_BYTES / GB;
    let kept = month.events * month.kept_months;
    line("DynamoDB: storage", "dynamodb_gb_month", (table + index) * 1e6, (table + index) * kept);
    line("DynamoDB: point-in-time recovery", "dynamodb_pitr_gb_month", table * 1e6, table * kept);
    let stored = exact(on(&measured.loaded, "S3", "").stored_bytes) / events / GB;
    line("S3: storage", "s3_gb_month", stored * 1e6, stored * kept);
    let calls = month.secrets * month.ingest_processes * SECRET_CALLS_PER_SECOND;
    line("Secrets Manager: calls", "secret_call", calls * seconds_per_million, calls * MONTH_SECONDS);
    let share = seconds_per_million / MONTH_SECONDS;
    line("Secrets Manager: secrets", "secret_month", month.secrets * share, month.secrets);

    let written = on(&measured.loaded, "DynamoDB", "");
    Bill {
        dollars_per_million: lines.iter().map(|line| line.dollars_per_million).sum(),
        dollars_per_month: lines.iter().map(|line| line.dollars_per_month).sum(),
        lines,
        write_units_per_event: (written.write_units + written.index_write_units) / events,
        shards: month_shards,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledgerline_adapters::aws::meter::Outcome;
    use std::time::Duration;

    fn reading(lines: &[(&str, &str, Counted)]) -> Reading {
        let line = |(service, on, counted): &(&str, &str, Counted)| {
            let key =
                CallKey { service: (*service).into(), operation: "x".into(), on: (*on).into(), outcome: Outcome::Ok };
            (key, *counted)
        };
        Reading(lines.iter().map(line).collect())
    }

    #[test]
    fn what_comes_with_time_is_told_from_what_comes_with_events() {
        let writes = |write_units| Counted { write_units, ..Counted::default() };
        let measured = Measured {
            events: 1_000,
            shards: 2,
            applied_for: Duration::from_secs(10),
            loaded_for: Duration::from_secs(10),
            loaded: reading(&[("DynamoDB", "l-records-0001", writes(2_000.0)), ("DynamoDB", "l-leases", writes(20.0))]),
            idle_for: Duration::from_secs(5),
            idle: reading(&[("DynamoDB", "l-leases", writes(10.0))]),
            stream_bytes: 1_000_000,
            items: 300,
            item_bytes: 300_000,
            item_bytes_max: 1_000,
        };
        let month = Month { events: 1e6, kept_months: 1.0, secrets: 0.0, ingest_processes: 1.0 };
        let bill = bill(&measured, &month, &Prices::read(None).unwrap());
        let line = |item: &str| bill.lines.iter().find(|line| line.item == item).unwrap();
        let records = line("DynamoDB: writes of records");
        assert!((records.per_million - 2e6).abs() < 1.0 && (records.per_month - 2e6).abs() < 1.0);
        assert!((records.dollars_per_month - 1.25).abs() < 1e-6);
        // Two units a second for two shards, whatever the events: one a second for the one shard of the month.
        let leases = line("DynamoDB: writes of leases");
        assert!((leases.per_month - MONTH_SECONDS).abs() < 1.0, "{}", leases.per_month);
        assert!((leases.per_million - 2.0 * 1e6 / 100.0).abs() < 1.0);
        assert!((bill.write_units_per_event - 2.02).abs() < 1e-9);
        assert!((bill.shards - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn every_item_has_a_price() {
        let prices = Prices::read(None).unwrap();
        let measured = Measured {
            events: 3,
            shards: 1,
            applied_for: Duration::from_secs(1),
            loaded_for: Duration::from_secs(1),
            loaded: Reading::default(),
            idle_for: Duration::ZERO,
            idle: Reading::default(),
            stream_bytes: 1,
            items: 1,
            item_bytes: 1,
            item_bytes_max: 1,
        };
        let month = Month { events: 1.0, kept_months: 1.0, secrets: 1.0, ingest_processes: 1.0 };
        for line in bill(&measured, &month, &prices).lines {
            assert!(prices.get(line.price).is_some(), "{}", line.item);
        }
    }
}
