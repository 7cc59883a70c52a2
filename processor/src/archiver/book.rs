//! Keeps manifests and heads: derived objects, so an error in here delays them and nothing else.
//!
//! Every [`head_every`](super::ArchiverSettings::head_every) segments of a shard the manifests of
//! the hours concerned are brought up to date and the shard's head is moved. An hour is complete
//! when every shard is archived past its end by the grace: by a later record, or by having nothing
//! left to archive at that time. An hour without any record has no manifest.
//!
//! The order of writing is what a checker relies on: manifests, then the heads that stand behind them,
//! then the statement that a shard is past an hour, and with the last of these that the hour is complete. So every
//! segment up to a head's is in a manifest, and every shard with a segment in a complete manifest has a head.
//!
//! Several archivers share the manifests of a stream, each with its own shards. How they do is in `hours`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ledgerline_domain::Result;
use ledgerline_domain::ids::ShardId;
use ledgerline_domain::ports::{Archive, Log};
use ledgerline_domain::segment::manifest::MANIFEST_VERSION;
use ledgerline_domain::segment::{Head, SegmentSummary, ShardManifest, keys};
use ledgerline_domain::time::UnixNanos;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::ArchiverSettings;
use super::chain::Found;
use super::hours::{Hours, end_of};

/// The book of the shards that this process archives.
pub(super) struct Book<L, A> {
    pub(super) log: Arc<L>,
    pub(super) archive: Arc<A>,
    pub(super) stream: String,
    head_every: usize,
    pub(super) grace_nanos: i64,
    look_every: Duration,
    notes: Mutex<Notes>,
}

/// What is noted.
#[derive(Default)]
pub(super) struct Notes {
    pages: BTreeMap<ShardId, Page>,
    pub(super) hours: Hours,
    looked_at: Option<Instant>,
}

/// What is noted of one shard.
#[derive(Default)]
struct Page {
    newest: Option<SegmentSummary>,
    /// Segments that no manifest names yet.
    unlisted: Vec<SegmentSummary>,
    /// Hours without a complete manifest.
    pending: BTreeSet<String>,
    /// Those of them in whose manifest this shard is stated to be past the hour.
    stated: BTreeSet<String>,
    /// Everything that arrived before is archived.
    until: Option<UnixNanos>,
    /// As it was last written.
    head: Option<Head>,
}

impl<L: Log, A: Archive> Book<L, A> {
    pub(super) fn new(log: Arc<L>, archive: Arc<A>, settings: &ArchiverSettings) -> Self {
        Self {
            log,
            archive,
            stream: settings.stream.clone(),
            head_every: usize::try_from(settings.head_every).unwrap_or(usize::MAX).max(1),
            grace_nanos: i64::try_from(settings.hour_grace.as_nanos()).unwrap_or(i64::MAX),
            look_every: settings.look_every,
            notes: Mutex::default(),
        }
    }

    /// Says that a shard will be archived by this process: until it is open, nothing is stated to be over.
    pub(super) async fn expect(&self, shard: &ShardId) {
        self.notes.lock().await.pages.entry(shard.clone()).or_default();
    }

    /// Begins a shard's page with what its chain says.
    pub(super) async fn open(&self, shard: &ShardId, found: Found) {
        let page = Page {
            newest: found.newest,
            unlisted: found.unlisted,
            pending: found.pending.into_iter().collect(),
            ..Page::default()
        };
        self.notes.lock().await.pages.insert(shard.clone(), page);
    }

    /// Notes segments that were added to the chain, with the arrival of the last record if known.
    pub(super) async fn added(&self, shard: &ShardId, segments: Vec<SegmentSummary>, until: Option<UnixNanos>) {
        let mut notes = self.notes.lock().await;
        let page = notes.pages.entry(shard.clone()).or_default();
        for segment in segments {
            page.pending.insert(segment.hour.clone());
            // Of an hour that was stated already: its manifest has to name this one too.
            page.stated.remove(&segment.hour);
            page.newest = Some(segment.clone());
            page.unlisted.push(segment);
        }
        page.until = page.until.max(until);
        if page.unlisted.len() >= self.head_every {
            self.log_errors(self.list_and_move_heads(&mut notes).await);
        }
        self.log_errors(self.end_hours(&mut notes).await);
    }

    /// Notes that nothing of the shard was left to archive at `at`.
    pub(super) async fn idle(&self, shard: &ShardId, at: UnixNanos) {
        let mut notes = self.notes.lock().await;
        let page = notes.pages.entry(shard.clone()).or_default();
        page.until = page.until.max(Some(at));
        self.log_errors(self.end_hours(&mut notes).await);
    }

