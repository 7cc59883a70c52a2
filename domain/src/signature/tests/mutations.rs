//! Whatever a scheme covers, one flipped bit of it is refused. What is *not* covered is written down
//! here as well, so that a change of it is noticed:
//!
//! - hex digits and the words `Bearer` and `Basic` count in either case;
//! - `bearer`, `basic` and `shared-secret` cover no body;
//! - Adyen covers eight fields of an item, and nothing else of the body;
//! - Braintree covers the payload but for one line break at its end;
//! - every header that a scheme does not name.

use super::*;

/// Every single-bit change of `bytes`.
fn flips(bytes: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    (0..bytes.len() * 8).map(|n| {
        let mut changed = bytes.to_vec();
        changed[n / 8] ^= 1 << (n % 8);
        (n / 8, changed)
    })
}

/// The same, where a scheme takes either case.
fn same_but_for_case(scheme: &Scheme, before: &str, after: &[u8]) -> bool {
    let hex_digits = match scheme {
        Scheme::TimestampedList(list) => 2 * list.hash.bytes(),
        Scheme::Hmac(hmac) if hmac.encoding == scheme::Encoding::Hex => 2 * hmac.hash.bytes(),
        Scheme::SharedSecret(shared) if shared.name != "shared-secret" => {
            let word = before.find(' ').unwrap();
            return before.as_bytes()[word..] == after[word..] && before.as_bytes().eq_ignore_ascii_case(after);
        }
        _ => return false,
    };
    let Some(digits) = before.len().checked_sub(hex_digits) else { return false };
    before.as_bytes()[..digits] == after[..digits] && before.as_bytes().eq_ignore_ascii_case(after)
}

#[test]
fn no_bit_of_headers_body_address_and_secret_can_change() {
    for (text, secret) in SCHEMES {
        let scheme = scheme(text);
        let secrets = set(&scheme, &[secret]);
        let headers = signed(&scheme, secret, NOW);
        assert!(judge(&scheme, &secrets, &headers, BODY, at(NOW)).is_ok(), "{text}");

        let changed_body = if covers_body(&scheme) { Some(Cause::Wrong) } else { None };
        for (place, body) in flips(BODY) {
            assert_eq!(judge(&scheme, &secrets, &headers, &body, at(NOW)).err(), changed_body, "{text}: body {place}");
        }
        for cut in 0..BODY.len() {
            assert_eq!(judge(&scheme, &secrets, &headers, &BODY[..cut], at(NOW)).err(), changed_body, "{text}");
        }
        // Every bit of every header that the scheme reads, the signed time and id among them.
        for header in 0..headers.len() {
            let value = &headers[header].1;
            for (place, after) in flips(value.as_bytes()) {
                let mut changed: Vec<(String, Vec<u8>)> =
                    headers.iter().map(|(n, v)| (n.clone(), v.clone().into_bytes())).collect();
                changed[header].1.clone_from(&after);
                let accepted = judge(&scheme, &secrets, &changed, BODY, at(NOW)).is_ok();
                assert_eq!(accepted, same_but_for_case(&scheme, value, &after), "{text}: {header} {place}");
                changed[header].1 = value.as_bytes()[..place].to_vec();
                assert!(judge(&scheme, &secrets, &changed, BODY, at(NOW)).is_err(), "{text}: {header} {place}");
            }
            let mut without = headers.clone();
            without.remove(header);
            assert_eq!(judge(&scheme, &secrets, &without, BODY, at(NOW)), Err(Cause::Missing), "{text}");
        }
        for (place, other) in flips(secret.as_bytes()) {
            let Ok(other) = String::from_utf8(other) else { continue };
            // Key text in hex is the same key in either case.
            let same = text.contains("key = 'hex'") && other.eq_ignore_ascii_case(secret);
            // A changed secret may not even be a key any more.
            if let Ok(other) = SecretSet::new(&scheme, [SecretString::from(other)]) {
                let found = judge(&scheme, &other, &headers, BODY, at(NOW)).err();
                assert_eq!(found, (!same).then_some(Cause::Wrong), "{text}: secret {place}");
            }
        }
        if scheme.signs_url() {
            for (place, url) in flips(URL.as_bytes()) {
                let Some(other) = String::from_utf8(url).ok().and_then(|url| scheme.with_url(&url).ok()) else {
                    continue;
                };
                let found = judge(&other, &secrets, &headers, BODY, at(NOW));
                assert_eq!(found, Err(Cause::Wrong), "{text}: address {place}");
            }
        }
        let mut more = headers.clone();
        more.push(("x-forwarded-for".into(), "anything".into()));
        assert!(judge(&scheme, &secrets, &more, BODY, at(NOW)).is_ok(), "{text}: a header that nobody reads");
    }
}

const ADYEN_KEY: &str = "DFB1EB5485895CFA84146406857104ABB4CBCABDC8AAF103A624C8F6A3EAAB00";

