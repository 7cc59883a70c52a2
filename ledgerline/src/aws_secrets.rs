//! Secrets that AWS Secrets Manager keeps: `aws-secretsmanager:NAME`, or `aws-secretsmanager:NAME#FIELD` for one
//! field of a JSON object, as the console makes them.
//!
//! Region, credentials and endpoint come from the settings' table `[aws]`, else from the environment, as every AWS
//! program takes them. One thread of its own asks, so that whoever needs a secret can simply wait for it. An answer is kept for a while; a secret that
//! cannot be read keeps its last stamp, so the secrets in force stay in force.

use std::collections::HashMap;
use std::sync::mpsc;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use ledgerline_adapters::aws::secrets::{SecretVersions, SecretsManager};
use ledgerline_adapters::aws::{AwsConfig, AwsOptions, RetrySettings};
use ledgerline_domain::{Error, Result};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::runtime::Builder;

/// How often AWS is asked whether a secret changed: a rotation counts after this at the latest.
pub const POLL: Duration = Duration::from_secs(30);
/// What was read this short a time ago is not read again: one change, one look.
const JUST_READ: Duration = Duration::from_secs(5);
/// Longest wait for a secret, repeats included.
const PATIENCE: Duration = Duration::from_secs(10);

/// How this process reaches AWS, where the settings say it.
static OPTIONS: OnceLock<AwsOptions> = OnceLock::new();

/// Says how AWS is reached, before the first secret is asked for. The first word counts.
pub fn reach_by(options: AwsOptions) {
    let _ = OPTIONS.set(options);
}

type Answer = Result<SecretVersions>;

/// Reads secrets and remembers them.
pub struct Keeper {
    asks: Mutex<mpsc::Sender<(String, mpsc::Sender<Answer>)>>,
    read: Mutex<HashMap<String, Read>>,
    poll: Duration,
}

struct Read {
    at: Instant,
    versions: SecretVersions,
}

impl Keeper {
    /// Starts the thread. It reaches AWS by `options` and looks again after `poll`.
    pub fn start(options: AwsOptions, poll: Duration) -> Result<Self> {
        let (asks, asked) = mpsc::channel::<(String, mpsc::Sender<Answer>)>();
        let serve = move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            let mut manager = None;
            for (name, answer) in asked {
                let found = match &runtime {
                    Ok(runtime) => runtime.block_on(read(&options, &mut manager, &name)),
                    Err(_) => Err(Error::internal(format!("read the secret {name}: no async runtime"))),
                };
                // Whoever asked may be gone.
                let _ = answer.send(found);
            }
        };
        let named = std::thread::Builder::new().name("aws-secrets".into());
        named.spawn(serve).map_err(|e| Error::internal("start the thread that reads secrets").because(e))?;
        Ok(Self { asks: Mutex::new(asks), read: Mutex::default(), poll })
    }

    /// The one of this process.
    fn of_the_process() -> Result<&'static Self> {
        static KEEPER: OnceLock<Keeper> = OnceLock::new();
        if let Some(keeper) = KEEPER.get() {
            return Ok(keeper);
        }
        let options = OPTIONS.get().cloned().unwrap_or_default();
        let keeper = Self::start(options, POLL)?;
        Ok(KEEPER.get_or_init(|| keeper))
    }

    /// The secrets of a name now. Waits for AWS.
    pub fn secrets(&self, name: &str, field: Option<&str>) -> Result<Vec<SecretString>> {
        let versions = self.versions(name, JUST_READ.min(self.poll))?;
        let texts = versions.texts.iter();
        texts.map(|text| field.map_or_else(|| Ok(text.clone()), |field| one_field(name, text, field))).collect()
    }

    /// Changes when the secrets of a name do. Asks AWS when the last look is too long ago.
    pub fn stamp(&self, name: &str) -> Option<u64> {
        match self.versions(name, self.poll) {
            Ok(versions) => Some(versions.stamp),
            Err(error) => {
                tracing::error!(%error, "the secrets in force stay in force");
                let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
                let known = read.get_mut(name)?;
                // Not before the next turn: AWS is not asked more often for being away.
                known.at = Instant::now();
                Some(known.versions.stamp)
            }
        }
    }

    fn versions(&self, name: &str, no_older: Duration) -> Answer {
        let read = || self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = read().get(name).filter(|known| known.at.elapsed() < no_older) {
            return Ok(known.versions.clone());
        }
        let gone = || Error::internal(format!("read the secret {name}: the thread that reads secrets has ended"));
        let (answer, answered) = mpsc::channel();
        let sent = self.asks.lock().unwrap_or_else(PoisonError::into_inner).send((name.to_owned(), answer));
        sent.map_err(|_| gone())?;
        let versions = answered.recv().map_err(|_| gone())??;
        read().insert(name.to_owned(), Read { at: Instant::now(), versions: versions.clone() });
        Ok(versions)
    }
}

async fn read(options: &AwsOptions, manager: &mut Option<SecretsManager>, name: &str) -> Answer {
    let manager = match manager {
        Some(manager) => manager,
        None => {
            let aws = AwsConfig::load(options).await?;
            let retries = RetrySettings { give_up_after: PATIENCE, ..RetrySettings::default() };
            manager.insert(SecretsManager::new(&aws, retries))
        }
    };
    manager.read(name).await
}

/// A field of a JSON object. The error holds its name and nothing that it stands in.
fn one_field(name: &str, text: &SecretString, field: &str) -> Result<SecretString> {
    let object: Option<HashMap<String, serde_json::Value>> = serde_json::from_str(text.expose_secret()).ok();
    match object.and_then(|mut object| object.remove(field)) {
        Some(serde_json::Value::String(text)) => Ok(text.into()),
        _ => Err(Error::invalid(format!("read the secret {name}: it is no JSON object with a text {field:?}"))),
    }
}

/// The secrets of a name, by this process's keeper.
pub fn secrets(name: &str, field: Option<&str>) -> Result<Vec<SecretString>> {
    Keeper::of_the_process()?.secrets(name, field)
}

/// Changes when they do.
pub fn stamp(name: &str) -> Option<u64> {
    Keeper::of_the_process().ok()?.stamp(name)
}
