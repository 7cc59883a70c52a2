//! A connection of `load`: one request at a time, with as little work as HTTP/1 allows.
//!
//! The general client ([`crate::client`]) costs more per request than the server that `load` is to put
//! to its limit: its figures were the generator's. Here a request is one write of one buffer, and of an
//! answer only what tells its status and its end is read.

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{ANSWER_TIMEOUT, Target};
use crate::exit::{Exit, Failure, Outcome};

/// Most header fields of an answer.
const FIELDS_MAX: usize = 64;
/// Longest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Room for each read.
const READ_BYTES: usize = 1024;

/// One keep-alive connection. Failures are about the network and have the code [`Exit::Busy`].
pub(super) struct Wire {
    target: Target,
    first_lines: Vec<u8>,
    stream: Option<TcpStream>,
    request: Vec<u8>,
    answer: BytesMut,
}

/// What the head of an answer says.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Bytes of head and body.
    bytes: usize,
    /// Whether the server closes the connection after it.
    closes: bool,
}

impl Wire {
    /// A connection; it is opened with its first request.
    pub fn new(target: Target) -> Self {
        let first_lines = target.post_head();
        Self { target, first_lines, stream: None, request: Vec::new(), answer: BytesMut::new() }
    }

    /// Posts a body: the answer's status. After a failure the next request opens a new connection.
    pub async fn post(&mut self, headers: &[(String, String)], body: &[u8]) -> Outcome<u16> {
        self.write_request(headers, body);
        let kept = self.stream.take();
        let fresh = kept.is_none();
        match self.exchange(kept).await {
            // A kept connection may have been closed by the server meanwhile: then one more attempt.
            Err(failure) if failure.exit == Exit::Busy && !fresh => self.exchange(None).await,
            settled => settled,
        }
    }

    fn write_request(&mut self, headers: &[(String, String)], body: &[u8]) {
        let request = &mut self.request;
        request.clear();
        request.extend_from_slice(&self.first_lines);
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            request.extend_from_slice(b"content-type: application/json\r\n");
        }
        for (name, value) in headers {
            for part in [name.as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                request.extend_from_slice(part);
            }
        }
        request.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
        request.extend_from_slice(body);
    }

    async fn exchange(&mut self, kept: Option<TcpStream>) -> Outcome<u16> {
        let mut stream = match kept {
            Some(stream) => stream,
            None => self.target.connect().await?,
        };
        let (request, answer) = (&self.request, &mut self.answer);
        let exchange = async {
            stream.write_all(request).await.map_err(|e| no_answer(&e.to_string()))?;
            answer.clear();
            let head = loop {
                read(&mut stream, answer).await?;
                if let Some(head) = read_head(answer)? {
                    break head;
                }
            };
            let mut got = answer.len();
            while got < head.bytes {
                // Nobody looks at the body.
                answer.clear();
                got += read(&mut stream, answer).await?;
            }
            Ok::<_, Failure>(Head { closes: head.closes || got > head.bytes, ..head })
        };
        let head = tokio::time::timeout(ANSWER_TIMEOUT, exchange)
            .await
            .map_err(|_| no_answer(&format!("none within {} s", ANSWER_TIMEOUT.as_secs())))??;
        self.stream = (!head.closes).then_some(stream);
        Ok(head.status)
    }
}

/// Reads what is there; nothing more to come is a failure.
async fn read(stream: &mut TcpStream, into: &mut BytesMut) -> Outcome<usize> {
    into.reserve(READ_BYTES);
    match stream.read_buf(into).await {
        Ok(0) => Err(no_answer("the server closed the connection")),
        Ok(bytes) => Ok(bytes),
        Err(e) => Err(no_answer(&e.to_string())),
    }
}

fn no_answer(why: &str) -> Failure {
    Failure::new(Exit::Busy, format!("get an answer: {why}"))
}

