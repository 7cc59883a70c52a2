//! What the demonstration delivers: every event in random order, a fifth of them twice, hostile and
//! broken requests in between, and a few events left out on purpose.
//!
//! A plan follows from its seed. Beside the deliveries it holds what each payment must end as.

use std::collections::BTreeSet;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

use crate::payments::life::{Step, Truth};
use crate::payments::{self, Event, Moves, Shape, Story};

/// Share of the events that are delivered a second time.
const DUPLICATES: f64 = 0.2;
/// How many requests there are of each hostile or broken kind, per hundred payments, at least 1.
const HOSTILE_PER_HUNDRED: usize = 2;
/// Ledger payments from which one event in the middle is withheld.
const HOLES: usize = 3;
/// Longest body that the door takes, in bytes; the demonstration's server has the default limit.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// The two sources.
pub const SOURCES: [(&str, Shape); 2] = [("shop-stripe", Shape::Stripe), ("shop-ledger", Shape::Plain)];

/// What is special about a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A genuine event, first copy or a further one.
    Genuine,
    /// Signed with a key that is not the source's: a refund that never happened.
    Forged,
    /// Genuine signature, but an amount was changed on the way.
    Tampered,
    /// No signature at all.
    Unsigned,
    /// Genuine, but signed ten minutes ago: a replayed recording.
    Stale,
    /// Signed ten minutes ahead.
    Future,
    /// Larger than the door takes.
    TooLarge,
    /// For a source that does not exist.
    UnknownSource,
    /// Genuine signature over half an event.
    NotJson,
    /// Genuine signature, but an amount that is no number.
    BadAmount,
    /// Genuine signature, the id of an accepted event, another amount.
    Contradiction,
}

impl Kind {
    /// What it is, in words.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Genuine => "genuine events, copies included",
            Self::Forged => "forged: signed with a wrong key",
            Self::Tampered => "tampered: amount changed after signing",
            Self::Unsigned => "without a signature",
            Self::Stale => "stale: signed 10 minutes ago",
            Self::Future => "from the future: signed 10 minutes ahead",
            Self::TooLarge => "larger than 1 MiB",
            Self::UnknownSource => "for a source that does not exist",
            Self::NotJson => "genuine, but cut in half: no JSON",
            Self::BadAmount => "genuine, but the amount is no number",
            Self::Contradiction => "genuine, but contradicting an accepted event",
        }
    }

    /// The answer that the door must give.
    pub fn answer(self) -> u16 {
        match self {
            Self::Genuine | Self::BadAmount | Self::Contradiction => 200,
            Self::NotJson => 202,
            Self::Forged | Self::Tampered | Self::Unsigned | Self::Stale | Self::Future => 401,
            Self::TooLarge => 413,
            Self::UnknownSource => 404,
        }
    }

    /// What becomes of it behind the door, in words.
    pub fn fate(self) -> &'static str {
        match self {
            Self::Genuine => "accepted",
            Self::NotJson | Self::BadAmount | Self::Contradiction => "kept in quarantine, counted nowhere",
            _ => "refused, nothing stored",
        }
    }
}

/// One request to send.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Index into [`SOURCES`].
    pub source: usize,
    /// The event's id.
    pub id: String,
    /// The body as it is sent.
    pub body: Bytes,
    /// The body as it is signed, where it is another one.
    pub signed: Option<Bytes>,
    /// What is special about it.
    pub kind: Kind,
}

/// What a payment must end as.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The entity's key.
    pub key: String,
    /// What it adds up to, by the generator.
    pub truth: Truth,
    /// Ids of the events that were delivered.
    pub ids: BTreeSet<String>,
    /// How many of them wait behind a withheld number.
    pub held: usize,
    /// Whether something must be reported as not adding up.
    pub anomaly: bool,
}

/// Everything to deliver, and what must come of it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The payments.
    pub stories: Vec<Story>,
    /// What is sent, in order.
    pub deliveries: Vec<Delivery>,
    /// What is sent after all those were accepted.
    pub contradictions: Vec<Delivery>,
    /// One per payment.
    pub expected: Vec<Expected>,
    /// Payments that no event could be read of.
    pub unread: Vec<String>,
    /// Events that were withheld.
    pub withheld: usize,
}

