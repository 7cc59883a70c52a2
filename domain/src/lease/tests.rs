use std::time::Duration;

use super::*;
use crate::ports::ShardInfo;

const LASTS: Duration = Duration::from_secs(10);

fn shard(n: u32) -> ShardId {
    ShardId::numbered(n)
}

fn info(n: u32, parents: &[u32]) -> ShardInfo {
    ShardInfo { parents: parents.iter().copied().map(shard).collect(), ..ShardInfo::first(shard(n)) }
}

fn lease(n: u32, owner: Option<&str>) -> Lease {
    let new = missing(&[info(n, &[])], &[]).remove(0);
    Lease { owner: owner.map(Into::into), ..new }
}

fn at(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn position(n: u64) -> Checkpoint {
    Checkpoint::At(SequenceNumber::from_u64(n))
}

#[test]
fn checkpoints_are_ordered() {
    let all = [Checkpoint::TrimHorizon, position(0), position(u64::MAX), Checkpoint::shard_end()];
    assert!(all.is_sorted());
    assert!(all[3].is_shard_end() && !all[2].is_shard_end() && all[0].position().is_none());
}

#[test]
fn every_write_counts_and_progress_never_goes_back() {
    let free = lease(0, None);
    let mine = free.taken("a");
    assert_eq!((mine.owner.as_deref(), mine.counter, mine.owner_switches), (Some("a"), 1, 1));
    assert_eq!(mine.taken("a").owner_switches, 1, "the same owner is no switch");
    let moved = mine.renewed(Some(&position(5)));
    assert_eq!((moved.counter, &moved.checkpoint, moved.owner_switches), (2, &position(5), 0));
    assert_eq!(moved.renewed(Some(&position(4))).checkpoint, position(5));
    assert_eq!(moved.renewed(None).checkpoint, position(5));
    let free = moved.released(Some(&Checkpoint::shard_end()));
    assert_eq!((free.owner, free.counter), (None, 3));
    assert!(free.checkpoint.is_shard_end());
}

#[test]
fn knows_its_own_lost_answer() {
    let wanted = lease(0, None).taken("a");
    assert_eq!(judge_refused(&wanted, Some(&wanted)), Refused::WasMine);
    let further = wanted.renewed(None);
    let theirs = lease(0, None).taken("b");
    for found in [None, Some(&further), Some(&theirs)] {
        assert_eq!(judge_refused(&wanted, found), Refused::Lost);
    }
    let released = wanted.released(None);
    let evicted = Lease { owner: None, counter: released.counter, ..wanted.clone() };
    assert_eq!(judge_refused(&released, Some(&evicted)), Refused::Lost, "nobody's is not mine");
    let held = Held { lease: wanted, token: 7 };
    assert!(held.progress(6, Some(&position(1))).is_none(), "of an earlier acquisition");
    assert_eq!(held.progress(7, Some(&position(1))).map(|l| l.counter), Some(2));
}

#[test]
fn expires_by_what_was_seen_and_no_clock() {
    let (mut seen, mut held) = (Observed::default(), lease(0, Some("b")));
    seen.see(at(100), std::slice::from_ref(&held));
    assert_eq!(seen.standing(at(100), LASTS, &held), Standing::Fresh, "seen for the first time");
    assert_eq!(seen.standing(at(110), LASTS, &held), Standing::Fresh);
    seen.see(at(111), std::slice::from_ref(&held));
    assert_eq!(seen.standing(at(111), LASTS, &held), Standing::Expired);
    assert_eq!(seen.age(at(111), &held), Some(at(11)));
    held = held.renewed(None);
    assert_eq!(seen.standing(at(111), LASTS, &held), Standing::Fresh, "a counter that was not seen yet");
    seen.see(at(112), std::slice::from_ref(&held));
    assert_eq!(seen.standing(at(121), LASTS, &held), Standing::Fresh);
    held.owner = None;
    assert_eq!(seen.standing(at(113), LASTS, &held), Standing::Free);
}

#[test]
fn children_wait_for_all_their_parents() {
    let shards = [info(0, &[]), info(1, &[]), info(2, &[0, 1]), info(3, &[9])];
    let mut leases = missing(&shards, &[]);
    assert_eq!(leases.len(), 4);
    assert!(leases.iter().all(|l| l.checkpoint == Checkpoint::TrimHorizon));
    assert!(missing(&shards, &leases).is_empty());
    let readable_now =
        |leases: &[Lease]| -> Vec<bool> { leases.iter().map(|lease| readable(lease, leases, &shards)).collect() };
    assert_eq!(readable_now(&leases), [true, true, false, true], "a parent that is gone has nothing left");
    leases[0].checkpoint = Checkpoint::shard_end();
    assert_eq!(readable_now(&leases), [false, true, false, true]);
    leases[1].checkpoint = Checkpoint::shard_end();
    assert_eq!(readable_now(&leases), [false, false, true, true]);
    let gone = leases.remove(0);
    assert!(!readable(&leases[1], &leases, &shards), "listed, so its lease is still to come");
    leases.push(gone);

    let left = [info(2, &[0, 1])];
    assert!(removable(&leases, &left).is_empty(), "the child has not begun");
    leases[1].checkpoint = position(3);
    assert_eq!(removable(&leases, &left).len(), 2);
    assert!(removable(&leases, &shards).is_empty(), "still listed");
}

#[test]
fn finds_holes_in_the_hash_keys() {
    const HALF: u128 = 1 << 127;
    let range = |n, first, last| Lease { hash_range: Some(HashRange { first, last }), ..lease(n, None) };
    let two = [range(0, 0, HALF - 1), range(1, HALF, u128::MAX)];
    assert_eq!(holes(&two), []);
    assert_eq!(holes(&[lease(0, None)]), [], "nothing told");
    let mut read = two.clone();
    read[0].checkpoint = Checkpoint::shard_end();
    assert_eq!(holes(&read), [HashRange { first: 0, last: HALF - 1 }]);
    read[1].checkpoint = Checkpoint::shard_end();
    assert_eq!(holes(&read), [HashRange { first: 0, last: u128::MAX }]);
    let children = [read[0].clone(), range(2, 0, 9), range(3, 20, HALF - 1), two[1].clone()];
    assert_eq!(holes(&children), [HashRange { first: 10, last: 19 }]);
    assert_eq!(holes(&[range(0, 0, u128::MAX), range(1, 5, 9)]), [], "parent and child overlap for a while");
}

/// Wishes of a worker for leases with the given owners; `!` marks an expired one, `-` a free one.
fn wishes(me: &str, owners: &[&str], turn: usize) -> Wish {
    let shards: Vec<_> = (0..).zip(owners).map(|(n, _)| info(n, &[])).collect();
    let leases: Vec<_> =
        (0..).zip(owners).map(|(n, owner)| lease(n, (*owner != "-").then(|| owner.trim_end_matches('!')))).collect();
    let standing = |lease: &Lease| match owners[leases.iter().position(|l| l.shard == lease.shard).unwrap()] {
        "-" => Standing::Free,
        owner if owner.ends_with('!') => Standing::Expired,
        _ => Standing::Fresh,
    };
    wish(me, &leases, &shards, standing, turn)
}

#[test]
fn takes_what_is_idle_up_to_its_part() {
    let of = |ids: &[u32]| ids.iter().copied().map(shard).collect::<Vec<_>>();
    assert_eq!(wishes("a", &["-", "-", "-"], 0), Wish { take: of(&[0, 1, 2]), steal: None });
    assert_eq!(wishes("a", &["-", "-", "-"], 4).take, of(&[1, 2, 0]), "not all begin at the same one");
    assert_eq!(wishes("a", &["b", "b!", "-", "-"], 0).take, of(&[1, 2]), "half of four");
    assert_eq!(wishes("a", &["b!", "b!"], 0).take, of(&[0, 1]), "a worker that is gone has no part");
    assert_eq!(wishes("a", &["a", "a", "b", "-"], 0), Wish::default(), "it has its part");
    assert_eq!(wishes("a", &["a!"], 0).take, of(&[0]), "its own, of an earlier run");
}

#[test]
fn steals_one_at_a_time_and_comes_to_rest() {
    assert_eq!(wishes("a", &["b", "b", "b"], 1).steal, Some(shard(1)));
    assert_eq!(wishes("a", &["a", "b", "b"], 0), Wish::default(), "2 and 1 is balance");
    assert_eq!(wishes("a", &["b", "b", "-"], 0).steal, None, "never while there is something idle");
    assert_eq!(wishes("a", &["b", "c", "c"], 0).steal, Some(shard(1)), "from the one that has most");
    assert_eq!(wishes("a", &["b", "c"], 0), Wish::default(), "more workers than leases");
    // Any start of four workers on ten leases comes to rest, and nobody is more than one above another.
    let names = ["a", "b", "c", "d"];
    for start in 0..names.len() {
        let mut owners = vec![names[start]; 10];
        let mut steals = 0;
        for round in 0..40 {
            let me = names[round % names.len()];
            if let Some(stolen) = wishes(me, &owners, round).steal {
                let n: usize = stolen.as_str().trim_start_matches("shard-").parse().unwrap();
                owners[n] = me;
                steals += 1;
            }
        }
        let loads = names.map(|name| owners.iter().filter(|owner| **owner == name).count());
        assert!(loads.iter().all(|load| (2..=3).contains(load)), "{loads:?}");
        assert!(steals <= 8, "{steals} steals");
    }
}
