//! Any header bytes and any body, through every scheme: refused or verified, never a panic; and what
//! is verified was signed with the secret.
#![no_main]

use std::sync::LazyLock;

use bytes::Bytes;
use ledgerline_domain::provider::Provider;
use ledgerline_domain::request::{Headers, RawRequest};
use ledgerline_domain::signature::{Scheme, SecretSet, verify};
use ledgerline_domain::time::UnixNanos;
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 10] = [
    "stripe-signature",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "svix-id",
    "svix-timestamp",
    "x-signature",
    "x-timestamp",
    "paddle-signature",
    "authorization",
];

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Schemes with a secret that suits them, beside those of the built-in providers.
const SCHEMES: [(&str, &str); 9] = [
    (
        "scheme = 'timestamped-list'\nheader = 'paddle-signature'\nseparator = ';'\ntimestamp_key = 'ts'
         signature_key = 'h1'\ncontent = '{timestamp}:{body}'",
        SECRET,
    ),
    ("scheme = 'standard-webhooks'", "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="),
    (
        "scheme = 'hmac'\nheader = 'x-signature'\ncontent = '{header:x-timestamp}{body}'\nhash = 'sha1'\nencoding = 'base64'",
        SECRET,
    ),
    ("scheme = 'adyen'", "00ff00ff00ff00ff00ff00ff00ff00ff"),
    ("scheme = 'adyen'\nbody = 'form'", "00ff00ff00ff00ff00ff00ff00ff00ff"),
    ("scheme = 'braintree'", "public_key:private_key"),
    ("scheme = 'bearer'", SECRET),
    ("scheme = 'basic'", "user:whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    ("scheme = 'shared-secret'\nheader = 'x-signature'", SECRET),
];

static SETS: LazyLock<Vec<(Scheme, SecretSet)>> = LazyLock::new(|| {
    let built_in = Provider::built_in_names().map(|name| {
        let provider = Provider::built_in(name).expect("a built-in provider");
        (provider.scheme().clone(), SECRET)
    });
    let written = SCHEMES.iter().map(|(table, secret)| (toml::from_str(table).expect("a scheme"), *secret));
    let open = |(scheme, secret): (Scheme, &str)| {
        let secrets = SecretSet::new(&scheme, [secret.to_owned().into()]);
        secrets.ok().map(|secrets| (scheme, secrets))
    };
    built_in.chain(written).filter_map(open).collect()
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
    for (scheme, secrets) in SETS.iter() {
        let raw = RawRequest { headers: &headers, body: &body, received_at };
        // Nobody guesses an HMAC or a secret: a verified request here would be a finding.
        assert!(verify(scheme, secrets, raw).is_err());
    }
});
