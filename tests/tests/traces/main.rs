//! Traces as a collector gets them from the program in processes of its own.

mod away;
mod routes;

use std::io::BufReader;
use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ledgerline_domain::provider::Provider;
use ledgerline_domain::signature::sign;
use ledgerline_domain::time::UnixNanos;
use ledgerline_tests::child::{SECRET, Served};
use ledgerline_tests::collector::Collector;
use ledgerline_tests::traffic::exchange;

/// A served directory that tells its traces to the collector, soon.
fn served(dir: &std::path::Path, collector: &Collector) -> Served {
    let mut served = Served::prepare(env!("CARGO_BIN_EXE_ledgerline-under-test"), dir);
    served.set_variable("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint);
    served.set_variable("OTEL_BSP_SCHEDULE_DELAY", "50");
    served
}

/// A caller on a connection of its own.
struct Caller(BufReader<TcpStream>);

impl Caller {
    fn of(served: &Served) -> Self {
        let open = TcpStream::connect(&served.address).expect("the server is there");
        open.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        Self(BufReader::new(open))
    }

    /// Posts as the provider signs it, with further headers.
    fn post(&mut self, source: &str, body: &str, further: &[(&str, &str)]) -> u16 {
        let mut headers = signed(source, body);
        headers.extend(further.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.send(source, &headers, body)
    }

    fn send(&mut self, source: &str, headers: &[(String, String)], body: &str) -> u16 {
        exchange(&mut self.0, source, headers, body.as_bytes()).expect("an answer")
    }
}

fn signed(source: &str, body: &str) -> Vec<(String, String)> {
    let provider = if source == "shop" { "stripe" } else { "generic" };
    let provider = Provider::built_in(provider).expect("built in");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let now = UnixNanos::from_seconds(i64::try_from(now).expect("a time")).expect("a time");
    sign(provider.scheme(), &SECRET.to_owned().into(), "", now, body.as_bytes()).expect("signed")
}

/// A Stripe event about a payment.
fn event(id: &str, payment: &str, created: u64, amount: u64) -> String {
    format!(
        r#"{{"id":"{id}","type":"payment_intent.succeeded","created":{created},"data":{{"object":{{"id":"{payment}","object":"payment_intent","amount":{amount},"amount_received":{amount},"currency":"eur","status":"succeeded"}}}}}}"#
    )
}
