//! Each key of the provider file: what it does, and what is said when it is wrong.

use bytes::Bytes;

use super::*;
use crate::envelope::UNREADABLE_KIND;
use crate::fact::{FactKind, SubStatus};
use crate::order::OrderClass;
use crate::time::UnixNanos;

const SHOP: &str = r#"
name = "shop"
format = 1
[signature]
scheme = "hmac"
header = "x-shop-signature"
content = "{body}"
[body]
encoding = ["json", "form"]
[event]
id = [{ join = ["/uid", ["/part", "/piece"]] }, { hash = ["/kind", "/order"] }]
type = ["/kind", "=nothing"]
time = ["/at"]
time_without_zone = "utc"
[order]
class = "timestamp"
fallback = "arrival"
[[order.family]]
types = ["stock*"]
class = "monotonic"
at = ["/version"]
fallback = "arrival"
[currency]
decimals = { ISK = 2, IDR = 0 }
[[entity]]
types = ["pay*", "back*"]
kind = "payment"
id = ["/order"]
[[entity]]
types = ["*"]
kind_at = ["type-prefix"]
kind = "thing"
id = [{ join = ["/order", "/part"], with = "/" }]
[[fact]]
types = ["pay"]
kind = "captured"
amount = ["abs:minor:/amount"]
currency = ["/currency"]
when = { "/state" = ["done", "sent"], "/test" = "!*", "/mode" = ["!draft", "!demo"] }
[[fact]]
types = ["back"]
kind = "refund"
each = "/lines"
amount = ["abs:decimal:/amount"]
currency = ["/currency"]
reference = ["/id"]
status_default = "succeeded"
"#;

fn shop() -> Provider {
    Provider::parse("shop.toml", SHOP).unwrap()
}

fn identified(body: &str) -> Identified {
    let headers: Vec<(String, String)> = Vec::new();
    let body = Bytes::copy_from_slice(body.as_bytes());
    let raw = RawRequest { headers: &headers, body: &body, received_at: UnixNanos::from_nanos(0) };
    shop().identify(&SourceName::new("src").unwrap(), raw).remove(0)
}

#[test]
fn errors_name_file_key_and_fix() {
    for (from, to, parts) in [
        ("encoding = [\"json\", \"form\"]", "encoding = \"yaml\"", vec!["`body.encoding`", "form-xml:FIELD"]),
        ("encoding = [\"json\", \"form\"]", "encoding = []", vec!["`body.encoding`", "at least one"]),
        ("encoding = [\"json\", \"form\"]", "encoding = \"form-json:\"", vec!["`body.encoding`"]),
        ("encoding = [\"json\", \"form\"]", "encoding = 7", vec!["an encoding such as"]),
        ("join = [\"/uid\", [\"/part\", \"/piece\"]]", "join = []", vec!["`event.id`", "1 to 16 parts"]),
        ("join = [\"/uid\", [\"/part\", \"/piece\"]]", "join = [[]]", vec!["`event.id`", "none of them empty"]),
        ("join = [\"/uid\", [\"/part\", \"/piece\"]]", "join = [\"uid\"]", vec!["`event.id`", "start with '/'"]),
        ("join = [\"/uid\", [\"/part\", \"/piece\"]]", "glue = [\"/uid\"]", vec!["\"glue\"", "`join` or `hash`"]),
        ("hash = [\"/kind\", \"/order\"]", "hash = [\"/kind\"], with = \":\"", vec!["only beside `join`"]),
        ("with = \"/\"", "with = \"%\"", vec!["`entity[1].id`", "`with`"]),
        ("time = [\"/at\"]", "time = [{ hash = [\"/at\"] }]", vec!["`event.time`", "JSON pointer"]),
        ("time = [\"/at\"]", "time = [\"=now\"]", vec!["`event.time`", "no place here"]),
        ("time_without_zone = \"utc\"", "time_without_zone = \"cet\"", vec!["cet", "utc"]),
        ("\"=nothing\"", "\"=\"", vec!["`event.type`"]),
        ("at = [\"/version\"]", "", vec!["`order.family[0].at`"]),
        ("class = \"monotonic\"", "class = \"contiguous\"", vec!["`order.family[0].first`"]),
        (
            "fallback = \"arrival\"\n[currency]",
            "fallback = \"monotonic\"\n[currency]",
            vec!["`order.family[0].fallback`"],
        ),
        ("types = [\"stock*\"]", "types = []", vec!["`order.family[0].types`"]),
        ("ISK = 2", "isk = 2", vec!["`currency.decimals`", "upper case"]),
        ("ISK = 2", "ISK = 99", vec!["`currency.decimals`", "0 to 8"]),
        ("each = \"/lines\"", "each = \"lines\"", vec!["`fact[1].each`"]),
        ("[\"done\", \"sent\"]", "[\"done\", \"!sent\"]", vec!["`fact[0].when`", "`!texts`"]),
        ("[\"done\", \"sent\"]", "[]", vec!["`fact[0].when`"]),
        ("[\"done\", \"sent\"]", "[\"*\", \"sent\"]", vec!["`fact[0].when`", "stand alone"]),
        ("\"abs:minor:/amount\"", "\"abs:amount\"", vec!["`fact[0].amount`"]),
        ("kind_at = [\"type-prefix\"]", "kind_at = [\"header:x\"]", vec!["`entity[1].kind_at`"]),
    ] {
        let text = SHOP.replacen(from, to, 1);
        assert_ne!(text, SHOP, "{from}");
        let error = Provider::parse("shop.toml", &text).expect_err(to);
        let message = format!("{error}");
        assert!(message.contains("shop.toml"), "{to}: {message}");
        assert!(parts.iter().all(|part| message.contains(part)), "{to}: {message}");
    }
}