/// The head of an answer, once it is whole. A failure of another code than [`Exit::Busy`]: this is no answer
/// that can be read.
fn read_head(answer: &[u8]) -> Outcome<Option<Head>> {
    let unreadable = |why: &str| Failure::failed(format!("read the server's answer: {why}"));
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let parsed = response.parse(answer).map_err(|e| unreadable(&e.to_string()))?;
    let (httparse::Status::Complete(head), Some(status)) = (parsed, response.code) else {
        let room = answer.len() < HEAD_BYTES_MAX;
        return if room { Ok(None) } else { Err(unreadable("its head does not end")) };
    };
    let field = |name: &str| {
        let found = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        found.and_then(|field| std::str::from_utf8(field.value).ok())
    };
    let body = match field("content-length").map(str::parse::<usize>) {
        Some(Ok(bytes)) => bytes,
        None if matches!(status, 204 | 304) => 0,
        _ => return Err(unreadable("it does not say how long it is (Content-Length)")),
    };
    let closes = response.version == Some(0) || field("connection").is_some_and(|v| v.eq_ignore_ascii_case("close"));
    Ok(Some(Head { status, bytes: head.saturating_add(body), closes }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn heads_are_read_once_they_are_whole() {
        let answer = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 4\r\n\r\nbusy";
        let head = Head { status: 503, bytes: answer.len(), closes: false };
        for end in 0..answer.len() - 4 {
            assert_eq!(read_head(&answer[..end]).unwrap(), None);
        }
        assert_eq!(read_head(&answer[..answer.len() - 4]).unwrap(), Some(head));
        let closing = read_head(b"HTTP/1.1 200 OK\r\nconnection: Close\r\ncontent-length: 0\r\n\r\n").unwrap().unwrap();
        assert!(closing.closes && closing.status == 200);
        assert_eq!(read_head(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().unwrap().status, 204);
        for wrong in [
            &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        ] {
            let failure = read_head(wrong).unwrap_err();
            assert!(failure.exit != Exit::Busy && failure.message.starts_with("read the server's answer"), "{failure}");
        }
        let endless = [&b"HTTP/1.1 200 OK\r\na: "[..], &[b'a'; HEAD_BYTES_MAX]].concat();
        assert!(read_head(&endless).unwrap_err().message.contains("does not end"));
    }

    /// A server that answers each connection's requests with what it is given, and then closes it. What was sent.
    async fn server(connections: Vec<Vec<&'static [u8]>>) -> (Wire, tokio::task::JoinHandle<Vec<Vec<u8>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhooks/shop", listener.local_addr().unwrap());
        let served = tokio::spawn(async move {
            let mut requests = Vec::new();
            for answers in connections {
                let (mut stream, _) = listener.accept().await.unwrap();
                for answer in answers {
                    let mut request = vec![0; 4096];
                    let bytes = stream.read(&mut request).await.unwrap();
                    request.truncate(bytes);
                    requests.push(request);
                    for piece in answer.chunks(7) {
                        stream.write_all(piece).await.unwrap();
                        tokio::task::yield_now().await;
                    }
                }
            }
            requests
        });
        (Wire::new(Target::parse(&url).unwrap()), served)
    }

    const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{\"events\":1}";
    const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

    #[tokio::test]
    async fn a_connection_is_kept_and_opened_anew_when_the_server_closed_it() {
        let (mut wire, served) = server(vec![vec![OK, OK], vec![BUSY], vec![OK]]).await;
        let headers = [("stripe-signature".to_owned(), "t=1,v1=ab".to_owned())];
        let mut statuses = Vec::new();
        for body in ["{}", "[1]", "{}", "{}"] {
            statuses.push(wire.post(&headers, body.as_bytes()).await.unwrap());
        }
        assert_eq!(statuses, [200, 200, 503, 200]);
        let host = String::from_utf8(wire.first_lines.clone()).unwrap();
        let second = format!(
            "{host}content-type: application/json\r\nstripe-signature: t=1,v1=ab\r\ncontent-length: 3\r\n\r\n[1]"
        );
        assert_eq!(String::from_utf8(served.await.unwrap()[1].clone()).unwrap(), second);
    }

    #[tokio::test]
    async fn a_source_may_have_a_content_type_of_its_own() {
        let (mut wire, served) = server(vec![vec![OK]]).await;
        wire.post(&[("Content-Type".to_owned(), "text/plain".to_owned())], b"x").await.unwrap();
        let request = String::from_utf8(served.await.unwrap().remove(0)).unwrap();
        assert_eq!(request.to_ascii_lowercase().matches("content-type").count(), 1, "{request}");
    }

    #[tokio::test]
    async fn no_answer_is_a_failure_that_may_pass() {
        let (mut wire, served) = server(vec![vec![b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab"]]).await;
        let failure = wire.post(&[], b"{}").await.unwrap_err();
        assert_eq!(
            (failure.exit, failure.message.as_str()),
            (Exit::Busy, "get an answer: the server closed the connection")
        );
        served.await.unwrap();
        assert!(wire.post(&[], b"{}").await.unwrap_err().message.starts_with("connect to 127.0.0.1:"));
    }
}