/// What is signed of a request, read by another reader: per item the eight fields and the signature.
fn covered(body: &[u8]) -> Option<Vec<Vec<String>>> {
    const PLACES: [&str; 9] = [
        "/pspReference",
        "/originalReference",
        "/merchantAccountCode",
        "/merchantReference",
        "/amount/value",
        "/amount/currency",
        "/eventCode",
        "/success",
        "/additionalData/hmacSignature",
    ];
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    let items = value.get("notificationItems")?.as_array()?;
    let text = |value: Option<&serde_json::Value>| match value {
        None | Some(serde_json::Value::Null) => String::new(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let read = |item: &serde_json::Value| PLACES.iter().map(|place| text(item.pointer(place))).collect();
    items.iter().map(|item| item.get("NotificationRequestItem").map(read)).collect()
}

#[test]
fn of_an_adyen_request_the_signed_fields_of_every_item_cannot_change() {
    let scheme = scheme("scheme = 'adyen'");
    let secrets = set(&scheme, &[ADYEN_KEY]);
    let item = |psp: &str, value: &str| {
        format!(
            r#"{{"NotificationRequestItem":{{"pspReference":"{psp}","originalReference":null,"merchantAccountCode":"M","merchantReference":"a:\u0062 \"c","amount":{{"value":{value},"currency":"EUR"}},"eventCode":"AUTHORISATION","success":"true","eventDate":"2026-01-01T00:00:00Z","reason":"x","additionalData":{{"n":"1"}}}}}}"#
        )
    };
    let body = format!(r#"{{"live":"false","notificationItems":[{},{}]}}"#, item("P1", "1000"), item("P2", "\"0\""));
    let signed = sign_request(&scheme, &ADYEN_KEY.into(), "", at(NOW), &body.into()).unwrap().body;
    let none: Vec<(String, String)> = Vec::new();
    let before = covered(&signed).unwrap();
    let (mut accepted, mut refused) = (0, 0);
    for (place, changed) in flips(&signed).chain((0..signed.len()).map(|cut| (cut, signed[..cut].to_vec()))) {
        if judge(&scheme, &secrets, &none, &changed, at(NOW)).is_ok() {
            assert_eq!(covered(&changed).as_ref(), Some(&before), "byte {place}");
            accepted += 1;
        } else {
            refused += 1;
        }
    }
    // The rest of the body is not covered, and that is Adyen's doing.
    assert!(accepted > 500 && refused > 2000, "{accepted} {refused}");
    for (place, other) in flips(ADYEN_KEY.as_bytes()) {
        let same = other.eq_ignore_ascii_case(ADYEN_KEY.as_bytes());
        let Ok(other) = SecretSet::new(&scheme, [String::from_utf8_lossy(&other).into_owned().into()]) else {
            continue;
        };
        let found = judge(&scheme, &other, &none, &signed, at(NOW)).err();
        assert_eq!(found, (!same).then_some(Cause::Wrong), "secret {place}");
    }
}

#[test]
fn of_an_adyen_form_the_signed_fields_cannot_change() {
    let scheme = scheme("scheme = 'adyen'\nbody = 'form'");
    let secrets = set(&scheme, &[ADYEN_KEY]);
    let body = "pspReference=P1&originalReference=&eventCode=AUTHORISATION&merchantAccountCode=M&merchantReference=a%3Ab+c&success=true&value=100&currency=EUR&reason=x";
    let signed = sign_request(&scheme, &ADYEN_KEY.into(), "", at(NOW), &body.into()).unwrap().body;
    let read = |body: &[u8]| {
        adyen::form_item(body).map(|(fields, signature)| (fields.map(|f| f.to_vec()), signature.map(|s| s.to_vec())))
    };
    let before = read(&signed).unwrap();
    for (place, changed) in flips(&signed) {
        if judge(&scheme, &secrets, &Vec::<(String, String)>::new(), &changed, at(NOW)).is_ok() {
            assert_eq!(read(&changed).as_ref(), Ok(&before), "byte {place}");
        }
    }
}

#[test]
fn of_a_braintree_form_the_payload_cannot_change() {
    let scheme = scheme("scheme = 'braintree'");
    let secret = "public_key_1:private_key_1";
    let secrets = set(&scheme, &[secret]);
    let none: Vec<(String, String)> = Vec::new();
    let signed = sign_request(&scheme, &secret.into(), "", at(NOW), &"<notification/>".into()).unwrap().body;
    assert!(judge(&scheme, &secrets, &none, &signed, at(NOW)).is_ok());
    let read = |body: &[u8]| {
        let [payload, signature] = form::fields(body, ["bt_payload", "bt_signature"]).ok()?;
        Some((payload?.trim_ascii_end().to_vec(), signature?.to_ascii_lowercase()))
    };
    let before = read(&signed).unwrap();
    for (place, changed) in flips(&signed).chain((0..signed.len()).map(|cut| (cut, signed[..cut].to_vec()))) {
        if judge(&scheme, &secrets, &none, &changed, at(NOW)).is_ok() {
            assert_eq!(read(&changed).as_ref(), Some(&before), "byte {place}");
        }
    }
    for (place, other) in flips(secret.as_bytes()) {
        let Ok(other) = String::from_utf8(other) else { continue };
        let Ok(other) = SecretSet::new(&scheme, [other.into()]) else { continue };
        let cause = if place < "public_key_1".len() { Cause::UnknownKey } else { Cause::Wrong };
        assert_eq!(judge(&scheme, &other, &none, &signed, at(NOW)), Err(cause), "secret {place}");
    }
}
