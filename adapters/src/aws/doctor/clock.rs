//! This machine's clock against AWS's. AWS refuses requests that are five minutes off; signatures of webhooks are
//! refused by the same measure.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_kinesis::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_kinesis::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_kinesis::error::BoxError;
use aws_smithy_types::date_time::{DateTime, Format};

use super::{Findings, State, Targets};
use crate::aws::AwsConfig;

/// AWS refuses requests beyond it.
const SKEW_MAX: Duration = Duration::from_secs(300);
/// A clock that is kept does not come near it.
const SKEW_WARNING: Duration = Duration::from_secs(30);

/// Keeps the header `date` of an answer, also of a refusal.
#[derive(Clone, Debug, Default)]
struct Dates(Arc<Mutex<Option<String>>>);

impl Intercept for Dates {
    fn name(&self) -> &'static str {
        "Dates"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date").map(str::to_owned);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = date;
        Ok(())
    }
}

pub(super) async fn examine(aws: &AwsConfig, targets: &Targets, found: &mut Findings) {
    let dates = Dates::default();
    let before = SystemTime::now();
    let call = aws.kinesis().list_shards().stream_name(&targets.stream).max_results(1);
    let _ = call.customize().interceptor(dates.clone()).send().await;
    let after = SystemTime::now();
    let said = dates.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    let said = said.and_then(|text| DateTime::from_str(&text, Format::HttpDate).ok());
    let Some(theirs) = said.and_then(|at| u64::try_from(at.secs()).ok()) else {
        found.add("this machine", "clock", State::NotChecked, "no answer of AWS said what time it is", "");
        return;
    };
    let seconds = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (state, text) = judge(seconds(before), seconds(after), Duration::from_secs(theirs));
    let fix = if state == State::Ok { "" } else { "run a time service (chrony with 169.254.169.123 on EC2)" };
    found.add("this machine", "clock", state, text, fix);
}

/// Judges AWS's time, given in whole seconds, that was read between two times of ours. All since 1970.
pub fn judge(before: Duration, after: Duration, theirs: Duration) -> (State, String) {
    let off = if theirs > after {
        theirs - after
    } else {
        // Their second may just have begun.
        before.saturating_sub(theirs + Duration::from_secs(1))
    };
    let state = match off {
        off if off >= SKEW_MAX => State::Fault,
        off if off >= SKEW_WARNING => State::Warning,
        _ => State::Ok,
    };
    let side = if theirs > after { "behind" } else { "ahead of" };
    let text = match off.as_secs() {
        0 => "within a second of AWS's".to_owned(),
        seconds => format!("{seconds} s {side} AWS's; AWS refuses requests at {} s", SKEW_MAX.as_secs()),
    };
    (state, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_count_and_the_way_does_not() {
        let s = Duration::from_secs;
        let state = |before, after, theirs| judge(s(before), s(after), s(theirs)).0;
        assert_eq!(state(1000, 1000, 1000), State::Ok);
        assert_eq!(state(1000, 1020, 1010), State::Ok, "a slow answer is no skew");
        assert_eq!(state(1000, 1001, 1032), State::Warning);
        assert_eq!(state(1000, 1001, 960), State::Warning);
        assert_eq!(state(1000, 1001, 1301), State::Fault);
        assert_eq!(state(1000, 1001, 699), State::Fault);
    }
}
