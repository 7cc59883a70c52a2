//! The window without a stream.

use aws_sdk_kinesis::primitives::{Blob, DateTime};
use ledgerline_domain::ErrorKind;

use super::*;
use crate::aws::kinesis::position::position;

const ALL: ReadLimit = ReadLimit { records_max: 100, bytes_max: usize::MAX, wait: Duration::ZERO };

fn at(n: u32) -> SequenceNumber {
    position(&n.to_string()).unwrap()
}

/// A record that arrived in second `n`.
fn record(n: u32) -> Record {
    let record = Record::builder().sequence_number(n.to_string()).data(Blob::new("0123456789")).partition_key("k");
    record.approximate_arrival_timestamp(DateTime::from_secs(i64::from(n))).build().unwrap()
}

fn event(window: &Window, numbers: impl IntoIterator<Item = u32>) -> bool {
    window.take_in(numbers.into_iter().map(record).collect(), Duration::ZERO)
}

/// The positions that a read gives; `None` when it is to poll.
fn read(window: &Window, after: Option<u32>, limit: ReadLimit) -> Option<Vec<SequenceNumber>> {
    match window.ask(after.map(at).as_ref(), limit).unwrap() {
        Answer::Batch(batch) => Some(batch.records.into_iter().map(|record| record.sequence).collect()),
        Answer::Quiet(_) => Some(Vec::new()),
        Answer::Behind | Answer::Nothing => None,
    }
}

fn numbers(range: impl IntoIterator<Item = u32>) -> Option<Vec<SequenceNumber>> {
    Some(range.into_iter().map(at).collect())
}

#[test]
fn a_read_that_is_said_again_gets_the_same() {
    let window = Window::new(None);
    assert_eq!(read(&window, None, ALL), None, "not on yet");
    window.began(None);
    assert!(event(&window, 1..=6));
    assert_eq!(read(&window, None, ALL), numbers(1..=6));
    assert_eq!(read(&window, None, ReadLimit { records_max: 2, ..ALL }), numbers(1..=2), "never confirmed");
    assert_eq!(read(&window, Some(4), ReadLimit { bytes_max: 15, ..ALL }), numbers([5]), "from within");
    assert_eq!(read(&window, Some(2), ALL), None, "that was left behind");
    assert_eq!(read(&window, Some(6), ALL), numbers([]));
    assert_eq!(window.lock().bytes, 0);
}

#[test]
fn the_next_subscription_goes_on_behind_what_is_held() {
    let window = Window::new(Some(at(3)));
    assert_eq!(window.from(), Some(at(3)));
    window.began(window.from());
    assert!(event(&window, 4..=6));
    window.stopped();
    assert_eq!(window.from(), Some(at(6)), "what is held is not asked for again");
    assert_eq!(read(&window, Some(3), ALL), numbers(4..=6), "and given while nothing is on");
    window.began(window.from());
    assert!(event(&window, 7..=8));
    assert_eq!(read(&window, Some(5), ALL), numbers(6..=8));
}

#[test]
fn what_was_polled_meanwhile_does_not_come_twice() {
    let window = Window::new(Some(at(3)));
    let from = window.from();
    assert_eq!(read(&window, Some(5), ALL), None, "polled on to 5, before the subscription from 3 is on");
    window.began(from);
    assert!(matches!(window.ask(Some(&at(5)), ALL), Ok(Answer::Behind)), "it has not come so far");
    assert!(event(&window, 4..=4));
    assert!(matches!(window.ask(Some(&at(5)), ALL), Ok(Answer::Behind)));
    assert!(event(&window, 5..=7));
    assert_eq!(read(&window, Some(5), ALL), numbers(6..=7));
}

#[test]
fn records_out_of_order_are_an_error() {
    for wrong in [4, 6] {
        let window = Window::new(Some(at(3)));
        window.began(window.from());
        assert!(event(&window, 4..=6));
        assert!(!event(&window, [wrong]), "{wrong}");
        let error = window.ask(Some(&at(3)), ALL).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        assert_eq!(read(&window, Some(3), ALL), numbers(4..=6), "said once; what came before stands");
    }
}

#[test]
fn lateness_is_that_of_what_is_given() {
    let window = Window::new(None);
    window.began(None);
    let Answer::Quiet(nothing) = window.ask(None, ALL).unwrap() else { panic!("on") };
    assert_eq!(nothing.behind, 1, "not known before the first event");
    window.take_in((1..=6).map(record).collect(), Duration::from_secs(2));
    let Answer::Batch(batch) = window.ask(None, ReadLimit { records_max: 2, ..ALL }).unwrap() else {
        panic!("records")
    };
    assert_eq!((batch.behind, batch.late), (5, Some(Duration::from_secs(4 + 2))), "four held, two seconds beyond");
    window.take_in(Vec::new(), Duration::ZERO);
    let Answer::Batch(batch) = window.ask(Some(&at(2)), ALL).unwrap() else { panic!("records") };
    assert_eq!((batch.behind, batch.late), (0, Some(Duration::ZERO)));
}

#[tokio::test]
async fn a_full_window_waits_for_its_reader() {
    let window = Window::new(None);
    window.began(None);
    let bytes_max = 3 * (10 + RECORD_OVERHEAD);
    assert!(event(&window, 1..=2));
    assert!(window.room(bytes_max, Duration::from_secs(10)).await);
    assert!(event(&window, 3..=3));
    assert_eq!(read(&window, None, ALL), numbers(1..=3), "given, and maybe asked for again");
    let full = tokio::time::timeout(Duration::from_millis(5), window.room(bytes_max, Duration::from_secs(10)));
    assert!(full.await.is_err(), "it holds as much as it may");
    let Answer::Batch(batch) = window.ask(Some(&at(1)), ALL).unwrap() else { panic!("records") };
    assert_eq!((batch.records.len(), batch.behind), (2, 1), "nobody listened: there may be more by now");
    assert!(window.room(bytes_max, Duration::from_secs(10)).await);
}

#[tokio::test]
async fn nobody_asks() {
    let short = Duration::from_millis(30);
    let window = Window::new(None);
    assert!(window.wanted(short).await, "a reader made it");
    window.began(None);
    window.stopped();
    assert!(!window.wanted(short).await, "nobody came since");
    assert!(read(&window, None, ALL).is_none());
    assert!(window.wanted(short).await);
    event(&window, 1..=3);
    assert!(!window.room(1, short).await);
}
