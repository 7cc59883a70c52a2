//! Bounds of the log, and the place where tests make its disk fail. Sizes in bytes.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ledgerline_domain::{Error, Result};

use super::segment::HEADER_BYTES;

/// Smallest segment: far below this the headers outweigh the records.
const SEGMENT_BYTES_MIN: u64 = 64 * 1024;
/// Largest segment: the newest one is read into memory when the log is opened.
const SEGMENT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// How a log behaves. Plain data; the defaults suit one machine.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Size of one segment file, preallocated.
    pub segment_bytes: u64,
    /// Most records that wait for the disk; past it an append is refused at once.
    pub queue_records_max: usize,
    /// Most bytes that wait for the disk; past it an append is refused at once.
    pub queue_bytes_max: usize,
    /// A batch is closed at this size; one append may exceed it.
    pub batch_bytes_max: usize,
    /// Longest wait for more appends under load. When idle nobody waits.
    pub gather_max: Duration,
    /// How much of the newest records stays in memory for readers that keep up.
    pub tail_bytes_max: usize,
    /// Called before each write and sync; an error is taken for the disk's.
    pub hook: Option<DiskHook>,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 64 * 1024 * 1024,
            queue_records_max: 16 * 1024,
            queue_bytes_max: 32 * 1024 * 1024,
            batch_bytes_max: 2 * 1024 * 1024,
            gather_max: Duration::from_millis(4),
            tail_bytes_max: 8 * 1024 * 1024,
            hook: None,
        }
    }
}

impl LogOptions {
    /// Most bytes of one append, headers of its records included.
    pub fn append_bytes_max(&self) -> usize {
        let segment = usize::try_from(self.segment_bytes).unwrap_or(usize::MAX);
        self.queue_bytes_max.min(segment.saturating_sub(HEADER_BYTES))
    }

    /// Refuses what cannot work.
    pub fn check(&self) -> Result<()> {
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes) {
            return Err(Error::invalid(format!(
                "use log segments of {} bytes: use {SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_MAX}",
                self.segment_bytes
            )));
        }
        let bounds = [
            ("queue_records_max", self.queue_records_max),
            ("queue_bytes_max", self.queue_bytes_max),
            ("batch_bytes_max", self.batch_bytes_max),
        ];
        match bounds.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(Error::invalid(format!("use 0 as the log's {name}: it must be at least 1"))),
            None => Ok(()),
        }
    }
}

/// What the log is about to do to its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskStep {
    /// Write a batch of so many bytes.
    Write(usize),
    /// Make it durable.
    Sync,
    /// Create the next segment.
    Create,
}

/// Something that is asked before each step: tests fail or delay the disk with it.
#[derive(Clone)]
pub struct DiskHook(Arc<dyn Fn(DiskStep) -> io::Result<()> + Send + Sync>);

impl DiskHook {
    /// A hook that calls `hook`.
    pub fn new(hook: impl Fn(DiskStep) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }

    /// Asks it.
    pub(crate) fn ask(hook: Option<&Self>, step: DiskStep) -> io::Result<()> {
        hook.map_or(Ok(()), |hook| (hook.0)(step))
    }
}

impl fmt::Debug for DiskHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DiskHook")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_checked() {
        LogOptions::default().check().unwrap();
        let wrong = [
            LogOptions { segment_bytes: 1, ..LogOptions::default() },
            LogOptions { queue_records_max: 0, ..LogOptions::default() },
            LogOptions { queue_bytes_max: 0, ..LogOptions::default() },
            LogOptions { batch_bytes_max: 0, ..LogOptions::default() },
        ];
        for options in wrong {
            options.check().unwrap_err();
        }
    }
}
