//! The processor as a Lambda function that an event source mapping of the stream wakes.
//!
//! It is `serve --role processor` with another clock: instead of leases and readers that never stop, Lambda decides which
//! shard is worked on, and for how long. The mapping says how far a shard goes; the records are read from the log from the
//! store's checkpoint on ([`OnDemand`](ledgerline_processor::apply::OnDemand)). See `docs/adr/0030-…`.
//!
//! Errors of the start are told to the runtime API (`/init/error`), those of an invocation are its answer: Lambda
//! sends the batch again. Neither has a body or a secret in it.

mod event;
mod function;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::client::{Client, Target};
use crate::exit::{Exit, Failure, Outcome};
use crate::settings::Loaded;

use event::Event;
use function::Function;

/// The address of the runtime API; Lambda sets it.
const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";
/// What the runtime's library wants to know beside it; Lambda sets all of them.
const VARIABLES: [&str; 3] =
    ["AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION"];
/// What is left of an invocation's time to answer in: a tenth of it, within these.
const MARGIN: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(3));

/// Whether this process was started by Lambda.
pub fn is_here() -> bool {
    std::env::var_os(RUNTIME_API).is_some()
}

/// Serves invocations until Lambda ends the process.
pub async fn run(loaded: Outcome<Loaded>) -> Outcome {
    let is_missing = |name: &&&str| std::env::var_os(name).is_none();
    if let Some(name) = [RUNTIME_API].iter().chain(&VARIABLES).find(is_missing) {
        return Err(Failure::usage(format!(
            "run as a Lambda function: {name} is not set, so this is none; elsewhere use `ledgerline serve --role processor`"
        )));
    }
    let function = match prepare(loaded).await {
        Ok(function) => Arc::new(Mutex::new(function)),
        Err(failure) => {
            report(&failure).await;
            return Err(failure);
        }
    };
    tracing::info!("folding what the event source mapping announces");
    let handler = |event: LambdaEvent<Event>| {
        let function = function.clone();
        async move {
            let until = until(event.context.deadline, SystemTime::now());
            function.lock().await.handle(event.payload, until).await
        }
    };
    let ended = lambda_runtime::run(service_fn(handler)).await;
    ended.map_err(|e| Failure::failed(format!("talk to the runtime API: {e}")))?;
    Ok(Exit::Ok)
}

async fn prepare(loaded: Outcome<Loaded>) -> Outcome<Function> {
    let loaded = loaded?;
    if loaded.settings.aws.is_none() {
        return Err(Failure::usage(
            "run as a Lambda function: the settings have no table [aws]; give them in LEDGERLINE_SETTINGS",
        ));
    }
    if let Some(source) = loaded.settings.source.iter().find(|source| source.hydrate.is_some()) {
        return Err(Failure::usage(format!(
            "run as a Lambda function: source {} is hydrated (key `hydrate`), which needs a reader that goes on by \
             itself; run `ledgerline serve --role processor` instead",
            source.name
        )));
    }
    Function::open(&loaded).await
}

/// Tells the runtime API why there is no function.
async fn report(failure: &Failure) {
    let Ok(api) = std::env::var(RUNTIME_API) else { return };
    let message = format!("failed to {failure}");
    let body = json!({ "errorMessage": message, "errorType": "Ledgerline.Init", "stackTrace": [] });
    let headers = [("lambda-runtime-function-error-type".to_owned(), "Ledgerline.Init".to_owned())];
    let told = async {
        let target = Target::parse(&format!("http://{api}/2018-06-01/runtime/init/error"))?;
        Client::new(target).post(&headers, Bytes::from(body.to_string())).await
    };
    // The process ends with the same message on standard error, which is in the log either way.
    if let Err(error) = told.await {
        tracing::warn!("failed to report the error: {error}");
    }
}

/// When work must be over so that there is time to answer; `deadline_millis` counts from 1970.
fn until(deadline_millis: u64, now: SystemTime) -> Instant {
    let deadline = UNIX_EPOCH + Duration::from_millis(deadline_millis);
    let left = deadline.duration_since(now).unwrap_or_default();
    Instant::now() + left.saturating_sub((left / 10).clamp(MARGIN.0, MARGIN.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_time_to_answer() {
        let now = UNIX_EPOCH + Duration::from_millis(1_000_000);
        for (left, work) in [(0, 0), (200, 0), (3_000, 2_700), (10_000, 9_000), (60_000, 57_000), (900_000, 897_000)] {
            let given = until(1_000_000 + left, now) - Instant::now();
            let work = Duration::from_millis(work);
            assert!(given <= work && work - given < Duration::from_millis(50), "{left}: {given:?}");
        }
        assert!(until(5, now) <= Instant::now(), "one that is over");
    }
}
