//! Looks at a deployment on AWS and says what is wrong with it, each finding with the fix.
//!
//! [`examine`] asks and changes nothing, but for one small object below `doctor/` when
//! [`write`](Targets::write) is set. What a service or a stand-in does not answer is "not checked", never a fault. No
//! finding holds anything of a secret or an event.

mod access;
mod bucket;
mod clock;
mod consumers;
mod lifecycle;
mod policy;
mod stream;
mod tables;
mod trouble;

use serde::Serialize;

use super::AwsConfig;
use super::kinesis::KinesisSettings;

pub use clock::judge as judge_skew;

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Ok,
    /// It could not be found out.
    NotChecked,
    /// It works, and something is missing that will be missed one day.
    Warning,
    /// The program cannot work with it, or what it keeps is not safe.
    Fault,
}

impl State {
    /// As people read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotChecked => "not checked",
            Self::Warning => "warning",
            Self::Fault => "FAULT",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at: `stream ledgerline`, `table ledgerline-control`.
    pub on: String,
    /// Which side of it: `mode`, `key`, `versioning`.
    pub what: String,
    /// How it is.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do about it; empty where nothing is to be done.
    pub fix: String,
}

/// A part of the program, by the calls that it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The door.
    Ingest,
    /// The processor.
    Processor,
    /// The archiver.
    Archiver,
}

/// What is looked at. Plain data.
#[derive(Clone, Debug)]
pub struct Targets {
    /// The stream.
    pub stream: String,
    /// What the names of the tables begin with.
    pub tables: String,
    /// The bucket.
    pub bucket: String,
    /// Where in the bucket everything lies.
    pub prefix: String,
    /// Names or ARNs of the secrets.
    pub secrets: Vec<String>,
    /// Consumers of enhanced fan-out, by the part that reads through each.
    pub consumers: Vec<(Part, String)>,
    /// Whose permissions are tried.
    pub parts: Vec<Part>,
    /// Whether an object may be written, to see that a key can be created once only.
    pub write: bool,
}

impl Targets {
    fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    /// The part of a key before what the archive says, with its slash.
    fn below(&self) -> String {
        if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix) }
    }
}

/// Looks at everything. The order of the findings is that of the data's way: clock, stream, consumers, tables,
/// bucket, secrets, permissions.
pub async fn examine(aws: &AwsConfig, targets: &Targets) -> Vec<Finding> {
    let mut found = Findings::default();
    clock::examine(aws, targets, &mut found).await;
    let retention = stream::examine(aws, &KinesisSettings::new(&targets.stream), &mut found).await;
    consumers::examine(aws, targets, &mut found).await;
    let generation = tables::examine(aws, targets, &mut found).await;
    bucket::examine(aws, targets, retention, &mut found).await;
    access::examine(aws, targets, generation, &mut found).await;
    found.0
}

/// Collects findings.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn ok(&mut self, on: &str, what: &str, found: impl Into<String>) {
        self.add(on, what, State::Ok, found, "");
    }

    fn add(&mut self, on: &str, what: &str, state: State, found: impl Into<String>, fix: impl Into<String>) {
        let (on, what) = (on.to_owned(), what.to_owned());
        self.0.push(Finding { on, what, state, found: found.into(), fix: fix.into() });
    }
}
