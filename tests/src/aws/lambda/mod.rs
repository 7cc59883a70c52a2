//! A small Lambda: environments in processes of their own, and event source mappings of a stream.

mod instance;
mod mapping;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::RngExt as _;
use serde_json::Value;

pub use instance::{Answer, Instance};
pub use mapping::{Mapping, MappingSettings};

/// A function: settings, and as many environments as there are invocations at once.
pub struct Function {
    program: String,
    settings: String,
    log: PathBuf,
    /// Longest and shortest time of an invocation; each draws its own, as if the function's time-out were changed.
    limits: (Duration, Duration),
    /// How many invocations of a hundred are killed in the middle.
    kills_per_cent: u32,
    idle: Mutex<Vec<Instance>>,
    /// What happened so far.
    pub counts: Counts,
}

/// Counted happenings.
#[derive(Debug, Default)]
pub struct Counts {
    /// Environments that were started.
    pub starts: AtomicU32,
    /// Invocations that answered with no failures.
    pub done: AtomicU32,
    /// Invocations that left a part of their batch.
    pub partial: AtomicU32,
    /// Invocations that ended with an error.
    pub failed: AtomicU32,
    /// Invocations that were killed, or took too long.
    pub killed: AtomicU32,
}

impl Function {
    /// A function that runs `program` with the text of a settings file; its log goes into `dir`.
    pub fn new(program: &str, settings: String, dir: &Path) -> Self {
        Self {
            program: program.to_owned(),
            settings,
            log: dir.join("lambda.log"),
            limits: (Duration::from_secs(20), Duration::from_secs(20)),
            kills_per_cent: 0,
            idle: Mutex::default(),
            counts: Counts::default(),
        }
    }

    /// Kills some of a hundred invocations in the middle, and gives each a time within the limits.
    #[must_use]
    pub fn harassed(mut self, kills_per_cent: u32, shortest: Duration, longest: Duration) -> Self {
        self.kills_per_cent = kills_per_cent;
        self.limits = (shortest, longest);
        self
    }

    /// Invokes it, in any environment that is free.
    ///
    /// # Panics
    /// When an environment does not start.
    pub async fn invoke(&self, payload: String) -> Answer {
        let free = {
            let mut idle = self.idle();
            if idle.is_empty() { None } else { Some(rand::rng().random_range(0..idle.len())).map(|at| idle.remove(at)) }
        };
        let instance = match free {
            Some(instance) => instance,
            None => {
                self.counts.starts.fetch_add(1, Ordering::Relaxed);
                let started = Instance::start(&self.program, &self.settings, &self.log).await;
                started.unwrap_or_else(|report| panic!("the function does not start: {report}"))
            }
        };
        let limit = rand::rng().random_range(self.limits.0..=self.limits.1);
        let is_killed = rand::rng().random_range(0..100) < self.kills_per_cent;
        let killed_after = is_killed.then(|| Duration::from_millis(rand::rng().random_range(0..400)));
        let answer = instance.invoke(payload, limit, killed_after).await;
        let counter = match &answer {
            Ok(answer) if answer["batchItemFailures"].as_array().is_some_and(|left| !left.is_empty()) => {
                &self.counts.partial
            }
            Ok(_) => &self.counts.done,
            Err(_) if instance.has_ended() => &self.counts.killed,
            Err(_) => &self.counts.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if !instance.has_ended() {
            self.idle().push(instance);
        }
        answer
    }

    /// Ends all environments that are free, as the service does with old ones.
    pub fn end_idle(&self) {
        self.idle().clear();
    }

    /// What the environments logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Instance>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a mapping delivers.
pub type SharedFunction = Arc<Function>;

/// The records that an answer leaves, by its lowest number, as the service decides it: `None` when all are done; the
/// whole batch when the answer makes no sense.
fn left<'a>(answer: &Value, numbers: &'a [String]) -> Option<&'a [String]> {
    let failures = match &answer["batchItemFailures"] {
        Value::Null => return None,
        Value::Array(failures) if failures.is_empty() => return None,
        Value::Array(failures) => failures,
        _ => return Some(numbers),
    };
    let mut lowest = numbers.len();
    for failure in failures {
        let named = failure["itemIdentifier"].as_str().and_then(|id| numbers.iter().position(|number| number == id));
        match named {
            Some(at) => lowest = lowest.min(at),
            // Empty, or none of the batch's.
            None => return Some(numbers),
        }
    }
    Some(&numbers[lowest..])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_lowest_number_is_the_checkpoint() {
        let numbers: Vec<String> = ["5", "6", "7"].map(str::to_owned).to_vec();
        let of = |answer: Value| left(&answer, &numbers).map(<[String]>::len);
        let items = |ids: &[&str]| json!({ "batchItemFailures": ids.iter().map(|id| json!({ "itemIdentifier": id })).collect::<Vec<_>>() });
        assert_eq!((of(json!({})), of(Value::Null), of(items(&[]))), (None, None, None));
        assert_eq!((of(items(&["7", "6"])), of(items(&["5"]))), (Some(2), Some(3)));
        assert_eq!(
            (of(items(&[""])), of(items(&["7", "9"])), of(json!({ "batchItemFailures": 1 }))),
            (Some(3), Some(3), Some(3))
        );
    }
}
