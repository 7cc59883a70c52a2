//! Tables of header oddities, ages, rotations, and random bytes; mutations and settings are in files
//! of their own. The vectors of other implementations are in `domain/tests/signature_vectors.rs`.

mod bodies;
mod examine;
mod mutations;
mod oidc;
mod paypal;
mod public_keys;
mod settings;

use bytes::Bytes;
use proptest::prelude::*;
use secrecy::SecretString;

use super::*;
use crate::envelope::{Envelope, Identified, RequestPart};
use crate::ids::{EntityKey, SourceName};
use crate::order::{OrderClass, OrderKey};
use crate::request::RawRequest;
use crate::time::UnixNanos;

const NOW: i64 = 1_790_000_000;
const BODY: &[u8] = b"{\"id\":\"evt_1\"}\n";
const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Every symmetric scheme that signs in headers, with a secret that suits it.
const SCHEMES: [(&str, &str); 17] = [
    ("scheme = 'stripe'", "whsec_test"),
    (PADDLE, "pdl_ntfset_test"),
    ("scheme = 'standard-webhooks'", WHSEC),
    ("scheme = 'body-hmac'\nheader = 'X-Hub-Signature-256'", "It's a Secret"),
    ("scheme = 'body-hmac'\nheader = 'x-hub-signature'\nhash = 'sha1'", "It's a Secret"),
    ("scheme = 'body-hmac'\nheader = 'x-shop'\nprefix = ''\nhash = 'sha512'\nencoding = 'base64'", "shop"),
    ("scheme = 'hmac'\nheader = 'x-sig'\nid_header = 'x-id'\ntimestamp_header = 'x-time'", "utf8 key"),
    (
        "scheme = 'hmac'\nheader = 'x-sig'\nprefix = 'v0='\ncontent = 'v0:{timestamp}:{body}'\ntimestamp_header = 'x-time'\nkey = 'hex'",
        "00ff10",
    ),
    (
        "scheme = 'hmac'\nheader = 'x-sig'\ncontent = '{body}'\nhash = 'sha512'\nencoding = 'base64'\nkey = 'base64'",
        "c2VjcmV0",
    ),
    ("scheme = 'hmac'\nheader = 'x-sig'\ncontent = '{body}'\nprefix = 'sha256='\nprefix_optional = true", "mollie"),
    (SQUARE, "signature key"),
    (
        "scheme = 'hmac'\nheader = 'x-sig'\ncontent = '{timestamp}{body}'\ntimestamp_header = 'x-time'\ntimestamp_unit = 'milliseconds'",
        "airwallex",
    ),
    (
        "scheme = 'hmac'\nheader = 'x-sig'\ncontent = '{timestamp}|{body}'\ntimestamp_header = 'x-time'\ntimestamp_unit = 'rfc3339'",
        "rfc",
    ),
    ("scheme = 'hmac'\nheader = 'x-sig'\ncontent = '{header:X-Id}.{body}'", "further header"),
    ("scheme = 'bearer'", "token-of-32-letters"),
    ("scheme = 'basic'", "user:pass word"),
    ("scheme = 'shared-secret'\nheader = 'x-token'\nprefix = 'Token '", "token"),
];
const PADDLE: &str = "scheme = 'timestamped-list'\nheader = 'paddle-signature'\nseparator = ';'\ntimestamp_key = 'ts'
    signature_key = 'h1'\ncontent = '{timestamp}:{body}'";
const SQUARE: &str = "scheme = 'hmac'\nheader = 'x-sig'\ncontent = '{url}{body}'\nencoding = 'base64'";
const URL: &str = "https://example.com/webhooks/square?a=b";

/// Whether the scheme covers the body: a shared secret does not.
fn covers_body(scheme: &Scheme) -> bool {
    !matches!(scheme, Scheme::SharedSecret(_))
}

fn scheme(text: &str) -> Scheme {
    let scheme: Scheme = toml::from_str(text).unwrap();
    if scheme.signs_url() { scheme.with_url(URL).unwrap() } else { scheme }
}

