//! Generations, the live mark, and provider files.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ledgerline_adapters::control::{Generation, GenerationStatus, Generations, Positions, ProviderTexts};
use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::{Error, ErrorKind};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::{AT, kind, ok};

fn texts(pairs: &[(&str, &str)]) -> ProviderTexts {
    pairs.iter().map(|(source, text)| ((*source).to_owned(), (*text).to_owned())).collect()
}

fn here(position: u64) -> Positions {
    (0..3).map(|shard| (ShardId::numbered(shard), SequenceNumber::from_u64(position))).collect()
}

async fn statuses<C: Generations>(control: &Arc<C>) -> Vec<&'static str> {
    ok(control.generations().await).iter().map(|generation| generation.status.name()).collect()
}

/// From its beginning to its end; what comes too early or too late is refused.
pub async fn generations_come_and_go<C: Generations>(control: &Arc<C>) {
    assert_eq!(ok(control.live().await), 1);
    let first = ok(control.generation(1).await);
    assert_eq!((first.status, first.parts, first.positions), (GenerationStatus::Live, 1, None));
    assert_eq!(kind(control.generation(2).await), ErrorKind::Invalid, "there is none");
    assert_eq!(kind(control.move_live(2).await), ErrorKind::Invalid);
    assert_eq!(kind(control.retire(2).await), ErrorKind::Invalid);
    let second = ok(control.begin_generation(Some("fees, \"ü\"".into()), 2, texts(&[("shop", "a")]), AT).await);
    let begun = Generation {
        number: second,
        status: GenerationStatus::Building,
        made_at: AT,
        reason: Some("fees, \"ü\"".into()),
        parts: 2,
        parts_done: Vec::new(),
        positions: None,
    };
    assert_eq!((second, ok(control.generation(2).await)), (2, begun));
    assert_eq!(kind(control.move_live(second).await), ErrorKind::Conflict, "it is being built");
    assert_eq!(ok(control.claim(second, here(7)).await).positions, Some(here(7)));
    assert_eq!(ok(control.claim(second, here(9)).await).positions, Some(here(7)), "the first claim stands");
    ok(control.part_done(second, 2).await);
    assert_eq!(kind(control.ready(second).await), ErrorKind::Conflict, "a part is missing");
    assert_eq!(ok(control.part_done(second, 1).await).parts_done, [1, 2]);
    ok(control.ready(second).await);
    assert_eq!(kind(control.part_done(second, 1).await), ErrorKind::Conflict, "it is not being built any more");
    assert_eq!(kind(control.claim(second, here(9)).await), ErrorKind::Conflict);
    let third = ok(control.begin_generation(None, 1, ProviderTexts::new(), AT).await);
    ok(control.part_done(third, 1).await);
    ok(control.ready(third).await);

    assert_eq!(statuses(control).await, ["live", "ready", "ready"]);
    ok(control.move_live(second).await);
    assert_eq!(statuses(control).await, ["previous", "live", "ready"]);
    assert_eq!(ok(control.live().await), 2);
    ok(control.move_live(1).await);
    assert_eq!(statuses(control).await, ["live", "previous", "ready"]);
    for _ in 0..2 {
        ok(control.move_live(third).await);
        assert_eq!(statuses(control).await, ["previous", "ready", "live"]);
    }
    assert_eq!(kind(control.retire(third).await), ErrorKind::Conflict, "it is live");
    ok(control.retire(1).await);
    assert_eq!(kind(control.move_live(1).await), ErrorKind::Conflict, "it is gone");
    assert_eq!(statuses(control).await, ["retired", "ready", "live"]);
    assert_eq!(ok(control.generation(second).await).positions, Some(here(7)));
    assert_eq!(ok(control.live().await), 3);
}

