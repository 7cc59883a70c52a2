//! The load that is priced: events of 1 KB, three per payment, of several sources, in the order in which they would
//! come. A payment's events come seconds apart, and those of many payments lie between them.

use bytes::Bytes;
use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::ids::SourceName;
use ledgerline_domain::ports::{Clock as _, LogRecord};
use ledgerline_domain::provider::{Provider, Sources};
use ledgerline_domain::request::RawRequest;
use ledgerline_domain::signature::{Scheme, SecretSet, verify};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::sync::Arc;
use std::time::Duration;

use crate::exit::{Failure, Outcome};
use crate::payments::random_id;
use crate::sender::Signer;
use crate::wiring::SystemClock;

/// Names of the sources and their providers.
const SOURCES: [(&str, &str); 4] =
    [("stripe-eu", "stripe"), ("stripe-us", "stripe"), ("stripe-uk", "stripe"), ("shop", "generic")];
/// Signs the made-up events and nothing else.
const SECRET: &str = "whsec_made_up_for_the_load_that_is_priced";
/// Events of a payment.
pub const EVENTS_PER_PAYMENT: usize = 3;
/// Seconds since 1970 at which the made-up business begins.
const START: i64 = 1_790_000_000;

/// One event of the load.
pub struct Planned {
    /// When it comes, from the start.
    pub at: Duration,
    source: usize,
    id: String,
    body: String,
}

/// A source that is open.
struct Open {
    name: SourceName,
    provider: Arc<Provider>,
    scheme: Scheme,
    secrets: SecretSet,
    signer: Signer,
}

/// All sources: signs and seals as a provider and the door would.
pub struct Doors(Vec<Open>);

impl Doors {
    /// Opens the made-up sources.
    pub fn open() -> Outcome<Self> {
        let open = |(name, provider): (&str, &str)| {
            let provider = Provider::built_in(provider);
            let provider = Arc::new(provider.ok_or_else(|| Failure::failed("find a built-in provider"))?);
            let scheme = provider.scheme().clone();
            let secrets = SecretSet::new(&scheme, [SECRET.to_owned().into()])?;
            let signer = Signer::new(scheme.clone(), SECRET.to_owned().into());
            Ok(Open { name: SourceName::new(name)?, provider, scheme, secrets, signer })
        };
        Ok(Self(SOURCES.into_iter().map(open).collect::<Outcome<_>>()?))
    }

    /// What the processor reads them with.
    pub fn sources(&self) -> Sources {
        let mut sources = Sources::default();
        self.0.iter().for_each(|open| sources.insert(&open.name, open.provider.clone()));
        sources
    }

    /// The records of an event that comes now: signed, verified and sealed.
    pub fn receive(&self, event: &Planned) -> Outcome<Vec<LogRecord>> {
        let open = self.0.get(event.source).ok_or_else(|| Failure::failed("find a source"))?;
        let now = SystemClock.now();
        let signed = open.signer.request(&event.id, now, &Bytes::from(event.body.clone()))?;
        let raw = RawRequest { headers: &signed.headers, body: &signed.body, received_at: now };
        let verified = verify(&open.scheme, &open.secrets, raw)
            .map_err(|cause| Failure::failed(format!("verify a made-up event: {cause}")))?;
        let identified = open.provider.identify(&open.name, verified.raw());
        let record = |event| {
            let envelope = Envelope::seal(&verified, event);
            LogRecord { data: envelope.encode().into(), key: envelope.event.entity }
        };
        Ok(identified.into_iter().map(record).collect())
    }
}

/// `events` events at `rate` a second, in the order in which they come. Between two events of a payment there are
/// `gap` seconds on average (at random, mostly less, sometimes several times as much).
pub fn plan(events: usize, rate: f64, gap: f64, seed: u64) -> Vec<Planned> {
    let mut rng = StdRng::seed_from_u64(seed);
    let payments = events / EVENTS_PER_PAYMENT;
    let mut planned = Vec::with_capacity(payments * EVENTS_PER_PAYMENT);
    #[expect(clippy::cast_precision_loss, reason = "numbers of events")]
    let every = EVENTS_PER_PAYMENT as f64 / rate;
    for n in 0..payments {
        let source = rng.random_range(0..SOURCES.len());
        #[expect(clippy::cast_precision_loss, reason = "numbers of events")]
        let mut at = n as f64 * every;
        let bodies = match SOURCES.get(source) {
            Some((_, "stripe")) => stripe(n, &mut rng),
            _ => plain(n, &mut rng),
        };
        for (id, body) in bodies {
            planned.push(Planned { at: Duration::from_secs_f64(at), source, id, body });
            at += -gap * (1.0 - rng.random::<f64>()).ln();
        }
    }
    planned.sort_by_key(|event| event.at);
    planned
}

