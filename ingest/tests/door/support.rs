//! A log that fails on demand, a fixed clock, a door on a loopback port, and a client that writes
//! its own bytes, so that it can also write wrong ones.

use std::future::Future;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::ids::{SequenceNumber, ShardId, SourceName};
use ledgerline_domain::ports::{Appended, Clock, Log, LogRecord, ReadBatch, ReadLimit, Secrets};
use ledgerline_domain::provider::Provider;
use ledgerline_domain::signature::{Scheme, SecretSet, sign};
use ledgerline_domain::time::UnixNanos;
use ledgerline_domain::trace::Traces;
use ledgerline_domain::{Error, Result};
use ledgerline_ingest::{Door, Hooks, RateLimit, Settings, Source, run};
use secrecy::SecretString;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

pub const NOW: i64 = 1_790_000_000;
pub const SECRET: &str = "whsec_of_the_test";
pub const EVENT: &str =
    r#"{"id":"evt_1","type":"payment_intent.created","created":1790000000,"data":{"object":{"id":"pi_1"}}}"#;

/// A provider whose requests carry several events.
const SHOP: &str = r#"
name = "shop"
format = 1
[signature]
scheme = "body-hmac"
header = "x-shop-signature"
[event]
id = ["/uid"]
type = ["/kind"]
[split]
items = "/events"
[order]
class = "arrival"
[[entity]]
types = ["*"]
kind = "order"
id = ["/order"]
"#;

/// A provider whose new webhooks are challenged.
const BRAINTREE: &str = r#"
name = "braintree"
format = 1
[signature]
scheme = "braintree"
[event]
id = ["/id"]
type = ["/type"]
[order]
class = "arrival"
[[entity]]
types = ["*"]
kind = "order"
id = ["/id"]
"#;

/// A provider whose keys are named by requests.
const PAYPAL: &str = r#"
name = "paypal"
format = 1
[signature]
scheme = "paypal"
accept_any_age = true
[event]
id = ["/id"]
type = ["/type"]
[order]
class = "arrival"
[[entity]]
types = ["*"]
kind = "order"
id = ["/id"]
"#;
pub const BRAINTREE_SECRET: &str = "integration_public_key:integration_private_key";

/// What the log does with an append.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// Takes it.
    #[default]
    Well,
    /// Says its queue is full.
    Full,
    /// Fails otherwise.
    Broken,
    /// Takes it when [`FakeLog::release`] lets it.
    Slow,
}

/// A log in memory.
pub struct FakeLog {
    mood: Mutex<Mood>,
    appended: Mutex<Vec<Vec<LogRecord>>>,
    pub begun: AtomicUsize,
    leave: Semaphore,
}

impl FakeLog {
    pub fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// Lets so many slow appends through.
    pub fn release(&self, appends: usize) {
        self.leave.add_permits(appends);
    }

    /// All envelopes, one list per append.
    pub fn envelopes(&self) -> Vec<Vec<Envelope>> {
        let appended = self.appended.lock().unwrap();
        let decode = |record: &LogRecord| Envelope::decode(&record.data).unwrap();
        appended.iter().map(|records| records.iter().map(decode).collect()).collect()
    }
}

impl Log for FakeLog {
    fn shards(&self) -> Vec<ShardId> {
        vec![ShardId::numbered(0)]
    }

    async fn append(&self, records: Vec<LogRecord>) -> Result<Vec<Appended>> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Well => {}
            Mood::Full => return Err(Error::retry("append: the queue is full")),
            Mood::Broken => return Err(Error::internal("append: the disk is gone")),
            Mood::Slow => self.leave.acquire().await.unwrap().forget(),
        }
        let place = |_: &LogRecord| Appended { shard: ShardId::numbered(0), sequence: SequenceNumber::from_u64(0) };
        let places = records.iter().map(place).collect();
        self.appended.lock().unwrap().push(records);
        Ok(places)
    }

    async fn read(&self, _: &ShardId, _: Option<&SequenceNumber>, _: ReadLimit) -> Result<ReadBatch> {
        Err(Error::internal("read: the door never reads"))
    }

    async fn tip(&self, _: &ShardId) -> Result<Option<SequenceNumber>> {
        Ok(None)
    }

    async fn release(&self, _: &ShardId, _: &SequenceNumber) -> Result<()> {
        Ok(())
    }
}

pub struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> UnixNanos {
        UnixNanos::from_seconds(NOW).unwrap()
    }
}

