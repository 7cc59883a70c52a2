//! The command line of `replay`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// `replay …`.
#[derive(Debug, Subcommand)]
pub enum ReplayCommand {
    /// Fold the archive and compare with the live state, byte for byte; check the archive's chain
    #[command(after_help = "Works beside a running server: what is not archived yet is counted, not compared.
Exit code 3 when anything differs.")]
    Verify(VerifyArgs),
    /// Write the state as it was at a time, as known at a time
    #[command(after_help = "Examples:
  ledgerline replay export --as-of 2026-09 --format csv > september.csv
  ledgerline replay export --as-of 2026-09 --known-at 2026-10-02      as it was known on 2 October
  ledgerline replay export --as-of 2026-09 --format parquet --out september.parquet
  ledgerline replay export --as-of 2026-09 --totals                   the sums by source and currency")]
    Export(ExportArgs),
    /// What arrived after the close of a period, and what it changed
    #[command(after_help = "Examples:
  ledgerline replay adjustments --period 2026-09
  ledgerline replay adjustments --period 2026-09 --closed-at 2026-10-02 --format csv")]
    Adjustments(AdjustmentsArgs),
    /// Write the signed-off statement of a day, or prove one again
    #[command(after_help = "Examples:
  ledgerline replay close --day 2026-10-31 --by \"M. Rossi\"
  ledgerline replay close --day 2026-10-31 --check          exit code 3 when it cannot be proved any more
  ledgerline replay close --day 2026-10-31 --correct        a further statement, after late events")]
    Close(CloseArgs),
    /// Fold the archive into a new generation beside the live one
    #[command(after_help = "A running server keeps the new generation up to date until it is promoted or retired.

Examples:
  ledgerline replay rebuild --dry-run
  ledgerline replay rebuild --reason \"stripe.toml: fees of disputes\" --yes")]
    Rebuild(RebuildArgs),
    /// Make a generation the live one; the old one is kept and kept up to date
    Promote(SwitchArgs),
    /// Make the generation that was live before live again
    Rollback(SwitchArgs),
    /// Delete a generation that is not live
    Retire(SwitchArgs),
    /// The generations, and which one is live
    Generations {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Fold again only the entities that differ from the archive
    #[command(after_help = "Examples:
  ledgerline replay repair --dry-run                        what differs, in entities and money
  ledgerline replay repair --reinterpret --source stripe-eu --yes --reason \"corrected provider file\"")]
    Repair(RepairArgs),
    /// Append archived originals to the log again
    #[command(after_help = "The state does not change: every event is there already.

Examples:
  ledgerline replay redrive --from 2026-10-01 --to 2026-10-02 --source stripe-eu --rate 500
  ledgerline replay redrive --resume 2026-11-24T12-00-00Z-redrive-3f2a")]
    Redrive(RedriveArgs),
    /// The audit log: who ran what, when, why, and what came of it
    Runs {
        /// How many, newest first
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Which archived events are meant. Conditions of one kind add up, kinds narrow each other.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Which events")]
pub struct SelectorArgs {
    /// From this time on: 2026-10-01, 2026-10 or RFC 3339
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Which time --from and --to mean
    #[arg(long, value_enum, default_value_t = TimeOf::Arrival)]
    pub by: TimeOf,
    /// Only this source; may be given again
    #[arg(long, value_name = "NAME")]
    pub source: Vec<String>,
    /// Only this entity; may be given again
    #[arg(long, value_name = "ENTITY")]
    pub entity: Vec<String>,
    /// Only this event type, or all that begin with what stands before a `*`; may be given again
    #[arg(long = "type", value_name = "TYPE")]
    pub event_type: Vec<String>,
}

/// A time of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TimeOf {
    /// When the log took it; the archive lies in this order
    #[default]
    Arrival,
    /// When it happened, by its provider; where none is given, when it was received
    Occurred,
}

/// How a command that changes something is allowed to.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Consent")]
pub struct ConsentArgs {
    /// Print the plan and stop there
    #[arg(long)]
    pub dry_run: bool,
    /// Do it without asking
    #[arg(long, short = 'y', conflicts_with = "dry_run")]
    pub yes: bool,
    /// Why; kept in the audit log of runs
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Print plan, progress and result as JSON, one object a line
    #[arg(long)]
    pub json: bool,
}

