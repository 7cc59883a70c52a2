//! Stripe-shaped traffic for the source `shop` of a served data directory.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ledgerline_domain::provider::Provider;
use ledgerline_domain::signature::sign;
use ledgerline_domain::time::UnixNanos;

use crate::bodies::body;
use crate::child::SECRET;

/// Longest wait for an answer.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// Sends every body once over keep-alive connections, whether or not it is answered, and notes the
/// numbers that were acknowledged. Rests for `pause` after each.
///
/// # Panics
/// When the server answers otherwise than with 200 or 503.
pub fn call(
    address: &str,
    next: &AtomicUsize,
    acknowledged: &Mutex<BTreeSet<usize>>,
    stop: &AtomicBool,
    pause: Duration,
) {
    let provider = Provider::built_in("stripe").expect("built in");
    let mut connection: Option<BufReader<TcpStream>> = None;
    while !stop.load(Ordering::Relaxed) {
        let Some(open) = &mut connection else {
            connection = TcpStream::connect(address).ok().map(BufReader::new);
            if let Some(open) = &connection {
                // A server that was stopped answers nobody.
                open.get_ref().set_read_timeout(Some(SILENCE_MAX)).expect("a timeout");
            }
            if connection.is_none() {
                std::thread::sleep(Duration::from_millis(2));
            }
            continue;
        };
        let number = next.fetch_add(1, Ordering::Relaxed);
        let body = body(number);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let now = UnixNanos::from_seconds(i64::try_from(now).expect("a time")).expect("a time");
        let headers = sign(provider.scheme(), &SECRET.to_owned().into(), "", now, body.as_bytes()).expect("signed");
        match exchange(open, "shop", &headers, body.as_bytes()) {
            Some(200) => {
                acknowledged.lock().expect("not poisoned").insert(number);
            }
            Some(503) => {}
            Some(status) => panic!("status {status}"),
            None => connection = None,
        }
        std::thread::sleep(pause);
    }
}

/// One request to a source; `None` when the connection broke, and nothing is known about the event then.
pub fn exchange(
    open: &mut BufReader<TcpStream>,
    source: &str,
    headers: &[(String, String)],
    body: &[u8],
) -> Option<u16> {
    let length = body.len();
    let mut request = format!("POST /webhooks/{source} HTTP/1.1\r\nhost: t\r\ncontent-length: {length}\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    open.get_mut().write_all(&[request.as_bytes(), body].concat()).ok()?;
    let mut line = String::new();
    open.read_line(&mut line).ok()?;
    let status: u16 = line.split(' ').nth(1)?.parse().ok()?;
    let mut length = 0;
    loop {
        line.clear();
        open.read_line(&mut line).ok()?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut rest = vec![0; length];
    open.read_exact(&mut rest).ok()?;
    Some(status)
}
