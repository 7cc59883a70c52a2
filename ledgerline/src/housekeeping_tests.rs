//! The log forgets what is archived and folded, and nothing else.

use bytes::Bytes;
use ledgerline_adapters::embedded::{Embedded, EmbeddedOptions, LogOptions};
use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::ports::{Clock as _, Commit, LogRecord};
use ledgerline_domain::provider::Provider;
use ledgerline_domain::request::RawRequest;
use ledgerline_domain::signature::{SecretSet, sign, verify};

use super::*;
use crate::wiring::SystemClock;

/// A signed event of the built-in provider `generic`, as the door would append it.
fn record(n: usize) -> LogRecord {
    let provider = Provider::built_in("generic").unwrap();
    let source = SourceName::new("shop").unwrap();
    let padding = "x".repeat(4_000);
    let body = format!(r#"{{"id":"e{n}","type":"payment.created","payment":"p{n}","sequence":1,"note":"{padding}"}}"#);
    let (body, received_at) = (Bytes::from(body), SystemClock.now());
    let headers = sign(provider.scheme(), &"whsec_x".into(), "", received_at, &body).unwrap();
    let secrets = SecretSet::new(provider.scheme(), ["whsec_x".into()]).unwrap();
    let raw = RawRequest { headers: &headers, body: &body, received_at };
    let verified = verify(provider.scheme(), &secrets, raw).unwrap();
    let envelope = Envelope::seal(&verified, provider.identify(&source, raw).remove(0));
    LogRecord { key: envelope.event.entity.clone(), data: envelope.encode().into() }
}

#[tokio::test]
async fn the_log_forgets_only_what_is_archived_and_folded() {
    let folder = tempfile::tempdir().unwrap();
    let log = LogOptions { segment_bytes: 64 * 1024, ..LogOptions::default() };
    let embedded = Embedded::open(folder.path(), EmbeddedOptions { shards: Some(1), log }).await.unwrap();
    let local = embedded.log.clone();
    let data = Data::local(embedded);
    let appended = data.log.append((0..100).map(record).collect()).await;
    // One append is one unit: it must not be larger than a segment.
    assert!(appended.is_err());
    let mut last = None;
    for n in 0..100 {
        last = data.log.append(vec![record(n)]).await.unwrap().pop();
    }
    let last = last.unwrap();
    let before = local.stats().segments;
    assert!(before > 4, "{before} segments");
    let archived: Positions = [(last.shard.clone(), last.sequence.clone())].into();
    let mut released = Positions::new();

    // Archived, but nothing is folded.
    release_once(&data, &archived, &[], &mut released).await.unwrap();
    assert_eq!((local.stats().segments, released.len()), (before, 0));

    // Folded to the end, but archived only at the beginning.
    let checkpoint = last.sequence.clone();
    let commit = Commit { shard: last.shard.clone(), checkpoint, writes: Vec::new(), parked: Vec::new() };
    data.store.commit(commit).await.unwrap();
    let first = SequenceNumber::from_u64(1);
    release_once(&data, &[(last.shard.clone(), first.clone())].into(), &[], &mut released).await.unwrap();
    assert_eq!((local.stats().segments, released.get(&last.shard)), (before, Some(&first)));

    // Both, but a hydrated source has not come to anything yet, or only to the beginning.
    let hydrated = [SourceName::new("shop").unwrap()];
    release_once(&data, &archived, &hydrated, &mut released).await.unwrap();
    let shard = progress_key(&hydrated[0], &last.shard);
    let commit = Commit { shard, checkpoint: first.clone(), writes: Vec::new(), parked: Vec::new() };
    data.store.commit(commit).await.unwrap();
    release_once(&data, &archived, &hydrated, &mut released).await.unwrap();
    assert_eq!((local.stats().segments, released.get(&last.shard)), (before, Some(&first)));

    // Archived and folded, and nothing is hydrated: all but the segment in use goes.
    release_once(&data, &archived, &[], &mut released).await.unwrap();
    assert!(local.stats().segments <= 2, "{} segments", local.stats().segments);
    assert_eq!(released, archived);
}

#[tokio::test]
async fn the_log_keeps_what_any_generation_still_needs() {
    let folder = tempfile::tempdir().unwrap();
    let log = LogOptions { segment_bytes: 64 * 1024, ..LogOptions::default() };
    let data = Data::local(Embedded::open(folder.path(), EmbeddedOptions { shards: Some(1), log }).await.unwrap());
    let mut last = None;
    for n in 0..60 {
        last = data.log.append(vec![record(n)]).await.unwrap().pop();
    }
    let Some(last) = last else { panic!("nothing was appended") };
    let (shard, tip) = (last.shard, last.sequence);
    let archived: Positions = [(shard.clone(), tip.clone())].into();
    let commit = |checkpoint: &SequenceNumber| Commit {
        shard: shard.clone(),
        checkpoint: checkpoint.clone(),
        writes: Vec::new(),
        parked: Vec::new(),
    };
    data.store.commit(commit(&tip)).await.unwrap();
    let released = async || {
        let mut released = Positions::new();
        release_once(&data, &archived, &[], &mut released).await.unwrap();
        released.remove(&shard)
    };
    let (three, five) = (SequenceNumber::from_u64(3), SequenceNumber::from_u64(5));

    // One that is being built and has not said what it finds in the archive holds everything.
    let now = SystemClock.now();
    let number = data.control.begin_generation(None, 1, Default::default(), now).await.unwrap();
    assert_eq!(released().await, None);
    // Then it holds what follows that.
    data.control.claim(number, [(shard.clone(), three.clone())].into()).await.unwrap();
    assert_eq!(released().await, Some(three.clone()));
    // Complete, it holds what it has not folded.
    data.control.part_done(number, 1).await.unwrap();
    let beside = ledgerline_adapters::embedded::EmbeddedReader::open(folder.path()).await.unwrap();
    beside.building(number).await.unwrap().commit(commit(&five)).await.unwrap();
    data.control.ready(number).await.unwrap();
    assert_eq!(released().await, Some(five.clone()));
    // The live one goes on where it is, also when it is not live any more.
    data.make_live(number).await.unwrap();
    assert_eq!(released().await, Some(five));
    data.generation(number).await.unwrap().commit(commit(&tip)).await.unwrap();
    data.retire(1).await.unwrap();
    assert_eq!(released().await, Some(tip));
}