fn set(scheme: &Scheme, secrets: &[&str]) -> SecretSet {
    SecretSet::new(scheme, secrets.iter().map(|s| SecretString::from(*s))).unwrap()
}

fn at(seconds: i64) -> UnixNanos {
    UnixNanos::from_seconds(seconds).unwrap()
}

fn signed(scheme: &Scheme, secret: &str, seconds: i64) -> Vec<(String, String)> {
    sign(scheme, &SecretString::from(secret), "msg_1", at(seconds), BODY).unwrap()
}

/// Verifies and gives the key id, so that results compare.
fn judge<V: AsRef<[u8]>>(
    scheme: &Scheme,
    secrets: &SecretSet,
    headers: &Vec<(String, V)>,
    body: &[u8],
    received_at: UnixNanos,
) -> Result<String, Cause> {
    let body = Bytes::copy_from_slice(body);
    let raw = RawRequest { headers, body: &body, received_at };
    verify(scheme, secrets, raw).map(|verified| verified.key_id().to_owned())
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn the_tolerance_counts_in_both_directions_and_after_the_signature() {
    for (text, secret) in SCHEMES {
        let scheme = scheme(text);
        let secrets = set(&scheme, &[secret]);
        let headers = signed(&scheme, secret, NOW);
        let with_age = scheme.tolerance().is_some();
        for (received, cause) in [
            (at(NOW + 300), None),
            (at(NOW - 300), None),
            (at(NOW + 301), Some(Cause::TooOld)),
            (at(NOW - 301), Some(Cause::InFuture)),
            (UnixNanos::from_nanos(i64::MIN), Some(Cause::InFuture)),
            (UnixNanos::from_nanos(i64::MAX), Some(Cause::TooOld)),
        ] {
            let found = judge(&scheme, &secrets, &headers, BODY, received);
            assert_eq!(found.err(), cause.filter(|_| with_age), "{text} {received}");
            // A forged request is wrong, however old.
            let forged = covers_body(&scheme).then_some(Cause::Wrong);
            assert_eq!(judge(&scheme, &secrets, &headers, b"{}", received).err(), forged, "{text}");
        }
        match scheme.with_tolerance(10) {
            Ok(narrow) => {
                assert_eq!(judge(&narrow, &secrets, &headers, BODY, at(NOW + 11)), Err(Cause::TooOld));
                assert!(judge(&narrow, &secrets, &headers, BODY, at(NOW + 10)).is_ok());
                assert!(scheme.with_tolerance(0).is_err());
            }
            Err(error) => assert!(!with_age && error.to_string().contains("signs no time"), "{error}"),
        }
    }
    let any = scheme("scheme = 'stripe'\naccept_any_age = true");
    let headers = signed(&any, "k", 1);
    assert!(judge(&any, &set(&any, &["k"]), &headers, BODY, at(NOW)).is_ok());
}

#[test]
fn any_of_several_secrets_fits_and_is_named() {
    for (text, secret) in SCHEMES {
        let scheme = scheme(text);
        let others = match scheme.name() {
            _ if text.contains("hex") => ["aa", "bb"],
            "basic" => ["a:a", "b:b"],
            _ => ["QUFB", "QkJC"],
        };
        let secrets = set(&scheme, &[others[0], secret, others[1]]);
        let expected = secrets.key_ids().nth(1).unwrap().to_owned();
        assert_eq!(judge(&scheme, &secrets, &signed(&scheme, secret, NOW), BODY, at(NOW)), Ok(expected), "{text}");
        let strangers = set(&scheme, &others);
        assert_eq!(judge(&scheme, &strangers, &signed(&scheme, secret, NOW), BODY, at(NOW)), Err(Cause::Wrong));
    }
}

#[test]
fn stripe_headers() {
    let scheme = scheme("scheme = 'stripe'");
    let secrets = set(&scheme, &["k"]);
    let good = signed(&scheme, "k", NOW)[0].1.clone();
    let v1 = good.split_once(',').unwrap().1.to_owned();
    let many = |n: usize| format!("t={NOW}{}", format!(",v1={}", "0".repeat(64)).repeat(n));
    for (header, expected) in [
        (good.clone(), None),
        (good.to_uppercase().replace("T=", "t=").replace("V1=", "v1="), None),
        (format!("{good},v0=00,v2=zz,novelty,=,"), None),
        (format!("{v1},t={NOW}"), None),
        (format!("t={NOW},v1=potato,{v1}"), None),
        (format!("t={NOW},v1={},{v1}", "0".repeat(64)), None),
        (format!("{},{v1}", many(15)), None),
        (format!("{},{v1}", many(16)), Some(Cause::Malformed)),
        (many(1), Some(Cause::Wrong)),
        (String::new(), Some(Cause::Missing)),
        (format!("t={NOW}"), Some(Cause::Malformed)),
        (v1.clone(), Some(Cause::Malformed)),
        (format!("t={NOW},t={NOW},{v1}"), Some(Cause::Malformed)),
        (format!("t=,{v1}"), Some(Cause::Malformed)),
        (format!("t=-{NOW},{v1}"), Some(Cause::Malformed)),
        (format!("t=+{NOW},{v1}"), Some(Cause::Malformed)),
        (format!("t={NOW}.0,{v1}"), Some(Cause::Malformed)),
        (format!("t=0{NOW},{v1}"), Some(Cause::Wrong)),
        (format!("t={},{v1}", "9".repeat(30)), Some(Cause::Malformed)),
        (format!("{good},\u{e9}"), Some(Cause::Malformed)),
        (format!("{good},{}", "x".repeat(HEADER_BYTES_MAX)), Some(Cause::Malformed)),
        (good.replace("v1=", "v0="), Some(Cause::Malformed)),
        (good[..good.len() - 2].to_owned(), Some(Cause::Malformed)),
    ] {
        let found = judge(&scheme, &secrets, &pairs(&[("Stripe-Signature", &header)]), BODY, at(NOW));
        assert_eq!(found.err(), expected, "{header}");
    }
}

#[test]
fn standard_webhooks_headers() {
    let scheme = scheme("scheme = 'standard-webhooks'");
    let secrets = set(&scheme, &[WHSEC]);
    let headers = signed(&scheme, WHSEC, NOW);
    let svix: Vec<_> = headers.iter().map(|(n, v)| (n.replace("webhook-", "svix-"), v.clone())).collect();
    assert!(judge(&scheme, &secrets, &svix, BODY, at(NOW)).is_ok());

    // An unsigned id of the other family would become the event's id.
    for forged in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let mut mixed = svix.clone();
        mixed.push((forged.into(), "msg_2".into()));
        assert_eq!(judge(&scheme, &secrets, &mixed, BODY, at(NOW)), Err(Cause::Missing), "{forged}");
    }

    let good = &headers[2].1;
    for (list, expected) in [
        (format!("v1a,AAAA {good} v2,zz nothing  "), None),
        (format!("v1,AAAA {good}"), None),
        (good.replace("v1,", "v1a,"), Some(Cause::Malformed)),
        (good.replace("v1,", "v2,"), Some(Cause::Malformed)),
        (good.replace("v1,", ""), Some(Cause::Malformed)),
        (good.replace('=', ""), Some(Cause::Malformed)),
        ("v1,".to_owned(), Some(Cause::Malformed)),
        (format!("v1,{}=", "A".repeat(43)), Some(Cause::Wrong)),
        (format!("v1,{}", "A".repeat(88)), Some(Cause::Malformed)),
        ([good.as_str(); 17].join(" "), Some(Cause::Malformed)),
    ] {
        let mut headers = headers.clone();
        headers[2].1 = list.clone();
        assert_eq!(judge(&scheme, &secrets, &headers, BODY, at(NOW)).err(), expected, "{list}");
    }
}

