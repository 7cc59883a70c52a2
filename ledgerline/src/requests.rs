//! What a command line has the owner of the data do: the running server, or this process itself when
//! nobody else holds the data.
//!
//! A [`Request`] travels through the control database as JSON; [`carry_out`] is the one place that does
//! them, in the server and here alike. Doing one twice must be harmless: who waits too short asks again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ledgerline_adapters::embedded::{Control, Embedded};
use ledgerline_domain::{ErrorKind, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::exit::{Exit, Failure, Outcome};
use crate::release::release;
use crate::settings::Loaded;
use crate::wiring::{Machine, SystemClock};

/// How often an answer is looked for.
const ANSWER_LOOK: Duration = Duration::from_millis(100);

/// Something that only the owner of the data may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Request {
    /// Append a quarantined item to the log again.
    Release {
        /// The item.
        item: String,
    },
}

impl Request {
    /// Completes "failed to …".
    fn in_words(&self) -> String {
        match self {
            Self::Release { item } => format!("release {item}"),
        }
    }
}

/// What the server writes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Answer {
    /// The exit code.
    exit: u8,
    /// Why not, when it was not done.
    message: String,
    /// What came of it.
    result: Value,
}

impl Answer {
    fn of(outcome: Outcome<Value>) -> Self {
        match outcome {
            Ok(result) => Self { exit: Exit::Ok as u8, message: String::new(), result },
            Err(failure) => Self { exit: failure.exit as u8, message: failure.message, result: Value::Null },
        }
    }

    fn into_outcome(self) -> Outcome<Value> {
        if self.exit == Exit::Ok as u8 {
            return Ok(self.result);
        }
        let exit = [Exit::Failed, Exit::Usage, Exit::Drift, Exit::NotFound, Exit::Refused, Exit::Busy]
            .into_iter()
            .find(|exit| *exit as u8 == self.exit)
            .unwrap_or(Exit::Failed);
        Err(Failure::new(exit, self.message))
    }
}

/// The owner's side: the data, and the settings it was opened with.
#[derive(Clone)]
pub struct Owner {
    /// Log, state and archive.
    pub data: Arc<Embedded>,
    /// The settings.
    pub loaded: Loaded,
}

/// Does what was asked.
pub async fn carry_out(owner: &Owner, request: &Request) -> Outcome<Value> {
    let data = &owner.data;
    match request {
        Request::Release { item } => {
            let done = release(item, &*data.store, &*data.log, &SystemClock, &owner.loaded.sources).await?;
            serde_json::to_value(done).map_err(|e| Failure::failed(format!("write the answer: {e}")))
        }
    }
}

/// Does everything that waits; for the server.
pub async fn answer_all(owner: &Owner) -> Result<()> {
    let control = &owner.data.control;
    for waiting in control.pending_requests().await? {
        let done = match serde_json::from_str(&waiting.ask) {
            Ok(request) => carry_out(owner, &request).await,
            Err(_) => Err(Failure::new(
                Exit::Refused,
                "understand the request: the server is another version of the program; restart it with this one",
            )),
        };
        let answer = Answer::of(done);
        tracing::info!(ask = waiting.ask, exit = answer.exit, "a request of the command line");
        let text = serde_json::to_string(&answer).unwrap_or_default();
        control.finish_request(waiting.id, &text).await?;
    }
    Ok(())
}

/// The command line's side: does it here when nobody else holds the data, else has the server do it and
/// waits. Code 6 when no answer came within `wait`; the request is taken back then.
pub async fn ask(loaded: &Loaded, control: &Control, request: &Request, wait: Duration) -> Outcome<Value> {
    let held = match Machine::open_without_secrets(loaded).await {
        Ok(data) => {
            let owner = Owner { data: Arc::new(data), loaded: loaded.clone() };
            return carry_out(&owner, request).await;
        }
        // Somebody has the lock; whatever else is wrong would be wrong there too.
        Err(held) if held.exit == Exit::Usage => held,
        Err(other) => return Err(other),
    };
    let text = serde_json::to_string(request).map_err(|e| Failure::failed(format!("write down the request: {e}")))?;
    let number = control.request(&text).await?;
    let began = Instant::now();
    loop {
        if let Some(text) = control.request_outcome(number).await? {
            let answer: Answer = serde_json::from_str(&text)
                .map_err(|e| Failure::failed(format!("read the server's answer: {e}; look whether it was done")))?;
            return answer.into_outcome();
        }
        if began.elapsed() >= wait {
            break;
        }
        tokio::time::sleep(ANSWER_LOOK).await;
    }
    let what = request.in_words();
    let seconds = wait.as_secs();
    let withdrawn = match control.withdraw_request(number).await {
        Ok(withdrawn) => withdrawn,
        Err(error) if error.kind() == ErrorKind::Retry => false,
        Err(error) => return Err(error.into()),
    };
    let outlook = if withdrawn { "the request was taken back" } else { "it may be being done; look whether it was" };
    Err(Failure::new(
        Exit::Busy,
        format!("{what} within {seconds} s: the process that holds the data did not answer ({held}); {outlook}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_travel_whole() {
        let done = Answer::of(Ok(serde_json::json!(["x"])));
        assert_eq!(done.into_outcome().unwrap(), serde_json::json!(["x"]));
        let failed = Answer::of(Err(Failure::new(Exit::Refused, "do it: no")));
        let text = serde_json::to_string(&failed).unwrap();
        let failure = serde_json::from_str::<Answer>(&text).unwrap().into_outcome().unwrap_err();
        assert_eq!((failure.exit, failure.message.as_str()), (Exit::Refused, "do it: no"));
    }

    #[test]
    fn requests_are_written_as_before() {
        let text = serde_json::to_string(&Request::Release { item: "shard-0000:1".into() }).unwrap();
        assert_eq!(text, r#"{"do":"release","item":"shard-0000:1"}"#);
    }
}
