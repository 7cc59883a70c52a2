//! Archive objects.

use std::sync::Arc;

use bytes::Bytes;
use ledgerline_domain::ErrorKind;
use ledgerline_domain::ports::{Archive, Created};

use super::{kind, ok};

/// Of many that create one object at once exactly one wins, and its bytes stand.
pub async fn archive_creates_once<A: Archive>(archive: &Arc<A>) {
    for round in 0..8 {
        let key = format!("stream/shard-0000/2026-11-24T1{round}/{round:020}.parquet");
        let mut creators = Vec::new();
        for creator in 0..16_u8 {
            let (archive, key) = (archive.clone(), key.clone());
            creators
                .push(tokio::spawn(async move { ok(archive.create(&key, Bytes::from(vec![creator; 4096])).await) }));
        }
        let mut winners = Vec::new();
        for (creator, outcome) in (0..).zip(creators) {
            if outcome.await.expect("a creator") == Created::New {
                winners.push(creator);
            }
        }
        assert_eq!(winners.len(), 1, "one winner");
        assert_eq!(ok(archive.get(&key).await), Some(Bytes::from(vec![winners[0]; 4096])));
        assert_eq!(ok(archive.create(&key, Bytes::new()).await), Created::Exists);
    }
    assert_eq!(ok(archive.list("").await).len(), 8, "nothing but the objects");
}