/// `replay verify`.
#[derive(Debug, Default, Args)]
pub struct VerifyArgs {
    /// Check every archived signature again with today's secrets
    #[arg(long)]
    pub signatures: bool,
    /// Only this source; may be given again
    #[arg(long, value_name = "NAME")]
    pub source: Vec<String>,
    /// Only this entity; may be given again
    #[arg(long, value_name = "ENTITY")]
    pub entity: Vec<String>,
    /// Only one of n parts of the entities, such as 1/4
    #[arg(long, value_name = "I/N")]
    pub partition: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `replay export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Only events that happened until then, inclusive: RFC 3339, or a day or month, which is meant to its end
    #[arg(long, value_name = "TIME")]
    pub as_of: Option<String>,
    /// Only events that had been received by then, inclusive
    #[arg(long, value_name = "TIME")]
    pub known_at: Option<String>,
    /// How to write it
    #[arg(long, value_enum, default_value_t = ExportFormat::Jsonl)]
    pub format: ExportFormat,
    /// Write to this file instead of standard output; it appears when it is whole
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write the sums by source and currency instead of a row per entity
    #[arg(long)]
    pub totals: bool,
    /// Write to this file, as JSON, what the export is: times, positions of the archive, rows, sums, SHA-256
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
}

/// `replay adjustments`.
#[derive(Debug, Args)]
pub struct AdjustmentsArgs {
    /// The period that was closed: a month, a day or a year, in UTC
    #[arg(long, value_name = "PERIOD")]
    pub period: String,
    /// When the close was made [default: the newest stored close of the period's last day, else the period's end]
    #[arg(long, value_name = "TIME")]
    pub closed_at: Option<String>,
    /// How to write it [default: table on a terminal, else jsonl]
    #[arg(long, value_enum)]
    pub format: Option<AdjustmentsFormat>,
    /// Write to this file instead of standard output; it appears when it is whole
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `replay close`.
#[derive(Debug, Args)]
pub struct CloseArgs {
    /// The day, in UTC
    #[arg(long, value_name = "DAY")]
    pub day: String,
    /// Who signs it off
    #[arg(long, value_name = "NAME", conflicts_with = "check")]
    pub by: Option<String>,
    /// Prove the newest stored statement again instead of making one
    #[arg(long)]
    pub check: bool,
    /// Make a further statement of a day that is closed; it names the one that it corrects
    #[arg(long, conflicts_with = "check")]
    pub correct: bool,
    /// Close although the archive has not passed the end of the day; the statement says so
    #[arg(long, conflicts_with = "check")]
    pub open: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `replay rebuild`.
#[derive(Debug, Args)]
pub struct RebuildArgs {
    /// Do only one of n parts of the entities, such as 1/4; all parts make one generation
    #[arg(long, value_name = "I/N")]
    pub partition: Option<String>,
    /// Go on with this generation after an interrupt, or do a further part of it
    #[arg(long, value_name = "NUMBER")]
    pub generation: Option<u32>,
    /// At most so many events a second, so that live traffic has priority
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
    /// How it is allowed to
    #[command(flatten)]
    pub consent: ConsentArgs,
}

/// `replay promote`, `rollback` and `retire`.
#[derive(Debug, Args)]
pub struct SwitchArgs {
    /// The generation [default: the newest complete one; for rollback the one that was live before]
    #[arg(long, value_name = "NUMBER")]
    pub generation: Option<u32>,
    /// Longest wait for a running server, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub wait: u64,
    /// How it is allowed to
    #[command(flatten)]
    pub consent: ConsentArgs,
}

/// `replay repair`.
#[derive(Debug, Args)]
pub struct RepairArgs {
    /// Also what the provider files of today read otherwise than the state was folded with
    #[arg(long)]
    pub reinterpret: bool,
    /// Entities with such events; their whole history is folded
    #[command(flatten)]
    pub selector: SelectorArgs,
    /// At most so many entities a second
    #[arg(long, value_name = "ENTITIES", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
    /// How it is allowed to
    #[command(flatten)]
    pub consent: ConsentArgs,
}

/// `replay redrive`.
#[derive(Debug, Args)]
pub struct RedriveArgs {
    /// Which events
    #[command(flatten)]
    pub selector: SelectorArgs,
    /// Go on with this run after an interrupt
    #[arg(long, value_name = "RUN")]
    pub resume: Option<String>,
    /// At most so many events a second, so that live traffic has priority
    #[arg(long, value_name = "EVENTS", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: u32,
    /// How it is allowed to
    #[command(flatten)]
    pub consent: ConsentArgs,
}

/// How an export is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// One JSON object a line
    Jsonl,
    /// Comma separated (RFC 4180), one row per entity, amounts in minor units
    Csv,
    /// Parquet, typed, for DuckDB and the like
    Parquet,
}

/// How adjustments are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AdjustmentsFormat {
    /// For people
    Table,
    /// One JSON object a line; the last one is the summary
    Jsonl,
    /// Comma separated (RFC 4180), a line per figure that changed
    Csv,
}
