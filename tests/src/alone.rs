//! What one worker that nothing happens to would have made of a log.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ledgerline_adapters::memory::MemoryLog;
use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::fold::{Fate, apply as fold};
use ledgerline_domain::ids::EntityKey;
use ledgerline_domain::interpret::{Reading, interpret};
use ledgerline_domain::ports::{Entities, EntityFilter, Log, Quarantine, ReadLimit};
use ledgerline_domain::provider::Sources;
use ledgerline_domain::record::EntityRecord;
use std::time::Duration;

use crate::bodies::body;

/// The body of event `n` with another amount.
pub fn contradiction(n: usize) -> String {
    let text = body(n);
    let changed = text.replacen("\"amount\":", "\"amount\":9", 1);
    assert_ne!(changed, text);
    changed
}

/// Records and ids of quarantined items as one worker would have made them, straight from the log.
pub async fn alone(log: &MemoryLog, sources: &Sources) -> (HashMap<EntityKey, EntityRecord>, BTreeSet<String>) {
    let (mut records, mut parked) = (HashMap::new(), BTreeMap::new());
    for shard in log.shards() {
        let limit = ReadLimit { records_max: usize::MAX, bytes_max: usize::MAX, wait: Duration::ZERO };
        for record in log.read(&shard, None, limit).await.expect("a read").records {
            let envelope = Envelope::decode(&record.value).expect("an envelope");
            if let Reading::Event(event) = interpret(sources, envelope, &record.sequence) {
                let before = records.remove(&event.entity);
                let (after, fates) = fold(&event.entity, before, vec![event.incoming]);
                if fates.contains(&Fate::Contradiction) {
                    parked.insert(format!("{shard}:{}", record.sequence), ());
                }
                records.insert(event.entity, after);
            }
        }
    }
    (records, parked.into_keys().collect())
}

/// Checks that a store holds what one worker would have made of the log, `events` events in all, byte for byte, with the
/// same quarantine; `told` says which run it was.
///
/// # Panics
/// When it does not.
pub async fn as_alone<S: Entities + Quarantine>(
    store: &S,
    log: &MemoryLog,
    sources: &Sources,
    events: usize,
    told: &str,
) {
    let (alone, parked) = alone(log, sources).await;
    let mut checked = 0;
    for live in store.list(&EntityFilter::default(), None, events).await.expect("a page") {
        let alone = &alone[&live.key];
        assert!(live.canonical() == alone.canonical(), "{told}: {}", live.key);
        assert_eq!(live.entries, alone.entries, "{told}: positions and copies are exact as well");
        assert_eq!(live.quarantined, alone.quarantined, "{told}");
        checked += live.entries.len();
    }
    assert_eq!(checked, events, "{told}");
    assert!(!parked.is_empty());
    let live = store.quarantined(true, None, events).await.expect("a page");
    assert_eq!(live.into_iter().map(|item| item.id).collect::<BTreeSet<_>>(), parked, "{told}");
}
