//! One execution environment: the program in a process of its own, and the runtime API that it asks.
//!
//! API: "Using the Lambda runtime API" of AWS's developer guide. The process stands still (SIGSTOP) between two invocations,
//! and is killed when one takes too long.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path as PathOf, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::aws::serve;

/// How long the service gives a start.
const START_MAX: Duration = Duration::from_secs(60);

/// What became of an invocation: the function's answer, or why there is none.
pub type Answer = Result<Value, String>;

/// A running environment.
pub struct Instance {
    child: Arc<Mutex<Child>>,
    api: Arc<Api>,
    invocations: mpsc::UnboundedSender<Invocation>,
}

struct Invocation {
    id: String,
    payload: String,
    deadline_millis: u128,
}

/// What the process and the service have in common.
struct Api {
    invocations: tokio::sync::Mutex<mpsc::UnboundedReceiver<Invocation>>,
    open: Mutex<HashMap<String, oneshot::Sender<Answer>>>,
    /// Told when the process asks for its first invocation, or cannot.
    started: Mutex<Option<oneshot::Sender<Result<(), Value>>>>,
}

impl Instance {
    /// Starts one; the answer of a start that fails is what the process reported.
    ///
    /// # Panics
    /// When the process cannot be run, or neither comes up nor reports.
    pub async fn start(program: &str, settings: &str, log: &Path) -> Result<Self, Value> {
        let (invocations, received) = mpsc::unbounded_channel();
        let (started, is_up) = oneshot::channel();
        let api = Arc::new(Api {
            invocations: tokio::sync::Mutex::new(received),
            open: Mutex::default(),
            started: Mutex::new(Some(started)),
        });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(failed))
            .route("/2018-06-01/runtime/init/error", post(failed_to_start))
            .layer(axum::extract::DefaultBodyLimit::max(8 << 20))
            .with_state(api.clone());
        let address = serve(|listener| async move { axum::serve(listener, router).await.expect("served") }).await;
        let log = std::fs::File::options().create(true).append(true).open(log).expect("a log file");
        let child = Command::new(program)
            .env("AWS_LAMBDA_RUNTIME_API", address.trim_start_matches("http://"))
            .env("AWS_LAMBDA_FUNCTION_NAME", "ledgerline")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("LEDGERLINE_SETTINGS", settings)
            .env("LEDGERLINE_EMF", "ledgerline-lambda")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log)
            .spawn()
            .expect("it starts");
        let instance = Self { child: Arc::new(Mutex::new(child)), api, invocations };
        match tokio::time::timeout(START_MAX, is_up).await {
            Ok(Ok(Ok(()))) => Ok(instance),
            Ok(Ok(Err(report))) => Err(report),
            _ => panic!("the function neither starts nor says why"),
        }
    }

    /// Wakes it, has it do something, and puts it to sleep again. When it takes longer than `limit` it is killed, as it
    /// is after `killed_after`.
    ///
    /// # Panics
    /// When the machine's clock is before 1970.
    pub async fn invoke(&self, payload: String, limit: Duration, killed_after: Option<Duration>) -> Answer {
        let (answer, answered) = oneshot::channel();
        let id = format!("{:032x}", rand::random::<u128>());
        self.open().insert(id.clone(), answer);
        let deadline = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970") + limit;
        self.signal("CONT");
        let invocation = Invocation { id, payload, deadline_millis: deadline.as_millis() };
        self.invocations.send(invocation).map_err(|_| "the environment is gone".to_owned())?;
        let patience = killed_after.unwrap_or(limit).min(limit);
        match tokio::time::timeout(patience, answered).await {
            Ok(Ok(answer)) => {
                // Time to hear that the answer was taken.
                tokio::time::sleep(Duration::from_millis(3)).await;
                self.signal("STOP");
                answer
            }
            Ok(Err(_)) => Err("the environment is gone".to_owned()),
            Err(_) => {
                self.kill();
                Err("it was killed".to_owned())
            }
        }
    }

    /// SIGKILL.
    pub fn kill(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Whether the process ended; gives its exit code.
    pub fn has_ended(&self) -> bool {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.try_wait().expect("a state").is_some()
    }

    fn signal(&self, name: &str) {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status();
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<String, oneshot::Sender<Answer>>> {
        self.api.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Api {
    fn told(&self, what: Result<(), Value>) {
        if let Some(started) = self.started.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = started.send(what);
        }
    }

    fn answer(&self, id: &str, answer: Answer) -> StatusCode {
        match self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(id) {
            Some(open) => {
                let _ = open.send(answer);
                StatusCode::ACCEPTED
            }
            None => StatusCode::BAD_REQUEST,
        }
    }
}

async fn next(State(api): State<Arc<Api>>) -> Response {
    api.told(Ok(()));
    let Some(invocation) = api.invocations.lock().await.recv().await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let headers = [
        ("lambda-runtime-aws-request-id", invocation.id),
        ("lambda-runtime-deadline-ms", invocation.deadline_millis.to_string()),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-central-1:000000000000:function:ledgerline".into()),
        ("content-type", "application/json".into()),
    ];
    (headers, invocation.payload).into_response()
}

async fn response(State(api): State<Arc<Api>>, PathOf(id): PathOf<String>, body: Bytes) -> StatusCode {
    api.answer(&id, serde_json::from_slice(&body).map_err(|e| format!("it answered no JSON: {e}")))
}

async fn failed(State(api): State<Arc<Api>>, PathOf(id): PathOf<String>, body: Bytes) -> StatusCode {
    api.answer(&id, Err(String::from_utf8_lossy(&body).into_owned()))
}

async fn failed_to_start(State(api): State<Arc<Api>>, body: Bytes) -> StatusCode {
    api.told(Err(serde_json::from_slice(&body).unwrap_or(Value::Null)));
    StatusCode::ACCEPTED
}
