//! Any header bytes and any body, through every scheme: refused or verified, never a panic; and what
//! is verified was signed with the secret.
#![no_main]

use std::sync::LazyLock;

use bytes::Bytes;
use ledgerline_domain::provider::Provider;
use ledgerline_domain::request::{Headers, RawRequest};
use ledgerline_domain::signature::{SecretSet, verify};
use ledgerline_domain::time::UnixNanos;
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 8] = [
    "stripe-signature",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "svix-id",
    "svix-timestamp",
    "x-signature",
    "x-timestamp",
];

static PROVIDERS: LazyLock<Vec<(Provider, SecretSet)>> = LazyLock::new(|| {
    let open = |name| {
        let provider = Provider::built_in(name).expect("a built-in provider");
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned();
        let secrets = SecretSet::new(provider.scheme(), [secret.into()]).expect("a good secret");
        (provider, secrets)
    };
    Provider::built_in_names().map(open).collect()
});

struct Raw<'a>(Vec<(&'static str, &'a [u8])>);

impl Headers for Raw<'_> {
    fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
    }
}

fuzz_target!(|data: (Vec<(u8, &[u8])>, &[u8], i64)| {
    let (headers, body, seconds) = data;
    let headers = Raw(headers.into_iter().map(|(n, v)| (NAMES[n as usize % NAMES.len()], v)).collect());
    let body = Bytes::copy_from_slice(body);
    let received_at = UnixNanos::from_seconds(seconds % 4_000_000_000).expect("in range");
    for (provider, secrets) in PROVIDERS.iter() {
        let raw = RawRequest { headers: &headers, body: &body, received_at };
        // Nobody guesses an HMAC: a verified request here would be a finding.
        assert!(verify(provider.scheme(), secrets, raw).is_err());
    }
});
