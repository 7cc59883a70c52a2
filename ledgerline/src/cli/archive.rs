//! The command line of `archive`.

use clap::{Args, Subcommand};

use super::ConsentArgs;

/// `archive …`.
#[derive(Debug, Subcommand)]
pub enum ArchiveCommand {
    /// Read every object of the archive and name everything that is wrong with it
    #[command(after_help = "Works beside a running server and changes nothing.
Exit code 3 when anything is wrong: a hole, an overlap, an altered, missing or foreign object, a damaged manifest.

Examples:
  ledgerline archive check
  ledgerline archive check --json | jq '.faults[] | {kind, key, bytes}'")]
    Check {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write manifests and heads again where they are missing, damaged or wrong
    #[command(after_help = "They are made from the segments, which must be sound. Stop the server first.

Examples:
  ledgerline archive manifests --dry-run
  ledgerline archive manifests --yes --reason \"disk damage of 24 November\"")]
    Manifests(ConsentArgs),
    /// Write the rows of many small segments into few larger objects, for faster queries
    #[command(
        after_help = "Segments are neither changed nor removed: the larger objects stand beside them under `compacted/`,
name every segment that they hold, and `archive check` proves them row for row. Only hours whose
manifest is complete are compacted. Works beside a running server; doing it again changes nothing.

Examples:
  ledgerline archive compact --hour 2026-11-24T13 --dry-run
  ledgerline archive compact --before 2026-11-01 --yes"
    )]
    Compact(CompactArgs),
}

/// `archive compact`.
#[derive(Debug, Args)]
pub struct CompactArgs {
    /// This hour, such as 2026-11-24T13
    #[arg(long, value_name = "HOUR", required_unless_present = "before")]
    pub hour: Option<String>,
    /// All hours that ended by this time: a date, a month or an RFC 3339 time
    #[arg(long, value_name = "TIME", conflicts_with = "hour")]
    pub before: Option<String>,
    /// How it is allowed to.
    #[command(flatten)]
    pub consent: ConsentArgs,
}
