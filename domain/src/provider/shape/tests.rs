//! The short way finds what the long way finds, whatever comes.

use proptest::prelude::*;

use super::super::pointer::Pointers;
use super::*;

const POINTERS: [&str; 8] =
    ["/id", "/data/object", "/data/object/id", "/data/object/amount", "/list/1", "/list/1/n", "/none", "/free"];

fn pointers() -> Pointers {
    let mut set = Pointers::default();
    POINTERS.iter().for_each(|pointer| {
        set.insert(pointer);
    });
    set
}

/// A body with these values, of which nothing points to the second; `pad` stands where white space may.
fn body(pad: &str, values: &[&[u8]; 6]) -> Vec<u8> {
    let [id, kind, key, amount, item, free] = values;
    let mut body = Vec::new();
    for (before, value) in [
        ("{PAD\"id\":PAD", id),
        (",\"empty\":{},\"type\":", kind),
        ("PAD,\"data\":{\"object\":PAD{\"id\":", key),
        (",\"escaped \\\"\":[],\"amount\":", amount),
        ("}PAD},\"list\":[{\"n\":1},{\"n\":", item),
        ("}, -2.5e3, true],\"free\":", free),
    ] {
        body.extend_from_slice(before.replace("PAD", pad).as_bytes());
        body.extend_from_slice(value);
    }
    body.extend_from_slice(pad.as_bytes());
    body.push(b'}');
    body
}

/// Values, and texts that only look like values.
const VALUES: [&[u8]; 34] = [
    b"\"a\"",
    b"\"evt_000001\"",
    b"\"evt_000002\"",
    b"\"evt_1\"",
    b"\"\"",
    "\"\u{e9}\u{20ac}\"".as_bytes(),
    "\"\u{e8}\u{20ad}\"".as_bytes(),
    b"\"\xff\"",
    b"\"\xc3\"",
    b"\"a\\\"b\"",
    b"\"a\\u00e9\"",
    b"\"a\\x\"",
    b"\"a\nb\"",
    b"\"a\\",
    b"0",
    b"1",
    b"12",
    b"-1",
    b"-0",
    b"01",
    b"1.5",
    b"1.",
    b".5",
    b"1e5",
    b"1e",
    b"9007199254740993",
    b"-",
    b"true",
    b"false",
    b"null",
    b"nul",
    b"{}",
    b"{\"n\":2}",
    b"[1]",
];

fn value() -> impl Strategy<Value = &'static [u8]> {
    prop::sample::select(VALUES.as_slice())
}

/// A body of plain values.
fn plain_body() -> impl Strategy<Value = (&'static str, [&'static [u8]; 6])> {
    let plain =
        || prop::sample::select([VALUES[0], VALUES[1], VALUES[5], VALUES[15], VALUES[20], VALUES[29]].as_slice());
    (prop::sample::select(["", " ", "\n  "].as_slice()), [plain(), plain(), plain(), plain(), plain(), plain()])
}

/// A body that has another's values but for some, and in some cases another byte, one less or one more.
type Change = (Vec<(usize, &'static [u8])>, Option<(prop::sample::Index, u8, u8)>);

fn change() -> impl Strategy<Value = Change> {
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b"\"\\,:{}[] 01e.-\xc3".as_slice())];
    let of_bytes = prop::option::weighted(0.3, (any::<prop::sample::Index>(), byte, 0..3_u8));
    (prop::collection::vec((0..6_usize, value()), 0..3), of_bytes)
}

