//! Metrics for CloudWatch: lines in its embedded metric format, which it finds in the log of a container by itself.
//!
//! The lines are made from the Prometheus text, so both have the same names. Of each metric one value is left, over
//! all labels, because every combination of dimensions is paid for: counters as their growth since the line before,
//! gauges as their largest (of lags and ages the worst counts). A summary gives its `_count`, its `_sum` and its 99th
//! percentile, as `_p99`. The one dimension is `service`.
//!
//! Format: "Specification: Embedded metric format" of the CloudWatch user guide; at most 100 metrics a line.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Most metrics of one line.
const METRICS_MAX: usize = 100;
/// The namespace of all of them.
const NAMESPACE: &str = "Ledgerline";

/// Makes the lines; remembers the counters.
#[derive(Debug)]
pub struct Emf {
    service: String,
    before: BTreeMap<String, f64>,
}

impl Emf {
    /// For a process of this name.
    pub fn new(service: impl Into<String>) -> Self {
        Self { service: service.into(), before: BTreeMap::new() }
    }

    /// The lines for `prometheus`, the whole text of this moment, `millis` after 1970. The first ones count from the
    /// start of the process. None when there is nothing to tell.
    pub fn lines(&mut self, prometheus: &str, millis: u64) -> Vec<String> {
        let mut values: BTreeMap<String, f64> = BTreeMap::new();
        for (name, value, is_counter) in samples(prometheus) {
            let sum = values.entry(name).or_insert(if is_counter { 0.0 } else { value });
            *sum = if is_counter { *sum + value } else { sum.max(value) };
        }
        for (name, value) in &mut values {
            if is_counted(name) {
                let total = *value;
                *value -= self.before.insert(name.clone(), total).unwrap_or_default();
            }
        }
        let values: Vec<(String, f64)> = values.into_iter().filter(|(_, value)| value.is_finite()).collect();
        values.chunks(METRICS_MAX).map(|some| self.line(some, millis)).collect()
    }

    fn line(&self, values: &[(String, f64)], millis: u64) -> String {
        let metrics: Vec<Value> = values.iter().map(|(name, _)| json!({ "Name": name, "Unit": unit(name) })).collect();
        let mut line = Map::new();
        line.insert(
            "_aws".into(),
            json!({
                "Timestamp": millis,
                "CloudWatchMetrics": [{ "Namespace": NAMESPACE, "Dimensions": [["service"]], "Metrics": metrics }],
            }),
        );
        line.insert("service".into(), self.service.clone().into());
        line.extend(values.iter().map(|(name, value)| (name.clone(), json!(value))));
        Value::Object(line).to_string()
    }
}

/// Name, value and whether the value only grows, of every sample that is told.
fn samples(prometheus: &str) -> impl Iterator<Item = (String, f64, bool)> {
    prometheus.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let value: f64 = value.parse().ok()?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        match labels.split_once("quantile=\"").and_then(|(_, rest)| rest.split_once('"')) {
            Some(("0.99", _)) => Some((format!("{name}_p99"), value, false)),
            Some(_) => None,
            None => Some((name.to_owned(), value, is_counted(name))),
        }
    })
}

/// By the naming rules of Prometheus, which all metrics here keep.
fn is_counted(name: &str) -> bool {
    ["_total", "_count", "_sum"].iter().any(|end| name.ends_with(end))
}

fn unit(name: &str) -> &'static str {
    let plain = name.trim_end_matches("_total").trim_end_matches("_p99").trim_end_matches("_sum");
    match plain {
        plain if plain.ends_with("_seconds") => "Seconds",
        plain if plain.ends_with("_bytes") => "Bytes",
        _ => "Count",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# TYPE a_total counter\na_total{x=\"1\"} 3\na_total{x=\"a b\",y=\"2\"} 4\n\n\
        # TYPE lag_seconds gauge\nlag_seconds{shard=\"1\"} 2.5\nlag_seconds{shard=\"2\"} 7\n\
        # TYPE took_seconds summary\ntook_seconds{quantile=\"0.5\"} 0.1\ntook_seconds{quantile=\"0.99\"} 0.4\n\
        took_seconds_sum 12\ntook_seconds_count 30\nbad NaN\n";

    fn read(line: &str) -> Value {
        serde_json::from_str(line).unwrap()
    }

    /// What the specification asks of a line.
    fn check(line: &Value) {
        assert!(line["_aws"]["Timestamp"].is_u64());
        let directives = line["_aws"]["CloudWatchMetrics"].as_array().unwrap();
        for directive in directives {
            assert_eq!(directive["Namespace"], "Ledgerline");
            for dimensions in directive["Dimensions"].as_array().unwrap() {
                for dimension in dimensions.as_array().unwrap() {
                    assert!(line[dimension.as_str().unwrap()].is_string(), "a dimension is a text of the line");
                }
            }
            let metrics = directive["Metrics"].as_array().unwrap();
            assert!((1..=100).contains(&metrics.len()));
            for metric in metrics {
                assert!(line[metric["Name"].as_str().unwrap()].is_number());
                assert!(["Count", "Seconds", "Bytes"].contains(&metric["Unit"].as_str().unwrap()));
            }
        }
    }

    #[test]
    fn counters_are_summed_and_told_as_growth_gauges_as_the_worst() {
        let mut emf = Emf::new("ledgerline-processor");
        let first = read(&emf.lines(TEXT, 1_790_000_000_000)[0]);
        check(&first);
        assert_eq!(first["service"], "ledgerline-processor");
        assert_eq!((first["a_total"].as_f64(), first["lag_seconds"].as_f64()), (Some(7.0), Some(7.0)));
        assert_eq!((first["took_seconds_p99"].as_f64(), first["took_seconds_count"].as_f64()), (Some(0.4), Some(30.0)));
        assert!(first.get("bad").is_none(), "no number of JSON");
        let second = read(&emf.lines(&TEXT.replace("} 4", "} 9"), 1_790_000_060_000)[0]);
        check(&second);
        assert_eq!((second["a_total"].as_f64(), second["lag_seconds"].as_f64()), (Some(5.0), Some(7.0)));
        assert_eq!(second["took_seconds_count"].as_f64(), Some(0.0));
    }

    #[test]
    fn a_line_has_at_most_a_hundred_metrics() {
        let text: String = (0..250).map(|n| format!("metric_{n:03}_total 1\n")).collect();
        let lines = Emf::new("s").lines(&text, 1);
        assert_eq!(lines.len(), 3);
        lines.iter().for_each(|line| check(&read(line)));
        assert!(Emf::new("s").lines("", 1).is_empty());
    }
}