impl Plan {
    /// The plan for `payments` payments, by `seed`.
    pub fn new(payments: usize, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed.wrapping_add(0x00D3_1170));
        let mut plan = Self {
            stories: Vec::new(),
            deliveries: Vec::new(),
            contradictions: Vec::new(),
            expected: Vec::new(),
            unread: Vec::new(),
            withheld: 0,
        };
        let mut untouched = Vec::new();
        for (source, (_, shape)) in SOURCES.iter().enumerate() {
            let half = if source == 0 { payments.div_ceil(2) } else { payments / 2 };
            let stories = payments::stories(*shape, half, seed);
            let mut holes = HOLES;
            let mut lost_captures = 1;
            for story in stories {
                let mut events: Vec<&Event> = story.events.iter().collect();
                let mut expected = expect(source, &story);
                if *shape == Shape::Plain && holes > 0 && events.len() >= 5 {
                    // A number in the middle never arrives: what stands behind it must wait.
                    holes -= 1;
                    let missing = rng.random_range(1..events.len() - 1);
                    expected.held = events.len() - missing - 1;
                    expected.truth = story.life.truth(missing);
                    events.remove(missing);
                    plan.withheld += 1;
                } else if *shape == Shape::Stripe && lost_captures > 0 && is_refunded_at_once(&story) {
                    // Of this payment only refunds are ever heard.
                    lost_captures -= 1;
                    plan.withheld += events.len();
                    events.retain(|e| e.event_type == "refund.created");
                    plan.withheld -= events.len();
                    let refunded = expected.truth.refunded;
                    expected.truth =
                        Truth { currency: story.life.currency, refunded, status: "pending", ..Truth::default() };
                    expected.anomaly = true;
                } else {
                    untouched.push((source, story.clone()));
                }
                expected.ids = events.iter().map(|e| e.id.clone()).collect();
                for event in events {
                    let copies = if rng.random_bool(DUPLICATES) { 2 } else { 1 };
                    for _ in 0..copies {
                        plan.deliveries.push(genuine(source, event));
                    }
                }
                plan.expected.push(expected);
                plan.stories.push(story);
            }
        }
        plan.add_hostile(&untouched, payments, &mut rng);
        plan.deliveries.shuffle(&mut rng);
        plan
    }

    fn add_hostile(&mut self, untouched: &[(usize, Story)], payments: usize, rng: &mut StdRng) {
        let each = (payments * HOSTILE_PER_HUNDRED / 100).max(1);
        let mut pick = |wanted: &dyn Fn(&Event) -> bool| -> Option<(usize, Story, Event)> {
            for _ in 0..1_000 {
                let (source, story) = untouched.get(rng.random_range(0..untouched.len().max(1)))?;
                if let Some(event) = story.events.iter().find(|e| wanted(e)) {
                    return Some((*source, story.clone(), event.clone()));
                }
            }
            None
        };
        let amount = |event: &Event| event.moves == Moves::Capture || event.moves == Moves::Refund;
        for n in 0..each {
            for kind in [
                Kind::Forged,
                Kind::Tampered,
                Kind::Unsigned,
                Kind::Stale,
                Kind::Future,
                Kind::UnknownSource,
                Kind::NotJson,
            ] {
                let Some((source, _, event)) = pick(&amount) else { continue };
                let id = format!("{}_{kind:?}{n}", event.id);
                let changed = edit(&event, &[("id", &id)], true);
                let mut delivery = Delivery { source, id, body: changed, signed: None, kind };
                match kind {
                    Kind::Tampered => delivery.signed = Some(event.body.clone()),
                    Kind::NotJson => {
                        let half = delivery.body.len() / 2;
                        delivery.body = delivery.body.slice(..half);
                    }
                    _ => {}
                }
                self.deliveries.push(delivery);
            }
        }
        if let Some((source, _, event)) = pick(&amount) {
            let mut body = event.body.to_vec();
            body.resize(BODY_BYTES_MAX + 1, b' ');
            let id = format!("{}_large", event.id);
            self.deliveries.push(Delivery { source, id, body: body.into(), signed: None, kind: Kind::TooLarge });
        }
        let ledger = |event: &Event| event.event_type == "payment.created";
        if let Some((source, _, event)) = pick(&ledger) {
            let (id, payment) = (format!("{}_comma", event.id), "pay_comma");
            let body = edit(&event, &[("id", &id), ("payment", payment), ("amount", "12,50")], false);
            self.unread.push(format!("{}/payment/{payment}", name(source)));
            self.deliveries.push(Delivery { source, id, body, signed: None, kind: Kind::BadAmount });
        }
        let mut contradicted = BTreeSet::new();
        for _ in 0..3 {
            let Some((source, _, event)) = pick(&amount) else { continue };
            if contradicted.insert(event.id.clone()) {
                let body = edit(&event, &[], true);
                let kind = Kind::Contradiction;
                self.contradictions.push(Delivery { source, id: event.id, body, signed: None, kind });
            }
        }
    }

    /// How many deliveries there are of a kind.
    pub fn count(&self, kind: Kind) -> u64 {
        self.deliveries.iter().chain(&self.contradictions).filter(|d| d.kind == kind).count() as u64
    }

    /// How many items the quarantine must hold.
    pub fn quarantined(&self) -> u64 {
        [Kind::NotJson, Kind::BadAmount, Kind::Contradiction].map(|kind| self.count(kind)).iter().sum()
    }
}

