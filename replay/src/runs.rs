//! The audit log: every command that changes something writes down who ran it, when, why, what it had
//! planned and what came of it.
//!
//! One JSON object per run in the archive, `runs/{stream}/{id}.json`. It is made before anything is
//! changed and replaced as the run goes on; ids begin with the time, so their order is the runs'.

use bytes::Bytes;
use ledgerline_domain::ports::{Archive, Created};
use ledgerline_domain::segment::keys::check_stream;
use ledgerline_domain::time::UnixNanos;
use ledgerline_domain::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Version of the objects that this program writes.
pub const RUN_VERSION: u32 = 1;

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// It began and nobody has written down an end: it is at work, or it was killed.
    Begun,
    /// It did what it had planned.
    Done,
    /// Somebody stopped it; it can be resumed.
    Interrupted,
    /// It ended with an error.
    Failed,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Version of the object.
    #[serde(rename = "ledgerline_run")]
    pub version: u32,
    /// Its name, such as `2026-11-24T12-00-00Z-redrive-3f2a`.
    pub id: String,
    /// The command, such as `redrive`.
    pub command: String,
    /// Who ran it, as the system names the user.
    pub by: String,
    /// Why, in the words of who ran it.
    pub reason: Option<String>,
    /// When it began.
    pub began_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
    /// What became of it.
    pub status: RunStatus,
    /// What it had planned.
    pub plan: Value,
    /// How far it is, as much as a resumed run needs.
    pub progress: Value,
    /// What came of it, or the error.
    pub result: Value,
}

impl Run {
    /// A run that begins at `now`; `salt` tells runs of one second apart.
    pub fn new(command: &str, by: &str, reason: Option<String>, plan: Value, now: UnixNanos, salt: u16) -> Self {
        let time = now.to_string();
        let second = time.get(..19).unwrap_or(&time).replace(':', "-");
        Self {
            version: RUN_VERSION,
            id: format!("{second}Z-{command}-{salt:04x}"),
            command: command.to_owned(),
            by: by.to_owned(),
            reason,
            began_at: time,
            ended_at: None,
            status: RunStatus::Begun,
            plan,
            progress: Value::Null,
            result: Value::Null,
        }
    }

    /// Notes the end.
    pub fn end(&mut self, status: RunStatus, result: Value, now: UnixNanos) {
        self.status = status;
        self.ended_at = Some(now.to_string());
        self.result = result;
    }

    fn encode(&self) -> Result<Bytes> {
        let text = serde_json::to_vec_pretty(self).map_err(|e| Error::internal("write down a run").because(e))?;
        Ok(text.into())
    }

    fn decode(key: &str, text: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            #[serde(rename = "ledgerline_run")]
            version: u32,
        }
        let damaged = |e| Error::data(format!("read {key}: it is damaged")).because(e);
        let Version { version } = serde_json::from_slice(text).map_err(damaged)?;
        if version > RUN_VERSION {
            return Err(Error::data(format!(
                "read {key} of version {version}: this program knows versions up to {RUN_VERSION}; use a newer one"
            )));
        }
        serde_json::from_slice(text).map_err(damaged)
    }
}

/// Prefix of the runs of a stream.
pub fn prefix(stream: &str) -> String {
    format!("runs/{stream}/")
}

fn key(stream: &str, id: &str) -> String {
    format!("{}{id}.json", prefix(stream))
}

/// Writes down that a run begins. [`Conflict`](ledgerline_domain::ErrorKind::Conflict) when there is one
/// of its name.
pub async fn begin<A: Archive>(archive: &A, stream: &str, run: &Run) -> Result<()> {
    check_stream(stream)?;
    match archive.create(&key(stream, &run.id), run.encode()?).await? {
        Created::New => Ok(()),
        Created::Exists => Err(Error::new(
            ledgerline_domain::ErrorKind::Conflict,
            format!("begin the run {}: there is one of that name; try again", run.id),
        )),
    }
}

/// Writes down how far a run is, or its end.
pub async fn update<A: Archive>(archive: &A, stream: &str, run: &Run) -> Result<()> {
    archive.replace(&key(stream, &run.id), run.encode()?).await
}

/// One run.
pub async fn get<A: Archive>(archive: &A, stream: &str, id: &str) -> Result<Option<Run>> {
    let key = key(stream, id);
    archive.get(&key).await?.map(|text| Run::decode(&key, &text)).transpose()
}

/// The newest runs, newest first. One that cannot be read is an error in its place.
pub async fn newest<A: Archive>(archive: &A, stream: &str, limit: usize) -> Result<Vec<Result<Run>>> {
    let mut keys = archive.list(&prefix(stream)).await?;
    keys.reverse();
    let mut runs = Vec::new();
    for key in keys.into_iter().take(limit) {
        if let Some(text) = archive.get(&key).await? {
            runs.push(Run::decode(&key, &text));
        }
    }
    Ok(runs)
}