#[test]
fn an_archived_envelope_is_verified_again() {
    for (text, secret) in SCHEMES {
        let scheme = scheme(text);
        let secrets = set(&scheme, &[secret]);
        let mut headers = signed(&scheme, secret, NOW);
        headers.push(("cookie".into(), "not evidence".into()));
        let body = Bytes::from_static(BODY);
        let received_at = UnixNanos::from_nanos(at(NOW).nanos() + 123_456_789);
        let verified = verify(&scheme, &secrets, RawRequest { headers: &headers, body: &body, received_at }).unwrap();
        let evidence = verified.evidence();
        let read = headers.len() - 1 + usize::from(scheme.signs_url());
        assert_eq!(evidence.len(), read, "exactly what the scheme read, and the address");
        let kept = format!("{evidence:?}");
        assert!(covers_body(&scheme) || !kept.contains(headers[0].1.as_str()), "{text}: the secret is kept");
        let event = Identified {
            id: "evt_1".into(),
            event_type: "t".into(),
            entity: EntityKey::new(&SourceName::new("s").unwrap(), "payment", "p").unwrap(),
            order: OrderKey { class: OrderClass::Arrival, value: 0 },
            occurred_at: None,
            body: body.clone(),
            part: None,
            unreadable: None,
        };
        let mut envelope = Envelope::decode(&Envelope::seal(&verified, event).encode().into()).unwrap();
        assert_eq!(reverify(&scheme, &secrets, &envelope), Some(Ok(verified.key_id().into())), "{text}");

        let mut tampered = envelope.clone();
        tampered.event.body = Bytes::from_static(b"{}");
        // The witness of a shared secret covers the body, though the secret itself does not.
        assert_eq!(reverify(&scheme, &secrets, &tampered), Some(Err(Cause::Wrong)));
        tampered = envelope.clone();
        tampered.signature_headers.clear();
        assert_eq!(reverify(&scheme, &secrets, &tampered), Some(Err(Cause::Missing)));
        tampered = envelope.clone();
        tampered.received_at = at(NOW + 3600);
        let late = scheme.tolerance().map(|_| Cause::TooOld);
        assert_eq!(reverify(&scheme, &secrets, &tampered).unwrap().err(), late);

        envelope.event.part = Some(RequestPart { digest: "d".into(), index: 0 });
        assert_eq!(reverify(&scheme, &secrets, &envelope), None, "a part was never signed by itself");
    }
}

