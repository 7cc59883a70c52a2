//! Made-up payments with a known truth: what the demonstration and the load generator send.
//!
//! [`life`] decides what happens to a payment and what it must add up to, by plain arithmetic and
//! without the fold; [`stripe_shape`] and [`plain_shape`] tell the same life as two providers would.
//! The same seed gives the same payments, byte for byte. Amounts are minor units, times unix seconds.

pub mod life;
pub mod plain_shape;
pub mod stripe_shape;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use life::{Life, Truth};

/// Every life begins within this many seconds after [`START`].
const SPAN_SECONDS: i64 = 20 * 86_400;
/// 2026-09-01T08:00:00Z: the demonstration's month of business.
const START: i64 = 1_788_249_600;

/// Fictional payers.
const NAMES: [&str; 16] = [
    "Aiko Tanaka",
    "Ben Okafor",
    "Carla Rossi",
    "David Novak",
    "Elif Kaya",
    "Fatima Haddad",
    "Gustav Lind",
    "Hanna Virtanen",
    "Ivan Petrov",
    "Julia Weber",
    "Kofi Mensah",
    "Lucia Romero",
    "Mei Chen",
    "Noah Fischer",
    "Olga Kowalska",
    "Priya Nair",
];
/// What the shop sells.
const GOODS: [&str; 10] = [
    "Wool blanket",
    "Desk lamp",
    "Espresso cups, set of 6",
    "Hiking boots",
    "City bicycle light",
    "Linen shirt",
    "Bread oven",
    "Garden chair",
    "Chess set",
    "Rain jacket",
];

/// How a story is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// As Stripe would: ordered by time in whole seconds, with ties.
    Stripe,
    /// As the built-in provider `generic`: numbered without holes.
    Plain,
}

/// What an event does to the payment, as far as the storyteller cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moves {
    /// Money is taken.
    Capture,
    /// Money goes back.
    Refund,
    /// Anything else.
    Other,
}

/// One webhook event, before it is signed.
#[derive(Clone, Debug)]
pub struct Event {
    /// The provider's event id.
    pub id: String,
    /// The provider's event type.
    pub event_type: &'static str,
    /// When it happened.
    pub at: i64,
    /// What it does.
    pub moves: Moves,
    /// The body.
    pub body: Bytes,
}

/// One payment: its life, and the events that tell it in the order in which they happened.
#[derive(Clone, Debug)]
pub struct Story {
    /// How it is told.
    pub shape: Shape,
    /// The payment's id at the provider.
    pub payment: String,
    /// What was bought.
    pub goods: &'static str,
    /// What happens.
    pub life: Life,
    /// The events.
    pub events: Vec<Event>,
}

impl Story {
    /// What the payment adds up to when every event has arrived.
    pub fn truth(&self) -> Truth {
        self.life.truth(self.life.steps.len())
    }
}

