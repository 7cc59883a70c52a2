//! Counts every call to AWS, and what it costs in the units of AWS's price list.
//!
//! The meter is an interceptor of the SDK that every client of an [`AwsConfig`](super::AwsConfig) carries. It
//! sees each call once, when it has ended: the typed request, the typed answer, and how long the body was. It keeps
//! names of streams, tables and buckets, and never anything of a body.
//!
//! DynamoDB tells what a call took when it is asked (`ReturnConsumedCapacity`, which is free). The meter asks where
//! [`ask_for_capacity`](Meter::ask_for_capacity) is on; else it computes from the request, which cannot know the
//! item before the write nor the indexes, so those units are a lower bound then.
//!
//! Everybody's metrics: `ledgerline_aws_calls_total` by `service`, `operation` and `outcome`.

mod counted;
mod priced;
pub mod units;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeSerializationInterceptorContextMut, BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef,
    InterceptorContext,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, Metadata};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};

pub use counted::{CallKey, Counted, Outcome, Reading};
use priced::Asked;

/// Counts calls. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    ask_for_capacity: AtomicBool,
    lines: Mutex<Reading>,
}

impl Meter {
    /// Whether DynamoDB is asked what each call took. Answers become a little longer.
    pub fn ask_for_capacity(&self, ask: bool) {
        self.inner.ask_for_capacity.store(ask, Ordering::Relaxed);
    }

    /// Everything counted so far.
    pub fn read(&self) -> Reading {
        self.inner.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, key: CallKey, counted: Counted) {
        let labels = [
            ("service", key.service.clone()),
            ("operation", key.operation.clone()),
            ("outcome", key.outcome.as_str().to_owned()),
        ];
        metrics::counter!("ledgerline_aws_calls_total", &labels).increment(1);
        *self.inner.lines.lock().unwrap_or_else(PoisonError::into_inner).0.entry(key).or_default() += counted;
    }
}

/// What was asked, kept until the call has ended: the SDK gives the request away when it is written.
#[derive(Debug)]
struct Kept(Asked);

impl Storable for Kept {
    type Storer = StoreReplace<Self>;
}

/// Length of the body that was sent, in bytes.
#[derive(Debug)]
struct Sent(u64);

impl Storable for Sent {
    type Storer = StoreReplace<Self>;
}

impl Intercept for Meter {
    fn name(&self) -> &'static str {
        "Meter"
    }

    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if self.inner.ask_for_capacity.load(Ordering::Relaxed) {
            priced::ask_for_capacity(context.input_mut());
        }
        let asked = Asked::of(context.input());
        config.interceptor_state().store_put(Kept(asked));
        Ok(())
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request();
        let sent = Sent(length(request.headers(), request.body().content_length()));
        config.interceptor_state().store_put(sent);
        Ok(())
    }

    fn read_after_execution(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(about) = config.load::<Metadata>() else { return Ok(()) };
        let nothing = Asked::default();
        let asked = config.load::<Kept>().map_or(&nothing, |kept| &kept.0);
        let outcome = outcome(context.inner());
        let body = config.load::<Sent>().map_or(0, |sent| sent.0);
        let answer = context.output_or_error().and_then(Result::ok);
        let mut counted = asked.counted(about.name(), outcome, answer);
        counted.calls = 1;
        counted.request_bytes = body;
        if about.service() == "S3" {
            priced::s3(about.name(), body, &mut counted);
        }
        let (service, operation) = (about.service().to_owned(), about.name().to_owned());
        self.note(CallKey { service, operation, on: asked.on.clone(), outcome }, counted);
        Ok(())
    }
}

/// Length of a body. A body that travels in signed pieces says its real length in a header of its own.
fn length(headers: &aws_smithy_runtime_api::http::Headers, body: Option<u64>) -> u64 {
    let named = |name: &str| headers.get(name).and_then(|value| value.parse().ok());
    named("x-amz-decoded-content-length").or(body).or_else(|| named("content-length")).unwrap_or(0)
}

fn outcome(context: &InterceptorContext) -> Outcome {
    match context.output_or_error() {
        Some(Ok(_)) => Outcome::Ok,
        Some(Err(error)) if error.is_operation_error() => context.response().map_or(Outcome::Unanswered, refusal),
        _ => Outcome::Unanswered,
    }
}

/// Which kind of refusal an answer is. Of the text only the service's code is looked for.
fn refusal(answer: &HttpResponse) -> Outcome {
    let body = answer.body().bytes().unwrap_or_default();
    let text = String::from_utf8_lossy(body.get(..body.len().min(512)).unwrap_or(body));
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    match answer.status().as_u16() {
        // With a status below 400 it is an answer that was cut.
        ..400 => Outcome::Unanswered,
        409 | 412 => Outcome::Condition,
        429 | 503 => Outcome::Throttled,
        500.. => Outcome::Failed,
        _ if says(&["ConditionalCheckFailed"]) => Outcome::Condition,
        _ if says(&["ThroughputExceeded", "Throttl", "LimitExceeded"]) => Outcome::Throttled,
        _ => Outcome::Refused,
    }
}