fn stripe(n: usize, rng: &mut StdRng) -> [(String, String); EVENTS_PER_PAYMENT] {
    let mut id = |prefix: &str, length| random_id(prefix, length, rng);
    let (intent, charge, customer, method) = (id("pi_3", 23), id("ch_3", 23), id("cus_", 14), id("pm_1", 23));
    let events = [id("evt_1", 23), id("evt_3", 23), id("evt_3", 23)];
    let requests = [id("req_", 14), id("req_", 14), id("req_", 14)];
    let amount = 100 + rng.random_range(0..90_000);
    let created = START + i64::try_from(n / 100).unwrap_or_default();
    let of_intent = |received: i64, status: &str, charge: &str| {
        format!(
            r#"{{"id":"{intent}","object":"payment_intent","amount":{amount},"amount_capturable":0,"amount_details":{{"tip":{{}}}},"amount_received":{received},"application":null,"canceled_at":null,"cancellation_reason":null,"capture_method":"automatic","confirmation_method":"automatic","created":{created},"currency":"eur","customer":"{customer}","description":"Order {n}","invoice":null,"last_payment_error":null,"latest_charge":{charge},"livemode":true,"metadata":{{"order_id":"{n}","channel":"web"}},"next_action":null,"on_behalf_of":null,"payment_method":"{method}","payment_method_types":["card"],"receipt_email":null,"status":"{status}","transfer_group":null}}"#
        )
    };
    let of_charge = format!(
        r#"{{"id":"{charge}","object":"charge","amount":{amount},"amount_captured":{amount},"amount_refunded":0,"application":null,"billing_details":{{"address":{{"city":null,"country":"DE","line1":null,"line2":null,"postal_code":null,"state":null}},"email":null,"name":null,"phone":null}},"captured":true,"created":{created},"currency":"eur","customer":"{customer}","disputed":false,"failure_code":null,"livemode":true,"metadata":{{"order_id":"{n}"}},"outcome":{{"network_status":"approved_by_network","risk_level":"normal","type":"authorized"}},"paid":true,"payment_intent":"{intent}","payment_method":"{method}","refunded":false,"status":"succeeded"}}"#
    );
    let objects = [
        ("payment_intent.created", of_intent(0, "requires_payment_method", "null")),
        ("charge.succeeded", of_charge),
        ("payment_intent.succeeded", of_intent(amount, "succeeded", &format!("\"{charge}\""))),
    ];
    let mut number = 0;
    objects.map(|(event_type, object)| {
        let (event, request) = (events.get(number).cloned(), requests.get(number).cloned());
        number += 1;
        let (event, request) = (event.unwrap_or_default(), request.unwrap_or_default());
        let body = format!(
            r#"{{"id":"{event}","object":"event","api_version":"2024-06-20","created":{},"data":{{"object":{object}}},"livemode":true,"pending_webhooks":1,"request":{{"id":"{request}","idempotency_key":null}},"type":"{event_type}"}}"#,
            created + i64::try_from(number).unwrap_or_default()
        );
        (event, body)
    })
}

fn plain(n: usize, rng: &mut StdRng) -> [(String, String); EVENTS_PER_PAYMENT] {
    let payment = random_id("pay_", 12, rng);
    let amount = format!("{}.{:02}", rng.random_range(1..900), rng.random_range(0..100));
    // Orders have lines; so a body has about a kilobyte.
    let lines: Vec<String> = (0..6)
        .map(|line| {
            let article = random_id("art_", 16, rng);
            format!(r#"{{"line":{line},"article":"{article}","description":"Espresso cups, set of 6","quantity":1,"unit_price":"12.50"}}"#)
        })
        .collect();
    let lines = lines.join(",");
    let mut number = 0;
    ["payment.created", "payment.authorized", "payment.captured"].map(|event_type| {
        number += 1;
        let id = random_id("le_", 20, rng);
        let body = format!(
            r#"{{"id":"{id}","type":"{event_type}","payment":"{payment}","sequence":{number},"amount":"{amount}","currency":"EUR","order":{{"number":"{n}","channel":"web","lines":[{lines}]}}}}"#
        );
        (id, body)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn events_have_a_kilobyte_and_are_read_as_three_per_payment() {
        let doors = Doors::open().unwrap();
        let planned = plan(600, 100.0, 2.0, 1);
        assert!(planned.is_sorted_by_key(|event| event.at));
        let mut of: HashMap<String, usize> = HashMap::new();
        for event in &planned {
            assert!((850..1300).contains(&event.body.len()), "{}", event.body.len());
            let records = doors.receive(event).unwrap();
            assert_eq!(records.len(), 1, "{}", event.body);
            *of.entry(records[0].key.as_str().to_owned()).or_default() += 1;
        }
        assert_eq!(of.len(), 200);
        assert!(of.iter().all(|(key, events)| *events == EVENTS_PER_PAYMENT && key.contains("/payment/")));
    }
}
