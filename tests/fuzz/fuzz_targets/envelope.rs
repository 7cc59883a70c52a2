//! An envelope read from the log, and an entity record read from the store: any bytes give a value
//! or an error, and what was read is written back the same.
#![no_main]

use bytes::Bytes;
use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::record::EntityRecord;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    if let Ok(envelope) = Envelope::decode(&bytes) {
        let again = Envelope::decode(&Bytes::from(envelope.encode())).expect("what was written is read");
        assert_eq!(envelope, again);
    }
    if let Ok(record) = EntityRecord::decode(data) {
        record.encode().expect("what was read is written");
        let _ = (record.status(), record.anomalies(), record.canonical());
    }
});
