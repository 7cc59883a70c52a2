//! What settings and secrets are refused, and what the message says.

use super::*;

/// 1024 bits.
const SHORT_RSA: &str = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCq6I9tKyqU42KNC3pd/FJyZ96VNADcZLV2PgD/R89jUKBer504Yt+s8U/8mrOsC8E8Dp5zLRhxnhbfoo9be8Zaq8BhaRpuPlgc7k1K6LBULWsDMEiqWGfZXY9/i935oHlj0b+St2QknrrtKqIDRKeSvc5g/1vpLobB+CJ+BZZ25QIDAQAB";

#[test]
fn settings_are_checked_and_say_the_fix() {
    for (text, words) in [
        ("scheme = 'none'", "unknown variant"),
        ("header = 'x'", "scheme"),
        ("scheme = 'stripe'\nsecret = 'x'", "unknown field"),
        ("scheme = 'stripe'\ntolerance_seconds = 0", "accept_any_age"),
        ("scheme = 'stripe'\ntolerance_seconds = -1", "-1"),
        ("scheme = 'stripe'\ntolerance_seconds = 5\naccept_any_age = true", "contradicts"),
        ("scheme = 'stripe'\nheader = 'x y'", "no header name"),
        ("scheme = 'standard-webhooks'\ntolerance_seconds = 0", "accept_any_age"),
        ("scheme = 'standard-webhooks'\nheader = 'x'", "unknown field"),
        ("scheme = 'body-hmac'", "header"),
        ("scheme = 'body-hmac'\nheader = 'x'\ntolerance_seconds = 300", "unknown field"),
        ("scheme = 'body-hmac'\nheader = 'x'\nhash = 'md5'", "md5"),
        ("scheme = 'body-hmac'\nheader = 'x'\nencoding = 'octal'", "octal"),
        ("scheme = 'body-hmac'\nheader = 'x'\nprefix = \"\\n\"", "`prefix`"),
        ("scheme = 'hmac'\nheader = 'x'", "id_header"),
        ("scheme = 'hmac'\nheader = 'x'\nid_header = 'i'", "timestamp_header"),
        ("scheme = 'hmac'\nheader = 'x'\ncontent = '{id}'\nid_header = 'i'", "{body}"),
        ("scheme = 'hmac'\nheader = 'x'\ncontent = ''", "{body}"),
        ("scheme = 'hmac'\nheader = 'x'\ncontent = '{body}{body}'", "twice"),
        ("scheme = 'hmac'\nheader = 'x'\ncontent = '{uri}{body}'", "brace"),
        ("scheme = 'hmac'\nheader = 'x'\ncontent = '{header:}{body}'", "no header name"),
        ("scheme = 'hmac'\nheader = 'x'\ncontent = '{header:a}{header:A}{body}'", "twice"),
        (
            "scheme = 'hmac'\nheader = 'x'\ncontent = '{header:a}{header:b}{header:c}{header:d}{header:e}{body}'",
            "more than 4",
        ),
        ("scheme = 'hmac'\nheader = 'x'\ncontent = '{body}'\nprefix_optional = true", "no `prefix`"),
        ("scheme = 'hmac'\nheader = 'x'\ncontent = '{body}'\ntimestamp_unit = 'seconds'", "no {timestamp}"),
        ("scheme = 'timestamped-list'", "header"),
        (
            "scheme = 'timestamped-list'\nheader = 'x'\nseparator = '::'\ntimestamp_key = 't'\nsignature_key = 's'\ncontent = '{timestamp}{body}'",
            "`separator`",
        ),
        (
            "scheme = 'timestamped-list'\nheader = 'x'\nseparator = ','\ntimestamp_key = 't'\nsignature_key = 't'\ncontent = '{timestamp}{body}'",
            "must differ",
        ),
        (
            "scheme = 'timestamped-list'\nheader = 'x'\nseparator = ','\ntimestamp_key = 't='\nsignature_key = 's'\ncontent = '{timestamp}{body}'",
            "letters and digits",
        ),
        (
            "scheme = 'timestamped-list'\nheader = 'x'\nseparator = ','\ntimestamp_key = 't'\nsignature_key = 's'\ncontent = '{body}'",
            "{timestamp} and {body}",
        ),
        ("scheme = 'adyen'\nbody = 'xml'", "xml"),
        ("scheme = 'adyen'\nheader = 'x'", "unknown field"),
        ("scheme = 'braintree'\nheader = 'x'", "unknown field"),
        ("scheme = 'rsa-sha256'", "header"),
        ("scheme = 'bearer'\nheader = 'x'", "unknown field"),
        ("scheme = 'shared-secret'", "header"),
        ("scheme = 'hmac'\nheader = 'x'\ncontent = 'a}{body}'", "brace"),
        ("scheme = 'hmac'\nheader = 'x'\ncontent = '{body}{'", "brace"),
        ("scheme = 'hmac'\nheader = 'x'\ncontent = '{body}'\nid_header = 'i'", "does not sign {id}"),
        ("scheme = 'hmac'\nheader = 'x'\ncontent = '{body}'\ntimestamp_header = 'i'", "does not sign {timestamp}"),
        ("scheme = 'hmac'\nheader = 'x'\ncontent = '{body}'\ntolerance_seconds = 300", "no {timestamp}"),
        ("scheme = 'hmac'\nheader = 'x'\ncontent = '{body}'\nkey = 'whsec'", "whsec"),
        (
            "scheme = 'hmac'\nheader = 'x'\ncontent = '{timestamp}{body}'\ntimestamp_header = 't'\ntolerance_seconds = 0",
            "accept_any_age",
        ),
    ] {
        let error = toml::from_str::<Scheme>(text).expect_err(text).to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn secrets_are_checked_and_never_shown() {
    let stripe = "scheme = 'stripe'";
    let standard = "scheme = 'standard-webhooks'";
    let (braintree, basic, rsa) = ("scheme = 'braintree'", "scheme = 'basic'", "scheme = 'rsa-sha256'\nheader = 'x'");
    let hex = "scheme = 'hmac'\nheader = 'x'\ncontent = '{body}'\nkey = 'hex'";
    for (text, secret, words) in [
        (stripe, "", "empty secret"),
        (stripe, "hidden-key\n", "white space"),
        (stripe, " hidden-key", "white space"),
        (stripe, "hidden\0key", "control character"),
        (standard, "", "empty secret"),
        (standard, "whsec_", "no key behind"),
        (standard, "whsec_hidden!key", "not base64"),
        (standard, "whpk_hiddenkeyhidden", "32 bytes"),
        (standard, "whpk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "no ed25519 public key"),
        (standard, "whsk_hiddenkey", "private key"),
        (braintree, "hidden", "public_key:private_key"),
        (braintree, ":hidden", "public_key:private_key"),
        (braintree, "hidden:", "public_key:private_key"),
        (braintree, "hidden|:hidden", "public_key:private_key"),
        (basic, "hidden", "user:password"),
        (rsa, "hidden!", "neither PEM nor"),
        (rsa, "aGlkZGVu", "no RSA public key"),
        (rsa, include_str!("rsa_for_tests.pem").trim_ascii(), "private key"),
        (rsa, SHORT_RSA, "2048"),
        (hex, "hidden", "not hex"),
        (hex, "abc", "not hex"),
    ] {
        let scheme = scheme(text);
        let error = SecretSet::new(&scheme, [SecretString::from(secret)]).expect_err(secret);
        assert_eq!(error.kind(), crate::ErrorKind::Invalid);
        assert!(error.to_string().contains(words) && !error.to_string().contains("hidden"), "{secret}: {error}");
    }
    let scheme = scheme(stripe);
    assert!(SecretSet::new(&scheme, []).expect_err("none").to_string().contains("without a secret"));
    let seventeen = (0..=SECRETS_MAX).map(|n| SecretString::from(format!("s{n}")));
    assert!(SecretSet::new(&scheme, seventeen).expect_err("many").to_string().contains("16"));
    // SHA-256 of "hidden-key" begins with these bytes.
    let shown = format!("{:?}", set(&scheme, &["hidden-key"]));
    assert_eq!(shown, format!("SecretSet[\"{}\"]", &hex_sha256("hidden-key")[..8]));
}

fn hex_sha256(text: &str) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(text))
}

#[test]
fn signing_refuses_what_no_header_can_hold() {
    let standard = scheme("scheme = 'standard-webhooks'");
    let secret = SecretString::from(WHSEC);
    for id in ["", "a b", "a\r\nb", "\u{e9}", &"x".repeat(HEADER_BYTES_MAX + 1)] {
        assert!(sign(&standard, &secret, id, at(NOW), BODY).is_err(), "{id:?}");
    }
    assert!(sign(&standard, &secret, "msg_1", at(-1), BODY).is_err());
    assert!(sign(&standard, &SecretString::from("whsec_"), "msg_1", at(NOW), BODY).is_err());
}

#[test]
fn an_address_is_taken_exactly_or_refused() {
    let square: Scheme = toml::from_str(SQUARE).unwrap();
    assert!(square.signs_url() && square.lacks_url());
    let set = SecretSet::new(&square, [SecretString::from("k")]).unwrap();
    let signed = signed(&square.with_url(URL).unwrap(), "k", NOW);
    // Whoever forgets the address accepts nothing.
    assert_eq!(judge(&square, &set, &signed, BODY, at(NOW)), Err(Cause::Missing));
    assert!(sign(&square, &SecretString::from("k"), "", at(NOW), BODY).is_err());
    for url in ["", "example.com/x", "ftp://example.com", "https://", "https://a b", "https://a\n", "https://\u{e9}"] {
        assert!(square.with_url(url).unwrap_err().to_string().contains("`url`"), "{url:?}");
    }
    assert!(square.with_url(&format!("https://{}", "x".repeat(URL_BYTES_MAX))).is_err());
    let stripe: Scheme = toml::from_str("scheme = 'stripe'").unwrap();
    assert!(stripe.with_url(URL).unwrap_err().to_string().contains("does not sign the address"));
}

#[test]
fn every_cause_has_a_place_and_a_word_of_its_own() {
    for (place, cause) in Cause::ALL.into_iter().enumerate() {
        assert_eq!(cause.index(), place);
        assert!(Cause::ALL.iter().filter(|other| other.as_str() == cause.as_str()).count() == 1);
        assert!(!cause.to_string().is_empty());
    }
    assert_eq!(Cause::WrongItem(7).index(), Cause::WrongItem(0).index());
    assert!(Cause::WrongItem(7).to_string().contains('7'));
}
