//! A key that is still being fetched: the caller is told to come again, and nothing is decided.

use std::sync::Arc;

use ledgerline_domain::signature::{Certificate, Certificates, Lookup, NamedKeys, SecretSet};
use ledgerline_ingest::Settings;
use secrecy::SecretString;

use crate::support::*;

/// Every certificate is coming but one.
struct Coming;

impl Certificates for Coming {
    fn certificate(&self, name: &str) -> Lookup<Certificate> {
        if name == "CERT-none" { Lookup::Unknown } else { Lookup::Coming }
    }
}

#[tokio::test]
async fn a_key_that_is_being_fetched_is_waited_for_by_the_caller() {
    let door = serve(Settings::default()).await;
    let scheme = sources().into_iter().find(|s| s.name.as_str() == "paypal").unwrap().scheme;
    let set = SecretSet::new(&scheme, [SecretString::from("WEBHOOK")]).unwrap();
    let set = set.with_named_keys(NamedKeys::Certificates(Arc::new(Coming)));
    {
        let mut sets = door.secrets.0.lock().unwrap();
        sets.retain(|(name, _)| *name != "paypal");
        sets.push(("paypal", Arc::new(set)));
    }
    let headers = |certificate: &str| {
        format!(
            "paypal-transmission-id: 1\r\npaypal-transmission-time: 2026-09-21T14:13:20Z\r\n\
             paypal-transmission-sig: {}\r\npaypal-auth-algo: SHA256withRSA\r\n\
             paypal-cert-url: https://api.paypal.com/v1/notifications/certs/{certificate}\r\n",
            "AAAA".repeat(64)
        )
    };
    let reply = door.ask(post("paypal", &headers("CERT-1"), b"{}")).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("5")));
    assert_eq!(reply.body, r#"{"error":"the signature cannot be checked yet"}"#);
    assert_eq!(door.ask(post("paypal", &headers("CERT-none"), b"{}")).await.status, 401);
    assert!(door.log.envelopes().is_empty());
}
