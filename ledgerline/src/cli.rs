//! The command line as data. What each command does is in [`crate::commands`].

mod archive;
mod provider;
mod replay;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use archive::{ArchiveCommand, CompactArgs};
pub use provider::ProviderCommand;
pub use replay::{
    AdjustmentsArgs, AdjustmentsFormat, CloseArgs, ConsentArgs, ExportArgs, ExportFormat, RebuildArgs, RedriveArgs,
    RepairArgs, ReplayCommand, SelectorArgs, SwitchArgs, TimeOf, VerifyArgs,
};

const EXIT_CODES: &str = "Exit codes:
  0  done, and everything that was checked holds
  1  failed: a file, the network or the program itself
  2  arguments, settings or data directory cannot be used (another process holds it);
     the message names file, key and fix
  3  drift or damage was found
  4  what was asked for does not exist
  5  refused as things are
  6  not now: the server did not answer, the store is busy, or nothing is archived yet; try again";

const EXAMPLES: &str = "Examples:
  ledgerline demo                                     see everything work
  ledgerline check --example > ledgerline.toml        a settings file to start from
  ledgerline serve                                    receive webhooks
  ledgerline send --source stripe-eu payloads/        sign and post files to it
  ledgerline list --attention                         payments that somebody should look at
  ledgerline show stripe-eu/payment/pi_123            one payment, and why it is what it is
  ledgerline replay verify                            prove state against the signed originals";

/// Webhooks in, ordered payment state that can be proved out.
#[derive(Debug, Parser)]
#[command(name = "ledgerline", version, after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"), max_term_width = 110)]
pub struct Cli {
    /// Settings file [default: LEDGERLINE_CONFIG, else ledgerline.toml in this folder, if there is one]
    #[arg(long, short, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Data directory, instead of the one in the settings
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// What to log to standard error: error, warn, info, debug, or per part as in `ledgerline=debug`
    /// [default: LEDGERLINE_LOG, else info for serve and warn for the rest]
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log: Option<String>,
    /// The command; `serve` when none is given.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show everything at work: made-up payments, hostile deliveries, a crash, and the proof
    Demo(DemoArgs),
    /// Receive webhooks, fold them, archive them (the default command)
    Serve(ServeArgs),
    /// Sign and post payload files to a running server
    Send(SendArgs),
    /// One entity: its state, its history in order, and why the state is what it is
    Show(ShowArgs),
    /// Entities, with filters
    List(ListArgs),
    /// The shards of the log: who reads them, and how far each is
    Shards(ShardsArgs),
    /// Events that could not be read or that contradict an accepted one
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
    /// Fold the archive again: prove the state, rebuild or repair it, see it as of a time
    #[command(subcommand)]
    Replay(ReplayCommand),
    /// The archive itself: is it whole, its manifests, larger objects for queries
    #[command(subcommand)]
    Archive(ArchiveCommand),
    /// Check settings, providers and secrets before a start
    Check(CheckArgs),
    /// Start, check and try a provider file
    #[command(subcommand)]
    Provider(ProviderCommand),
    /// Explain a captured request: what its signature covers, and why it is refused
    VerifySignature(VerifySignatureArgs),
    /// Put load on a running server and measure it
    Load(LoadArgs),
    /// Put a load on AWS, count every call, and say what a million events and a month cost
    #[cfg(feature = "aws")]
    Cost(crate::commands::cost::CostArgs),
    /// Fold the stream as a Lambda function, instead of processors (the default command there)
    #[cfg(feature = "aws")]
    #[command(
        after_help = "For the runtimes provided.al2023 and container images. The function is woken by an event source \
mapping of the stream;\ndocs/aws.md has the settings of the mapping. Settings come from LEDGERLINE_SETTINGS or --config."
    )]
    Lambda,
    /// Look at a deployment on AWS, and say what to mend
    #[cfg(feature = "aws")]
    Doctor(crate::commands::doctor::DoctorArgs),
}