    /// Writes down everything of a shard and ends its page: from here on another process may go on with it.
    pub(super) async fn close(&self, shard: &ShardId) {
        let mut notes = self.notes.lock().await;
        self.log_errors(self.list_and_move_heads(&mut notes).await);
        self.log_errors(self.end_hours(&mut notes).await);
        self.log_errors(self.move_heads(&mut notes).await);
        // What could not be written is found again: behind the head, or in no manifest.
        notes.pages.remove(shard);
    }

    fn log_errors(&self, result: Result<()>) {
        if let Err(error) = result {
            tracing::warn!(%error, "a manifest or head could not be written; trying again later");
        }
    }

    /// Brings the manifests of all unlisted segments up to date, then moves the heads.
    async fn list_and_move_heads(&self, notes: &mut Notes) -> Result<()> {
        for hour in notes.unlisted_hours() {
            self.list(notes, &hour).await?;
        }
        self.move_heads(notes).await
    }

    async fn move_heads(&self, notes: &mut Notes) -> Result<()> {
        for (shard, page) in &mut notes.pages {
            let Some(newest) = page.newest.clone() else { continue };
            let head = Head { version: MANIFEST_VERSION, newest, pending: page.pending.iter().cloned().collect() };
            if page.head.as_ref() != Some(&head) {
                self.archive.replace(&keys::head(&self.stream, shard), Bytes::from(head.encode()?)).await?;
                page.head = Some(head);
            }
        }
        Ok(())
    }

    /// States which hours this process's shards are past, and completes those that all shards are past. Looks
    /// for hours that only others know now and then.
    async fn end_hours(&self, notes: &mut Notes) -> Result<()> {
        let Some(over) = notes.over(self.grace_nanos) else { return Ok(()) };
        let is_over = |hour: &String| end_of(hour).is_some_and(|end| end <= over);
        let due = notes.looked_at.is_none_or(|at| at.elapsed() >= self.look_every);
        let unstated = notes.pages.values().any(|page| page.pending.difference(&page.stated).any(is_over));
        if !due && !unstated {
            return Ok(());
        }
        let lineage = self.log.lineage().await?;
        let mut hours: BTreeSet<String> =
            notes.pages.values().flat_map(|page| &page.pending).filter(|hour| is_over(hour)).cloned().collect();
        let alone = lineage.iter().all(|shard| notes.pages.contains_key(&shard.id));
        if due && !alone {
            hours.extend(self.look(notes).await?.into_iter().filter(is_over));
        }
        if due {
            notes.looked_at = Some(Instant::now());
        }
        if !hours.is_empty() {
            self.list_and_move_heads(notes).await?;
        }
        // In their order: behind complete hours none is looked for. So none is completed unless all earlier ones are
        // known here: after a look, or where every shard is this process's.
        let mut all_complete = due || alone;
        for hour in hours {
            let complete = self.state(notes, &hour, all_complete.then_some(&lineage[..])).await?;
            all_complete &= complete;
            for page in notes.pages.values_mut() {
                if complete {
                    page.pending.remove(&hour);
                    page.stated.remove(&hour);
                } else if page.pending.contains(&hour) {
                    page.stated.insert(hour.clone());
                }
            }
        }
        Ok(())
    }
}

impl Notes {
    fn unlisted_hours(&self) -> BTreeSet<String> {
        self.pages.values().flat_map(|page| &page.unlisted).map(|segment| segment.hour.clone()).collect()
    }

    /// What ended before this is over on all shards of this process.
    fn over(&self, grace_nanos: i64) -> Option<i64> {
        let until = self.pages.values().map(|page| page.until).min().flatten()?;
        Some(until.nanos().saturating_sub(grace_nanos))
    }

    /// What this process knows of an hour, by shard, with the time of each only where `tells` agrees.
    pub(super) fn parts(&self, hour: &str, tells: impl Fn(UnixNanos) -> bool) -> Vec<ShardManifest> {
        let part = |(shard, page): (&ShardId, &Page)| ShardManifest {
            shard: shard.clone(),
            watermark: page.newest.as_ref().map(|segment| segment.last.clone()),
            archived_until: page.until.filter(|until| tells(*until)).map(|until| until.to_string()),
            segments: page.unlisted.iter().filter(|segment| segment.hour == hour).cloned().collect(),
        };
        self.pages.iter().map(part).collect()
    }

    /// The manifest of an hour names everything that is known of it.
    pub(super) fn listed(&mut self, hour: &str) {
        self.pages.values_mut().for_each(|page| page.unlisted.retain(|segment| segment.hour != hour));
    }
}
