//! The command line of `provider`.

use std::path::PathBuf;

use clap::Subcommand;

/// `provider`.
#[derive(Debug, Subcommand)]
pub enum ProviderCommand {
    /// Write a provider file to start from, with every key explained
    #[command(after_help = "Examples:
  ledgerline provider new my-provider                   writes my-provider.toml
  ledgerline provider new my-stripe --from stripe       a copy of a built-in one, to change")]
    New {
        /// The provider's name: a-z, 0-9, '-' and '_'
        name: String,
        /// Start from this built-in provider
        #[arg(long, value_name = "PROVIDER")]
        from: Option<String>,
        /// Write here [default: NAME.toml]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Read a provider file: what is wrong and how to mend it, or what it says
    Check {
        /// The file
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Read payload files with a provider: what each is, where it stands and what it says
    #[command(after_help = "Each file is one request's body. Headers that the provider reads stand beside it, one
`name: value` a line, in a file of the same name with .headers behind it; --header gives one to all.
Signatures are not looked at. Exit code 5 when anything cannot be read.

Examples:
  ledgerline provider test my-provider.toml payloads/
  ledgerline provider test github payloads/ --header 'x-github-event: push'")]
    Test {
        /// A provider file, or the name of a built-in provider
        provider: String,
        /// Payload files, or folders of them
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// A header of every request
        #[arg(long, value_name = "NAME: VALUE")]
        header: Vec<String>,
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// The table of built-in providers, as it stands in docs/providers.md
    Docs,
}
