//! Where a secret is: `env:NAME`, `file:PATH` (one secret a line), `aws-secretsmanager:NAME` (or `NAME#FIELD`, with
//! the feature `aws`) or, discouraged, the settings themselves.
//! `{ secret = "env:OLD", until = "2026-12-01T00:00:00Z" }` counts until then: the overlap of a rotation
//! that ends by itself.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ledgerline_domain::time::UnixNanos;
use ledgerline_domain::{Error, Result};
#[cfg(feature = "aws")]
use secrecy::ExposeSecret as _;
use secrecy::SecretString;
use serde::Deserialize;

use crate::exit::{Failure, Outcome};

/// Longest secret file, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// How a secret in AWS Secrets Manager is named.
const SECRETS_MANAGER: &str = "aws-secretsmanager:";

/// Where a secret is, and until when it counts.
#[derive(Clone, Deserialize)]
#[serde(try_from = "Written")]
pub struct SecretRef {
    place: Place,
    until: Option<UnixNanos>,
}

#[derive(Clone)]
enum Place {
    /// In an environment variable.
    Env(String),
    /// In a file, one a line.
    File(PathBuf),
    /// In AWS Secrets Manager: name or ARN, and the field of a JSON object.
    SecretsManager { name: String, field: Option<String> },
    /// In the settings themselves.
    Literal(SecretString),
}

/// As it stands in the settings.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a secret: \"env:NAME\", \"file:PATH\", \"aws-secretsmanager:NAME\", or { secret = \"…\", until = \"2026-12-01T00:00:00Z\" }"
)]
enum Written {
    Text(String),
    Ending(Ending),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ending {
    secret: String,
    until: String,
}

impl TryFrom<Written> for SecretRef {
    type Error = Error;

    fn try_from(written: Written) -> Result<Self> {
        let (text, until) = match written {
            Written::Text(text) => (text, None),
            Written::Ending(Ending { secret, until }) => (secret, Some(UnixNanos::parse_rfc3339(&until)?)),
        };
        let place = if let Some(name) = text.strip_prefix("env:") {
            Place::Env(name.to_owned())
        } else if let Some(path) = text.strip_prefix("file:") {
            Place::File(path.into())
        } else if let Some(name) = text.strip_prefix(SECRETS_MANAGER) {
            let (name, field) =
                name.split_once('#').map_or((name, None), |(name, field)| (name, Some(field.to_owned())));
            Place::SecretsManager { name: name.to_owned(), field }
        } else {
            Place::Literal(text.into())
        };
        Ok(Self { place, until })
    }
}

/// Says where, never what.
impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Env(name) => write!(f, "env:{name}")?,
            Place::File(path) => write!(f, "file:{}", path.display())?,
            Place::SecretsManager { name, field: None } => write!(f, "{SECRETS_MANAGER}{name}")?,
            Place::SecretsManager { name, field: Some(field) } => write!(f, "{SECRETS_MANAGER}{name}#{field}")?,
            Place::Literal(_) => f.write_str("(in the settings file)")?,
        }
        match self.until {
            Some(until) => write!(f, " until {until}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl SecretRef {
    /// Its name in AWS Secrets Manager, if it lies there.
    pub fn secrets_manager_name(&self) -> Option<&str> {
        match &self.place {
            Place::SecretsManager { name, .. } => Some(name),
            _ => None,
        }
    }

    /// Completes a relative path.
    pub fn resolve_in(&mut self, folder: &Path) {
        if let Place::File(path) = &mut self.place {
            *path = folder.join(&*path);
        }
    }

    /// Whether it stands in the settings file, which is discouraged.
    pub fn is_literal(&self) -> bool {
        matches!(self.place, Place::Literal(_))
    }

    /// Whether it counted until some time before `now`: the end of an overlap.
    pub fn has_ended(&self, now: UnixNanos) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// The secrets it names.
    pub fn read(&self) -> Outcome<Vec<SecretString>> {
        match &self.place {
            Place::Literal(secret) => Ok(vec![secret.clone()]),
            Place::Env(name) => match std::env::var(name) {
                Ok(value) if !value.trim().is_empty() => Ok(vec![value.trim().to_owned().into()]),
                Ok(_) => Err(Failure::usage(format!("read secret env:{name}: the variable is empty"))),
                Err(_) => Err(Failure::usage(format!("read secret env:{name}: set the variable to the secret"))),
            },
            Place::SecretsManager { name, field } => from_secrets_manager(name, field.as_deref()),
            Place::File(path) => {
                let shown = path.display();
                let refused = |why: String| Failure::usage(format!("read secret file:{shown}: {why}"));
                let length = std::fs::metadata(path).map_err(|e| refused(e.to_string()))?.len();
                if length > FILE_BYTES_MAX {
                    return Err(refused(format!("it is longer than {FILE_BYTES_MAX} bytes")));
                }
                let text = std::fs::read_to_string(path).map_err(|e| refused(e.to_string()))?;
                let secrets: Vec<SecretString> = split(&text).into_iter().map(Into::into).collect();
                if secrets.is_empty() { Err(refused("the file holds no secret".into())) } else { Ok(secrets) }
            }
        }
    }

    /// Changes when the file does, or the secret that AWS keeps, and when the secret ends. May wait for AWS.
    pub fn stamp(&self, now: UnixNanos) -> Option<(SystemTime, u64)> {
        match &self.place {
            _ if self.has_ended(now) => Some((SystemTime::UNIX_EPOCH, u64::MAX)),
            Place::File(path) => stamp(path),
            #[cfg(feature = "aws")]
            Place::SecretsManager { name, .. } => {
                crate::aws_secrets::stamp(name).map(|stamp| (SystemTime::UNIX_EPOCH, stamp))
            }
            _ => None,
        }
    }
}

/// One secret a line, of every version that counts.
#[cfg(feature = "aws")]
fn from_secrets_manager(name: &str, field: Option<&str>) -> Outcome<Vec<SecretString>> {
    let versions = crate::aws_secrets::secrets(name, field)?;
    let secrets: Vec<SecretString> =
        versions.iter().flat_map(|text| split(text.expose_secret())).map(Into::into).collect();
    if secrets.is_empty() {
        return Err(Failure::usage(format!("read secret {SECRETS_MANAGER}{name}: it is empty")));
    }
    Ok(secrets)
}

#[cfg(not(feature = "aws"))]
fn from_secrets_manager(name: &str, _: Option<&str>) -> Outcome<Vec<SecretString>> {
    Err(Failure::usage(format!(
        "read secret {SECRETS_MANAGER}{name}: this program was built without AWS; build it with \
         `cargo build --release --features aws`, or use env:NAME or file:PATH"
    )))
}

/// Changes when the file or the folder does.
pub fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    std::fs::metadata(path).ok().and_then(|m| Some((m.modified().ok()?, m.len())))
}

