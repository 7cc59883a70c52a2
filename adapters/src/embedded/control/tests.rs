//! Requests, generations and their provider files.

use std::path::Path;

use ledgerline_domain::ErrorKind;
use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::time::UnixNanos;

use super::*;
use crate::control::{Positions, ProviderTexts};

const AT: UnixNanos = UnixNanos::from_nanos(1_790_000_000_000_000_000);

fn open(dir: &Path) -> Control {
    Control::open(&dir.join("control.db"), None).unwrap()
}

fn texts(pairs: &[(&str, &str)]) -> ProviderTexts {
    pairs.iter().map(|(source, text)| ((*source).to_owned(), (*text).to_owned())).collect()
}

#[tokio::test]
async fn a_command_line_asks_and_the_server_answers() {
    let dir = tempfile::tempdir().unwrap();
    let server = open(dir.path());
    let beside = Control::beside(&dir.path().join("control.db")).unwrap();
    let first = beside.request("release a").await.unwrap();
    let second = beside.request("release b").await.unwrap();
    assert_eq!(beside.request("release a").await.unwrap(), first, "it waits already");
    let pending: Vec<_> = server.pending_requests().await.unwrap().into_iter().map(|r| (r.id, r.ask)).collect();
    assert_eq!(pending, [(first, "release a".to_owned()), (second, "release b".to_owned())]);
    assert_eq!(beside.request_outcome(first).await.unwrap(), None);
    server.finish_request(first, "done").await.unwrap();
    server.finish_request(first, "again").await.unwrap();
    assert_eq!(beside.request_outcome(first).await.unwrap().as_deref(), Some("done"));
    assert_eq!(server.pending_requests().await.unwrap().len(), 1);
    assert_ne!(beside.request("release a").await.unwrap(), first, "the first one is done");
    assert!(beside.withdraw_request(second).await.unwrap());
    assert!(!beside.withdraw_request(first).await.unwrap(), "it was done");
    assert_eq!(server.pending_requests().await.unwrap().len(), 1);
}

#[tokio::test]
async fn exactly_one_generation_is_live_on_every_way() {
    let dir = tempfile::tempdir().unwrap();
    let control = open(dir.path());
    let beside = Control::beside(&dir.path().join("control.db")).unwrap();
    assert_eq!(control.live().await.unwrap(), 1);
    let second = beside.begin_generation(Some("fees".into()), 2, texts(&[("shop", "a")]), AT).await.unwrap();
    assert_eq!(control.move_live(second).await.unwrap_err().kind(), ErrorKind::Conflict, "it is being built");
    let here: Positions = [(ShardId::numbered(0), SequenceNumber::from_u64(7))].into();
    assert_eq!(beside.claim(second, here.clone()).await.unwrap().positions, Some(here.clone()));
    let later: Positions = [(ShardId::numbered(0), SequenceNumber::from_u64(9))].into();
    assert_eq!(beside.claim(second, later).await.unwrap().positions, Some(here), "the first claim stands");
    beside.part_done(second, 2).await.unwrap();
    assert_eq!(beside.ready(second).await.unwrap_err().kind(), ErrorKind::Conflict, "a part is missing");
    assert_eq!(beside.part_done(second, 1).await.unwrap().parts_done, [1, 2]);
    beside.ready(second).await.unwrap();
    let third = beside.begin_generation(None, 1, ProviderTexts::new(), AT).await.unwrap();
    beside.part_done(third, 1).await.unwrap();
    beside.ready(third).await.unwrap();

    let statuses =
        async || -> Vec<&str> { control.generations().await.unwrap().iter().map(|g| g.status.name()).collect() };
    assert_eq!(statuses().await, ["live", "ready", "ready"]);
    control.move_live(second).await.unwrap();
    assert_eq!(statuses().await, ["previous", "live", "ready"]);
    assert_eq!(beside.live().await.unwrap(), 2);
    control.move_live(1).await.unwrap();
    assert_eq!(statuses().await, ["live", "previous", "ready"]);
    control.move_live(third).await.unwrap();
    assert_eq!(statuses().await, ["previous", "ready", "live"]);
    control.move_live(third).await.unwrap();
    assert_eq!(statuses().await, ["previous", "ready", "live"]);
    assert_eq!(control.retire(third).await.unwrap_err().kind(), ErrorKind::Conflict);
    control.retire(1).await.unwrap();
    assert_eq!(control.move_live(1).await.unwrap_err().kind(), ErrorKind::Conflict);
    drop((control, beside));
    assert_eq!(open(dir.path()).live().await.unwrap(), 3);
}

#[tokio::test]
async fn provider_files_are_kept_verbatim_per_generation() {
    let dir = tempfile::tempdir().unwrap();
    let control = open(dir.path());
    assert_eq!(control.provider_texts(1).await.unwrap(), ProviderTexts::new());
    let first = texts(&[("eu", "name = \"x\"\r\n# ü"), ("us", "name = \"x\"\r\n# ü")]);
    control.set_provider_texts(1, first.clone()).await.unwrap();
    let second = texts(&[("eu", "other")]);
    let number = control.begin_generation(None, 1, second.clone(), AT).await.unwrap();
    assert_eq!(control.provider_texts(1).await.unwrap(), first);
    assert_eq!(control.provider_texts(number).await.unwrap(), second);
    control.set_provider_texts(1, second.clone()).await.unwrap();
    assert_eq!(control.provider_texts(1).await.unwrap(), second);
}