/// `demo`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ledgerline demo
  ledgerline demo --data demo-data      keep the data, to look around with the other commands
  ledgerline demo --payments 5000 --seed 7")]
pub struct DemoArgs {
    /// How many payments, half of them from each source
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(20..=200_000))]
    pub payments: u32,
    /// The same seed tells the same story
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Connections that deliver at once
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=512))]
    pub connections: u16,
}

/// `shards`.
#[derive(Debug, Args)]
pub struct ShardsArgs {
    /// One JSON object per shard
    #[arg(long)]
    pub json: bool,
}

/// One part of the work; a process may do all or some.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Receive, verify, append to the log
    Ingest,
    /// Fold the log into entity records
    Processor,
    /// Write the log into the archive
    Archiver,
    /// Fetch what thin notifications are about, for sources with the key `hydrate`
    Hydrator,
}

/// `serve`.
#[derive(Debug, Args, Default)]
#[command(after_help = "Endpoints:
  POST /webhooks/{source}   webhooks
  GET  /healthz /readyz     the process is up; it can take requests
  GET  /metrics             Prometheus

Examples:
  ledgerline serve
  ledgerline serve --listen 0.0.0.0:8080 --role ingest,archiver    stop the fold for a while, lose nothing")]
pub struct ServeArgs {
    /// Address to listen on, instead of the one in the settings
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Which roles to run [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub role: Vec<Role>,
}

/// `send`.
#[derive(Debug, Args)]
#[command(after_help = "Each file is one body, sent byte for byte. The source's scheme and first secret sign it.

Examples:
  ledgerline send --source stripe-eu event.json
  ledgerline send --source stripe-eu payloads/ --shuffle --duplicate 0.2 --seed 7
  ledgerline send --source stripe-eu payloads/ --rate 100 --url http://host:8080/webhooks/s")]
pub struct SendArgs {
    /// Files, or folders whose files are sent in name order
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The source of the settings whose scheme and secret sign
    #[arg(long)]
    pub source: String,
    /// Where to post [default: the settings' address, /webhooks/{source}]
    #[arg(long)]
    pub url: Option<String>,
    /// Send in random order
    #[arg(long)]
    pub shuffle: bool,
    /// Send this share of the bodies a second time, from 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub duplicate: f64,
    /// Wait a random time up to this many milliseconds before each request
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub delay: u64,
    /// Seed of order, duplicates and delays
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// At most so many requests a second
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
    /// Connections that send at once; more than one may change the order of arrival
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=512))]
    pub connections: u16,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `show`.
#[derive(Debug, Args)]
#[command(after_help = "Works beside a running server.

Example:
  ledgerline show stripe-eu/payment/pi_123")]
