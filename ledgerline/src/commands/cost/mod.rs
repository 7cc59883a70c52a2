//! `cost`: puts a load on AWS, or on services that speak like it, through the real route; counts every call; and says
//! what a million events and a month cost.

pub mod bill;
pub mod prices;
pub mod route;
pub mod traffic;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ledgerline_adapters::aws::kinesis::KinesisSettings;
use ledgerline_adapters::aws::{AwsConfig, AwsOptions, Endpoints};
use serde::Serialize;

use crate::exit::{Exit, Outcome};
use crate::output::{self, Output};
use crate::words::thousands;
use bill::{Bill, Month};
use prices::Prices;
use route::{Apply, LoadPlan, Measured, Places};

/// `cost`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Events of 1 KB, three per payment, of four sources, are signed, appended to the stream, folded by a processor
with leases and archived. Stream, tables and prefix must be new: whatever has records in it is refused. The tables
are made, and stay. The load is paid for at AWS: a million events cost about a dollar.

Example:
  ledgerline cost --stream ledgerline-cost --tables ledgerline-cost --bucket ledgerline-archive --prefix cost/1"
)]
pub struct CostArgs {
    /// An existing stream without records
    #[arg(long)]
    pub stream: String,
    /// What the names of the tables begin with
    #[arg(long)]
    pub tables: String,
    /// The bucket
    #[arg(long)]
    pub bucket: String,
    /// Where in the bucket
    #[arg(long, default_value = "cost")]
    pub prefix: String,
    /// The region [default: AWS_REGION or the profile's]
    #[arg(long)]
    pub region: Option<String>,
    /// What is measured, and for what month
    #[command(flatten)]
    pub load: CostLoad,
}

/// The load and the month, wherever it goes.
#[derive(Clone, Debug, Args)]
pub struct CostLoad {
    /// How many events
    #[arg(long, default_value_t = 30_000, value_parser = clap::value_parser!(u32).range(3..))]
    pub events: u32,
    /// How many in a second
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: u32,
    /// Seconds between two events of a payment, on average
    #[arg(long, default_value_t = 2.0)]
    pub gap: f64,
    /// How long a batch of the processor gathers, in milliseconds
    #[arg(long, default_value_t = 5_000)]
    pub gather: u64,
    /// How long everything runs without an event afterwards, in seconds
    #[arg(long, default_value_t = 20)]
    pub idle: u64,
    /// Events of the month that is billed
    #[arg(long, value_name = "EVENTS", default_value_t = 100_000_000)]
    pub per_month: u64,
    /// Months for which state and archive are kept
    #[arg(long, value_name = "MONTHS", default_value_t = 12)]
    pub kept: u32,
    /// Secrets of sources in Secrets Manager
    #[arg(long, default_value_t = 4)]
    pub secrets: u32,
    /// Processes that receive
    #[arg(long, default_value_t = 2)]
    pub ingest: u32,
    /// File with prices that differ from the built-in list
    #[arg(long, value_name = "FILE")]
    pub prices: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs the command against AWS.
pub async fn run(args: &CostArgs, out: &mut Output) -> Outcome {
    let options = AwsOptions { region: args.region.clone(), endpoints: Endpoints::default(), ..AwsOptions::default() };
    let aws = AwsConfig::load(&options).await?;
    let places = Places {
        stream: KinesisSettings::new(&args.stream),
        tables: args.tables.clone(),
        bucket: args.bucket.clone(),
        prefix: args.prefix.clone(),
    };
    run_at(&aws, &places, &args.load, out).await
}

/// Runs it wherever `aws` leads.
pub async fn run_at(aws: &AwsConfig, places: &Places, load: &CostLoad, out: &mut Output) -> Outcome {
    let prices = Prices::read(load.prices.as_deref())?;
    let plan = LoadPlan {
        events: load.events as usize,
        per_second: f64::from(load.rate),
        gap: load.gap,
        idle: Duration::from_secs(load.idle),
        seed: 1,
        apply: Apply { gather: Duration::from_millis(load.gather) },
    };
    let planned = traffic::plan(plan.events, plan.per_second, plan.gap, plan.seed);
    let measured = route::run(aws, places, plan, planned).await?;
    #[expect(clippy::cast_precision_loss, reason = "events of a month")]
    let month = Month {
        events: load.per_month as f64,
        kept_months: f64::from(load.kept),
        secrets: f64::from(load.secrets),
        ingest_processes: f64::from(load.ingest),
    };
    let bill = bill::bill(&measured, &month, &prices);
    if load.json {
        json(&measured, &month, &bill, out)?
    } else {
        print(&measured, load, &bill, &prices, out)?
    }
    Ok(Exit::Ok)
}

/// A line of the meter, for JSON.
#[derive(Serialize)]
struct Calls<'a> {
    service: &'a str,
    operation: &'a str,
    on: &'a str,
    outcome: &'a str,
    calls: u64,
    request_bytes: u64,
    records: u64,
    payload_units: u64,
    write_units: f64,
    index_write_units: f64,
    read_units: f64,
    s3_puts: u64,
    s3_gets: u64,
    stored_bytes: u64,
}

