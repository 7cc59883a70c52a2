//! Logs to standard error, metrics as Prometheus text. Both are set up once per process.

use std::io::{IsTerminal as _, Write as _};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing::Level;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, filter};

use crate::emf::Emf;
use crate::exit::{Failure, Outcome};

/// The environment variable that says what to log.
pub const LOG_VARIABLE: &str = "LEDGERLINE_LOG";

/// The environment variable that asks for lines in CloudWatch's embedded metric format: `1`, or the name of this process
/// as the dimension `service`.
pub const EMF_VARIABLE: &str = "LEDGERLINE_EMF";

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// Begins to log at `level`, else at what [`LOG_VARIABLE`] says, else at `default`.
pub fn log(level: Option<&str>, default: &str) -> Outcome<()> {
    let variable = std::env::var(LOG_VARIABLE).ok();
    let wanted = level.or(variable.as_deref()).unwrap_or(default);
    let filter = EnvFilter::try_new(wanted).map_err(|e| {
        Failure::usage(format!("read the log level {wanted:?}: {e}; use error, warn, info, debug or ledgerline=debug"))
    })?;
    // A second setup in one process keeps the first.
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(filter::filter_fn(|about| holds_no_body(*about.level(), about.target())))
        .with(lines)
        .try_init();
    Ok(())
}

/// Crates that write whole requests, answers and events into their finest lines.
const OUTSPOKEN: [&str; 2] = ["aws_", "lambda_runtime"];

/// Whether a line cannot hold a body (I12), whatever level somebody asks for.
fn holds_no_body(level: Level, target: &str) -> bool {
    level <= Level::INFO || !OUTSPOKEN.iter().any(|crates| target.starts_with(crates))
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
const UPKEEP: Duration = Duration::from_secs(5);
/// How often CloudWatch is told of the metrics; it keeps them by the minute.
const EMF_EVERY: Duration = Duration::from_secs(60);

/// Sums up for ever what was counted, so that memory stays flat where nobody asks for the metrics. Where
/// [`EMF_VARIABLE`] asks for it, tells CloudWatch of them on standard output.
pub async fn upkeep() {
    let mut emf = emf_service().map(Emf::new);
    let mut told = Instant::now();
    loop {
        tokio::time::sleep(UPKEEP).await;
        if let Some(handle) = METRICS.get() {
            handle.run_upkeep();
        }
        if let Some(emf) = &mut emf
            && told.elapsed() >= EMF_EVERY
        {
            told = Instant::now();
            tell(emf);
        }
    }
}

/// Tells CloudWatch of the metrics whenever it is told to, where [`EMF_VARIABLE`] asks for it: for a process that stands
/// still between two pieces of work.
#[derive(Debug)]
pub struct Teller(Option<Emf>);

impl Teller {
    /// As the environment asks for it. Begins to count.
    pub fn from_environment() -> Self {
        count();
        Self(emf_service().map(Emf::new))
    }

    /// Writes the lines of what was counted since the last ones.
    pub fn tell(&mut self) {
        match &mut self.0 {
            Some(emf) => tell(emf),
            // Durations are summed up either way; nobody else sees to it.
            None => {
                if let Some(handle) = METRICS.get() {
                    handle.run_upkeep();
                }
            }
        }
    }
}

/// The name of this process for CloudWatch, if it is to be told of the metrics.
fn emf_service() -> Option<String> {
    match std::env::var(EMF_VARIABLE).ok()?.as_str() {
        "" | "0" => None,
        "1" => Some("ledgerline".to_owned()),
        service => Some(service.to_owned()),
    }
}

fn tell(emf: &mut Emf) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let lines = emf.lines(&metrics_text(), u64::try_from(now.as_millis()).unwrap_or_default());
    let mut out = std::io::stdout().lock();
    for line in lines {
        // Nobody can be told when that fails; the next lines come in a minute.
        let _ = writeln!(out, "{line}");
    }
    let _ = out.flush();
}

/// Everything counted so far, as Prometheus text.
pub fn metrics_text() -> String {
    let Some(handle) = METRICS.get() else { return String::new() };
    handle.run_upkeep();
    handle.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobodys_lines_hold_a_body() {
        let outspoken = ["aws_smithy_runtime::client::http::body::wire_log", "lambda_runtime::layers::api_response"];
        for level in [Level::DEBUG, Level::TRACE] {
            assert!(!outspoken.iter().any(|target| holds_no_body(level, target)));
            assert!(holds_no_body(level, "ledgerline_processor::apply"));
        }
        assert!(outspoken.iter().all(|target| holds_no_body(Level::WARN, target)), "what is wrong is told");
    }
}
