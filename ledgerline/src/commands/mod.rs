//! What each command does. Reading commands open the data read-only and work beside a server.

pub mod archive;
pub mod check;
#[cfg(feature = "aws")]
pub mod cost;
#[cfg(feature = "aws")]
pub mod doctor;
pub mod list;
pub mod load;
pub mod provider;
pub mod quarantine;
pub mod replay;
pub mod send;
pub mod serve;
pub mod shards;
pub mod show;
pub mod verify_signature;

use crate::cli::{Cli, Command};
use crate::exit::Outcome;
use crate::output::Output;
use crate::settings::Loaded;

/// Runs the command that was given.
pub async fn run(cli: Cli, out: &mut Output) -> Outcome {
    let Cli { config, data, command, .. } = cli;
    let load = || -> Outcome<Loaded> {
        let mut loaded = Loaded::read(config.as_deref())?;
        if let Some(data) = &data {
            loaded.settings.data = data.clone();
        }
        // Secrets may be wanted before anything is opened.
        #[cfg(feature = "aws")]
        if let Some(aws) = &loaded.settings.aws {
            crate::aws_secrets::reach_by(crate::place::aws::options(aws));
        }
        Ok(loaded)
    };
    match command.unwrap_or_else(default_command) {
        // These need no settings.
        Command::Provider(command) => provider::run(&command, out),
        Command::Demo(args) => crate::demo::run(&args, data.as_deref(), config.as_deref(), out).await,
        #[cfg(feature = "aws")]
        Command::Cost(args) => cost::run(&args, out).await,
        #[cfg(feature = "aws")]
        Command::Lambda => crate::lambda::run(load()).await,
        #[cfg(feature = "aws")]
        Command::Doctor(args) => doctor::run(&load()?, &args, out).await,
        Command::Check(args) if args.example || args.provider.is_some() => check::print(&args, out),
        Command::Check(args) => check::run(&load()?, &args, out),
        Command::Serve(args) => serve::run(load()?, &args).await,
        Command::Send(args) => send::run(&load()?, &args, out).await,
        Command::Show(args) => show::run(&load()?, &args, out).await,
        Command::List(args) => list::run(&load()?, &args, out).await,
        Command::Shards(args) => shards::run(&load()?, &args, out).await,
        Command::Quarantine(command) => quarantine::run(&load()?, &command, out).await,
        Command::Archive(command) => archive::run(&load()?, &command, out).await,
        Command::Replay(command) => replay::run(&load()?, &command, out).await,
        Command::VerifySignature(args) => verify_signature::run(&load()?, &args, out),
        Command::Load(args) => load::run(&load()?, &args, out).await,
    }
}

/// What is run when nothing was said. Lambda starts the program `bootstrap` of a zip without arguments.
fn default_command() -> Command {
    #[cfg(feature = "aws")]
    if crate::lambda::is_here() {
        return Command::Lambda;
    }
    Command::Serve(Default::default())
}
