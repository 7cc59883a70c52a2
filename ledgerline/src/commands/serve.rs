//! `serve`: all roles of one machine in one process, until it is told to stop.
//!
//! The end comes in order: no new connections, requests in flight get their answers, then the roles
//! behind the log finish what they have in hand and the archiver writes its open segments.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::cli::{Role, ServeArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::settings::Loaded;
use crate::wiring::{HttpsWeb, Machine, Task};
use crate::{telemetry, traces};

/// How often the roles are looked at.
const END_LOOK: Duration = Duration::from_millis(200);

/// Runs the command.
pub async fn run(mut loaded: Loaded, args: &ServeArgs) -> Outcome {
    if let Some(listen) = args.listen {
        loaded.settings.listen = listen;
    }
    let has = |role| args.role.is_empty() || args.role.contains(&role);
    if has(Role::Ingest) && loaded.settings.source.is_empty() {
        let file = loaded.file.as_ref().map_or_else(|| "no settings file".to_owned(), |f| f.display().to_string());
        return Err(Failure::usage(format!(
            "serve without sources ({file}): key `source`: add a [[source]]; `ledgerline check --example` prints a start"
        )));
    }
    for source in
        loaded.settings.source.iter().filter(|s| s.secrets.iter().chain(&s.hydrate).any(|secret| secret.is_literal()))
    {
        tracing::warn!(source = %source.name, "a secret stands in the settings file; move it to env:NAME or file:PATH");
    }
    if loaded.settings.aws.is_some() && has(Role::Hydrator) && !has(Role::Processor) {
        return Err(Failure::usage(
            "serve the hydrator alone: at AWS it shares the processor's leases; use --role processor",
        ));
    }
    telemetry::count();
    let (traces, exporting) = traces::begin(&loaded)?;
    let mut signal = Signal::new()?;
    let listen = loaded.settings.listen;
    let machine = Machine::open(loaded).await?.traced(traces);
    let mut roles = Vec::new();
    if has(Role::Processor) {
        roles.push(machine.processor());
    }
    if has(Role::Archiver) {
        roles.push(machine.archiver());
        roles.extend(machine.log_release());
    }
    if has(Role::Hydrator) {
        roles.extend(machine.hydrator(HttpsWeb::new()));
    }
    if has(Role::Ingest) || has(Role::Archiver) {
        // Behind the archiver: it is the last to stop and notes the end of it.
        roles.push(machine.daybook());
    }
    roles.extend(machine.shared_upkeep());
    roles.push(machine.secrets_watch());
    roles.push(machine.metrics_upkeep());
    roles.push(machine.requests_watch());
    let mut ingest = None;
    if has(Role::Ingest) {
        roles.push(machine.keys_fetch(Arc::new(HttpsWeb::new())));
        let listener = TcpListener::bind(listen)
            .await
            .map_err(|e| Failure::failed(format!("listen on {listen}: {e}; choose another address with --listen")))?;
        let address = listener.local_addr().unwrap_or(listen);
        ingest = Some(machine.ingest(listener)?);
        tracing::info!("listening on http://{address}");
    }
    // What the others tell at their end is exported too.
    roles.extend(exporting);
    let ended = tokio::select! {
        () = signal.wait() => None,
        name = first_end(ingest.as_ref(), &roles) => Some(name),
    };
    tracing::info!("stopping: finishing what is in hand");
    let finish = async {
        let mut result = Ok(());
        for task in ingest.into_iter().chain(roles) {
            result = result.and(task.stop().await);
        }
        result
    };
    let result = tokio::select! {
        result = finish => result,
        () = signal.wait() => Err(Failure::failed(
            "finish what was in hand: told to stop a second time; what was acknowledged is in the log and goes on from there",
        )),
    };
    match (result, ended) {
        (Err(failure), _) => Err(failure),
        (Ok(()), Some(name)) => Err(Failure::failed(format!("keep the {name} running: it ended by itself"))),
        (Ok(()), None) => Ok(Exit::Ok),
    }
}

/// The first role that ends without being told to.
async fn first_end(ingest: Option<&Task>, roles: &[Task]) -> &'static str {
    loop {
        if let Some(task) = ingest.into_iter().chain(roles).find(|task| task.has_ended()) {
            return task.name;
        }
        tokio::time::sleep(END_LOOK).await;
    }
}

/// SIGTERM, or an interrupt from the terminal.
struct Signal {
    terminate: tokio::signal::unix::Signal,
}

impl Signal {
    fn new() -> Outcome<Self> {
        let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
            .map_err(|e| Failure::failed(format!("listen for SIGTERM: {e}")))?;
        Ok(Self { terminate })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    }
}
