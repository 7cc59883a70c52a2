//! What `load` sends: made-up payments, prepared before the clock starts. When all have been sent they come
//! again as new ones: the last six characters of payment and event ids are replaced.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use crate::payments::{self, Shape};

/// Characters of an id that change from round to round.
const TAIL: usize = 6;

/// Prepared bodies and whose turn it is.
pub(super) struct Bodies {
    templates: Vec<Template>,
    turn: AtomicUsize,
}

/// One body, and where in it the tails of ids are.
struct Template {
    id: String,
    body: Bytes,
    tails: Vec<usize>,
}

impl Bodies {
    pub fn make(shape: Shape, payments: usize, seed: u64) -> Self {
        let mut templates = Vec::new();
        for story in payments::stories(shape, payments, seed) {
            for event in story.events {
                let mut tails = Vec::new();
                for id in [story.payment.as_bytes(), event.id.as_bytes()] {
                    let found = event.body.windows(id.len()).enumerate().filter(|(_, window)| *window == id);
                    tails.extend(found.map(|(at, _)| at + id.len() - TAIL));
                }
                templates.push(Template { id: event.id, body: event.body, tails });
            }
        }
        Self { templates, turn: AtomicUsize::new(0) }
    }

    /// The next request's id and body.
    pub fn next(&self) -> (String, Bytes) {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let round = turn / self.templates.len().max(1);
        let Some(template) = self.templates.get(turn % self.templates.len().max(1)) else {
            return (String::new(), Bytes::new());
        };
        if round == 0 {
            return (template.id.clone(), template.body.clone());
        }
        let tail = tail(round);
        let mut body = template.body.to_vec();
        for at in &template.tails {
            if let Some(place) = body.get_mut(*at..*at + TAIL) {
                place.copy_from_slice(&tail);
            }
        }
        (format!("{}{round}", template.id), body.into())
    }
}

/// The tail of ids in a round. Rounds repeat after 100 000, which is billions of requests.
fn tail(round: usize) -> [u8; TAIL] {
    let mut tail = *b"r00000";
    let digits = format!("{:05}", round % 100_000);
    for (place, digit) in tail.iter_mut().skip(1).zip(digits.bytes()) {
        *place = digit;
    }
    tail
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_body_comes_twice_and_rounds_stay_readable() {
        for shape in [Shape::Stripe, Shape::Plain] {
            let bodies = Bodies::make(shape, 30, 1);
            let count = bodies.templates.len();
            let all: HashSet<Bytes> = (0..count * 3).map(|_| bodies.next().1).collect();
            assert_eq!(all.len(), count * 3);
            for body in &all {
                assert!(serde_json::from_slice::<serde_json::Value>(body).is_ok());
            }
            let ids: HashSet<String> = all
                .iter()
                .filter_map(|b| {
                    serde_json::from_slice::<serde_json::Value>(b).ok()?.get("id")?.as_str().map(str::to_owned)
                })
                .collect();
            assert_eq!(ids.len(), count * 3, "event ids are new in every round");
        }
    }
}