/// Byte for byte, each generation its own, short or long.
pub async fn provider_files_are_kept_verbatim<C: Generations>(control: &Arc<C>) {
    assert_eq!(ok(control.provider_texts(1).await), ProviderTexts::new());
    let first = texts(&[("eu", "name = \"x\"\r\n# ü"), ("us", "name = \"x\"\r\n# ü")]);
    ok(control.set_provider_texts(1, first.clone()).await);
    let second = texts(&[("eu", "other")]);
    let number = ok(control.begin_generation(None, 1, second.clone(), AT).await);
    assert_eq!(ok(control.provider_texts(1).await), first);
    assert_eq!(ok(control.provider_texts(number).await), second);
    // Hard to compress, and longer than an item of DynamoDB.
    let mut rng = StdRng::seed_from_u64(7);
    let mut long = String::new();
    while long.len() < 1_200_000 {
        ok(writeln!(long, "{:032x}", rng.random::<u128>()).map_err(|e| Error::internal("write").because(e)));
    }
    let long = texts(&[("eu", &long), ("us", &long), ("empty", "")]);
    ok(control.set_provider_texts(1, long.clone()).await);
    assert!(ok(control.provider_texts(1).await) == long);
    ok(control.set_provider_texts(1, ProviderTexts::new()).await);
    assert_eq!(ok(control.provider_texts(1).await), ProviderTexts::new());
    assert_eq!(ok(control.provider_texts(number).await), second);
    assert_eq!(kind(control.set_provider_texts(9, second).await), ErrorKind::Invalid, "there is none");
}

/// Processes that begin, build, promote and retire at once: at every moment exactly one is live, the mark is what the
/// list says, and every beginning made one generation of its own.
pub async fn racing_changes_leave_one_live<C: Generations>(control: &Arc<C>) {
    let over = Arc::new(AtomicBool::new(false));
    let watch = tokio::spawn({
        let (control, over) = (control.clone(), over.clone());
        async move {
            let mut looks = 0_u32;
            while !over.load(Ordering::Relaxed) {
                check(&ok(control.generations().await));
                ok(control.live().await);
                looks += 1;
            }
            looks
        }
    });
    let racers = (0..3_u64).map(|seed| tokio::spawn(race(control.clone(), seed)));
    let mut begun = BTreeSet::from([1]);
    let mut promoted = 0;
    for racer in racers.collect::<Vec<_>>() {
        let Ok((numbers, moves)) = racer.await else { panic!("a racer gave up") };
        for number in numbers {
            assert!(begun.insert(number), "generation {number} was begun twice");
        }
        promoted += moves;
    }
    over.store(true, Ordering::Relaxed);
    assert!(watch.await.is_ok_and(|looks| looks > 0), "the watch saw two live ones");
    let all = ok(control.generations().await);
    check(&all);
    assert_eq!(all.iter().map(|generation| generation.number).collect::<BTreeSet<_>>(), begun);
    assert_eq!(all.len(), begun.len());
    let live = ok(control.live().await);
    assert!(all.iter().any(|generation| generation.number == live && generation.status == GenerationStatus::Live));
    assert!(promoted > 1, "the mark moved {promoted} times");
}

async fn race<C: Generations>(control: Arc<C>, seed: u64) -> (Vec<u32>, u32) {
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut mine, mut moves) = (Vec::new(), 0);
    for _ in 0..6 {
        let number = ok(control.begin_generation(None, 2, texts(&[("shop", &seed.to_string())]), AT).await);
        assert_eq!(ok(control.provider_texts(number).await), texts(&[("shop", &seed.to_string())]));
        mine.push(number);
        if let Err(error) = build(&control, number).await {
            assert_eq!(error.kind(), ErrorKind::Conflict);
            let given_up = ok(control.generation(number).await);
            assert_eq!(given_up.status, GenerationStatus::Retired, "by another racer: {error}");
        }
        // Any that was ever begun, mine or another's, by whoever is first.
        for _ in 0..2 {
            let any = rng.random_range(1..=number);
            match control.move_live(any).await {
                Ok(()) => moves += 1,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict),
            }
            let any = rng.random_range(1..=number);
            if let Err(error) = control.retire(any).await {
                assert_eq!(error.kind(), ErrorKind::Conflict, "it was live");
            }
        }
    }
    (mine, moves)
}

async fn build<C: Generations>(control: &Arc<C>, number: u32) -> Result<(), Error> {
    control.claim(number, here(u64::from(number))).await?;
    control.part_done(number, 1).await?;
    let built = control.part_done(number, 2).await?;
    assert_eq!((built.parts_done, built.positions), (vec![1, 2], Some(here(u64::from(number)))));
    control.ready(number).await
}

fn check(all: &[Generation]) {
    let count = |status| all.iter().filter(|generation| generation.status == status).count();
    assert_eq!(count(GenerationStatus::Live), 1, "{all:?}");
    assert!(count(GenerationStatus::Previous) <= 1, "{all:?}");
}
