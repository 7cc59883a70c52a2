//! Each usual mistake is found by its hypothesis, and by none that it is not.

use super::*;
use crate::signature::examine::{Examination, examine};

fn look(scheme: &Scheme, secret: &str, headers: &[(String, String)], body: &str, at: UnixNanos) -> Examination {
    let (headers, body) = (headers.to_vec(), Bytes::from(body.to_owned()));
    let raw = RawRequest { headers: &headers, body: &body, received_at: at };
    let found = examine(scheme, &[SecretString::from(secret)], NamedKeys::None, raw).unwrap();
    // Shorter ones are words that stand there anyway.
    assert!(secret.len() < 8 || !format!("{found:?}").contains(secret), "a secret is shown");
    found
}

/// What fits, in words.
fn fitting(found: &Examination) -> Vec<&'static str> {
    found.hypotheses.iter().filter(|h| h.fits).map(|h| h.change).collect()
}

const PRETTY: &str = "{\n  \"id\": \"evt_1\",\n  \"n\": [\n    1\n  ]\n}";
const COMPACT: &str = r#"{"id":"evt_1","n":[1]}"#;

#[test]
fn bodies_that_were_touched_are_explained() {
    let scheme = scheme("scheme = 'stripe'");
    for (sent, arrived, expected) in [
        (COMPACT, PRETTY, vec!["the JSON is written compactly"]),
        (PRETTY, COMPACT, vec!["the JSON is indented by 2"]),
        (r#"{"id": "evt_1", "n": [1]}"#, COMPACT, vec!["the JSON is written with a space behind commas and colons"]),
        (COMPACT, &format!("{COMPACT}\n"), vec!["a trailing line break is removed", "the JSON is written compactly"]),
        ("a\nb", "a\r\nb", vec!["CRLF becomes LF"]),
        ("a\r\nb", "a\nb", vec!["LF becomes CRLF"]),
        ("x\n", "x", vec!["a trailing line break is added"]),
        ("x", "y", vec![]),
    ] {
        let headers = sign(&scheme, &"whsec_test".into(), "", at(NOW), sent.as_bytes()).unwrap();
        // Long after, too: the capture is explained whatever its age.
        for received in [at(NOW), at(NOW + 1_000_000)] {
            let found = look(&scheme, "whsec_test", &headers, arrived, received);
            assert_eq!(found.verdict, Err(Cause::Wrong));
            assert_eq!(fitting(&found), expected, "{sent:?} {arrived:?}");
        }
    }
}

#[test]
fn age_key_address_and_encoding_are_told_apart() {
    let stripe = scheme("scheme = 'stripe'");
    let headers = signed(&stripe, "whsec_test", NOW);
    let body = std::str::from_utf8(BODY).unwrap();
    let good = look(&stripe, "whsec_test", &headers, body, at(NOW));
    assert!(good.verdict.is_ok() && good.hypotheses.is_empty());
    assert_eq!(good.headers, [("stripe-signature".into(), Some(headers[0].1.len()))]);
    let lengths: Vec<_> = good.signed.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
    assert_eq!(lengths, [("timestamp", 10), ("\".\"", 1), ("body", BODY.len())]);

    let old = look(&stripe, "whsec_test", &headers, body, at(NOW + 999));
    assert_eq!((&old.verdict, fitting(&old)), (&Err(Cause::TooOld), vec!["the age is ignored"]));
    let absent = look(&stripe, "whsec_test", &[], body, at(NOW));
    assert_eq!(absent.verdict, Err(Cause::Missing));
    assert_eq!((absent.headers[0].1, absent.hypotheses.len(), absent.signed.len()), (None, 0, 0));

    let utf8 = scheme("scheme = 'hmac'\nheader = 'x'\ncontent = '{body}'");
    for (sender, change) in [
        ("key = 'hex'", "the secret is taken as hex"),
        ("key = 'base64'", "the secret is taken as base64"),
        ("encoding = 'base64'", "the signature is in the other of hex and base64"),
    ] {
        let other = scheme(&format!("scheme = 'hmac'\nheader = 'x'\ncontent = '{{body}}'\n{sender}"));
        let found = look(&utf8, "abcdef012345", &signed(&other, "abcdef012345", NOW), body, at(NOW));
        assert_eq!(fitting(&found), [change], "{sender}");
    }
    let prefixed = scheme("scheme = 'hmac'\nheader = 'x'\ncontent = '{body}'\nprefix = 'sha256='");
    let found = look(&prefixed, "k", &signed(&utf8, "k", NOW), body, at(NOW));
    assert_eq!(fitting(&found), ["the signature has no prefix"]);

    // Stripe's secret as Standard Webhooks would read it, and the other way round.
    let standard = scheme("scheme = 'standard-webhooks'");
    let mut headers = signed(&scheme("scheme = 'stripe'"), WHSEC, NOW);
    headers[0].1 = headers[0].1.replace("v1=", "v0=");
    assert_eq!(look(&stripe, WHSEC, &headers, body, at(NOW)).verdict, Err(Cause::Malformed));
    assert_eq!(look(&standard, WHSEC, &signed(&standard, WHSEC, NOW), body, at(NOW)).signed.len(), 5);

    let square = scheme(SQUARE);
    for (entered, change) in [
        ("http://example.com/webhooks/square?a=b", "the address has http and https exchanged"),
        ("https://example.com/webhooks/square?a=b/", "the address has a slash more or less at its end"),
        ("https://example.com/webhooks/square", "the address has no query"),
    ] {
        let headers = signed(&square.with_url(entered).unwrap(), "k", NOW);
        assert_eq!(fitting(&look(&square, "k", &headers, body, at(NOW))), [change], "{entered}");
    }
}

#[test]
fn every_scheme_can_be_examined() {
    for (text, secret) in SCHEMES {
        let scheme = scheme(text);
        let body = std::str::from_utf8(BODY).unwrap();
        let found = look(&scheme, secret, &signed(&scheme, secret, NOW), body, at(NOW));
        assert!(found.verdict.is_ok() && found.signed.is_empty() != covers_body(&scheme), "{text}");
        assert!(found.headers.iter().all(|(_, length)| length.is_some()), "{text}");
    }
    for (text, secret, body) in [
        ("scheme = 'adyen'", "00ff", r#"{"notificationItems":[{"NotificationRequestItem":{}}]}"#),
        ("scheme = 'adyen'\nbody = 'form'", "00ff", "a=b"),
        ("scheme = 'braintree'", "a:b", "<x/>"),
    ] {
        let scheme = scheme(text);
        let signed = sign_request(&scheme, &secret.into(), "", at(NOW), &body.into()).unwrap();
        let body = String::from_utf8(signed.body.to_vec()).unwrap();
        let found = look(&scheme, secret, &signed.headers, &body, at(NOW));
        assert!(found.verdict.is_ok() && found.signed.len() == 1 && found.headers.is_empty(), "{text}");
    }
}
