//! Any body through every built-in provider: identified or unreadable, interpreted or refused, folded.
#![no_main]

use std::sync::LazyLock;

use bytes::Bytes;
use ledgerline_domain::envelope::is_json_text;
use ledgerline_domain::fold::{Incoming, apply};
use ledgerline_domain::ids::{SequenceNumber, SourceName};
use ledgerline_domain::provider::Provider;
use ledgerline_domain::request::RawRequest;
use ledgerline_domain::time::UnixNanos;
use libfuzzer_sys::fuzz_target;

static PROVIDERS: LazyLock<Vec<Provider>> = LazyLock::new(|| {
    Provider::built_in_names().map(|name| Provider::built_in(name).expect("a built-in provider")).collect()
});

fuzz_target!(|data: &[u8]| {
    let body = Bytes::copy_from_slice(data);
    let headers = vec![("webhook-id".to_owned(), "msg_1".to_owned())];
    let source = SourceName::new("fuzz").expect("a good name");
    for provider in PROVIDERS.iter() {
        let raw = RawRequest { headers: &headers, body: &body, received_at: UnixNanos::from_nanos(0) };
        let events = provider.identify(&source, raw);
        assert!(!events.is_empty());
        for event in events {
            // What was identified is JSON to every other reader as well, or a form.
            let forms = ["adyen-form", "braintree", "mollie", "slack"].contains(&provider.name());
            assert!(event.unreadable.is_some() || forms || is_json_text(&event.body));
            let meaning = provider.interpret(&event.event_type, event.entity.kind(), &event.body).ok();
            let incoming = Incoming {
                id: event.id.clone(),
                event_type: event.event_type.clone(),
                order: event.order,
                occurred_at: event.occurred_at,
                received_at: UnixNanos::from_nanos(0),
                sequence: SequenceNumber::from_u64(1),
                meaning,
            };
            let (record, _) = apply(&event.entity, None, vec![incoming]);
            record.encode().expect("a record is written");
        }
    }
});
