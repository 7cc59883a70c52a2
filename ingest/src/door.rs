//! The door: sources, limits and ports put together, checked once at start.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use governor::clock::Clock as _;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use ledgerline_domain::ids::SourceName;
use ledgerline_domain::ports::{Clock, Log, Secrets};
use ledgerline_domain::provider::Provider;
use ledgerline_domain::signature::Scheme;
use ledgerline_domain::trace::Traces;
use ledgerline_domain::{Error, ErrorKind, Result};

use crate::gate::Gate;
use crate::meters::{Meters, SourceMeters};
use crate::settings::Settings;

/// A configured webhook endpoint.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name, the last part of its address.
    pub name: SourceName,
    /// How its requests are read.
    pub provider: Arc<Provider>,
    /// How its requests are signed: the provider's scheme, with the source's own tolerance and address.
    pub scheme: Scheme,
    /// How many verified requests it may send; `None` for any number. Only verified ones count, so
    /// that a forger cannot use up a source's share.
    pub rate_limit: Option<RateLimit>,
}

/// So many requests a second, with bursts above that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests per second in the long run.
    pub per_second: NonZeroU32,
    /// Requests at once after a pause.
    pub burst: NonZeroU32,
}

/// What the door asks of the program. Both are called while a request is served: they must not
/// block.
pub struct Hooks {
    /// Whether everything behind the door is well; `Err` says what is not, in words for operators.
    pub ready: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
    /// All metrics, as Prometheus text.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
}

/// Everything that serves a request.
pub struct Door<L, S, C> {
    pub(crate) log: Arc<L>,
    pub(crate) secrets: Arc<S>,
    pub(crate) clock: Arc<C>,
    pub(crate) hooks: Hooks,
    pub(crate) settings: Settings,
    pub(crate) gate: Arc<Gate>,
    pub(crate) meters: Meters,
    pub(crate) traces: Traces,
    sources: HashMap<String, OpenSource>,
    complaints: Complaints,
}

/// A source as requests need it.
pub(crate) struct OpenSource {
    pub(crate) name: SourceName,
    pub(crate) provider: Arc<Provider>,
    pub(crate) scheme: Scheme,
    pub(crate) meters: SourceMeters,
    limiter: Option<DefaultDirectRateLimiter>,
}

impl OpenSource {
    /// Counts one request against the rate limit; `Err` is how long to wait.
    pub(crate) fn pass(&self) -> Result<(), Duration> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        limiter.check().map_err(|refused| refused.wait_time_from(limiter.clock().now()))
    }
}

impl<L: Log, S: Secrets, C: Clock> Door<L, S, C> {
    /// Checks and puts together. Install the metrics recorder before: the handles are made here.
    /// Errors are [`Invalid`](ErrorKind::Invalid): limits that contradict each other, a source named
    /// twice, a source without secrets or without the address that its scheme signs.
    pub fn new(
        settings: Settings,
        sources: impl IntoIterator<Item = Source>,
        log: Arc<L>,
        secrets: Arc<S>,
        clock: Arc<C>,
        hooks: Hooks,
    ) -> Result<Self> {
        settings.check()?;
        let mut open = HashMap::new();
        for source in sources {
            let name = source.name.as_str().to_owned();
            if secrets.secrets(&name).is_none() {
                return Err(Error::invalid(format!("open source {name}: it has no secrets; give it at least one")));
            }
            if source.scheme.lacks_url() {
                return Err(Error::invalid(format!(
                    "open source {name}: its scheme signs the source's address; give its `url`"
                )));
            }
            let limiter = source
                .rate_limit
                .map(|limit| RateLimiter::direct(Quota::per_second(limit.per_second).allow_burst(limit.burst)));
            let meters = SourceMeters::new(&name);
            let opened =
                OpenSource { name: source.name, provider: source.provider, scheme: source.scheme, meters, limiter };
            if open.insert(name.clone(), opened).is_some() {
                return Err(Error::invalid(format!("open source {name}: it is configured twice")));
            }
        }
        let gate = Arc::new(Gate::new(settings.in_flight_max, settings.in_flight_bytes_max));
        let (meters, complaints) = (Meters::new(), Complaints::new());
        let traces = Traces::default();
        Ok(Self { log, secrets, clock, hooks, settings, gate, meters, traces, sources: open, complaints })
    }

    /// The same, and tells what becomes of requests.
    #[must_use]
    pub fn traced(self, traces: Traces) -> Self {
        Self { traces, ..self }
    }
}

impl<L, S, C> Door<L, S, C> {
    pub(crate) fn source(&self, name: &str) -> Option<&OpenSource> {
        self.sources.get(name)
    }

    /// How many requests of each source were refused since the start, by cause; a source without any is
    /// not named.
    pub fn refused(&self) -> BTreeMap<String, BTreeMap<&'static str, u64>> {
        let of = |(name, source): (&String, &OpenSource)| (name.clone(), source.meters.refused().collect());
        self.sources.iter().map(of).filter(|(_, causes): &(_, BTreeMap<_, _>)| !causes.is_empty()).collect()
    }

    /// Reports a failed append, where it is handled: here. A log that is full or away says so once a
    /// second, however many requests it turns back.
    pub(crate) fn complain(&self, error: &Error) {
        if error.kind() == ErrorKind::Retry && !self.complaints.due() {
            return;
        }
        tracing::warn!(%error, "failed to append to the log; callers get 503");
    }
}

/// When the last complaint was made, in seconds since the start.
struct Complaints {
    start: Instant,
    last: AtomicU64,
}

impl Complaints {
    fn new() -> Self {
        Self { start: Instant::now(), last: AtomicU64::new(0) }
    }

    fn due(&self) -> bool {
        let now = self.start.elapsed().as_secs() + 1;
        self.last.swap(now, Ordering::Relaxed) != now
    }
}
