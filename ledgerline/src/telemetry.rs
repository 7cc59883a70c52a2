//! Logs to standard error, metrics as Prometheus text. Both are set up once per process.

use std::io::IsTerminal as _;
use std::sync::OnceLock;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::exit::{Failure, Outcome};

/// The environment variable that says what to log.
pub const LOG_VARIABLE: &str = "LEDGERLINE_LOG";

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// Begins to log at `level`, else at what [`LOG_VARIABLE`] says, else at `default`.
pub fn log(level: Option<&str>, default: &str) -> Outcome<()> {
    let variable = std::env::var(LOG_VARIABLE).ok();
    let wanted = level.or(variable.as_deref()).unwrap_or(default);
    let filter = EnvFilter::try_new(wanted).map_err(|e| {
        Failure::usage(format!("read the log level {wanted:?}: {e}; use error, warn, info, debug or ledgerline=debug"))
    })?;
    // A second setup in one process keeps the first.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
    Ok(())
}

/// Begins to count. Must come before the roles make their handles.
pub fn count() {
    METRICS.get_or_init(|| {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let _ = metrics::set_global_recorder(recorder);
        handle
    });
}

/// How often durations are summed up; between two times each is kept by itself.
const UPKEEP: std::time::Duration = std::time::Duration::from_secs(5);

/// Sums up for ever what was counted, so that memory stays flat where nobody asks for the metrics.
pub async fn upkeep() {
    loop {
        tokio::time::sleep(UPKEEP).await;
        if let Some(handle) = METRICS.get() {
            handle.run_upkeep();
        }
    }
}

/// Everything counted so far, as Prometheus text.
pub fn metrics_text() -> String {
    let Some(handle) = METRICS.get() else { return String::new() };
    handle.run_upkeep();
    handle.render()
}