/// One secret a line; what stands from `-----BEGIN` to `-----END` is one secret.
fn split(text: &str) -> Vec<String> {
    let mut secrets: Vec<String> = Vec::new();
    let mut inside = false;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match secrets.last_mut().filter(|_| inside) {
            Some(last) => {
                last.push('\n');
                last.push_str(line);
            }
            None => secrets.push(line.to_owned()),
        }
        inside = (inside || line.starts_with("-----BEGIN")) && !line.starts_with("-----END");
    }
    secrets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Table {
        secrets: Vec<SecretRef>,
    }

    #[test]
    fn a_secret_may_end() {
        let text = r#"secrets = ["env:NEW", { secret = "env:OLD", until = "2026-12-01T00:00:00Z" }]"#;
        let Table { secrets } = toml::from_str(text).unwrap();
        let at = |text| UnixNanos::parse_rfc3339(text).unwrap();
        let ended = |now| secrets.iter().map(|s| s.has_ended(at(now))).collect::<Vec<_>>();
        assert_eq!(ended("2026-11-30T23:59:59Z"), [false, false]);
        assert_eq!(ended("2026-12-01T00:00:00Z"), [false, true]);
        assert_eq!(secrets[1].to_string(), "env:OLD until 2026-12-01T00:00:00Z");
        assert_ne!(secrets[1].stamp(at("2026-11-30T00:00:00Z")), secrets[1].stamp(at("2026-12-02T00:00:00Z")));
    }

    #[test]
    fn a_secret_may_be_kept_by_aws() {
        let text = r#"secrets = ["aws-secretsmanager:prod/shop", "aws-secretsmanager:prod/all#shop"]"#;
        let Table { secrets } = toml::from_str(text).unwrap();
        assert_eq!(secrets[0].to_string(), "aws-secretsmanager:prod/shop");
        assert_eq!(secrets[1].to_string(), "aws-secretsmanager:prod/all#shop");
        assert!(!secrets[0].is_literal());
        #[cfg(not(feature = "aws"))]
        {
            let refused = secrets[0].read().unwrap_err().message;
            assert!(refused.contains("--features aws"), "{refused}");
        }
    }

    #[test]
    fn what_is_no_secret_is_refused_without_showing_it() {
        for wrong in [r#"[{ secret = "s3cret", until = "soon" }]"#, r#"[{ secret = "s3cret" }]"#, "[7]"] {
            let error = toml::from_str::<Table>(&format!("secrets = {wrong}")).err().unwrap().message().to_owned();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_line_or_a_pem_block_is_a_secret() {
        let pem = "-----BEGIN PUBLIC KEY-----\nAAAA\nBBBB\n-----END PUBLIC KEY-----";
        let text = format!("one\n\n  two \r\n{}\n{pem}\nthree\n", pem.replace('\n', "\r\n  "));
        assert_eq!(split(&text), ["one", "two", pem, pem, "three"]);
        assert!(split(" \n").is_empty());
    }
}