/// Of many writers that knew the same object one is first; together they lose nothing.
pub async fn archive_exchanges_what_is_known<A: Archive>(archive: &Arc<A>) {
    let (key, one, two) = ("manifests/a.json", Bytes::from_static(b"one"), Bytes::from_static(b"two"));
    // An answer that was lost may have been a yes: then what is there tells.
    let exchanged = async |known: Option<&Bytes>, new: &Bytes| {
        ok(archive.exchange(key, known, new.clone()).await) || ok(archive.get(key).await).as_ref() == Some(new)
    };
    assert!(!exchanged(Some(&one), &two).await, "nothing is there");
    assert!(exchanged(None, &one).await);
    assert!(!exchanged(None, &two).await && !exchanged(Some(&two), &two).await);
    assert!(exchanged(Some(&one), &two).await && exchanged(Some(&two), &Bytes::new()).await);
    assert!(exchanged(Some(&Bytes::new()), &one).await, "over an object without bytes");
    let writers: Vec<_> = (0..12_u8)
        .map(|writer| {
            let archive = archive.clone();
            tokio::spawn(async move {
                loop {
                    let known = ok(archive.get("manifests/all").await);
                    let mut all = known.as_ref().map(|all| all.to_vec()).unwrap_or_default();
                    if all.contains(&writer) {
                        return;
                    }
                    all.push(writer);
                    let _ = archive.exchange("manifests/all", known.as_ref(), all.into()).await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("a writer");
    }
    let mut all = ok(archive.get("manifests/all").await).expect("an object").to_vec();
    all.sort_unstable();
    assert_eq!(all, (0..12).collect::<Vec<u8>>(), "each once");
    assert_eq!(kind(archive.exchange("../x", None, one).await), ErrorKind::Invalid);
}

/// Objects are found by prefix in byte order; derived ones can be replaced.
pub async fn archive_lists_and_replaces<A: Archive>(archive: &Arc<A>) {
    assert_eq!(ok(archive.list("").await), Vec::<String>::new());
    assert_eq!(ok(archive.get("a/b").await), None);
    let keys = ["a/b/2", "a/b/10", "a-b/1", "a/c", "b", "a/b.json"];
    for key in keys {
        assert_eq!(ok(archive.create(key, Bytes::from(key)).await), Created::New);
    }
    let mut sorted = keys;
    sorted.sort_unstable();
    for prefix in ["", "a", "a/", "a/b", "a/b/", "a/b/1", "b", "c", "a/b/2", "a/b/22"] {
        let expected: Vec<&str> = sorted.iter().copied().filter(|key| key.starts_with(prefix)).collect();
        assert_eq!(ok(archive.list(prefix).await), expected, "{prefix:?}");
        for from in ["", "a", "a-", "a/", "a/b", "a/b.", "a/b/10", "a/b/100", "a/b/2", "a/b0", "b", "bb"] {
            let expected: Vec<&str> = expected.iter().copied().filter(|key| *key >= from).collect();
            assert_eq!(ok(archive.list_from(prefix, from).await), expected, "{prefix:?} from {from:?}");
        }
    }
    ok(archive.replace("a/manifest.json", Bytes::from_static(b"one")).await);
    ok(archive.replace("a/manifest.json", Bytes::from_static(b"two")).await);
    assert_eq!(ok(archive.get("a/manifest.json").await), Some(Bytes::from_static(b"two")));
    assert_eq!(ok(archive.create("a/manifest.json", Bytes::new()).await), Created::Exists);
    for key in ["", "../x", "/x", "a//b", "a/../b"] {
        assert_eq!(kind(archive.create(key, Bytes::new()).await), ErrorKind::Invalid, "{key:?}");
        assert_eq!(kind(archive.get(key).await), ErrorKind::Invalid, "{key:?}");
    }
}

/// Bytes in which no range is like another.
fn bytes(length: u32, salt: u32) -> Bytes {
    (0..length).map(|n| (n ^ salt).wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect::<Vec<_>>().into()
}

/// Long and empty objects come back byte for byte.
pub async fn archive_keeps_long_objects<A: Archive>(archive: &Arc<A>) {
    for (at, length) in
        [0, 1, 1024 * 1024, 1024 * 1024 + 1, 6 * 1024 * 1024 + 7, 11 * 1024 * 1024].into_iter().enumerate()
    {
        let key = format!("long/{at}");
        let (first, second) = (bytes(length, 1), bytes(length, 2));
        assert_eq!(ok(archive.create(&key, first.clone()).await), Created::New, "{length} bytes");
        assert_eq!(ok(archive.create(&key, second.clone()).await), Created::Exists);
        assert!(ok(archive.get(&key).await) == Some(first), "{length} bytes come back");
        ok(archive.replace(&key, second.clone()).await);
        assert!(ok(archive.get(&key).await) == Some(second), "{length} other bytes come back");
    }
}

/// Parts of objects are those bytes of the whole, and what is not there is none.
pub async fn archive_gives_parts<A: Archive>(archive: &Arc<A>) {
    let lengths = [0_u32, 1, 1000, 70_000, 2 * 1024 * 1024 + 3];
    let mut wholes = Vec::new();
    for length in lengths {
        let whole = bytes(length, 7);
        assert_eq!(ok(archive.create(&format!("parts/{length}"), whole.clone()).await), Created::New);
        wholes.push((format!("parts/{length}"), whole));
    }
    for (key, whole) in &wholes {
        let size = whole.len() as u64;
        for range in [0..0, 0..1, 0..10, 1..999, 999..1001, 5..5, 65_536..131_072, 0..u64::MAX, size..size + 5] {
            let place = |at: u64| usize::try_from(at.min(size)).expect("small");
            let expected = whole.slice(place(range.start)..place(range.end));
            assert!(ok(archive.get_range(key, range.clone()).await) == Some(expected), "{range:?} of {size}");
        }
    }
    assert_eq!(ok(archive.get_range("parts/none", 0..1).await), None);
    let mut keys: Vec<String> = wholes.iter().map(|(key, _)| key.clone()).collect();
    keys.insert(2, "parts/none".to_owned());
    for most in [1, 1000, 4096, 100_000_000] {
        let mut ends = ok(archive.get_ends(&keys, most).await);
        assert_eq!(ends.remove(2), None);
        for (end, (_, whole)) in ends.into_iter().zip(&wholes) {
            let end = end.expect("an object");
            let size = whole.len();
            let from = size.saturating_sub(usize::try_from(most).expect("small"));
            assert!(end.size == size as u64 && end.bytes == whole.slice(from..), "{most} of {size}");
        }
    }
    for key in ["../x", "/x"] {
        assert_eq!(kind(archive.get_range(key, 0..1).await), ErrorKind::Invalid, "{key:?}");
        assert_eq!(kind(archive.get_ends(&[key.to_owned()], 1).await), ErrorKind::Invalid, "{key:?}");
    }
}

/// Of many that create one long object at once exactly one wins, and its bytes stand.
pub async fn archive_creates_long_objects_once<A: Archive>(archive: &Arc<A>) {
    let mut creators = Vec::new();
    for creator in 0..4 {
        let archive = archive.clone();
        let long = bytes(6 * 1024 * 1024, creator);
        creators.push(tokio::spawn(async move { (ok(archive.create("long/raced", long.clone()).await), long) }));
    }
    let mut winners = Vec::new();
    for creator in creators {
        let (created, bytes) = creator.await.expect("a creator");
        if created == Created::New {
            winners.push(bytes);
        }
    }
    assert_eq!(winners.len(), 1, "one winner");
    assert!(ok(archive.get("long/raced").await) == winners.pop(), "its bytes stand");
}

/// The listings of the archive's own readers: the segments of a shard, all of them or those from an hour on.
pub async fn archive_lists_hours<A: Archive>(archive: &Arc<A>) {
    let folder = |shard: &str| format!("segments/stream=ledger/shard={shard}");
    let mut keys = Vec::new();
    for shard in ["shard-0000", "shard-0001"] {
        for (hour, start) in ["23T09", "23T23", "24T00", "24T09", "24T10", "24T10", "24T11"].into_iter().zip(1..) {
            keys.push(format!("{}/hour=2026-11-{hour}/{start:020}.parquet", folder(shard)));
        }
    }
    for key in &keys {
        assert_eq!(ok(archive.create(key, Bytes::from(key.clone())).await), Created::New);
    }
    ok(archive.replace("heads/ledger/shard-0000.json", Bytes::from_static(b"{}")).await);
    let mine = &keys[..7];
    assert_eq!(ok(archive.list("segments/").await), keys);
    assert_eq!(ok(archive.list(&format!("{}/", folder("shard-0000"))).await), mine);
    for (hour, at) in [("23T08", 0), ("23T09", 0), ("23T10", 1), ("24T00", 2), ("24T09", 3), ("24T10", 4), ("24T12", 7)]
    {
        let (prefix, from) =
            (format!("{}/", folder("shard-0000")), format!("{}/hour=2026-11-{hour}/", folder("shard-0000")));
        assert_eq!(ok(archive.list_from(&prefix, &from).await), mine[at..], "from {hour}");
    }
}
