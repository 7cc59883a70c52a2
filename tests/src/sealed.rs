//! Envelopes without a door: what ingest would have put into the log for a body.

use bytes::Bytes;
use ledgerline_domain::envelope::{Envelope, Identified};
use ledgerline_domain::ids::SourceName;
use ledgerline_domain::ports::LogRecord;
use ledgerline_domain::provider::Provider;
use ledgerline_domain::request::RawRequest;
use ledgerline_domain::time::UnixNanos;

/// When all of these were received.
pub const RECEIVED_AT: UnixNanos = UnixNanos::from_nanos(1_790_000_100_000_000_000);

/// The envelope of a body that carries one event; its signature headers are made up, so it cannot be
/// verified again.
///
/// # Panics
/// When the body is none that the provider reads.
pub fn seal(provider: &Provider, source: &SourceName, body: &Bytes) -> Envelope {
    let headers: Vec<(String, String)> = Vec::new();
    let raw = RawRequest { headers: &headers, body, received_at: RECEIVED_AT };
    let event: Identified = provider.identify(source, raw).remove(0);
    let (class, value) = (event.order.class.to_text(), event.order.value);
    let time = event.occurred_at.map(|t| format!(r#""time":"{t}","#)).unwrap_or_default();
    let text = format!(
        r#"{{"specversion":"1.0","id":"{}","source":"{source}","type":"{}","subject":"{}",{time}"ledgerlineversion":"1","receivedat":"{RECEIVED_AT}","orderclass":"{class}","ordervalue":"{value}","keyid":"00000000","signatureheaders":"stripe-signature: t=1790000100,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd\n","datacontenttype":"application/json","data":{}}}"#,
        event.id,
        event.event_type,
        event.entity,
        String::from_utf8_lossy(&event.body)
    );
    let envelope = Envelope::decode(&Bytes::from(text)).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(envelope.event, event);
    envelope
}

/// The same as a record to append.
///
/// # Panics
/// As [`seal`] does.
pub fn record(provider: &Provider, source: &SourceName, body: &Bytes) -> LogRecord {
    let envelope = seal(provider, source, body);
    LogRecord { key: envelope.event.entity.clone(), data: envelope.encode().into() }
}
