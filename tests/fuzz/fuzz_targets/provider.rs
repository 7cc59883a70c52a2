//! A provider file of any text: read or refused with a message, never a panic; and what was read can
//! be used on a body.
#![no_main]

use bytes::Bytes;
use ledgerline_domain::ids::SourceName;
use ledgerline_domain::provider::Provider;
use ledgerline_domain::request::RawRequest;
use ledgerline_domain::time::UnixNanos;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (&str, &[u8])| {
    let (text, body) = data;
    if let Ok(provider) = Provider::parse("fuzz.toml", text) {
        let headers: Vec<(String, String)> = Vec::new();
        let body = Bytes::copy_from_slice(body);
        let raw = RawRequest { headers: &headers, body: &body, received_at: UnixNanos::from_nanos(0) };
        let source = SourceName::new("fuzz").expect("a good name");
        for event in provider.identify(&source, raw) {
            let _ = provider.interpret(&event.event_type, event.entity.kind(), &event.body);
        }
    }
});
