//! The environment variables of OpenTelemetry that count here, read once at the start.
//!
//! Names and meanings: "OpenTelemetry Environment Variable Specification" and "OpenTelemetry Protocol Exporter". Headers,
//! the timeout and the resource's attributes are read by OpenTelemetry's own library. What cannot be done is
//! refused, rather than left out silently.

use std::time::Duration;

use http::Uri;
use ledgerline_domain::trace::Sampling;

use super::EXPORTER;
use crate::exit::{Failure, Outcome};

/// What the variables say.
#[derive(Debug)]
pub(super) struct Variables {
    /// Where spans are posted.
    pub endpoint: Uri,
    /// Which traces are told.
    pub sampling: Sampling,
    /// Longest time for one export.
    pub timeout: Duration,
    /// Most spans that wait.
    pub waiting_max: usize,
    /// Most spans of one export.
    pub batch_max: usize,
    /// Longest time that a span waits for others.
    pub delay: Duration,
}

impl Variables {
    /// Reads them.
    pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Outcome<Self> {
        let said = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let either = |end: &str| {
            let names = [format!("OTEL_EXPORTER_OTLP_TRACES_{end}"), format!("OTEL_EXPORTER_OTLP_{end}")];
            names.into_iter().find_map(|name| said(&name).map(|value| (name, value)))
        };
        if let Some(other) = said(EXPORTER).filter(|exporter| !exporter.eq_ignore_ascii_case("otlp")) {
            return Err(refused(EXPORTER, &other, "use otlp or none"));
        }
        if let Some((name, protocol)) = either("PROTOCOL").filter(|(_, protocol)| protocol != "http/protobuf") {
            return Err(refused(&name, &protocol, "use http/protobuf; collectors take it on port 4318"));
        }
        if let Some((name, compression)) = either("COMPRESSION").filter(|(_, compression)| compression != "none") {
            return Err(refused(&name, &compression, "spans are sent as they are; use none"));
        }
        for end in ["CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"] {
            if let Some((name, file)) = either(end) {
                let fix = "only Mozilla's roots count here; send to a collector beside the program over plain HTTP";
                return Err(refused(&name, &file, fix));
            }
        }
        let millis = |name: &str, default| number(name, said(name), default).map(Duration::from_millis);
        let timeout = either("TIMEOUT").map_or(Ok(10_000), |(name, value)| match number(&name, Some(value), 0)? {
            0 => Err(refused(&name, "0", "give milliseconds, such as 10000")),
            millis => Ok(millis),
        })?;
        let count = |name: &str, default| {
            number(name, said(name), default).map(|count| usize::try_from(count).unwrap_or(usize::MAX))
        };
        let waiting_max = count("OTEL_BSP_MAX_QUEUE_SIZE", 16_384)?.max(1);
        Ok(Self {
            endpoint: endpoint(said)?,
            sampling: sampling(said)?,
            timeout: Duration::from_millis(timeout),
            waiting_max,
            batch_max: count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512)?.clamp(1, waiting_max),
            delay: millis("OTEL_BSP_SCHEDULE_DELAY", 5_000)?,
        })
    }
}

/// The one of the traces as it is, the one of all signals with the path of traces behind it.
fn endpoint(said: impl Fn(&str) -> Option<String>) -> Outcome<Uri> {
    let of_traces = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    let of_all = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let (name, address) = match (said(of_traces), said(of_all)) {
        (Some(address), _) => (of_traces, address),
        (None, Some(base)) => (of_all, format!("{}/v1/traces", base.trim_end_matches('/'))),
        (None, None) => (of_all, "http://localhost:4318/v1/traces".to_owned()),
    };
    // The address is not shown: it may hold a key.
    let fix = || Failure::usage(format!("use {name}: give an address such as http://localhost:4318"));
    let uri: Uri = address.parse().map_err(|_| fix())?;
    let is_good = matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty());
    if is_good { Ok(uri) } else { Err(fix()) }
}

fn sampling(said: impl Fn(&str) -> Option<String>) -> Outcome<Sampling> {
    let name = "OTEL_TRACES_SAMPLER";
    let sampler = said(name).unwrap_or_else(|| "parentbased_always_on".to_owned());
    // Nothing here has a parent elsewhere.
    match sampler.strip_prefix("parentbased_").unwrap_or(&sampler) {
        "always_on" => Ok(Sampling::ALL),
        "always_off" => Ok(Sampling::NONE),
        "traceidratio" => {
            let name = "OTEL_TRACES_SAMPLER_ARG";
            let share = said(name).unwrap_or_else(|| "1".to_owned());
            let read = share.parse().ok().and_then(Sampling::share);
            read.ok_or_else(|| refused(name, &share, "give a share from 0 to 1, such as 0.01"))
        }
        _ => Err(refused(name, &sampler, "use always_on, always_off or traceidratio")),
    }
}

fn number(name: &str, said: Option<String>, default: u64) -> Outcome<u64> {
    let Some(said) = said else { return Ok(default) };
    said.parse().map_err(|_| refused(name, &said, "give a whole number"))
}

fn refused(name: &str, value: &str, fix: &str) -> Failure {
    Failure::usage(format!("use {name} = {value:?}: {fix}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &[(&str, &str)]) -> Outcome<Variables> {
        Variables::read(|name| set.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_endpoint_of_all_signals_gets_the_path_of_traces() {
        for (set, wanted) in [
            (vec![], "http://localhost:4318/v1/traces"),
            (vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318")], "http://c:4318/v1/traces"),
            (vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "https://c/otlp/")], "https://c/otlp/v1/traces"),
            (
                vec![
                    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"),
                    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t/here"),
                ],
                "http://t/here",
            ),
        ] {
            assert_eq!(read(&set).unwrap().endpoint.to_string(), wanted);
        }
    }

    #[test]
    fn what_is_not_said_has_defaults() {
        let variables = read(&[]).unwrap();
        assert_eq!(variables.sampling, Sampling::ALL);
        assert_eq!((variables.waiting_max, variables.batch_max), (16_384, 512));
        assert_eq!((variables.delay, variables.timeout), (Duration::from_secs(5), Duration::from_secs(10)));
        let variables = read(&[("OTEL_BSP_MAX_QUEUE_SIZE", "100"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "250")]).unwrap();
        assert_eq!((variables.waiting_max, variables.batch_max), (100, 100));
        assert_eq!(variables.timeout, Duration::from_millis(250));
    }

    #[test]
    fn samplers_are_those_of_the_specification() {
        let of = |sampler, share| read(&[("OTEL_TRACES_SAMPLER", sampler), ("OTEL_TRACES_SAMPLER_ARG", share)]);
        assert_eq!(of("always_off", "").unwrap().sampling, Sampling::NONE);
        assert_eq!(of("traceidratio", "0.25").unwrap().sampling, Sampling::share(0.25).unwrap());
        assert_eq!(of("parentbased_traceidratio", "0.25").unwrap().sampling, Sampling::share(0.25).unwrap());
        assert_eq!(of("traceidratio", "").unwrap().sampling, Sampling::ALL);
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/etc/ca.pem"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_TRACES_SAMPLER", "xray"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://c/x"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "many"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
        ] {
            let failure = read(&[(name, value)]).expect_err(name);
            assert!(failure.message.contains(name), "{failure}");
        }
        let failure = read(&[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "1.5")]).unwrap_err();
        assert!(failure.message.contains("OTEL_TRACES_SAMPLER_ARG"), "{failure}");
    }
}
