//! Keeps manifests and heads: derived objects, so an error in here delays them and nothing else.
//!
//! Every [`head_every`](super::ArchiverSettings::head_every) segments of a shard the manifests of
//! the hours concerned are brought up to date and the shard's head is moved. An hour is complete
//! when every shard is archived past its end by the grace: by a later record, or by having nothing
//! left to archive at that time. An hour without any record has no manifest.
//!
//! The order of writing is what a checker relies on: manifests, then the heads that stand behind them,
//! then the statement that an hour is complete. So every segment up to a head's is in a manifest, and
//! every shard with a segment in a complete manifest has a head.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ledgerline_domain::Result;
use ledgerline_domain::ids::ShardId;
use ledgerline_domain::ports::Archive;
use ledgerline_domain::segment::manifest::MANIFEST_VERSION;
use ledgerline_domain::segment::{Head, Manifest, SegmentSummary, ShardManifest, keys};
use ledgerline_domain::time::UnixNanos;
use tokio::sync::Mutex;

use super::ArchiverSettings;
use super::chain::Found;

const HOUR_NANOS: i64 = 3_600_000_000_000;

/// The book of all shards.
pub(super) struct Book<A> {
    archive: Arc<A>,
    stream: String,
    head_every: usize,
    grace: Duration,
    pages: Mutex<BTreeMap<ShardId, Page>>,
}

/// What is noted of one shard.
#[derive(Default)]
struct Page {
    newest: Option<SegmentSummary>,
    /// Segments that no manifest names yet.
    unlisted: Vec<SegmentSummary>,
    /// Hours without a complete manifest.
    pending: BTreeSet<String>,
    /// Everything that arrived before is archived.
    until: Option<UnixNanos>,
}

impl<A: Archive> Book<A> {
    pub(super) fn new(archive: Arc<A>, settings: &ArchiverSettings, shards: &[ShardId]) -> Self {
        Self {
            archive,
            stream: settings.stream.clone(),
            head_every: usize::try_from(settings.head_every).unwrap_or(usize::MAX).max(1),
            grace: settings.hour_grace,
            pages: Mutex::new(shards.iter().map(|shard| (shard.clone(), Page::default())).collect()),
        }
    }

    /// Begins a shard's page with what its chain says.
    pub(super) async fn open(&self, shard: &ShardId, found: Found) {
        let mut pages = self.pages.lock().await;
        let page = pages.entry(shard.clone()).or_default();
        page.newest = found.newest;
        page.unlisted = found.unlisted;
        page.pending = found.pending.into_iter().collect();
    }

    /// Notes segments that were added to the chain, with the arrival of the last record if known.
    pub(super) async fn added(&self, shard: &ShardId, segments: Vec<SegmentSummary>, until: Option<UnixNanos>) {
        let mut pages = self.pages.lock().await;
        let page = pages.entry(shard.clone()).or_default();
        for segment in segments {
            page.pending.insert(segment.hour.clone());
            page.newest = Some(segment.clone());
            page.unlisted.push(segment);
        }
        page.until = page.until.max(until);
        let full = page.unlisted.len() >= self.head_every;
        if full {
            self.log_errors(self.list_and_move_heads(&mut pages).await);
        }
        self.log_errors(self.complete_hours(&mut pages).await);
    }

    /// Notes that nothing of the shard was left to archive at `at`.
    pub(super) async fn idle(&self, shard: &ShardId, at: UnixNanos) {
        let mut pages = self.pages.lock().await;
        let page = pages.entry(shard.clone()).or_default();
        page.until = page.until.max(Some(at));
        self.log_errors(self.complete_hours(&mut pages).await);
    }

    /// Writes down everything, at the end.
    pub(super) async fn close(&self) {
        let mut pages = self.pages.lock().await;
        self.log_errors(self.complete_hours(&mut pages).await);
        self.log_errors(self.list_and_move_heads(&mut pages).await);
    }

    fn log_errors(&self, result: Result<()>) {
        if let Err(error) = result {
            tracing::warn!(%error, "a manifest or head could not be written; trying again later");
        }
    }

    /// Brings the manifests of all unlisted segments up to date, then moves the heads.
    async fn list_and_move_heads(&self, pages: &mut BTreeMap<ShardId, Page>) -> Result<()> {
        let hours: BTreeSet<String> =
            pages.values().flat_map(|page| &page.unlisted).map(|segment| segment.hour.clone()).collect();
        for hour in hours {
            self.write_manifest(pages, &hour, false).await?;
        }
        for (shard, page) in pages {
            let Some(newest) = page.newest.clone() else { continue };
            let head = Head { version: MANIFEST_VERSION, newest, pending: page.pending.iter().cloned().collect() };
            self.archive.replace(&keys::head(&self.stream, shard), Bytes::from(head.encode()?)).await?;
        }
        Ok(())
    }

    /// Writes complete manifests of the hours that are over on every shard.
    async fn complete_hours(&self, pages: &mut BTreeMap<ShardId, Page>) -> Result<()> {
        let grace = i64::try_from(self.grace.as_nanos()).unwrap_or(i64::MAX);
        let until = pages.values().map(|page| page.until).min().flatten();
        let Some(over) = until.map(|until| until.nanos().saturating_sub(grace)) else { return Ok(()) };
        let hours: BTreeSet<String> = pages
            .values()
            .flat_map(|page| &page.pending)
            .filter(|hour| end_of(hour).is_some_and(|end| end <= over))
            .cloned()
            .collect();
        if !hours.is_empty() {
            self.list_and_move_heads(pages).await?;
        }
        for hour in hours {
            self.write_manifest(pages, &hour, true).await?;
            pages.values_mut().for_each(|page| _ = page.pending.remove(&hour));
        }
        Ok(())
    }

    /// Adds the unlisted segments of `hour` to its manifest; on success they are listed.
    async fn write_manifest(&self, pages: &mut BTreeMap<ShardId, Page>, hour: &str, complete: bool) -> Result<()> {
        let key = keys::manifest(&self.stream, hour);
        let mut manifest = match self.archive.get(&key).await?.map(|text| Manifest::decode(&text)) {
            Some(Ok(known)) => known,
            Some(Err(error)) => {
                tracing::warn!(%key, %error, "a manifest is damaged; what it named must be rebuilt");
                Manifest::empty(&self.stream, hour)
            }
            None => Manifest::empty(&self.stream, hour),
        };
        let mut newer = Manifest::empty(&self.stream, hour);
        newer.complete = complete;
        newer.shards = pages
            .iter()
            .map(|(shard, page)| ShardManifest {
                shard: shard.clone(),
                watermark: page.newest.as_ref().map(|segment| segment.last.clone()),
                archived_until: page.until.map(|until| until.to_string()),
                segments: page.unlisted.iter().filter(|segment| segment.hour == hour).cloned().collect(),
            })
            .collect();
        manifest.merge(newer);
        self.archive.replace(&key, Bytes::from(manifest.encode()?)).await?;
        pages.values_mut().for_each(|page| page.unlisted.retain(|segment| segment.hour != hour));
        Ok(())
    }
}

/// The end of an hour such as `2026-11-24T13`, in nanoseconds since the epoch.
fn end_of(hour: &str) -> Option<i64> {
    UnixNanos::parse_rfc3339(&format!("{hour}:00:00Z")).ok()?.nanos().checked_add(HOUR_NANOS)
}
