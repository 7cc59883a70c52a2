use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn key(id: usize) -> EntityKey {
    EntityKey::parse(&format!("shop/order/{id}")).unwrap()
}

fn waiting(append: u64, place: usize, deadline: Instant) -> Waiting {
    Waiting { append, place, data: Bytes::from(format!("{append}-{place}")), deadline }
}

fn texts(puts: &[Put]) -> Vec<String> {
    puts.iter().map(|put| format!("{} {}", put.key.id(), String::from_utf8_lossy(&put.data))).collect()
}

#[test]
fn one_record_of_an_entity_at_a_time() {
    let now = Instant::now();
    let later = now + Duration::from_secs(9);
    let mut lanes = Lanes::default();
    for (place, id) in [1, 1, 2, 1, 3].into_iter().enumerate() {
        lanes.push(key(id), waiting(0, place, later));
    }
    let (puts, _) = lanes.take(now, 10, 1000);
    assert_eq!(texts(&puts), ["1 0-0", "2 0-2", "3 0-4"]);
    assert!(lanes.take(now, 10, 1000).0.is_empty(), "closed lanes");
    lanes.appended(key(2));
    lanes.failed(key(1), |failures| now + Duration::from_millis(u64::from(failures)));
    lanes.push(key(2), waiting(1, 0, later));
    assert_eq!(texts(&lanes.take(now, 10, 1000).0), ["2 1-0"], "a lane that pauses holds up nobody");
    let (again, _) = lanes.take(now + Duration::from_millis(1), 10, 1000);
    assert_eq!(texts(&again), ["1 0-0"], "the head stays the head");
    lanes.appended(key(1));
    assert_eq!(texts(&lanes.take(now, 10, 1000).0), ["1 0-1"]);
}

#[test]
fn limits_of_a_request() {
    let now = Instant::now();
    let mut lanes = Lanes::default();
    for id in 0..10 {
        lanes.push(key(id), waiting(0, id, now + Duration::from_secs(9)));
    }
    // Every record is 12 bytes of key and 3 of data.
    assert_eq!(lanes.take(now, 3, 1000).0.len(), 3);
    assert_eq!(lanes.take(now, 10, 45).0.len(), 3);
    assert_eq!(lanes.take(now, 10, 44).0.len(), 2);
    assert_eq!(lanes.take(now, 10, 1).0.len(), 1, "one always");
    assert_eq!(lanes.take(now, 10, 1000).0.len(), 1, "the last");
}

#[test]
fn gives_up_an_append_as_a_whole() {
    let now = Instant::now();
    let (soon, later) = (now + Duration::from_secs(1), now + Duration::from_secs(9));
    let mut lanes = Lanes::default();
    lanes.push(key(1), waiting(0, 0, soon));
    lanes.push(key(1), waiting(0, 1, soon));
    lanes.push(key(1), waiting(1, 0, later));
    let (puts, given_up) = lanes.take(soon, 10, 1000);
    assert_eq!(given_up.iter().map(|w| (w.append, w.place)).collect::<Vec<_>>(), [(0, 0), (0, 1)]);
    assert_eq!(texts(&puts), ["1 1-0"], "the next append goes on");
    assert_eq!(lanes.refused(key(1)).len(), 1);
    assert!(lanes.take(now, 10, 1000).0.is_empty());
    assert!(lanes.lanes.is_empty(), "empty lanes are forgotten");
}

proptest! {
    /// Whatever the outcomes and their order: what is in the log is, per entity, what was pushed, in order.
    #[test]
    fn order_survives_any_outcomes(
        keys in prop::collection::vec(0..5_usize, 1..60),
        outcomes in prop::collection::vec((0..3_u8, any::<prop::sample::Index>()), 0..400),
        records_max in 1..6_usize,
    ) {
        let mut now = Instant::now();
        let deadline = now + Duration::from_secs(3600);
        let mut lanes = Lanes::default();
        for (append, id) in keys.iter().enumerate() {
            lanes.push(key(*id), waiting(append as u64, 0, deadline));
        }
        let mut log: HashMap<EntityKey, Vec<u64>> = HashMap::new();
        let mut flying: Vec<EntityKey> = Vec::new();
        let mut outcomes = outcomes.into_iter();
        loop {
            let (puts, _) = lanes.take(now, records_max, 10_000);
            for put in puts {
                prop_assert!(!flying.contains(&put.key), "twice in flight");
                flying.push(put.key);
            }
            if flying.is_empty() && !lanes.has_ready() && lanes.next_pause_ends().is_none() {
                break;
            }
            // Past the given outcomes all is well.
            let (outcome, at) = outcomes.next().map_or((0, 0), |(o, at)| (o, at.index(flying.len().max(1))));
            if !flying.is_empty() {
                let key = flying.swap_remove(at.min(flying.len() - 1));
                if outcome == 2 {
                    lanes.failed(key, |failures| now + Duration::from_millis(u64::from(failures) * 3));
                } else {
                    let record = lanes.appended(key.clone()).unwrap();
                    log.entry(key).or_default().push(record.append);
                }
            }
            now += Duration::from_millis(1);
        }
        for (id, found) in &log {
            let pushed: Vec<u64> =
                keys.iter().enumerate().filter(|(_, k)| key(**k) == *id).map(|(n, _)| n as u64).collect();
            prop_assert_eq!(found, &pushed);
        }
        prop_assert_eq!(log.values().map(Vec::len).sum::<usize>(), keys.len());
        prop_assert!(lanes.lanes.is_empty());
    }
}
