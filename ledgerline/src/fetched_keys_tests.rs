//! Keys by a web of the tests' own, which is slow, away, or rotates.

use std::collections::HashMap;

use bytes::Bytes;
use ledgerline_domain::Error;
use ledgerline_domain::signature::{Cause, Scheme};

use super::*;

const ISSUER: &str = "https://issuer.example.com";
const KEYS: &str = "https://keys.example.com/jwks";
/// Public keys of ed25519, of RFC 8032's own tests.
const KEY_1: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const KEY_2: &str = "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw";

/// Pages by address, and how often each was asked for.
#[derive(Default)]
struct Pages(Mutex<HashMap<String, (Option<String>, usize)>>);

impl Pages {
    fn put(&self, url: &str, page: Option<String>) {
        self.0.lock().unwrap().entry(url.to_owned()).or_default().0 = page;
    }

    fn asked(&self, url: &str) -> usize {
        self.0.lock().unwrap().get(url).map_or(0, |(_, asked)| *asked)
    }
}

impl Web for Pages {
    async fn get(&self, get: Get) -> Result<Bytes> {
        let mut pages = self.0.lock().unwrap();
        let (page, asked) = pages.entry(get.url).or_default();
        *asked += 1;
        page.clone().map(Into::into).ok_or_else(|| Error::retry("fetch a page of the test"))
    }
}

fn jwks(keys: &[(&str, &str)]) -> Option<String> {
    let key = |(kid, x): &(&str, &str)| format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"{kid}","x":"{x}"}}"#);
    Some(format!(r#"{{"keys":[{}]}}"#, keys.iter().map(key).collect::<Vec<_>>().join(",")))
}

fn keys(every: Duration, interval: Duration) -> Arc<FetchedKeys> {
    let text = format!("scheme = 'oidc'\nissuer = '{ISSUER}'\naudience = 'us'");
    let Scheme::Oidc(scheme) = toml::from_str(&text).unwrap() else { panic!("another scheme") };
    Arc::new(FetchedKeys::new("hook", &scheme).with_times(every, interval))
}

fn web() -> Arc<Pages> {
    let web = Pages::default();
    let document = format!(r#"{{"issuer":"{ISSUER}","jwks_uri":"{KEYS}","other":1}}"#);
    web.put(&discovery_url(ISSUER), Some(document));
    web.put(KEYS, jwks(&[("one", KEY_1)]));
    Arc::new(web)
}

fn known(keys: &FetchedKeys, kid: &str) -> std::result::Result<(), Cause> {
    keys.key(kid).found().map(|_| ())
}

async fn until(what: &str, happened: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if happened() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never happened: {what}");
}

#[tokio::test]
async fn an_unknown_key_is_fetched_and_strangers_cannot_make_it_fetch_more() {
    let (keys, web) = (keys(REFRESH_EVERY, Duration::from_millis(200)), web());
    assert_eq!(known(&keys, "one"), Err(Cause::UnknownKey), "nobody fetches");
    tokio::spawn(keys.clone().run(web.clone()));
    until("the first set", || known(&keys, "one").is_ok()).await;
    assert_eq!((web.asked(&discovery_url(ISSUER)), web.asked(KEYS)), (1, 1));
    for n in 0..10_000 {
        assert_eq!(known(&keys, &format!("made up {n}")), Err(Cause::UnknownKey));
    }
    assert_eq!(web.asked(KEYS), 1);
    // The issuer rotates; the first who comes with the new key has it fetched.
    web.put(KEYS, jwks(&[("one", KEY_1), ("two", KEY_2)]));
    until("time for another fetch", || known(&keys, "two") == Err(Cause::KeyComing)).await;
    until("the new key", || known(&keys, "two").is_ok()).await;
    assert_eq!(web.asked(KEYS), 2);
}

#[tokio::test]
async fn the_last_good_set_stays_until_there_is_another() {
    let (keys, web) = (keys(Duration::from_millis(20), Duration::from_millis(10)), web());
    web.put(KEYS, None);
    tokio::spawn(keys.clone().run(web.clone()));
    until("some tries", || web.asked(KEYS) > 2).await;
    // Without keys nothing can be said, so the caller is told to come again.
    assert_eq!(known(&keys, "one"), Err(Cause::KeyComing));
    web.put(KEYS, jwks(&[("one", KEY_1)]));
    until("the first set", || known(&keys, "one").is_ok()).await;
    for bad in [None, Some("junk".to_owned()), jwks(&[])] {
        web.put(KEYS, bad);
        let asked = web.asked(KEYS);
        until("two more tries", || web.asked(KEYS) > asked + 2).await;
        assert_eq!(known(&keys, "one"), Ok(()));
    }
    // By the timer alone a key that was withdrawn ends.
    web.put(KEYS, jwks(&[("two", KEY_2)]));
    until("the other set", || known(&keys, "two").is_ok()).await;
    assert!(known(&keys, "one").is_err());
}

#[tokio::test]
async fn the_document_must_be_the_issuers_own() {
    let (keys, web) = (keys(REFRESH_EVERY, Duration::from_millis(5)), web());
    for document in [
        format!(r#"{{"issuer":"https://other.example.com","jwks_uri":"{KEYS}"}}"#),
        format!(r#"{{"issuer":"{ISSUER}","jwks_uri":"http://keys.example.com"}}"#),
        "junk".to_owned(),
    ] {
        web.put(&discovery_url(ISSUER), Some(document));
        assert!(keys.fetch(&*web).await.is_err());
    }
    assert_eq!(web.asked(KEYS), 0);
}
