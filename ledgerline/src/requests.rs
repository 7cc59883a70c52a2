//! What a command line has the owner of the data do: the running server, or this process itself when
//! nobody else holds the data.
//!
//! A [`Request`] travels through the control database as JSON; [`carry_out`] is the one place that does
//! them, in the server and here alike. Doing one twice must be harmless: who waits too short asks again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ledgerline_domain::ports::Clock as _;
use ledgerline_domain::{ErrorKind, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::exit::{Exit, Failure, Outcome};
use crate::generations::{self, Order, Processors};
use crate::place::{AnyControl, Data};
use crate::redrives::Redrives;
use crate::release::release;
use crate::settings::Loaded;
use crate::wiring::SystemClock;

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
    /// Make a generation the live one, once it has caught up.
    Promote {
        /// Its number.
        generation: u32,
        /// How long it may take to catch up.
        wait_seconds: u64,
    },
    /// Delete a generation that is not live.
    Retire {
        /// Its number.
        generation: u32,
    },
    /// Begin to append archived originals to the log again; the run's object says which, and how far it is.
    Redrive {
        /// The run.
        run: String,
    },
    /// Stop that, with what is done written down.
    StopRedrive {
        /// The run.
        run: String,
    },
}

impl Request {
    /// Completes "failed to …".
    fn in_words(&self) -> String {
        match self {
            Self::Release { item } => format!("release {item}"),
            Self::Promote { generation, .. } => format!("promote generation {generation}"),
            Self::Retire { generation } => format!("retire generation {generation}"),
            Self::Redrive { run } => format!("begin the run {run}"),
            Self::StopRedrive { run } => format!("stop the run {run}"),
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
    pub data: Arc<Data>,
    /// The settings.
    pub loaded: Loaded,
    /// The processors of this process.
    pub processors: Processors,
    /// The redrives of this process.
    pub redrives: Redrives,
}

/// Does what was asked.
pub async fn carry_out(owner: &Owner, request: &Request) -> Outcome<Value> {
    let data = &owner.data;
    match request {
        Request::Release { item } => {
            // Read as the live generation reads, which may have been promoted since the start.
            let (live, store) = data.store.pinned();
            let sources = generations::as_generation(&owner.loaded, &data.control, live).await?.sources;
            let done = release(item, &store, &*data.log, &SystemClock, &sources).await?;
            // In every generation, or it could be released once more after a change of the live one.
            let mark = vec![(item.clone(), SystemClock.now())];
            for other in data.control.generations().await?.iter().filter(|g| g.status.is_complete()) {
                data.generation(other.number).await?.mark_all_released(mark.clone()).await?;
            }
            serde_json::to_value(done).map_err(|e| Failure::failed(format!("write the answer: {e}")))
        }
        Request::Promote { generation, wait_seconds } if data.is_shared() => {
            generations::promote_shared(data, *generation, Duration::from_secs(*wait_seconds)).await
        }
        Request::Retire { generation } if data.is_shared() => {
            data.retire(*generation).await?;
            Ok(json!({ "retired": generation }))
        }
        Request::Promote { generation, wait_seconds } => {
            owner.processors.order(Order::Promote(*generation, Duration::from_secs(*wait_seconds))).await
        }
        Request::Retire { generation } => owner.processors.order(Order::Retire(*generation)).await,
        Request::Redrive { run } => Ok(Value::Bool(owner.redrives.begin(&owner.data, run))),
        Request::StopRedrive { run } => Ok(Value::Bool(owner.redrives.stop(run))),
    }
}

/// Does everything that waits; for the server.
pub async fn answer_all(owner: &Owner) -> Result<()> {
    let Some(control) = owner.data.control.local() else { return Ok(()) };
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

/// Does it in this process, with processors of its own as long as it takes.
async fn alone(data: Arc<Data>, loaded: &Loaded, request: &Request) -> Outcome<Value> {
    let owner = Owner {
        data: data.clone(),
        loaded: loaded.clone(),
        processors: Processors::default(),
        redrives: Redrives::default(),
    };
    let mut processors = None;
    if !data.is_shared() && matches!(request, Request::Promote { .. } | Request::Retire { .. }) {
        processors = Some(owner.processors.start(data, Arc::default(), Default::default()));
        while !owner.processors.are_at_work() && processors.as_ref().is_some_and(|task| !task.has_ended()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let done = carry_out(&owner, request).await;
    let ended = match processors {
        Some(task) => task.stop().await,
        None => Ok(()),
    };
    done.and_then(|done| ended.map(|()| done))
}

/// The command line's side: does it here when nobody else holds the data, else has the server do it and
/// waits. Code 6 when no answer came within `wait`; the request is taken back then.
pub async fn ask(loaded: &Loaded, control: &AnyControl, request: &Request, wait: Duration) -> Outcome<Value> {
    let held = match Data::open(loaded).await {
        Ok(data) => {
            // As the start of a server does: what is done now is read with the files of today.
            generations::take_settings(&data.control, &loaded.sources).await?;
            return alone(Arc::new(data), loaded, request).await;
        }
        // Somebody has the lock; whatever else is wrong would be wrong there too.
        Err(held) if held.exit == Exit::Usage => held,
        Err(other) => return Err(other),
    };
    // Only on one machine is there somebody who holds the data.
    let Some(control) = control.local() else { return Err(held) };
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