/// Name of a source.
pub fn name(source: usize) -> &'static str {
    SOURCES.get(source).map(|(name, _)| *name).unwrap_or_default()
}

fn genuine(source: usize, event: &Event) -> Delivery {
    Delivery { source, id: event.id.clone(), body: event.body.clone(), signed: None, kind: Kind::Genuine }
}

fn expect(source: usize, story: &Story) -> Expected {
    Expected {
        key: format!("{}/payment/{}", name(source), story.payment),
        truth: story.truth(),
        ids: BTreeSet::new(),
        held: 0,
        anomaly: false,
    }
}

/// Whether the payment has refunds and each of them went back at once.
fn is_refunded_at_once(story: &Story) -> bool {
    let steps = || story.life.steps.iter().map(|(_, step)| step);
    steps().any(|s| matches!(s, Step::RefundSucceeded(..)))
        && !steps().any(|s| matches!(s, Step::RefundPending(..) | Step::DisputeOpened(_)))
}

/// The event's body with some members changed, and its amounts doubled if wanted.
fn edit(event: &Event, members: &[(&str, &str)], double: bool) -> Bytes {
    let mut body: Value = serde_json::from_slice(&event.body).unwrap_or_default();
    for (member, value) in members {
        if let Some(place) = body.get_mut(member) {
            *place = Value::from(*value);
        }
    }
    if double {
        for amount in ["amount", "amount_captured", "amount_received", "amount_refunded"] {
            if let Some(place) = body.pointer_mut(&format!("/data/object/{amount}"))
                && let Some(minor) = place.as_i64()
            {
                *place = Value::from(minor * 2);
            }
        }
        if let Some(place) = body.get_mut("amount")
            && let Some(text) = place.as_str()
        {
            *place = Value::from(format!("9{text}"));
        }
    }
    Bytes::from(body.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_holds_every_kind_and_follows_its_seed() {
        let plan = Plan::new(60, 3);
        for kind in [
            Kind::Genuine,
            Kind::Forged,
            Kind::Tampered,
            Kind::Unsigned,
            Kind::Stale,
            Kind::Future,
            Kind::TooLarge,
            Kind::UnknownSource,
            Kind::NotJson,
            Kind::BadAmount,
            Kind::Contradiction,
        ] {
            assert!(plan.count(kind) > 0, "{kind:?}");
        }
        let bodies = |seed| -> Vec<Bytes> { Plan::new(60, seed).deliveries.into_iter().map(|d| d.body).collect() };
        assert_eq!(bodies(3), bodies(3));
        assert_ne!(bodies(3), bodies(4));
    }

    #[test]
    fn about_a_fifth_comes_twice_and_all_the_rest_once() {
        let plan = Plan::new(400, 1);
        let events: usize = plan.expected.iter().map(|e| e.ids.len()).sum();
        let copies = plan.count(Kind::Genuine) as usize - events;
        assert!((events * 15 / 100..events * 25 / 100).contains(&copies), "{copies} of {events}");
        assert_eq!(plan.stories.iter().map(|s| s.events.len()).sum::<usize>(), events + plan.withheld);
    }

    #[test]
    fn changed_bodies_say_something_else() {
        let plan = Plan::new(100, 2);
        for delivery in plan.deliveries.iter().filter(|d| d.kind == Kind::Tampered) {
            assert_ne!(Some(&delivery.body), delivery.signed.as_ref());
        }
        for delivery in &plan.contradictions {
            let same = plan.deliveries.iter().find(|d| d.id == delivery.id && d.kind == Kind::Genuine);
            assert!(same.is_some_and(|genuine| genuine.body != delivery.body), "{}", delivery.id);
        }
    }

    #[test]
    fn what_is_withheld_shows() {
        let plan = Plan::new(200, 1);
        assert_eq!(plan.expected.iter().filter(|e| e.held > 0).count(), HOLES);
        assert_eq!(plan.expected.iter().filter(|e| e.anomaly).count(), 1);
    }
}
