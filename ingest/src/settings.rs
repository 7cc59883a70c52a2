//! Limits of the door, plain data with stated defaults. Units stand last in the names; durations
//! are [`Duration`]s.

use std::time::Duration;

use ledgerline_domain::{Error, Result};

/// Most bytes that an envelope adds to its body: evidence of 12 KiB, ids and type of
/// 256 bytes each, all of them escaped, and the fixed attributes.
pub const ENVELOPE_OVERHEAD_BYTES_MAX: usize = 32 * 1024;

/// Limits of the door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Largest request body; a larger one gets 413. Default 1 MiB.
    pub body_bytes_max: usize,
    /// Longest time for a body to arrive after its head; a slower one gets 408. Default 10 s.
    pub body_read_timeout: Duration,
    /// Longest time for a request's head to arrive, and for a connection to stay idle; past it the
    /// connection is closed. Default 30 s.
    pub head_read_timeout: Duration,
    /// Most connections; further ones wait in the listener's backlog. Default 4096.
    pub connections_max: usize,
    /// Most requests between their head and the end of their append; further ones get 503.
    /// Default 4096.
    pub in_flight_max: usize,
    /// Most bytes of bodies between their arrival and the end of their append; past it requests get
    /// 503. Default 64 MiB.
    pub in_flight_bytes_max: usize,
    /// Longest wait for the log; past it the caller gets 503, and the append still runs to its end.
    /// Default 10 s.
    pub append_timeout: Duration,
    /// What `Retry-After` says with a 503, rounded up to seconds. Default 5 s.
    pub retry_after: Duration,
    /// Longest time for requests and appends to finish after the shutdown began. Default 25 s.
    pub drain_timeout: Duration,
    /// Largest record that the log takes. The program sets what its log says. Default 2 MiB.
    pub record_bytes_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            body_bytes_max: 1024 * 1024,
            body_read_timeout: Duration::from_secs(10),
            head_read_timeout: Duration::from_secs(30),
            connections_max: 4096,
            in_flight_max: 4096,
            in_flight_bytes_max: 64 * 1024 * 1024,
            append_timeout: Duration::from_secs(10),
            retry_after: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(25),
            record_bytes_max: 2 * 1024 * 1024,
        }
    }
}

impl Settings {
    /// Checks the limits against each other. Errors are of kind `Invalid` and name key and fix.
    pub(crate) fn check(&self) -> Result<()> {
        for (key, positive) in [
            ("body_bytes_max", self.body_bytes_max > 0),
            ("connections_max", self.connections_max > 0),
            ("in_flight_max", self.in_flight_max > 0),
            ("body_read_timeout", !self.body_read_timeout.is_zero()),
            ("head_read_timeout", !self.head_read_timeout.is_zero()),
            ("append_timeout", !self.append_timeout.is_zero()),
        ] {
            if !positive {
                return Err(Error::invalid(format!("use `{key}`: it must not be 0")));
            }
        }
        if self.in_flight_bytes_max < self.body_bytes_max {
            return Err(Error::invalid(format!(
                "use `in_flight_bytes_max` = {}: not even one body of `body_bytes_max` = {} would fit; raise it",
                self.in_flight_bytes_max, self.body_bytes_max
            )));
        }
        // A body that is not JSON travels as base64.
        let largest = (self.body_bytes_max.div_ceil(3)).saturating_mul(4).saturating_add(ENVELOPE_OVERHEAD_BYTES_MAX);
        if largest > self.record_bytes_max {
            return Err(Error::invalid(format!(
                "use `body_bytes_max` = {}: its envelope may have {largest} bytes and the log takes {}; lower it to {}",
                self.body_bytes_max,
                self.record_bytes_max,
                self.record_bytes_max.saturating_sub(ENVELOPE_OVERHEAD_BYTES_MAX) / 4 * 3
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_cannot_work_are_refused_with_key_and_fix() {
        let good = Settings::default();
        assert!(good.check().is_ok());
        for (settings, words) in [
            (Settings { body_bytes_max: 0, ..good.clone() }, "`body_bytes_max`"),
            (Settings { in_flight_max: 0, ..good.clone() }, "`in_flight_max`"),
            (Settings { append_timeout: Duration::ZERO, ..good.clone() }, "`append_timeout`"),
            (Settings { in_flight_bytes_max: 1, ..good.clone() }, "raise it"),
            (Settings { body_bytes_max: 2 * 1024 * 1024, ..good.clone() }, "lower it to 1548288"),
            (Settings { body_bytes_max: usize::MAX, in_flight_bytes_max: usize::MAX, ..good.clone() }, "lower it"),
        ] {
            let error = settings.check().expect_err(words).to_string();
            assert!(error.contains(words), "{error}");
        }
        // What the message recommends works, and one more does not.
        let recommended = Settings { body_bytes_max: 1_548_288, ..good };
        assert!(recommended.check().is_ok());
        assert!(Settings { body_bytes_max: 1_548_289, ..recommended }.check().is_err());
    }
}
