//! What manifests and heads say of the segments, and whether it is so.

use std::collections::{BTreeMap, BTreeSet};

use ledgerline_domain::Result;
use ledgerline_domain::ports::Archive;
use ledgerline_domain::segment::keys::{self, SegmentKey};
use ledgerline_domain::segment::{ByteRange, Head, Manifest, SegmentSummary};

use crate::chain::{ChainReport, FaultKind};

/// Manifests and heads of a stream that can be read, by their keys.
pub(crate) struct Statements {
    stream: String,
    heads: Vec<(String, Head)>,
    manifests: Vec<(String, Manifest)>,
    /// Keys of those that cannot be read.
    unreadable: BTreeSet<String>,
}

impl Statements {
    /// Reads them, heads first: what a head says of the manifests held before it was written.
    pub(crate) async fn read<A: Archive>(archive: &A, stream: &str, report: &mut ChainReport) -> Result<Self> {
        let mut found =
            Self { stream: stream.to_owned(), heads: Vec::new(), manifests: Vec::new(), unreadable: BTreeSet::new() };
        for key in archive.list(&keys::heads_of(stream)).await? {
            let Some(text) = archive.get(&key).await? else { continue };
            report.heads += 1;
            match Head::decode(&text) {
                Ok(head) => found.heads.push((key, head)),
                Err(error) => {
                    let bytes = ByteRange::of(0..text.len());
                    report.note_at(FaultKind::Head, &key, bytes, format!("failed to {error}"));
                    found.unreadable.insert(key);
                }
            }
        }
        for key in archive.list(&keys::manifests_of(stream)).await? {
            let Some(text) = archive.get(&key).await? else { continue };
            report.manifests += 1;
            match Manifest::decode(&text) {
                Ok(manifest) => found.manifests.push((key, manifest)),
                Err(error) => {
                    let bytes = ByteRange::of(0..text.len());
                    report.note_at(FaultKind::Manifest, &key, bytes, format!("failed to {error}"));
                    found.unreadable.insert(key);
                }
            }
        }
        Ok(found)
    }

