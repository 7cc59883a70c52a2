//! What was counted, as plain data: a line per service, operation, thing and outcome.

use std::collections::BTreeMap;
use std::ops::AddAssign;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Done.
    Ok,
    /// A condition did not hold: somebody was first.
    Condition,
    /// Too much was asked.
    Throttled,
    /// Refused otherwise: not allowed, not there, wrong.
    Refused,
    /// The service failed.
    Failed,
    /// No answer, or one that was cut.
    Unanswered,
}

impl Outcome {
    /// As metrics and tables name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Condition => "condition",
            Self::Throttled => "throttled",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unanswered => "unanswered",
        }
    }
}

/// Which calls a line is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallKey {
    /// `Kinesis`, `DynamoDB`, `S3`, `Secrets Manager`.
    pub service: String,
    /// `PutRecords`, `PutItem`, …
    pub operation: String,
    /// Stream, table or bucket; empty where the call names none.
    pub on: String,
    /// How they ended.
    pub outcome: Outcome,
}

/// What they add up to. Units of a service that a call is not to are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counted {
    /// Calls.
    pub calls: u64,
    /// Bytes of the requests' bodies.
    pub request_bytes: u64,
    /// Records put into a stream, or read from one; items asked for in a table.
    pub records: u64,
    /// Units of 25 KB that Kinesis takes a price for.
    pub payload_units: u64,
    /// DynamoDB's write units of tables.
    pub write_units: f64,
    /// DynamoDB's write units of indexes.
    pub index_write_units: f64,
    /// DynamoDB's read units.
    pub read_units: f64,
    /// S3 requests of the class PUT, COPY, POST, LIST.
    pub s3_puts: u64,
    /// S3 requests of the class GET and all others.
    pub s3_gets: u64,
    /// Bytes of the objects that S3 was given.
    pub stored_bytes: u64,
}

impl AddAssign for Counted {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.request_bytes += other.request_bytes;
        self.records += other.records;
        self.payload_units += other.payload_units;
        self.write_units += other.write_units;
        self.index_write_units += other.index_write_units;
        self.read_units += other.read_units;
        self.s3_puts += other.s3_puts;
        self.s3_gets += other.s3_gets;
        self.stored_bytes += other.stored_bytes;
    }
}

impl Counted {
    /// What came since `before`, an earlier reading of the same line.
    pub fn since(self, before: Self) -> Self {
        Self {
            calls: self.calls - before.calls,
            request_bytes: self.request_bytes - before.request_bytes,
            records: self.records - before.records,
            payload_units: self.payload_units - before.payload_units,
            write_units: self.write_units - before.write_units,
            index_write_units: self.index_write_units - before.index_write_units,
            read_units: self.read_units - before.read_units,
            s3_puts: self.s3_puts - before.s3_puts,
            s3_gets: self.s3_gets - before.s3_gets,
            stored_bytes: self.stored_bytes - before.stored_bytes,
        }
    }
}

/// All lines at one moment.
#[derive(Clone, Debug, Default)]
pub struct Reading(pub BTreeMap<CallKey, Counted>);

impl Reading {
    /// What came since `before`, an earlier reading of the same meter.
    pub fn since(&self, before: &Self) -> Self {
        let line = |(key, now): (&CallKey, &Counted)| {
            let counted = before.0.get(key).map_or(*now, |before| now.since(*before));
            (counted.calls > 0).then(|| (key.clone(), counted))
        };
        Self(self.0.iter().filter_map(line).collect())
    }

    /// The sum over the lines that are meant.
    pub fn sum(&self, meant: impl Fn(&CallKey) -> bool) -> Counted {
        let mut sum = Counted::default();
        self.0.iter().filter(|(key, _)| meant(key)).for_each(|(_, counted)| sum += *counted);
        sum
    }
}
