//! The thread that empties the queue: one export at a time, tried again where waiting can mend it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ledgerline_domain::trace::{Span, Traces};
use metrics::Counter;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::trace::SpanExporter as _;
use tokio::sync::watch;

use super::client::{Client, Refusal};
use super::queue::Queue;
use super::variables::Variables;
use super::words::Words;
use crate::exit::{Failure, Outcome};
use crate::task::{Task, wait_for};

/// How long the end of the process waits for the spans that are left.
const FLUSH_MAX: Duration = Duration::from_secs(5);
/// Attempts for one batch, and the pauses between them: first and longest.
const ATTEMPTS_MAX: u32 = 5;
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(8));
/// How often it is said that the collector is away.
const COMPLAINT_EVERY: Duration = Duration::from_secs(300);

/// Starts the thread.
pub(super) fn begin(variables: Variables, words: Words) -> Outcome<(Traces, Option<Task>)> {
    let queue = Arc::new(Queue::new(variables.waiting_max, variables.batch_max));
    let traces = Traces::new(variables.sampling, queue.clone());
    let (ended, is_ended) = watch::channel(false);
    let exporting = Exporting::new(queue.clone(), variables, words)?;
    std::thread::Builder::new()
        .name("traces".into())
        .spawn(move || {
            exporting.run();
            ended.send_replace(true);
        })
        .map_err(|e| Failure::failed(format!("start the thread that exports traces: {e}")))?;
    let task = Task::spawn("traces", move |stop| async move {
        wait_for(stop).await;
        queue.close(Instant::now() + FLUSH_MAX);
        // The thread may hang in a request; it ends with the process.
        let _ = tokio::time::timeout(FLUSH_MAX, wait_for(is_ended)).await;
        queue.give_up();
        Ok(())
    });
    Ok((traces, Some(task)))
}

struct Exporting {
    queue: Arc<Queue>,
    exporter: SpanExporter,
    client: Client,
    words: Words,
    delay: Duration,
    exported: Counter,
    dropped: Counter,
    /// When it was last said that the collector is away, since it was there last.
    complained: Option<Instant>,
}

impl Exporting {
    fn new(queue: Arc<Queue>, variables: Variables, words: Words) -> Outcome<Self> {
        let client = Client::new(variables.timeout);
        let endpoint = variables.endpoint.to_string();
        let builder = SpanExporter::builder().with_http().with_http_client(client.clone()).with_endpoint(endpoint);
        let built = builder.with_timeout(variables.timeout).build();
        let mut exporter = built.map_err(|e| Failure::usage(format!("export traces: {e}")))?;
        exporter.set_resource(&words.resource());
        Ok(Self {
            queue,
            exporter,
            client,
            words,
            delay: variables.delay,
            exported: metrics::counter!("ledgerline_traces_exported_total"),
            dropped: metrics::counter!("ledgerline_traces_dropped_total"),
            complained: None,
        })
    }

    fn run(mut self) {
        // Nothing in it waits for anything but the collector.
        let runtime = match tokio::runtime::Builder::new_current_thread().build() {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "failed to start what exports traces"),
        };
        loop {
            let spans = self.queue.next(self.delay);
            let is_late = self.queue.until().is_some_and(|until| until <= Instant::now());
            if spans.is_empty() {
                return;
            }
            let count = spans.len() as u64;
            if !is_late && self.export(&runtime, &spans) {
                self.exported.increment(count);
            } else {
                self.dropped.increment(count);
            }
        }
    }

    /// True when the collector took them.
    fn export(&mut self, runtime: &tokio::runtime::Runtime, spans: &[Span]) -> bool {
        let mut pause = PAUSES.0;
        for attempt in 1..=ATTEMPTS_MAX {
            let sent = runtime.block_on(self.exporter.export(self.words.spans(spans)));
            let Err(error) = sent else {
                if self.complained.take().is_some() {
                    tracing::info!("the collector of the traces takes spans again");
                }
                return true;
            };
            // What is not of the client's is of the library's, before anything was sent.
            let unsent = || Refusal { words: error.to_string(), is_passing: false };
            let refusal = self.client.take_refusal().unwrap_or_else(unsent);
            self.complain(&refusal);
            if !refusal.is_passing || attempt == ATTEMPTS_MAX {
                return false;
            }
            if self.queue.pause(pause).is_some_and(|until| until <= Instant::now() + PAUSES.0) {
                return false;
            }
            pause = (pause * 2).min(PAUSES.1);
        }
        false
    }

    fn complain(&mut self, refusal: &Refusal) {
        if self.complained.is_none_or(|at| at.elapsed() >= COMPLAINT_EVERY) {
            self.complained = Some(Instant::now());
            let Refusal { words, .. } = refusal;
            tracing::warn!("failed to export traces: {words}; spans that find no room are dropped and counted");
        }
    }
}
