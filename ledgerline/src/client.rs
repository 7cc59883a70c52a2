//! A small HTTP/1 client for `send`, `load` and the demonstration: one keep-alive connection, one
//! request at a time, no TLS.
//!
//! Errors are about the network and say which address; an HTTP answer of any status is no error.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use ledgerline_domain::signature::Signed;
use tokio::net::TcpStream;

use crate::exit::{Exit, Failure, Outcome};

/// Longest wait for an answer.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Longest pause before another attempt.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Where to send.
#[derive(Clone, Debug)]
pub struct Target {
    authority: String,
    host: HeaderValue,
    path: String,
}

impl Target {
    /// Reads `http://host[:port]/path`.
    pub fn parse(url: &str) -> Outcome<Self> {
        let refused = |why: &str| Failure::usage(format!("read the URL {url:?}: {why}"));
        let uri: Uri = url.parse().map_err(|e: http::uri::InvalidUri| refused(&e.to_string()))?;
        if uri.scheme_str() != Some("http") {
            return Err(refused("it must begin with http:// (there is no TLS in this client)"));
        }
        let authority = uri.authority().ok_or_else(|| refused("it names no host"))?;
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| refused("its host cannot be sent"))?;
        let port = authority.port_u16().unwrap_or(80);
        let path = uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
        Ok(Self { authority: format!("{}:{port}", authority.host()), host, path })
    }

    /// The bytes of a request's first lines: method, path, host.
    pub fn post_head(&self) -> Vec<u8> {
        let head = [b"POST ", self.path.as_bytes(), b" HTTP/1.1\r\nhost: ", self.host.as_bytes(), b"\r\n"];
        head.concat()
    }

    /// Opens a connection. Where nobody answers the code is [`Exit::Busy`].
    pub async fn connect(&self) -> Outcome<TcpStream> {
        let authority = &self.authority;
        let failed = |why: String| Failure::new(Exit::Busy, format!("connect to {authority}: {why}"));
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(authority));
        let stream =
            stream.await.map_err(|_| failed("no answer in time".into()))?.map_err(|e| failed(e.to_string()))?;
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    /// The same server, another path.
    pub fn at(&self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self.clone() }
    }
}

/// An HTTP answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// What the server asked to wait, if it did.
    pub retry_after: Option<Duration>,
    /// Its body.
    pub body: Bytes,
}

/// One keep-alive connection.
pub struct Client {
    target: Target,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    /// A client; it connects with its first request.
    pub fn new(target: Target) -> Self {
        Self { target, sender: None }
    }

    /// Posts a body.
    pub async fn post(&mut self, headers: &[(String, String)], body: Bytes) -> Outcome<Answer> {
        let path = self.target.path.clone();
        self.request(Method::POST, &path, headers, body).await
    }

    /// Gets another path of the same server.
    pub async fn get(&mut self, path: &str) -> Outcome<Answer> {
        self.request(Method::GET, path, &[], Bytes::new()).await
    }

    /// Posts a request until the server takes or refuses it: connection errors, 429 and 503 are tried
    /// again, `attempts` times in all. Gives the answer and how often it was tried again.
    pub async fn deliver(
        &mut self,
        attempts: u32,
        mut sign: impl FnMut() -> Outcome<Signed>,
    ) -> Outcome<(Answer, u32)> {
        let mut pause = Duration::from_millis(50);
        let mut again = 0;
        loop {
            let Signed { headers, body } = sign()?;
            let result = self.post(&headers, body).await;
            let wait = match &result {
                Ok(answer) if matches!(answer.status, 429 | 503) => answer.retry_after,
                Ok(_) => None,
                Err(_) => None,
            };
            let settled = matches!(&result, Ok(answer) if !matches!(answer.status, 429 | 503));
            again += 1;
            if settled || again >= attempts {
                return result.map(|answer| (answer, again - 1));
            }
            tokio::time::sleep(wait.unwrap_or(pause).min(PAUSE_MAX)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn request(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(String, String)],
        body: Bytes,
    ) -> Outcome<Answer> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() =
            path.parse().map_err(|e| Failure::usage(format!("send a request to the path {path:?}: {e}")))?;
        request.headers_mut().insert(HOST, self.target.host.clone());
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in headers {
            let unfit = || Failure::usage(format!("send the header {name:?}: its name or value cannot be sent"));
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unfit())?;
            let value = HeaderValue::from_str(value).map_err(|_| unfit())?;
            request.headers_mut().insert(name, value);
        }
        // A kept connection may have been closed by the server meanwhile: then one more attempt.
        if let Some(mut sender) = self.sender.take()
            && sender.ready().await.is_ok()
            && let Ok(answer) = self.answer(sender, request.clone()).await
        {
            return Ok(answer);
        }
        let sender = self.connect().await?;
        self.answer(sender, request).await
    }

