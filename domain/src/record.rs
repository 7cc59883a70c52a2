//! The entity record: one per entity, changed as a whole (I5).
//!
//! It holds the history (ordered entries with their facts) and the state folded from it. Stored
//! form: a readable JSON text of the state, for people and queries, and a compact binary form of
//! everything, for the program. The binary form carries a version.

mod binary;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::document::Document;
use crate::error::{Error, Result};
use crate::fact::Meaning;
use crate::ids::{EntityKey, SequenceNumber};
use crate::order::OrderKey;
use crate::payment::{Anomaly, Payment};
use crate::text::IdText;
use crate::time::UnixNanos;
use crate::view::{CommonView, DocumentView, PaymentView};

pub(crate) use binary::Growing;
pub use binary::{entries_at, expanded, key_of, packed, same_but_for_revision, squeezed};

/// Version of the stored binary form.
pub const RECORD_VERSION: u8 = 1;
/// Room that most readable states need.
const STATE_JSON_BYTES: usize = 640;
/// Room that most entries need in the binary form.
const ENTRY_BYTES: usize = 192;
/// Binary forms longer than this are compressed.
const COMPRESS_ABOVE_BYTES: usize = 4096;
/// Version and whether what follows is compressed.
const HEADER_BYTES: usize = 2;
/// A compressed record may not claim to be larger than this.
const DECODED_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Entity kind whose events are folded as money.
pub const PAYMENT_KIND: &str = "payment";

/// One event in an entity's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The provider's event id.
    pub id: IdText,
    /// The provider's event type.
    pub event_type: CompactString,
    /// Its place, and with it the class that decided (`order_basis`).
    pub order: OrderKey,
    /// When it happened, if known.
    pub occurred_at: Option<UnixNanos>,
    /// Earliest receipt of all its copies.
    pub received_at: UnixNanos,
    /// What it says.
    pub meaning: Meaning,
    /// Digest of what it says: tells a duplicate from a contradiction.
    pub digest: [u8; 8],
    /// What depends on how it was delivered, and on nothing else.
    pub delivery: Delivery,
}

/// How an event came: the only part of a record that depends on the order of arrival.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Place in the log of the first copy.
    pub sequence: SequenceNumber,
    /// How many copies the log holds so far.
    pub copies: u32,
}

/// Folded state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Money. Boxed: it is several times the size of a document.
    Payment(Box<Payment>),
    /// Anything else.
    Document(Document),
}

impl State {
    /// The state of an entity of `kind` about which nothing is known.
    pub fn empty(kind: &str) -> Self {
        if kind == PAYMENT_KIND { Self::Payment(Box::default()) } else { Self::Document(Document::default()) }
    }
}

/// Everything kept about one entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityRecord {
    /// The entity.
    pub key: EntityKey,
    /// Counts the writes of this record; conditional writes compare it.
    pub revision: u64,
    /// Log records up to here are applied. Reading one of them again changes nothing.
    pub through: SequenceNumber,
    /// The events, in order.
    pub entries: Vec<Entry>,
    /// How many entries from the front are folded; the others are held behind a hole.
    pub folded: usize,
    /// What the folded entries add up to.
    pub state: State,
    /// Events about it that are in the quarantine, sorted: the event id of an unreadable one, the
    /// [`released_id`](crate::fold::released_id) of a contradiction. A released one leaves the list.
    pub quarantined: Vec<IdText>,
}

impl EntityRecord {
    /// The record of an entity about which nothing is known.
    pub fn empty(key: EntityKey) -> Self {
        Self {
            revision: 0,
            through: SequenceNumber::new(""),
            entries: Vec::new(),
            folded: 0,
            state: State::empty(key.kind()),
            quarantined: Vec::new(),
            key,
        }
    }

    /// The status word: of a payment its [`PaymentStatus`](crate::payment::PaymentStatus), of a
    /// document the object's own, or empty; `held` when all its events wait behind a hole, `unread`
    /// when all are in the quarantine.
    pub fn status(&self) -> &str {
        match &self.state {
            _ if self.entries.is_empty() => "unread",
            _ if self.folded == 0 => "held",
            State::Payment(payment) => payment.status().as_str(),
            State::Document(document) => document.status.as_deref().unwrap_or_default(),
        }
    }

