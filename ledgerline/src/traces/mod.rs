//! Traces to a collector, by OTLP over HTTP (feature `otlp`), set up by the environment variables that
//! OpenTelemetry has for it. Which traces there are and what a span may say is [`ledgerline_domain::trace`]'s.
//!
//! Nothing waits for the collector: spans go into a queue with a bound, a thread of its own empties it, and what finds
//! no room is counted and gone. Without an endpoint there is no queue and no thread.
//!
//! | metric | what |
//! | --- | --- |
//! | `ledgerline_traces_exported_total` | spans that the collector took |
//! | `ledgerline_traces_dropped_total` | spans that were lost: the queue was full, the collector refused them or was away for too long |

#[cfg(feature = "otlp")]
mod client;
#[cfg(feature = "otlp")]
mod export;
#[cfg(feature = "otlp")]
mod queue;
#[cfg(feature = "otlp")]
mod variables;
#[cfg(feature = "otlp")]
mod words;

use ledgerline_domain::trace::Traces;

use crate::exit::Outcome;
use crate::settings::Loaded;
use crate::task::Task;

/// Variables that ask for traces.
const ASKING: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
/// Names the exporter; `otlp` asks for traces too, `none` for none.
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
/// `true` switches everything off.
const DISABLED: &str = "OTEL_SDK_DISABLED";

/// Whether the environment asks for traces.
fn are_asked_for(variable: impl Fn(&str) -> Option<String>) -> bool {
    let is = |name, value: &str| variable(name).is_some_and(|said| said.eq_ignore_ascii_case(value));
    let has = |name: &str| variable(name).is_some_and(|said| !said.is_empty());
    !is(DISABLED, "true") && !is(EXPORTER, "none") && (is(EXPORTER, "otlp") || ASKING.into_iter().any(has))
}

/// A variable of the environment.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Begins to tell, if the environment asks for it: what takes the spans, and what must be stopped last of all roles.
/// Counting must have begun. Errors are of usage, and name the variable.
#[cfg(feature = "otlp")]
pub fn begin(loaded: &Loaded) -> Outcome<(Traces, Option<Task>)> {
    if !are_asked_for(variable) {
        return Ok((Traces::default(), None));
    }
    let variables = variables::Variables::read(variable)?;
    if variables.sampling == ledgerline_domain::trace::Sampling::NONE {
        return Ok((Traces::default(), None));
    }
    export::begin(variables, words::Words::of(loaded))
}

/// Says that this build tells no traces, if the environment asks for them.
#[cfg(not(feature = "otlp"))]
pub fn begin(_: &Loaded) -> Outcome<(Traces, Option<Task>)> {
    if are_asked_for(variable) {
        tracing::warn!(
            "the environment asks for traces, and this program was built without them; build it with --features otlp"
        );
    }
    Ok((Traces::default(), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_asks_for_traces_and_two_words_say_no() {
        let asked = |set: &[(&str, &str)]| {
            are_asked_for(|name| set.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
        };
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
        assert!(!asked(&[]));
        assert!(!asked(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]));
        assert!(asked(&[endpoint]) && asked(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://localhost/x")]));
        assert!(asked(&[("OTEL_TRACES_EXPORTER", "otlp")]));
        assert!(!asked(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]));
        assert!(!asked(&[endpoint, ("OTEL_SDK_DISABLED", "True")]));
        assert!(asked(&[endpoint, ("OTEL_SDK_DISABLED", "false")]));
    }
}
