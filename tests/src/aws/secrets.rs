//! Secrets Manager in this process: one call, versions with their labels.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Json, Router, routing};
use bytes::Bytes;
use ledgerline_adapters::aws::Endpoints;
use serde_json::{Value, json};

use super::serve;

/// Versions of a secret: label → version and text.
type Labels = BTreeMap<&'static str, (String, String)>;

/// A Secrets Manager with the secrets that a test gives it.
#[derive(Clone, Default)]
pub struct LocalSecrets {
    address: String,
    secrets: Arc<Mutex<BTreeMap<String, Labels>>>,
}

impl LocalSecrets {
    /// Starts an empty one.
    pub async fn start() -> Self {
        let secrets = Self::default();
        let router = Router::new().route("/", routing::post(answer)).with_state(secrets.clone());
        let server = |listener| async {
            let _: Result<(), std::io::Error> = axum::serve(listener, router).await;
        };
        Self { address: serve(server).await, ..secrets }
    }

    /// Its address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// How it is reached.
    pub fn endpoints(&self) -> Endpoints {
        Endpoints { secrets_manager: Some(self.address.clone()), ..Endpoints::default() }
    }

    /// Gives a secret its next version, as a rotation does.
    pub fn rotate(&self, name: &str, text: &str) {
        let mut secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        let labels = secrets.entry(name.to_owned()).or_default();
        if let Some(before) = labels.remove("AWSCURRENT") {
            labels.insert("AWSPREVIOUS", before);
        }
        labels.insert("AWSPENDING", (format!("{text}-pending"), "not yet".into()));
        labels.insert("AWSCURRENT", (format!("version of {}", text.len()), text.to_owned()));
    }

    /// Deletes a secret.
    pub fn delete(&self, name: &str) {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

async fn answer(State(all): State<LocalSecrets>, headers: HeaderMap, body: Bytes) -> (StatusCode, Json<Value>) {
    let refused = |code: &str| (StatusCode::BAD_REQUEST, Json(json!({ "__type": code, "message": "refused" })));
    if headers.get("x-amz-target").is_none_or(|target| target != "secretsmanager.GetSecretValue") {
        return refused("UnknownOperationException");
    }
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (name, stage) = (asked["SecretId"].as_str().unwrap_or_default(), asked["VersionStage"].as_str());
    if name == "forbidden" {
        return refused("AccessDeniedException");
    }
    let secrets = all.secrets.lock().unwrap_or_else(PoisonError::into_inner);
    let version = secrets.get(name).and_then(|labels| labels.get(stage.unwrap_or("AWSCURRENT")));
    let Some((version, text)) = version else { return refused("ResourceNotFoundException") };
    (StatusCode::OK, Json(json!({ "Name": name, "VersionId": version, "SecretString": text })))
}