proptest! {
    /// Any bytes in any header that a scheme reads: an answer, and never `Ok`.
    #[test]
    fn arbitrary_headers_are_refused_without_a_panic(
        which in 0..SCHEMES.len(),
        values in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..200),
                "(t=[0-9]{0,22},)?(v[01]a?[=,][0-9a-fA-F+/=]{0,90}[ ,]?){0,20}".prop_map(String::into_bytes),
                "(sha256=|v0=)?[0-9a-f]{0,130}".prop_map(String::into_bytes),
                "[0-9]{0,25}".prop_map(String::into_bytes),
            ],
            4,
        ),
        body in proptest::collection::vec(any::<u8>(), 0..64),
        received in any::<i64>(),
    ) {
        let (text, secret) = SCHEMES[which];
        let scheme = scheme(text);
        let names = [
            ["stripe-signature", "x-hub-signature-256", "x-sig", "webhook-signature"],
            ["x-shop", "x-id", "webhook-id", "svix-id"],
            ["x-time", "webhook-timestamp", "svix-timestamp", "svix-signature"],
        ];
        let mut headers = Vec::new();
        for (row, value) in names.iter().zip(&values) {
            headers.extend(row.iter().map(|name| ((*name).to_owned(), value.clone())));
        }
        let judged = judge(&scheme, &set(&scheme, &[secret]), &headers, &body, UnixNanos::from_nanos(received));
        prop_assert!(judged.is_err());
    }
}
