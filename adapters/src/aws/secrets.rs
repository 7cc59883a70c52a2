//! Secrets in AWS Secrets Manager. Rotation there moves a label: the new version is `AWSCURRENT`, the one before it
//! stays `AWSPREVIOUS`. Both count, so that a rotation has an overlap; a version that is still `AWSPENDING` does not.
//!
//! No error holds anything of a secret.

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash as _, Hasher as _};

use aws_sdk_secretsmanager::Client;
use ledgerline_domain::{Error, Result};
use secrecy::SecretString;

use super::failure::{Call, Failure};
use super::retry::repeat;
use super::{AwsConfig, RetrySettings};

/// The versions of a secret that count, the current one first.
#[derive(Clone)]
pub struct SecretVersions {
    /// Their texts.
    pub texts: Vec<SecretString>,
    /// Changes when another version counts.
    pub stamp: u64,
}

/// Reads secrets. Clones share the client.
#[derive(Clone, Debug)]
pub struct SecretsManager {
    client: Client,
    retries: RetrySettings,
}

impl SecretsManager {
    /// A reader; asks nothing yet.
    pub fn new(aws: &AwsConfig, retries: RetrySettings) -> Self {
        Self { client: aws.secrets_manager(), retries }
    }

    /// A secret by its name or ARN. [`Invalid`](ledgerline_domain::ErrorKind::Invalid) when there is none, when it
    /// may not be read, or when it is not a text.
    pub async fn read(&self, name: &str) -> Result<SecretVersions> {
        let mut texts = Vec::new();
        let mut stamp = DefaultHasher::new();
        for stage in ["AWSCURRENT", "AWSPREVIOUS"] {
            let Some((version, text)) = self.version(name, stage).await? else { continue };
            version.hash(&mut stamp);
            texts.push(text);
        }
        if texts.is_empty() {
            let text =
                format!("read the secret {name}: there is none of that name; create it, or correct name or region");
            return Err(Error::invalid(text));
        }
        Ok(SecretVersions { texts, stamp: stamp.finish() })
    }

    /// The version that has a label: its id and its text.
    async fn version(&self, name: &str, stage: &str) -> Result<Option<(String, SecretString)>> {
        let action = format!("read the secret {name}");
        let call = Call { action: &action, permission: "secretsmanager:GetSecretValue", on: name };
        repeat(&self.retries, || async {
            let sent = self.client.get_secret_value().secret_id(name).version_stage(stage).send().await;
            match sent {
                Ok(found) => {
                    let no_text = || Error::invalid(format!("{action}: it holds bytes; store it as a text"));
                    let text = found.secret_string.ok_or_else(no_text).map_err(Failure::refused)?;
                    Ok(Some((found.version_id.unwrap_or_default(), SecretString::from(text))))
                }
                Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) => Ok(None),
                Err(error) => Err(call.failed(&error)),
            }
        })
        .await
    }
}

/// Says how many, never what.
impl fmt::Debug for SecretVersions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretVersions({})", self.texts.len())
    }
}