#[test]
fn ids_of_several_places() {
    let id = |body: &str| identified(body).id.to_string();
    assert_eq!(id(r#"{"uid":"a:b","piece":7,"order":"o"}"#), "a%3Ab:7");
    assert_eq!(id(r#"{"uid":"a","order":"o"}"#), "a:");
    let hashed = id(r#"{"kind":"pay","order":"o"}"#);
    assert_eq!(hashed.len(), 32);
    assert_eq!(hashed, id(r#"{"order":"o","kind":"pay","more":1}"#));
    assert_ne!(hashed, id(r#"{"kind":"pay","order":"p"}"#));
    assert!(identified(r#"{"order":"o"}"#).unreadable.unwrap().contains("no event id"));
    let long = "x".repeat(300);
    assert!(identified(&format!(r#"{{"uid":"{long}","order":"o"}}"#)).unreadable.unwrap().contains("longer than"));
}

#[test]
fn types_that_no_body_names_and_kinds_of_a_type() {
    let event = identified(r#"{"uid":"a","order":"o"}"#);
    assert_eq!((event.event_type.as_str(), event.entity.as_str()), ("nothing", "src/nothing/o/"));
    for (kind, entity) in [("stock/moved", "src/stock/o/"), ("stock#moved", "src/stock/o/"), ("a.b", "src/a/o/")] {
        assert_eq!(identified(&format!(r#"{{"uid":"a","kind":"{kind}","order":"o"}}"#)).entity.as_str(), entity);
    }
}

#[test]
fn families_have_an_order_of_their_own() {
    let order = |body: &str| identified(body).order;
    let stock = order(
        r#"{"uid":"a","kind":"stock.moved","order":"o","version":"9007199254740993","at":"2026-11-24T00:00:00Z"}"#,
    );
    assert_eq!((stock.class, stock.value), (OrderClass::Monotonic, 9_007_199_254_740_993));
    assert_eq!(order(r#"{"uid":"a","kind":"stock.moved","order":"o"}"#).class, OrderClass::Arrival);
    for at in ["2026-11-24 09:30:00", "2026-11-24T09:30:00", "2026-11-24T09:30:00Z"] {
        let pay = order(&format!(r#"{{"uid":"a","kind":"pay","order":"o","at":"{at}"}}"#));
        assert_eq!((pay.class, pay.value), (OrderClass::Timestamp, 1_795_512_600_000_000_000), "{at}");
    }
    assert_eq!(order(r#"{"uid":"a","kind":"pay","order":"o"}"#).class, OrderClass::Arrival);
}

#[test]
fn forms_keep_their_bytes() {
    let body = "uid=a&kind=pay&order=o%20%31&at=1795512600";
    let event = identified(body);
    assert_eq!((event.entity.as_str(), event.body.as_ref()), ("src/payment/o 1", body.as_bytes()));
    assert_eq!(event.occurred_at.unwrap().seconds(), 1_795_512_600);
    let event = identified("\u{1}");
    assert_eq!(event.entity.kind(), UNREADABLE_KIND);
}

#[test]
fn conditions_signs_and_currencies() {
    let amount = |body: &str| -> Result<Option<i64>, String> {
        shop().interpret("pay", "payment", body.as_bytes()).map(|m| m.facts.first().and_then(|f| f.amount))
    };
    for (body, wanted) in [
        (r#"{"state":"done","mode":"live","amount":-500,"currency":"EUR"}"#, Ok(Some(500))),
        (r#"{"state":"sent","mode":"live","amount":"500","currency":"JPY"}"#, Ok(Some(500))),
        (r#"{"state":"sent","mode":"live","amount":500,"currency":"ISK"}"#, Ok(Some(5))),
        (r#"{"state":"sent","mode":"live","amount":501,"currency":"ISK"}"#, Err(())),
        (r#"{"state":"sent","mode":"live","amount":5,"currency":"IDR"}"#, Ok(Some(500))),
        (r#"{"state":"open","mode":"live","amount":500,"currency":"EUR"}"#, Ok(None)),
        (r#"{"state":"done","mode":"live","test":true,"amount":500,"currency":"EUR"}"#, Ok(None)),
        (r#"{"state":"done","mode":"demo","amount":500,"currency":"EUR"}"#, Ok(None)),
        (r#"{"state":"done","amount":500,"currency":"EUR"}"#, Ok(None)),
        (r#"{"state":"done","mode":"live","amount":"--5","currency":"EUR"}"#, Err(())),
        ("state=done&mode=live&amount=500&currency=EUR", Ok(Some(500))),
    ] {
        assert_eq!(amount(body).map_err(|_| ()), wanted, "{body}");
    }
}

#[test]
fn a_rule_for_each_element() {
    let facts = |body: &str| shop().interpret("back", "payment", body.as_bytes()).map(|m| m.facts);
    let two = r#"{"lines":[{"id":"r1","amount":"-1.50","currency":"EUR"},{"id":"r2","amount":2,"currency":"EUR"}]}"#;
    let found = facts(two).unwrap();
    let said: Vec<_> = found.iter().map(|f| (f.kind, f.amount, f.reference.as_deref(), f.status)).collect();
    let refund = |amount, id| (FactKind::Refund, Some(amount), Some(id), Some(SubStatus::Succeeded));
    assert_eq!(said, [refund(150, "r1"), refund(200, "r2")]);
    for none in [r#"{}"#, r#"{"lines":[]}"#, r#"{"lines":7}"#, r#"{"lines":null}"#] {
        assert_eq!(facts(none).unwrap(), [], "{none}");
    }
    let many = format!(r#"{{"lines":[{}]}}"#, vec!["{}"; each::ELEMENTS_MAX + 1].join(","));
    assert!(facts(&many).unwrap_err().contains("more than"));
}