    /// Every segment that they name, with the key of the statement.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&String, &SegmentSummary)> {
        let by_manifests = self.manifests.iter().flat_map(|(key, manifest)| manifest.segments().map(move |s| (key, s)));
        by_manifests.chain(self.heads.iter().map(|(key, head)| (key, &head.newest)))
    }

    /// Whether what they say is so. `seen` is what was found under each key.
    pub(crate) async fn check<A: Archive>(
        &self,
        archive: &A,
        seen: &BTreeMap<String, Option<SegmentSummary>>,
        report: &mut ChainReport,
    ) -> Result<()> {
        for (key, manifest) in &self.manifests {
            report.hours_complete += u64::from(manifest.complete);
            if keys::manifest(&self.stream, &manifest.hour) != *key || manifest.stream != self.stream {
                report.note(FaultKind::Manifest, key, "it speaks of another hour or stream");
                continue;
            }
            if manifest.totals != manifest.sums() {
                report.note(FaultKind::Manifest, key, "its totals are not the sums of its segments");
            }
            for named in manifest.segments() {
                check_named(key, FaultKind::Manifest, named, seen, report);
            }
            self.check_complete(archive, key, manifest, seen, report).await?;
        }
        for (key, head) in &self.heads {
            let shard = SegmentKey::parse(&head.newest.key).filter(|newest| newest.stream == self.stream);
            if shard.is_none_or(|newest| keys::head(&self.stream, &newest.shard) != *key) {
                report.note(FaultKind::Head, key, "it speaks of another shard or stream");
                continue;
            }
            check_named(key, FaultKind::Head, &head.newest, seen, report);
        }
        Ok(())
    }

    /// Whether a complete hour's manifest names all that is there.
    async fn check_complete<A: Archive>(
        &self,
        archive: &A,
        key: &str,
        manifest: &Manifest,
        seen: &BTreeMap<String, Option<SegmentSummary>>,
        report: &mut ChainReport,
    ) -> Result<()> {
        let lacks = |manifest: &Manifest| {
            let named: BTreeSet<&str> = manifest.segments().map(|segment| segment.key.as_str()).collect();
            // What is not sound is a fault of its own.
            let of_hour = seen.values().flatten().filter(|segment| segment.hour == manifest.hour);
            of_hour.map(|segment| segment.key.clone()).find(|key| !named.contains(key.as_str()))
        };
        if !manifest.complete || lacks(manifest).is_none() {
            return Ok(());
        }
        // A record that arrived out of its hour may just have been added: look once more.
        let now = archive.get(key).await?.and_then(|text| Manifest::decode(&text).ok());
        if let Some(segment) = lacks(now.as_ref().unwrap_or(manifest)) {
            let words = format!("it calls the hour complete but does not name {segment}");
            report.note(FaultKind::Manifest, key, words);
        }
        Ok(())
    }

    /// Whether any is missing: every segment up to a head's is in a manifest, and every shard with a segment
    /// in a manifest has a head.
    pub(crate) async fn check_missing<A: Archive>(
        &self,
        archive: &A,
        seen: &BTreeMap<String, Option<SegmentSummary>>,
        report: &mut ChainReport,
    ) -> Result<()> {
        let named: BTreeSet<&str> =
            self.manifests.iter().flat_map(|(_, m)| m.segments()).map(|segment| segment.key.as_str()).collect();
        let mut lacking = BTreeSet::new();
        for (_, head) in &self.heads {
            let Some(newest) = SegmentKey::parse(&head.newest.key) else { continue };
            for segment in seen.values().flatten().filter(|segment| segment.start <= head.newest.start) {
                let Some(key) = SegmentKey::parse(&segment.key) else { continue };
                if key.shard == newest.shard && !named.contains(segment.key.as_str()) {
                    lacking.insert((keys::manifest(&self.stream, &segment.hour), segment.key.clone()));
                }
            }
        }
        for (manifest, segment) in lacking {
            if self.unreadable.contains(&manifest) || report.has(FaultKind::Missing, &manifest) {
                continue;
            }
            if self.manifests.iter().any(|(key, _)| *key == manifest) {
                if !report.has(FaultKind::Manifest, &manifest) {
                    report.note(FaultKind::Manifest, &manifest, format!("it does not name {segment}, as it should"));
                }
            } else {
                report.note(FaultKind::Missing, &manifest, format!("it is not there, and should name {segment}"));
            }
        }
        let shards: BTreeSet<String> =
            named.iter().filter_map(|key| Some(keys::head(&self.stream, &SegmentKey::parse(key)?.shard))).collect();
        for head in shards {
            let known = self.heads.iter().any(|(key, _)| *key == head) || self.unreadable.contains(&head);
            // The archiver writes it right behind the manifest.
            if !known && archive.get(&head).await?.is_none() {
                report.note(FaultKind::Missing, head, "it is not there, though manifests name segments of its shard");
            }
        }
        Ok(())
    }
}

/// Whether a segment that the statement under `by` names is there, and is what it says.
fn check_named(
    by: &str,
    kind: FaultKind,
    named: &SegmentSummary,
    seen: &BTreeMap<String, Option<SegmentSummary>>,
    report: &mut ChainReport,
) {
    match seen.get(&named.key) {
        None if report.has(FaultKind::Missing, &named.key) => {}
        None => {
            report.note(FaultKind::Missing, &named.key, format!("{by} names it, but it is not there"));
        }
        // Noted already.
        Some(None) => {}
        Some(Some(found)) if found.sha256 != named.sha256 => {
            // Unless its successor said so already.
            if !report.has(FaultKind::Changed, &named.key) {
                report.note(FaultKind::Changed, &named.key, format!("it is not the object that {by} names"));
            }
        }
        Some(Some(found)) if found != named => {
            report.note(kind, by, format!("what it says of {} is not so", named.key))
        }
        Some(Some(_)) => {}
    }
}
