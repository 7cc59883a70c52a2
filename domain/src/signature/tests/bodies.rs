//! Signatures that stand in the body: Adyen's and Braintree's, and Braintree's handshake.

use super::*;

const KEY: &str = "DFB1EB5485895CFA84146406857104ABB4CBCABDC8AAF103A624C8F6A3EAAB00";
const BRAINTREE: &str = "scheme = 'braintree'";
const BRAINTREE_KEY: &str = "integration_public_key:integration_private_key";

fn no_headers() -> Vec<(String, String)> {
    Vec::new()
}

/// A request with these items, each signed for itself.
fn request(items: &[&str]) -> String {
    let wrapped: Vec<_> = items.iter().map(|item| format!(r#"{{"NotificationRequestItem":{item}}}"#)).collect();
    format!(r#"{{"live":"false","notificationItems":[{}]}}"#, wrapped.join(","))
}

fn adyen(body: &str) -> Option<Cause> {
    let scheme = scheme("scheme = 'adyen'");
    judge(&scheme, &set(&scheme, &["00", KEY]), &no_headers(), body.as_bytes(), at(NOW)).err()
}

/// The signature of an item as the body `item` has it.
fn signed_item(item: &str) -> String {
    let scheme = scheme("scheme = 'adyen'");
    let signed = sign_request(&scheme, &KEY.into(), "", at(NOW), &request(&[item]).into()).unwrap();
    let value: serde_json::Value = serde_json::from_slice(&signed.body).unwrap();
    value["notificationItems"][0]["NotificationRequestItem"].to_string()
}

#[test]
fn every_item_must_hold() {
    let good = signed_item(r#"{"pspReference":"P","amount":{"value":"0","currency":"EUR"},"success":true}"#);
    let bad = good.replace("EUR", "USD");
    for (items, cause) in [
        (vec![good.as_str()], None),
        (vec![&good, &good, &good], None),
        (vec![&good, &bad], Some(Cause::WrongItem(1))),
        (vec![&bad, &good, &bad], Some(Cause::WrongItem(0))),
        (vec![&bad], Some(Cause::Wrong)),
        (vec![&bad, &bad], Some(Cause::Wrong)),
        (vec![&good, "{}"], Some(Cause::Missing)),
        (vec![], Some(Cause::Missing)),
    ] {
        assert_eq!(adyen(&request(&items)), cause, "{items:?}");
    }
    let many = vec![good.as_str(); crate::provider::ITEMS_MAX + 1];
    assert_eq!(adyen(&request(&many[1..])), None);
    assert_eq!(adyen(&request(&many)), Some(Cause::Malformed));
}

#[test]
fn fields_are_scalars_that_stand_once_and_under_their_own_name() {
    let good = signed_item(
        r#"{"pspReference":"P","originalReference":"O","merchantReference":"a:b","amount":{"value":0,"currency":"EUR"},"success":"true"}"#,
    );
    assert_eq!(adyen(&request(&[&good])), None);
    for (from, to, cause) in [
        // What is the same text is the same field; what is absent, empty or null is the same nothing.
        (r#""value":0"#, r#""value":"0""#, None),
        (r#""success":"true""#, r#""success":true"#, None),
        (r#""merchantReference""#, r#""merchantAccountCode":"","eventCode":null,"merchantReference""#, None),
        (r#""pspReference":"P""#, r#""psp\u0052eference":"\u0050""#, None),
        (r#""pspReference":"P""#, r#""pspReference":"P","pspreference":"Q""#, None),
        (r#""value":0"#, r#""value":"""#, Some(Cause::Wrong)),
        (r#""value":0"#, r#""value":null"#, Some(Cause::Wrong)),
        (r#""originalReference""#, r#""originalreference""#, Some(Cause::Wrong)),
        // Two readers could take different ones.
        (r#""pspReference":"P""#, r#""pspReference":"P","pspReference":"P""#, Some(Cause::Malformed)),
        (r#""amount":"#, r#""amount":null,"amount":"#, Some(Cause::Malformed)),
        (r#""value":0"#, r#""value":0.0"#, Some(Cause::Malformed)),
        (r#""value":0"#, r#""value":[0]"#, Some(Cause::Malformed)),
        (r#""pspReference":"P""#, r#""pspReference":{"a":"P"}"#, Some(Cause::Malformed)),
        // A moved border: the text to sign is the same.
        (r#""originalReference":"O""#, r#""originalReference":"O:""#, Some(Cause::Malformed)),
        (r#""value":0"#, r#""value":99999999999999999999"#, Some(Cause::Malformed)),
        (r#""hmacSignature":""#, r#""hmacSignature":"A"#, Some(Cause::Malformed)),
        (r#""hmacSignature":""#, r#""hmacSignature":null,"x":""#, Some(Cause::Missing)),
        (r#""hmacSignature":""#, r#""hmacSignature":"","x":""#, Some(Cause::Missing)),
    ] {
        assert!(good.contains(from), "{from}");
        assert_eq!(adyen(&request(&[&good.replace(from, to)])), cause, "{to}");
    }
    let moved = r#"{"pspReference":"P:O","merchantReference":"b","merchantAccountCode":"a"}"#;
    assert_eq!(adyen(&request(&[&signed_item(moved)])), Some(Cause::Malformed));
    for body in ["", "null", "[]", "{}", r#"{"notificationItems":{}}"#, r#"{"notificationItems":[null]}"#, "\u{e9}"] {
        assert_eq!(adyen(body), Some(Cause::Malformed), "{body}");
    }
    let deep = format!(r#"{{"notificationItems":[{}"#, "[".repeat(100_000));
    assert_eq!(adyen(&deep), Some(Cause::Malformed));
}

fn braintree(body: &str) -> Option<Cause> {
    let scheme = scheme(BRAINTREE);
    judge(&scheme, &set(&scheme, &["other:k", BRAINTREE_KEY]), &no_headers(), body.as_bytes(), at(NOW)).err()
}

#[test]
fn braintree_forms() {
    let scheme = scheme(BRAINTREE);
    let signed = |body: &str| {
        let signed = sign_request(&scheme, &BRAINTREE_KEY.into(), "", at(NOW), &Bytes::from(body.to_owned())).unwrap();
        String::from_utf8(signed.body.to_vec()).unwrap()
    };
    let good = signed("<notification><kind>check</kind></notification>");
    assert_eq!(signed(&good), good, "a form is signed by its payload");
    let (signature, payload) = good.split_once('&').unwrap();
    let pair = signature.strip_prefix("bt_signature=").unwrap();
    for (body, cause) in [
        (good.clone(), None),
        (format!("{payload}&{signature}&x=y"), None),
        (good.replace("%0A", ""), None),
        (format!("bt_signature=other_key%7Caa%26{pair}&{payload}"), None),
        (format!("bt_signature=integration_public_key%7C{}%26{pair}&{payload}", "0".repeat(40)), None),
        (good.replace("integration_public_key", "somebody"), Some(Cause::UnknownKey)),
        (good.replace("integration_public_key", "other"), Some(Cause::Wrong)),
        (good.replace("%7C", "%7C0"), Some(Cause::Malformed)),
        (good.replace("%0A", "%0D%0A"), Some(Cause::Malformed)),
        (good.replace("%0A", "%0A%0A"), Some(Cause::Wrong)),
        (format!("{good}&{payload}"), Some(Cause::Malformed)),
        (signature.to_owned(), Some(Cause::Missing)),
        (payload.to_owned(), Some(Cause::Missing)),
        ("bt_signature=&bt_payload=".to_owned(), Some(Cause::Missing)),
        ("{}".to_owned(), Some(Cause::Missing)),
        (format!("bt_signature={}&{payload}", [pair; SIGNATURES_MAX + 1].join("%26")), Some(Cause::Malformed)),
    ] {
        assert_eq!(braintree(&body), cause, "{body}");
    }
}

#[test]
fn a_challenge_is_answered_and_signs_no_notification() {
    let scheme = scheme(BRAINTREE);
    let secrets = set(&scheme, &[BRAINTREE_KEY, "other:k"]);
    for challenge in ["20f9f8ed05f77439fe955c977e4c8a53", &"a".repeat(20), &"0".repeat(32)] {
        let answer = answer_challenge(&scheme, &secrets, challenge).unwrap();
        assert!(answer.starts_with("integration_public_key|") && answer.len() == 63);
        for ending in ["", "%0A", "%0A%0A"] {
            let body = format!("bt_signature={}&bt_payload={challenge}{ending}", answer.replace('|', "%7C"));
            assert_eq!(braintree(&body), Some(Cause::Malformed), "a signature made on demand opened the door");
        }
    }
    for wrong in [
        "",
        "abc",
        &"a".repeat(19),
        &"a".repeat(33),
        &"A".repeat(32),
        &format!("{}\n", "a".repeat(32)),
        &"g".repeat(32),
    ] {
        assert_eq!(answer_challenge(&scheme, &secrets, wrong), None, "{wrong:?}");
    }
    let forty =
        sign_request(&scheme, &BRAINTREE_KEY.into(), "", at(NOW), &format!("bt_payload={}", "a".repeat(40)).into());
    let forty = String::from_utf8(forty.unwrap().body.to_vec()).unwrap();
    assert_eq!(braintree(&forty), Some(Cause::Malformed), "another verifier with the key may have answered it");
    let stripe = super::scheme("scheme = 'stripe'");
    assert_eq!(answer_challenge(&stripe, &set(&stripe, &["k"]), &"a".repeat(32)), None);
}

#[test]
fn headers_alone_cannot_be_signed_where_the_body_is() {
    for (text, secret) in [("scheme = 'adyen'", KEY), (BRAINTREE, BRAINTREE_KEY)] {
        let scheme = scheme(text);
        assert!(scheme.signs_in_body() && scheme.is_symmetric());
        assert!(sign(&scheme, &secret.into(), "", at(NOW), BODY).unwrap_err().to_string().contains("in the body"));
    }
    let adyen = scheme("scheme = 'adyen'");
    assert!(sign_request(&adyen, &KEY.into(), "", at(NOW), &Bytes::from_static(b"{}")).is_err());
}
