//! The client against a tiny server of the tests' own.

use std::time::{Duration, Instant};

use ledgerline_domain::ErrorKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// Answers every connection with `answer` and gives the address; `hold` keeps it open afterwards.
async fn server(answer: impl Into<Vec<u8>>, hold: bool) -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (seen, requests) = tokio::sync::mpsc::unbounded_channel();
    let answer = answer.into();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let _ = seen.send(String::from_utf8(head).unwrap());
            let _ = stream.write_all(&answer).await;
            if hold {
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
        }
    });
    (address, requests)
}

async fn fetched(answer: impl Into<Vec<u8>>, change: impl FnOnce(&mut Get)) -> Result<Bytes> {
    let (address, _requests) = server(answer, false).await;
    let mut get = Get::new(format!("{address}/page?token=hidden"));
    change(&mut get);
    HttpsWeb::with_plain_loopback().get(get).await
}

fn sized(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_page_comes_with_the_headers_that_were_asked_for() {
    let (address, mut requests) = server(sized("hello"), false).await;
    let mut get = Get::new(format!("{address}/page?a=b"));
    get.headers.push(("authorization".into(), "Bearer very-secret".into()));
    assert!(!format!("{get:?}").contains("very-secret"));
    assert_eq!(HttpsWeb::with_plain_loopback().get(get).await.unwrap(), "hello");
    let head = requests.recv().await.unwrap();
    assert!(head.starts_with("GET /page?a=b HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("authorization: Bearer very-secret\r\n") && head.contains("user-agent: ledgerline/"));
}

#[tokio::test]
async fn statuses_say_what_to_do() {
    for (status, kind) in [
        ("429 Slow", ErrorKind::Retry),
        ("500 Oh", ErrorKind::Retry),
        ("503 Oh", ErrorKind::Retry),
        ("204 Nothing", ErrorKind::Invalid),
        ("401 No", ErrorKind::Invalid),
        ("404 Where", ErrorKind::Invalid),
        ("302 Found\r\nlocation: https://example.com/", ErrorKind::Invalid),
        ("308 There\r\nlocation: http://127.0.0.1:1/", ErrorKind::Invalid),
    ] {
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        let error = fetched(answer, |_| {}).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{status}: {error}");
        assert!(error.to_string().contains("/page") && !error.to_string().contains("hidden"), "{error}");
    }
    for broken in ["", "nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort"] {
        assert_eq!(fetched(broken, |_| {}).await.unwrap_err().kind(), ErrorKind::Retry, "{broken:?}");
    }
}

#[tokio::test]
async fn bodies_are_bounded_however_they_come() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let unsized_ = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello";
    for answer in [sized("hello"), chunked.into(), unsized_.into()] {
        assert_eq!(fetched(answer.clone(), |get| get.bytes_max = 5).await.unwrap(), "hello");
        let error = fetched(answer, |get| get.bytes_max = 4).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    }
    let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(2 * HEAD_BYTES_MAX));
    assert!(fetched(head, |_| {}).await.is_err());
}

#[tokio::test]
async fn time_is_bounded() {
    for answer in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort"] {
        let (address, _requests) = server(answer, true).await;
        let get = Get { timeout: Duration::from_millis(200), ..Get::new(address) };
        let began = Instant::now();
        let error = HttpsWeb::with_plain_loopback().get(get).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
        assert!(began.elapsed() < Duration::from_secs(10));
    }
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = HttpsWeb::with_plain_loopback().get(Get::new(format!("http://{unused}/"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
}

#[tokio::test]
async fn only_https_is_fetched() {
    let (address, mut requests) = server(sized("hello"), false).await;
    for (web, url) in [
        (HttpsWeb::new(), address.as_str()),
        (HttpsWeb::with_plain_loopback(), "http://example.com/"),
        (HttpsWeb::with_plain_loopback(), "http://127.0.0.1.example.com/"),
        (HttpsWeb::with_plain_loopback(), "http://user@127.0.0.1/"),
        (HttpsWeb::new(), "https://user:password@example.com/"),
        (HttpsWeb::new(), "ftp://example.com/"),
        (HttpsWeb::new(), "file:///etc/hostname"),
        (HttpsWeb::new(), "/page"),
        (HttpsWeb::new(), "not an address"),
        (HttpsWeb::new(), ""),
    ] {
        let error = web.get(Get::new(url)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{url}: {error}");
    }
    let mut get = Get::new(&address);
    get.headers.push(("authorization".into(), "two\r\nlines".into()));
    let error = HttpsWeb::with_plain_loopback().get(get).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Invalid && !error.to_string().contains("lines"), "{error}");
    assert!(requests.try_recv().is_err(), "something was sent");
    // TLS is spoken, and a server that does not speak it is no server.
    let tls = address.replace("http://", "https://");
    let get = Get { timeout: Duration::from_secs(2), ..Get::new(tls) };
    assert_eq!(HttpsWeb::new().get(get).await.unwrap_err().kind(), ErrorKind::Retry);
}
