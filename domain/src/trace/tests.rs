use proptest::prelude::*;

use super::*;

/// Written down: every process that ever told a trace must come to these, and an operator does with `sha256sum`.
#[test]
fn the_trace_of_an_event_is_for_ever() {
    let trace = TraceId::of_event("shop", "evt_1");
    assert_eq!(trace.to_string(), "c8768b6046e8df3adf31fa874d12f56c");
    let span = SpanId::of_delivery(trace, UnixNanos::from_nanos(1_790_000_000_000_000_001));
    assert_eq!(span.to_string(), "14c1873f6fa8a13b");
    assert_ne!(TraceId::of_event("sho", "pevt_1"), trace);
    assert_ne!(SpanId::of_delivery(trace, UnixNanos::from_nanos(1_790_000_000_000_000_002)), span);
}

#[test]
fn shares_are_shares_and_one_holds_the_smaller() {
    assert_eq!(Sampling::share(1.0), Some(Sampling::ALL));
    assert_eq!(Sampling::share(0.0), Some(Sampling::NONE));
    for bad in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        assert_eq!(Sampling::share(bad), None);
    }
    let (tenth, half) = (Sampling::share(0.1).unwrap(), Sampling::share(0.5).unwrap());
    let traces: Vec<_> = (0..20_000).map(|n| TraceId::of_event("shop", &format!("evt_{n}"))).collect();
    let taken = |sampling: Sampling| traces.iter().filter(|trace| sampling.takes(**trace)).count();
    // Four standard deviations: 42 and 71.
    assert!((1_830..=2_170).contains(&taken(tenth)), "{}", taken(tenth));
    assert!((9_710..=10_290).contains(&taken(half)), "{}", taken(half));
    assert!(traces.iter().all(|trace| half.takes(*trace) || !tenth.takes(*trace)));
    assert_eq!((taken(Sampling::ALL), taken(Sampling::NONE)), (20_000, 0));
    // The highest rank there is.
    assert!(Sampling::ALL.takes(TraceId::from_bytes([255; 16])));
}

#[test]
fn a_callers_word_is_read_as_the_standard_has_it() {
    let read = |text: &str| read_traceparent(text.as_bytes());
    let link = read("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
    assert_eq!(link.trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!((link.span.to_string().as_str(), link.is_told), ("00f067aa0ba902b7", true));
    assert!(!read("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02").unwrap().is_told);
    assert!(read("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes").is_some());
    for bad in [
        "",
        "00",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ] {
        assert_eq!(read(bad), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn no_word_of_a_caller_makes_it_fail(value in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = read_traceparent(&value);
    }
}