fn changed((pad, mut values): (&str, [&'static [u8]; 6]), (others, of_bytes): &Change) -> Vec<u8> {
    others.iter().for_each(|(at, value)| values[*at] = value);
    let mut body = body(pad, &values);
    if let Some((at, byte, what)) = of_bytes {
        let at = at.index(body.len());
        match what {
            0 => body[at] = *byte,
            1 => drop(body.remove(at)),
            _ => body.insert(at, *byte),
        }
    }
    body
}

proptest! {
    #[test]
    fn the_short_way_finds_the_same(
        plain in prop::collection::vec(plain_body(), 1..4),
        changes in prop::collection::vec((any::<prop::sample::Index>(), change()), 1..60),
    ) {
        let set = pointers();
        for (which, change) in &changes {
            let body = &changed(plain[which.index(plain.len())], change);
            prop_assert_eq!(set.find(body), set.walk(body).map(|walked| walked.found), "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn plain_values_are_what_json_says(text in prop::collection::vec(prop::sample::select(b"\"\\0123.-eEtruefalsn \n\xc3\xa9".as_slice()), 0..8)) {
        if let Some(length) = plain_value(&text) {
            let plain = std::str::from_utf8(&text[..length]);
            let plain = plain.expect("text");
            prop_assert!(serde_json::from_str::<&serde_json::value::RawValue>(plain).is_ok(), "{plain}");
        }
    }
}

/// Reads each body of a set, and says which were read the long way.
fn long_ways(bodies: &[Vec<u8>]) -> Vec<bool> {
    let set = pointers();
    let id = SetId::new();
    let mut ways = Vec::new();
    for body in bodies {
        let mut long = false;
        let found = find(id, body, || {
            long = true;
            set.walk(body)
        });
        assert_eq!(found, set.walk(body).map(|walked| walked.found));
        ways.push(long);
    }
    ways
}

#[test]
fn bodies_of_one_shape_are_read_the_short_way() {
    let with =
        |id: &str, amount: &str| body(" ", &[id.as_bytes(), b"\"t\"", b"\"k\"", amount.as_bytes(), b"7", b"null"]);
    let bodies = [with("\"a\"", "1"), with("\"longer \u{e9}\"", "12.50"), with("null", "-1234567"), with("\"a\"", "0")];
    assert_eq!(long_ways(&bodies), [true, false, false, false]);
}

#[test]
fn several_shapes_are_kept_and_the_rarest_goes() {
    let shape = |n: usize| body(&" ".repeat(n), &[b"1"; 6]);
    let round: Vec<_> = (0..SHAPES_MAX).map(shape).collect();
    let twice = long_ways(&[round.clone(), round.clone()].concat());
    assert!(twice[..SHAPES_MAX].iter().all(|long| *long) && !twice[SHAPES_MAX..].iter().any(|long| *long), "{twice:?}");
    // The first one comes again and again, so it stays when others come.
    let more = (SHAPES_MAX..3 * SHAPES_MAX).flat_map(|n| [shape(0), shape(n)]);
    let ways = long_ways(&round.into_iter().chain(more).collect::<Vec<_>>());
    assert!(ways[SHAPES_MAX..].iter().step_by(2).all(|long| !long), "{ways:?}");
}

#[test]
fn bodies_that_are_never_alike_are_left_alone_after_some() {
    let bodies: Vec<_> = (0..200).map(|n| body(&" ".repeat(n), &[b"1"; 6])).collect();
    assert!(long_ways(&bodies).iter().all(|long| *long));
    let left_alone = KEPT.with_borrow(|all| all.sets.values().map(|kept| kept.rest).max());
    assert!(left_alone.is_some_and(|rest| rest > 0), "{left_alone:?}");
}

#[test]
fn a_refused_body_teaches_nothing() {
    let good = body("", &[b"1"; 6]);
    let mut bad = good.clone();
    bad.pop();
    assert_eq!(long_ways(&[bad.clone(), bad, good.clone(), good]), [true, true, true, false]);
}

#[test]
fn large_bodies_are_not_kept() {
    let large = body("", &[b"1", b"1", b"1", b"1", b"1", format!("\"{}\"", "x".repeat(BODY_MAX)).as_bytes()]);
    assert_eq!(long_ways(&[large.clone(), large]), [true, true]);
}

#[test]
fn a_thread_keeps_no_more_than_it_may() {
    // Sets of pointers without end, as when a provider has more event types than plans are kept for.
    let large = body("", &[b"1", b"1", b"1", b"1", b"1", format!("[{}1]", "1,".repeat(BODY_MAX / 3)).as_bytes()]);
    let (mut most, mut begun_anew, mut held_by_one) = (0, false, 0);
    for _ in 0..100 {
        let before = KEPT.with_borrow(|all| all.bytes);
        assert_eq!(long_ways(std::slice::from_ref(&large)), [true]);
        let bytes = KEPT.with_borrow(|all| {
            let held = |kept: &Kept| size_of::<Kept>() + kept.bytes();
            assert_eq!(all.bytes, all.sets.values().map(held).sum::<usize>());
            held_by_one = held_by_one.max(all.sets.values().map(held).max().unwrap_or_default());
            all.bytes
        });
        (most, begun_anew) = (most.max(bytes), begun_anew | (bytes < before));
    }
    assert!(begun_anew && (BYTES_MAX / 2..=BYTES_MAX + held_by_one).contains(&most), "{most}");
}

/// Reads the first body and then the second, which must not be read as one of the first one's shape would be.
fn one_after_the_other(pointers: &[&str], first: &str, second: &str) {
    let mut set = Pointers::default();
    pointers.iter().for_each(|pointer| {
        set.insert(pointer);
    });
    for body in [first, second, first] {
        assert_eq!(set.find(body.as_bytes()), set.walk(body.as_bytes()).map(|walked| walked.found), "{first} {second}");
    }
}

#[test]
fn numbers_that_no_computer_holds_are_for_the_walk() {
    let many = "9".repeat(400);
    one_after_the_other(&["/a/b"], r#"{"a":1}"#, &format!(r#"{{"a":{many}}}"#));
    one_after_the_other(&["/a/b"], r#"{"a":1}"#, &format!(r#"{{"a":-{many}.5}}"#));
    one_after_the_other(&["/a"], "1", &many);
    one_after_the_other(
        &["/a", "/a/b/c", "/a/d"],
        r#"{"a":{"b":1,"d":2}}"#,
        &format!(r#"{{"a":{{"b":{many},"d":2}}}}"#),
    );
}

#[test]
fn a_string_ends_where_it_ends() {
    one_after_the_other(&["/a"], r#"{"a":"x","b":1}"#, r#"{"a":"x"","b":1}"#);
}

#[test]
fn what_is_no_json_teaches_nothing() {
    // The walk passes over what stands behind a `\\u`, a quote included.
    one_after_the_other(&["/a"], r#"{"x":"\u12"4","a":1}"#, r#"{"x":"z"4","a":1}"#);
}

#[test]
fn what_was_lost_teaches_nothing() {
    for odd in ["1e999", r#""\ud800""#] {
        let first = format!(r#"{{"a":{{"b":{odd},"d":2}}}}"#);
        one_after_the_other(&["/a", "/a/b/c", "/a/d"], &first, r#"{"a":{"b":1,"d":2}}"#);
    }
}
