//! Where one reader stands in a shard: a position, the iterator behind it, and what the service gave that
//! the reader has not taken yet.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_sdk_kinesis::types::Record;
use bytes::Bytes;
use ledgerline_domain::ids::SequenceNumber;
use ledgerline_domain::ports::{ReadBatch, ReadLimit, Sequenced};
use ledgerline_domain::time::UnixNanos;
use ledgerline_domain::{Error, Result};

use super::position::position;

/// Whether the shard has more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    AtTheEnd,
    Behind,
}

/// See the module.
pub(super) struct Place {
    /// The last record that was given to the reader.
    pub after: Option<SequenceNumber>,
    /// Stands behind the last record of `records`; when it was made.
    pub iterator: Option<(String, Instant)>,
    records: VecDeque<Sequenced<Bytes>>,
    late: Duration,
    /// The last answer was as long as it might be, so there may be more whatever it says.
    full: bool,
    ended: bool,
}

impl Place {
    pub fn new(after: Option<SequenceNumber>) -> Self {
        Self { after, iterator: None, records: VecDeque::new(), late: Duration::ZERO, full: false, ended: false }
    }

    /// Takes an answer in.
    pub fn take_in(&mut self, answer: GetRecordsOutput, records_max: i32) -> Result<()> {
        self.late = Duration::from_millis(answer.millis_behind_latest.unwrap_or(0).unsigned_abs());
        self.full = i32::try_from(answer.records.len()).is_ok_and(|given| given >= records_max);
        for record in answer.records {
            let record = sequenced(record)?;
            let before = self.records.back().map_or(self.after.as_ref(), |last| Some(&last.sequence));
            // The service promises it, and everything behind stands on it.
            if before.is_some_and(|before| *before >= record.sequence) {
                return Err(Error::data(format!("read {} behind {before:?}: out of order", record.sequence)));
            }
            self.records.push_back(record);
        }
        self.ended = answer.next_shard_iterator.is_none();
        self.iterator = answer.next_shard_iterator.map(|iterator| (iterator, Instant::now()));
        Ok(())
    }

    /// Whether [`give`](Self::give) has something to say.
    pub fn has_answer(&self) -> bool {
        self.ended || !self.records.is_empty()
    }

    pub fn standing(&self) -> Standing {
        if self.late.is_zero() && !self.full { Standing::AtTheEnd } else { Standing::Behind }
    }

    /// Position of the last record that the service gave.
    pub fn last(&self) -> Option<&SequenceNumber> {
        self.records.back().map(|record| &record.sequence).or(self.after.as_ref())
    }

    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Forgets the records that were read ahead, as if they had been given.
    pub fn skip(&mut self) {
        self.after = self.last().cloned();
        self.records.clear();
    }

    /// Gives the next records within the limit, or the end of the shard.
    pub fn give(&mut self, limit: ReadLimit) -> Option<ReadBatch> {
        if !self.has_answer() {
            return None;
        }
        let count = fitting(&self.records, limit);
        let records: Vec<_> = self.records.drain(..count).collect();
        if let Some(last) = records.last() {
            self.after = Some(last.sequence.clone());
        }
        Some(ReadBatch { records, ..self.nothing() })
    }

    /// What a read says that gives no records.
    pub fn nothing(&self) -> ReadBatch {
        let beyond = u64::from(!self.ended && self.standing() == Standing::Behind);
        ReadBatch {
            records: Vec::new(),
            behind: self.records.len() as u64 + beyond,
            late: Some(self.late),
            ended: self.ended && self.records.is_empty(),
        }
    }
}

/// How many of the records, from the first one, a reader may get; one at least, if there is one.
pub(super) fn fitting(records: &VecDeque<Sequenced<Bytes>>, limit: ReadLimit) -> usize {
    let mut bytes = 0_usize;
    let fitting = records.iter().take(limit.records_max.max(1)).take_while(|record| {
        let first = bytes == 0;
        bytes = bytes.saturating_add(record.value.len().max(1));
        first || bytes <= limit.bytes_max
    });
    fitting.count()
}

/// A record of the service with its position. [`Data`](ledgerline_domain::ErrorKind::Data) when it has none.
pub(super) fn sequenced(record: Record) -> Result<Sequenced<Bytes>> {
    let at = record.approximate_arrival_timestamp;
    let arrived_at = at.and_then(|at| i64::try_from(at.as_nanos()).ok()).unwrap_or_default();
    Ok(Sequenced {
        sequence: position(&record.sequence_number)?,
        arrived_at: UnixNanos::from_nanos(arrived_at),
        value: Bytes::from(record.data.into_inner()),
    })
}