/// The same secret for every source, prepared for its scheme; it can be taken away.
pub struct TestSecrets(pub Mutex<Vec<(&'static str, Arc<SecretSet>)>>);

impl Secrets for TestSecrets {
    fn secrets(&self, source: &str) -> Option<Arc<SecretSet>> {
        self.0.lock().unwrap().iter().find(|(name, _)| *name == source).map(|(_, set)| set.clone())
    }
}

pub type TestDoor = Door<FakeLog, TestSecrets, FixedClock>;

/// Sources of every test: one event per request, many events per request, and a limited one.
pub fn sources() -> Vec<Source> {
    let stripe = Arc::new(Provider::built_in("stripe").unwrap());
    let shop = Arc::new(Provider::parse("shop.toml", SHOP).unwrap());
    let one = NonZeroU32::new(1).unwrap();
    let limit = Some(RateLimit { per_second: one, burst: NonZeroU32::new(2).unwrap() });
    let source = |name: &str, provider: &Arc<Provider>, rate_limit| Source {
        name: SourceName::new(name).unwrap(),
        provider: provider.clone(),
        scheme: provider.scheme().clone(),
        rate_limit,
    };
    let braintree = Arc::new(Provider::parse("braintree.toml", BRAINTREE).unwrap());
    let paypal = Arc::new(Provider::parse("paypal.toml", PAYPAL).unwrap());
    vec![
        source("stripe-eu", &stripe, None),
        source("shop", &shop, None),
        source("limited", &stripe, limit),
        source("braintree", &braintree, None),
        source("paypal", &paypal, None),
    ]
}

pub fn secrets() -> TestSecrets {
    let secret = |scheme: &Scheme| match scheme {
        Scheme::Braintree => BRAINTREE_SECRET,
        Scheme::PayPal(_) => "WEBHOOK",
        _ => SECRET,
    };
    let set = |scheme: &Scheme| Arc::new(SecretSet::new(scheme, [SecretString::from(secret(scheme))]).unwrap());
    let names = ["stripe-eu", "shop", "limited", "braintree", "paypal"];
    TestSecrets(Mutex::new(sources().iter().zip(names).map(|(source, name)| (name, set(&source.scheme))).collect()))
}

pub fn hooks(ready: Result<(), String>) -> Hooks {
    Hooks { ready: Box::new(move || ready.clone()), metrics: Box::new(|| "# metrics\n".to_owned()) }
}

/// A running door.
pub struct Running {
    pub address: SocketAddr,
    pub log: Arc<FakeLog>,
    pub secrets: Arc<TestSecrets>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<()>>,
}

/// Opens a door and serves it.
pub async fn serve(settings: Settings) -> Running {
    serve_with(settings, Ok(())).await
}

pub async fn serve_with(settings: Settings, ready: Result<(), String>) -> Running {
    serve_all(settings, ready, Traces::default()).await
}

pub async fn serve_traced(settings: Settings, traces: Traces) -> Running {
    serve_all(settings, Ok(()), traces).await
}

async fn serve_all(settings: Settings, ready: Result<(), String>, traces: Traces) -> Running {
    let log = Arc::new(FakeLog {
        mood: Mutex::default(),
        appended: Mutex::default(),
        begun: AtomicUsize::new(0),
        leave: Semaphore::new(0),
    });
    let secrets = Arc::new(secrets());
    let door = TestDoor::new(settings, sources(), log.clone(), secrets.clone(), Arc::new(FixedClock), hooks(ready));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async move {
        let _ = stopped.await;
    };
    let task = tokio::spawn(run(listener, Arc::new(door.unwrap().traced(traces)), shutdown));
    Running { address, log, secrets, stop: Some(stop), task }
}

impl Running {
    /// Begins the shutdown.
    pub fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// The result of `run`.
    pub async fn ended(self) -> Result<()> {
        self.task.await.unwrap()
    }

    pub async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    /// Sends one request on a connection of its own.
    pub async fn ask(&self, request: impl AsRef<[u8]>) -> Reply {
        let mut client = self.connect().await;
        client.send(request).await;
        client.reply().await.unwrap()
    }

    /// Waits until the log has seen so many appends begin.
    pub async fn begun(&self, appends: usize) {
        until(async || self.log.begun.load(Ordering::SeqCst) >= appends).await;
    }
}

/// Waits for something that must happen within seconds.
pub async fn until(happened: impl AsyncFn() -> bool) {
    in_time(async {
        while !happened().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// The result of a future that must be ready within seconds.
pub async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future).await.unwrap()
}

/// A connection that is written by hand.
pub struct Client(pub TcpStream);

/// An answer as it came.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Client {
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// The next answer; `None` when the connection was closed without one.
    pub async fn reply(&mut self) -> Option<Reply> {
        in_time(async {
            let mut read = Vec::new();
            loop {
                if let Some(reply) = Reply::parse(&read) {
                    return Some(reply);
                }
                match self.0.read_buf(&mut read).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        })
        .await
    }
}

impl Reply {
    fn parse(read: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(read).unwrap();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let reply = Self {
            status: head.get(9..12).unwrap().parse().unwrap(),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        };
        let length: usize = reply.header("content-length").unwrap_or("0").parse().unwrap();
        (body.len() >= length).then_some(reply)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().filter_map(|line| line.split_once(": ")).find(|(n, _)| *n == name).map(|(_, v)| v)
    }
}

/// Headers of a genuine request, as lines.
pub fn signature(source: &str, body: &[u8], seconds: i64) -> String {
    let source = sources().into_iter().find(|s| s.name.as_str() == source).unwrap();
    let at = UnixNanos::from_seconds(seconds).unwrap();
    let headers = sign(&source.scheme, &SecretString::from(SECRET), "msg_1", at, body).unwrap();
    headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
}

/// A request with any header lines.
pub fn post(source: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut request =
        format!("POST /webhooks/{source} HTTP/1.1\r\nhost: t\r\n{headers}content-length: {}\r\n\r\n", body.len())
            .into_bytes();
    request.extend_from_slice(body);
    request
}

/// A genuine request.
pub fn signed(source: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    post(source, &signature(source, body, NOW), body)
}