    async fn connect(&self) -> Outcome<SendRequest<Full<Bytes>>> {
        let stream = self.target.connect().await?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) =
            handshake.map_err(|e| Failure::new(Exit::Busy, format!("connect to {}: {e}", self.target.authority)))?;
        // The connection's errors come back through the request that it was for.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }

    async fn answer(&mut self, mut sender: SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> Outcome<Answer> {
        let failed = |why: String| Failure::new(Exit::Busy, format!("get an answer: {why}"));
        let exchange = async {
            let response = sender.send_request(request).await.map_err(|e| failed(e.to_string()))?;
            let status = response.status().as_u16();
            let seconds = response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|e| failed(e.to_string()))?.to_bytes();
            Ok::<_, Failure>(Answer { status, retry_after: seconds.map(Duration::from_secs), body })
        };
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, exchange)
            .await
            .map_err(|_| failed(format!("none within {} s", ANSWER_TIMEOUT.as_secs())))??;
        self.sender = Some(sender);
        Ok(answer)
    }
}

/// Spreads requests evenly: at most so many a second over everybody who waits here.
pub struct Pace {
    gap: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    /// `rate` a second; nothing for no limit.
    pub fn new(rate: Option<u32>) -> Option<Self> {
        let gap = Duration::from_secs(1).checked_div(rate?)?;
        Some(Self { gap, next: Mutex::new(Instant::now()) })
    }

    /// Waits for the next free moment. Moments that passed unused are not made up for beyond 100 ms.
    pub async fn wait(&self) {
        let at = {
            let mut next = self.next.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let oldest = Instant::now().checked_sub(Duration::from_millis(100));
            let at = oldest.map_or(*next, |oldest| (*next).max(oldest));
            *next = at + self.gap;
            at
        };
        tokio::time::sleep_until(at.into()).await;
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn targets_are_http_urls() {
        let target = Target::parse("http://127.0.0.1:8080/webhooks/shop?x=1").unwrap();
        assert_eq!((target.authority.as_str(), target.path.as_str()), ("127.0.0.1:8080", "/webhooks/shop?x=1"));
        assert_eq!(Target::parse("http://example.com").unwrap().authority, "example.com:80");
        for (url, why) in [("https://x/", "no TLS"), ("/path", "http://"), ("http://", "read the URL")] {
            let failure = Target::parse(url).unwrap_err();
            assert!(failure.message.contains(why), "{url}: {failure}");
            assert_eq!(failure.exit, Exit::Usage);
        }
    }

    #[tokio::test]
    async fn nobody_there_is_a_failure_that_may_pass() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        let failure = Client::new(Target::parse(&url).unwrap()).post(&[], Bytes::new()).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Busy);
        assert!(failure.message.starts_with("connect to 127.0.0.1:"), "{failure}");
    }

    #[tokio::test]
    async fn a_pace_is_kept() {
        let pace = Pace::new(Some(1_000)).unwrap();
        let began = Instant::now();
        for _ in 0..30 {
            pace.wait().await;
        }
        assert!(began.elapsed() >= Duration::from_millis(25), "{:?}", began.elapsed());
        assert!(Pace::new(None).is_none());
    }
}