/// `count` payments told in `shape`, by `seed`.
pub fn stories(shape: Shape, count: usize, seed: u64) -> Vec<Story> {
    let mut rng = StdRng::seed_from_u64(seed ^ (shape as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    (0..count).map(|n| story(shape, n, &mut rng)).collect()
}

fn story(shape: Shape, n: usize, rng: &mut StdRng) -> Story {
    let life = Life::random(shape, START + rng.random_range(0..SPAN_SECONDS), rng);
    let payer = pick(&NAMES, rng);
    let goods = pick(&GOODS, rng);
    let (payment, events) = match shape {
        Shape::Stripe => stripe_shape::tell(&life, payer, goods, rng),
        Shape::Plain => plain_shape::tell(&life, n, payer, goods, rng),
    };
    Story { shape, payment, goods, life, events }
}

fn pick(list: &[&'static str], rng: &mut StdRng) -> &'static str {
    list.get(rng.random_range(0..list.len())).copied().unwrap_or_default()
}

/// An id as providers make them: `prefix` and `length` random letters and digits.
pub(crate) fn random_id(prefix: &str, length: usize, rng: &mut StdRng) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz0123456789";
    let mut text = String::with_capacity(prefix.len() + length);
    text.push_str(prefix);
    for _ in 0..length {
        text.push(LETTERS.get(rng.random_range(0..LETTERS.len())).map_or('0', |b| char::from(*b)));
    }
    text
}

#[cfg(test)]
mod tests {

    use super::*;
    use ledgerline_domain::fold::{Incoming, apply};
    use ledgerline_domain::ids::{EntityKey, SequenceNumber, SourceName};
    use ledgerline_domain::provider::Provider;
    use ledgerline_domain::record::{EntityRecord, State};
    use ledgerline_domain::request::RawRequest;
    use ledgerline_domain::time::UnixNanos;
    use rand::seq::SliceRandom;

    fn fold(story: &Story, rng: &mut StdRng) -> EntityRecord {
        let provider = Provider::built_in(match story.shape {
            Shape::Stripe => "stripe",
            Shape::Plain => "generic",
        })
        .unwrap();
        let source = SourceName::new("shop").unwrap();
        let mut events = story.events.clone();
        events.shuffle(rng);
        let received_at = UnixNanos::from_nanos(0);
        let headers: Vec<(String, String)> = Vec::new();
        let incoming = events.iter().zip(1..).map(|(event, n)| {
            let found = provider.identify(&source, RawRequest { headers: &headers, body: &event.body, received_at });
            let found = found.first().unwrap();
            assert_eq!(found.unreadable, None);
            assert_eq!((found.id.as_str(), found.event_type.as_str()), (event.id.as_str(), event.event_type));
            assert_eq!(found.entity.as_str(), format!("shop/payment/{}", story.payment));
            Incoming {
                id: found.id.clone(),
                event_type: found.event_type.clone(),
                order: found.order,
                occurred_at: found.occurred_at,
                received_at,
                sequence: SequenceNumber::from_u64(n),
                meaning: Some(provider.interpret(event.event_type, "payment", &event.body).unwrap()),
            }
        });
        let key = EntityKey::new(&source, "payment", &story.payment).unwrap();
        apply(&key, None, incoming.collect::<Vec<_>>()).0
    }

    /// The truth is computed without the fold; here both meet.
    #[test]
    fn the_fold_agrees_with_the_truth_of_every_life() {
        let mut rng = StdRng::seed_from_u64(5);
        for shape in [Shape::Stripe, Shape::Plain] {
            for story in stories(shape, 600, 11) {
                let record = fold(&story, &mut rng);
                let State::Payment(payment) = &record.state else { panic!("a payment") };
                let differences = story.truth().differences(payment);
                assert!(differences.is_empty(), "{differences:?} in {:?}", story.life);
                assert_eq!(record.anomalies(), [], "{:?}", story.life);
                assert_eq!(record.held(), 0);
            }
        }
    }

    #[test]
    fn a_seed_is_a_story() {
        let bodies = |seed| -> Vec<Bytes> {
            stories(Shape::Stripe, 20, seed).into_iter().flat_map(|s| s.events).map(|e| e.body).collect()
        };
        assert_eq!(bodies(7), bodies(7));
        assert_ne!(bodies(7), bodies(8));
    }

    #[test]
    fn stripe_bodies_are_about_a_kilobyte_and_share_seconds() {
        let stories = stories(Shape::Stripe, 100, 3);
        let events: Vec<&Event> = stories.iter().flat_map(|s| &s.events).collect();
        let mean = events.iter().map(|e| e.body.len()).sum::<usize>() / events.len();
        assert!((800..1_600).contains(&mean), "{mean}");
        let ties = stories.iter().flat_map(|s| s.events.windows(2)).filter(|w| w[0].at == w[1].at).count();
        assert!(ties * 10 > events.len(), "{ties} ties among {}", events.len());
    }

    #[test]
    fn all_ends_occur() {
        let ends: std::collections::BTreeSet<_> = [Shape::Stripe, Shape::Plain]
            .into_iter()
            .flat_map(|shape| stories(shape, 300, 1))
            .map(|s| s.truth().status)
            .collect();
        let wanted = [
            "authorized",
            "canceled",
            "captured",
            "charged_back",
            "disputed",
            "failed",
            "partially_refunded",
            "refunded",
        ];
        assert!(wanted.iter().all(|w| ends.contains(w)), "{ends:?}");
    }
}