    /// What does not add up: in the money, and in the numbers of a contiguous source.
    pub fn anomalies(&self) -> Vec<Anomaly> {
        let mut found = match &self.state {
            State::Payment(payment) => payment.anomalies(),
            State::Document(_) => Vec::new(),
        };
        found.extend(crate::fold::number_anomalies(&self.entries, self.folded));
        found
    }

    /// How many events are held behind a hole.
    pub fn held(&self) -> usize {
        self.entries.len() - self.folded
    }

    /// Whether somebody should look: anomalies, held or quarantined events.
    pub fn needs_attention(&self) -> bool {
        self.held() > 0 || !self.quarantined.is_empty() || !self.anomalies().is_empty()
    }

    /// Time of the last folded event, if the provider gives times.
    pub fn last_at(&self) -> Option<UnixNanos> {
        self.entries[..self.folded].iter().filter_map(|e| e.occurred_at).max()
    }

    /// The readable state. A function of the set of events alone: nothing in it depends on the
    /// order of arrival, on the number of copies or on a clock.
    pub fn state_json(&self) -> String {
        let anomalies = self.anomalies();
        let common = CommonView::of(self);
        let mut text = Vec::with_capacity(STATE_JSON_BYTES);
        let written = match &self.state {
            State::Payment(payment) => serde_json::to_writer(&mut text, &PaymentView::of(payment, &anomalies, common)),
            State::Document(document) => serde_json::to_writer(
                &mut text,
                &DocumentView { kind: self.key.kind(), counts: &document.counts, anomalies: &anomalies, common },
            ),
        };
        written.ok().and_then(|()| String::from_utf8(text).ok()).unwrap_or_else(|| "{}".into())
    }

    /// The record without anything that depends on delivery: two histories of the same set of
    /// events agree in it byte for byte (I3).
    pub fn canonical(&self) -> Vec<u8> {
        let mut plain = self.clone();
        plain.revision = 0;
        plain.through = SequenceNumber::new("");
        plain.quarantined = Vec::new();
        for entry in &mut plain.entries {
            entry.delivery = Delivery { sequence: SequenceNumber::new(""), copies: 1 };
        }
        let mut bytes = postcard::to_stdvec(&plain).unwrap_or_default();
        bytes.extend_from_slice(plain.state_json().as_bytes());
        bytes
    }

    /// The binary form, as stores keep it: version byte, then postcard, compressed or not.
    pub fn encode(&self) -> Result<Vec<u8>> {
        self.encode_binary(Vec::with_capacity(ENTRY_BYTES * (self.entries.len() + 2)))
    }

    /// The same in `buffer`, whose contents are dropped.
    pub fn encode_binary(&self, buffer: Vec<u8>) -> Result<Vec<u8>> {
        packed(self.encode_plain(buffer)?)
    }

    /// The binary form without compression, however long it is; [`decode`](Self::decode) reads it too.
    pub fn encode_plain(&self, mut buffer: Vec<u8>) -> Result<Vec<u8>> {
        buffer.clear();
        buffer.extend_from_slice(&[RECORD_VERSION, 0]);
        postcard::serialize_with_flavor(self, Growing(buffer))
            .map_err(|e| Error::internal("write an entity record").because(e))
    }

    /// Reads the binary form back.
    pub fn decode(binary: &[u8]) -> Result<Self> {
        let damaged = || Error::data("read an entity record: the stored bytes are damaged");
        let record: Self = match binary {
            [version, ..] if *version > RECORD_VERSION => {
                return Err(Error::data(format!(
                    "read an entity record of version {version}: this program knows versions up to {RECORD_VERSION}; use a newer one"
                )));
            }
            [RECORD_VERSION, 0, plain @ ..] => postcard::from_bytes(plain).map_err(|e| damaged().because(e))?,
            [RECORD_VERSION, 1, packed @ ..] => {
                let plain = zstd::stream::decode_all(std::io::Read::take(packed, DECODED_BYTES_MAX as u64))
                    .map_err(|e| damaged().because(e))?;
                postcard::from_bytes(&plain).map_err(|e| damaged().because(e))?
            }
            _ => return Err(damaged()),
        };
        if record.folded > record.entries.len() { Err(damaged()) } else { Ok(record) }
    }
}