#[derive(Serialize)]
struct Report<'a> {
    events: usize,
    seconds: f64,
    shards: usize,
    stream_bytes: u64,
    items: u64,
    item_bytes: u64,
    item_bytes_max: u64,
    calls: Vec<Calls<'a>>,
    month: &'a Month,
    bill: &'a Bill,
}

fn calls(measured: &Measured) -> Vec<Calls<'_>> {
    let lines = measured.loaded.0.iter().map(|(key, counted)| Calls {
        service: &key.service,
        operation: &key.operation,
        on: &key.on,
        outcome: key.outcome.as_str(),
        calls: counted.calls,
        request_bytes: counted.request_bytes,
        records: counted.records,
        payload_units: counted.payload_units,
        write_units: counted.write_units,
        index_write_units: counted.index_write_units,
        read_units: counted.read_units,
        s3_puts: counted.s3_puts,
        s3_gets: counted.s3_gets,
        stored_bytes: counted.stored_bytes,
    });
    lines.collect()
}

fn json(measured: &Measured, month: &Month, bill: &Bill, out: &mut Output) -> Outcome<()> {
    out.json_pretty(&Report {
        events: measured.events,
        seconds: measured.applied_for.as_secs_f64(),
        shards: measured.shards,
        stream_bytes: measured.stream_bytes,
        items: measured.items,
        item_bytes: measured.item_bytes,
        item_bytes_max: measured.item_bytes_max,
        calls: calls(measured),
        month,
        bill,
    })
}

fn print(measured: &Measured, load: &CostLoad, bill: &Bill, prices: &Prices, out: &mut Output) -> Outcome<()> {
    let seconds = measured.applied_for.as_secs_f64();
    let (events, shards) = (measured.events as f64, measured.shards);
    out.line(format!(
        "{} events in {seconds:.1} s on {shards} shards; {:.0} bytes an event in the stream; {} entities of {:.0} bytes \
         (largest {})",
        thousands(measured.events as u64),
        measured.stream_bytes as f64 / events,
        thousands(measured.items),
        measured.item_bytes as f64 / measured.items.max(1) as f64,
        measured.item_bytes_max
    ))?;
    out.gap()?;
    let mut table = output::table(&["call", "on", "outcome", ">calls", ">records", ">units per event", "unit"]);
    for line in calls(measured) {
        for (count, unit) in units(&line) {
            table.add_row([
                line.operation.to_owned(),
                line.on.to_owned(),
                line.outcome.to_owned(),
                thousands(line.calls),
                thousands(line.records),
                format!("{:.4}", count / events),
                unit.to_owned(),
            ]);
        }
    }
    out.table(&table, 0)?;
    out.gap()?;
    let mut table =
        output::table(&["item", ">per million events", ">dollars", ">in the month", ">dollars", "price from"]);
    for line in &bill.lines {
        table.add_row([
            line.item.to_owned(),
            amount(line.per_million),
            format!("{:.4}", line.dollars_per_million),
            amount(line.per_month),
            format!("{:.2}", line.dollars_per_month),
            prices.get(line.price).map(|price| price.source.clone()).unwrap_or_default(),
        ]);
    }
    table.add_row([
        "in all, without the front door".to_owned(),
        String::new(),
        format!("{:.4}", bill.dollars_per_million),
        String::new(),
        format!("{:.2}", bill.dollars_per_month),
        String::new(),
    ]);
    out.table(&table, 0)?;
    out.gap()?;
    let held = |holds: bool| if holds { "holds" } else { "MISSED" };
    let (units, dollars) = (bill.write_units_per_event, bill.dollars_per_million);
    out.line(format!("write units per event: {units:.3} (goal below 1.2: {})", held(units < 1.2)))?;
    out.line(format!("dollars per million events: {dollars:.3} (goal below 1.5: {})", held(dollars < 1.5)))?;
    out.line(format!(
        "month: {} events on {} shards, {} months kept, {} secrets, {} processes of ingest",
        thousands(load.per_month),
        bill.shards,
        load.kept,
        load.secrets,
        load.ingest
    ))
}

fn units(line: &Calls<'_>) -> Vec<(f64, &'static str)> {
    let all = [
        (line.payload_units as f64, "payload"),
        (line.write_units, "write"),
        (line.index_write_units, "index write"),
        (line.read_units, "read"),
        (line.s3_puts as f64, "PUT class"),
        (line.s3_gets as f64, "GET class"),
    ];
    let priced: Vec<_> = all.into_iter().filter(|(count, _)| *count > 0.0).collect();
    if priced.is_empty() { vec![(line.calls as f64, "free call")] } else { priced }
}

fn amount(count: f64) -> String {
    if count >= 100.0 { thousands(count.round() as u64) } else { format!("{count:.3}") }
}