pub struct ShowArgs {
    /// The entity: source/kind/id
    pub entity: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `list`.
#[derive(Debug, Args)]
#[command(after_help = "Works beside a running server.

Examples:
  ledgerline list --status disputed
  ledgerline list --source stripe-eu --kind payment --limit 20
  ledgerline list --after stripe-eu/payment/pi_123        the next page")]
pub struct ListArgs {
    /// Only this status, such as captured, partially_refunded, disputed, held
    #[arg(long)]
    pub status: Option<String>,
    /// Only this source
    #[arg(long)]
    pub source: Option<String>,
    /// Only this kind, such as payment
    #[arg(long)]
    pub kind: Option<String>,
    /// Only what somebody should look at: anomalies, held or quarantined events
    #[arg(long)]
    pub attention: bool,
    /// How many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,
    /// Only entities after this one in key order
    #[arg(long, value_name = "ENTITY")]
    pub after: Option<String>,
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// `quarantine …`.
#[derive(Debug, Subcommand)]
pub enum QuarantineCommand {
    /// What is parked, and why
    List {
        /// Also what was released
        #[arg(long)]
        all: bool,
        /// How many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        /// Only items after this one
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// One item, with its body
    Show {
        /// The item, such as shard-0001:00000000000000000042
        id: String,
        /// Write the exact body to this file instead of printing it
        #[arg(long, value_name = "FILE")]
        body: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Read an item again with the provider files of today and append it to the log
    #[command(after_help = "An unreadable event must be readable now, or nothing is released (exit code 5).
An event that contradicts an accepted one is released under an id of its own, so both count.
A running server does the work; without one the command does it itself.")]
    Release {
        /// The item
        id: String,
        /// Longest wait for a running server, in seconds
        #[arg(long, value_name = "SECONDS", default_value_t = 15)]
        wait: u64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Print an example settings file instead
    #[arg(long)]
    pub example: bool,
    /// Print a built-in provider file instead, to start one's own from
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `verify-signature`.
#[derive(Debug, Args)]
#[command(
    after_help = "The headers stand in their file as `name: value` lines, as a proxy or `curl -v` prints them; lines of another
form are passed over. The body file is taken byte for byte. No secret, signature or body is printed.
Exit code 0 when the request would be accepted, 5 when it would be refused.

Examples:
  ledgerline verify-signature --source stripe-eu --headers captured.txt --body captured.json
  ledgerline verify-signature --source stripe-eu --headers h --body b --at 2026-10-01T09:30:00Z"
)]
pub struct VerifySignatureArgs {
    /// The source of the settings whose scheme and secrets judge
    #[arg(long)]
    pub source: String,
    /// File with the request's headers
    #[arg(long, value_name = "FILE")]
    pub headers: PathBuf,
    /// File with the request's exact body
    #[arg(long, value_name = "FILE")]
    pub body: PathBuf,
    /// When it was received: RFC 3339, or seconds since 1970 [default: now]
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `load`.
#[derive(Debug, Args)]
#[command(
    after_help = "Bodies are made-up Stripe-shaped or plain events, by the source's provider, signed by its first secret.

Example:
  ledgerline load --source stripe-eu --connections 128 --seconds 20 --json"
)]
pub struct LoadArgs {
    /// The source of the settings whose scheme and secret sign
    #[arg(long)]
    pub source: String,
    /// Where to post [default: the settings' address, /webhooks/{source}]
    #[arg(long)]
    pub url: Option<String>,
    /// Connections, each with one request at a time
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub connections: u16,
    /// How long
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// At most so many requests a second over all connections
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
    /// How many payments are prepared in memory; after a round they come again under new ids
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=500_000))]
    pub payments: u32,
    /// Seed of the payments
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("use a number from 0 to 1, such as 0.2".into()),
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn arguments_mean_what_the_help_says() {
        let cli = Cli::try_parse_from(["ledgerline"]).unwrap();
        assert!(cli.command.is_none());
        let cli = Cli::try_parse_from(["ledgerline", "serve", "--role", "ingest,archiver", "--data", "d"]).unwrap();
        assert_eq!(cli.data.unwrap(), std::path::Path::new("d"));
        let Some(Command::Serve(serve)) = cli.command else { panic!("serve") };
        assert_eq!(serve.role, [Role::Ingest, Role::Archiver]);
    }

    #[test]
    fn wrong_arguments_are_refused_with_code_2() {
        for wrong in [
            vec!["send", "x.json"],
            vec!["send", "--source", "s"],
            vec!["send", "--source", "s", "x", "--duplicate", "2"],
            vec!["serve", "--role", "cook"],
            vec!["list", "--limit", "0"],
            vec!["replay", "adjustments"],
            vec!["replay", "rebuild", "--yes", "--dry-run"],
            vec!["demo", "--payments", "1"],
            vec!["nonsense"],
        ] {
            let error = Cli::try_parse_from([&["ledgerline"], wrong.as_slice()].concat()).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{wrong:?}");
        }
    }

    #[test]
    fn help_teaches_by_example_and_lists_exit_codes() {
        let help = Cli::command().render_help().to_string();
        for part in ["ledgerline demo", "Exit codes:", "3  drift or damage"] {
            assert!(help.contains(part), "{part}");
        }
    }
}
