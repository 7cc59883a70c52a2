//! The next segment's file, filled with zeros ahead of time and in step with the log.
//!
//! A disk that gets all the zeros at once keeps the log's syncs waiting behind them: with every caller in
//! one batch the processor then idles. So the writer says after each batch how far the zeros should be
//! ([`due`]), and a thread writes them piece by piece while the next batch gathers.

use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use ledgerline_domain::{Error, Result};

use super::options::DiskHook;
use super::segment::{ZERO_BYTES, prepare};
use crate::embedded::files::remove_file;

/// A file on its way to become a segment. Dropped unfinished, it is removed.
pub(crate) struct Ahead {
    path: PathBuf,
    /// How far the zeros may go; closed, nobody wants them any more.
    steps: Option<Sender<u64>>,
    asked: u64,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Ahead {
    /// Begins a file of `bytes`. Without a thread it is made when it is needed.
    pub fn begin(path: PathBuf, bytes: u64, hook: Option<DiskHook>) -> Self {
        let (steps, asked) = mpsc::channel();
        let file = path.clone();
        let work = move || prepare(&file, bytes, |at| next_step(&asked, at), hook.as_ref());
        let thread = std::thread::Builder::new().name("ledgerline-segment".into()).spawn(work).ok();
        Self { path, steps: Some(steps), asked: 0, thread }
    }

    /// The zeros may go so far, in bytes; rounded up to whole pieces.
    pub fn step(&mut self, to: u64) {
        if to > self.asked {
            self.asked = to.checked_next_multiple_of(ZERO_BYTES as u64).unwrap_or(u64::MAX);
            // A thread that ended early left its error for `finish`.
            let _ = self.steps.as_ref().map(|steps| steps.send(self.asked));
        }
    }

    /// Writes what is missing. On an error there is no file.
    pub fn finish(mut self) -> Result<()> {
        self.step(u64::MAX);
        let ended = self.thread.take().and_then(|thread| thread.join().ok());
        ended.unwrap_or_else(|| Err(Error::retry("prepare a log segment: no thread")))
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        drop(self.steps.take());
        if let Some(Ok(Ok(()))) = self.thread.take().map(JoinHandle::join) {
            let _ = remove_file(&self.path);
        }
    }
}

/// Waits until the zeros may go past `at`: how far. `None` when nobody wants them any more.
fn next_step(asked: &Receiver<u64>, at: u64) -> Option<u64> {
    std::iter::from_fn(|| asked.recv().ok()).find(|to| *to > at)
}

/// How far the next segment's zeros should be once a segment of `bytes` is filled up to `offset`: from a
/// quarter on, all of them at seven eighths. `None` before.
pub(crate) fn due(offset: u64, bytes: u64) -> Option<u64> {
    let past = offset.checked_sub(bytes / 4)?;
    Some(past.saturating_mul(8) / 5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn zeros_are_whole_before_the_segment_is_full() {
        for bytes in [64 * 1024_u64, 64 << 20, 1 << 30] {
            assert_eq!(due(bytes / 4 - 1, bytes), None);
            assert_eq!(due(bytes / 4, bytes), Some(0));
            assert!(due(bytes / 2, bytes).unwrap() < bytes);
            assert!(due(bytes * 7 / 8, bytes).unwrap() >= bytes);
        }
    }

    #[test]
    fn a_file_is_finished_or_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("next.tmp");
        let mut ahead = Ahead::begin(path.clone(), 1 << 20, None);
        ahead.step(4096);
        ahead.step(100_000);
        ahead.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), vec![0; 1 << 20]);
        std::fs::remove_file(&path).unwrap();

        let mut ahead = Ahead::begin(path.clone(), 1 << 20, None);
        ahead.step(1);
        while std::fs::metadata(&path).map_or(0, |m| m.blocks()) == 0 {
            std::thread::yield_now();
        }
        drop(ahead);
        assert!(!path.exists(), "half made");

        let mut ahead = Ahead::begin(path.clone(), 1 << 20, None);
        ahead.step(1 << 20);
        drop(ahead);
        assert!(!path.exists(), "whole, but not wanted");
    }

    #[test]
    fn no_piece_is_written_before_it_may_be() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("next.tmp");
        let piece = ZERO_BYTES as u64;
        let mut asked = Vec::new();
        // One piece, then two, then all that is left.
        let steps = [1, 2 * piece + 1, u64::MAX];
        let may = |at| {
            asked.push(at);
            steps.get(asked.len() - 1).copied()
        };
        prepare(&path, 5 * piece, may, None).unwrap();
        assert_eq!(asked, [0, piece, 3 * piece]);
        prepare(&path, 5 * piece, |at| (at < piece).then_some(1), None).unwrap_err();
        assert!(!path.exists(), "abandoned");

        let (steps, asked) = mpsc::channel();
        for to in [piece, piece, 3 * piece] {
            steps.send(to).unwrap();
        }
        assert_eq!(next_step(&asked, piece), Some(3 * piece), "what was reached already asks for nothing");
        drop(steps);
        assert_eq!(next_step(&asked, 3 * piece), None);
    }

    #[test]
    fn a_failed_file_is_an_error_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut ahead = Ahead::begin(dir.path().join("no folder/next.tmp"), 1 << 20, None);
        ahead.step(4096);
        ahead.finish().unwrap_err();
    }
}
