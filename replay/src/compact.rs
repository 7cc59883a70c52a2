//! Larger objects beside the segments, for faster queries.
//!
//! `compacted/stream={stream}/shard={shard}/hour={hour}/{start}.parquet` holds the rows of a run of
//! consecutive segments of one shard and hour, and names each of them in its footer. The segments stay as
//! they are: they are the chain and the proof, and the compacted objects can be made again from them.
//! After a compaction `compacted/` holds every record of the hour.
//!
//! Only hours whose manifest is complete are compacted. Objects are created once and never replaced, and
//! each is made from segments whose digests are those that the manifest names, so a crash at any moment
//! leaves a part of the objects and nothing wrong; the next compaction makes the others. A segment that
//! joins its hour late gets a compacted object of its own by the next one.
//!
//! Memory: one compacted object (some [`RUN_BYTES_MAX`]) and one segment.

use std::collections::BTreeSet;

use ledgerline_domain::ports::{Archive, Created};
use ledgerline_domain::segment::keys::{self, SegmentKey};
use ledgerline_domain::segment::{
    Link, Manifest, Replaced, SegmentPlace, SegmentReader, SegmentSummary, SegmentWriter, digest,
};
use ledgerline_domain::{Error, Result};
use serde::Serialize;

use crate::chain::{ChainReport, FaultKind, OnProgress, Progress};
use crate::walk::note_damage;

/// Bytes of the segments that go into one compacted object, about.
pub const RUN_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Segments that become one compacted object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Run {
    /// Its key.
    pub key: String,
    /// The segments, in the order of the chain.
    pub segments: Vec<SegmentSummary>,
}

/// What there is to compact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CompactionPlan {
    /// The objects to make.
    pub runs: Vec<Run>,
    /// Hours that were looked at.
    pub hours: u64,
    /// Hours whose manifest is not complete yet.
    pub hours_incomplete: u64,
}

impl CompactionPlan {
    /// Segments to read.
    pub fn segments(&self) -> u64 {
        self.runs.iter().map(|run| run.segments.len() as u64).sum()
    }

    /// Bytes of them.
    pub fn bytes(&self) -> u64 {
        self.runs.iter().flat_map(|run| &run.segments).map(|segment| segment.bytes).sum()
    }

    /// Records in them.
    pub fn records(&self) -> u64 {
        self.runs.iter().flat_map(|run| &run.segments).map(|segment| segment.count).sum()
    }
}

/// Finds what is to be compacted in the hours that `wanted` takes. A manifest that cannot be read is a
/// [`Data`](ledgerline_domain::ErrorKind::Data) error.
pub async fn plan<A: Archive>(archive: &A, stream: &str, wanted: impl Fn(&str) -> bool) -> Result<CompactionPlan> {
    plan_with(archive, stream, wanted, RUN_BYTES_MAX).await
}

async fn plan_with<A: Archive>(
    archive: &A,
    stream: &str,
    wanted: impl Fn(&str) -> bool,
    bytes_max: u64,
) -> Result<CompactionPlan> {
    let mut plan = CompactionPlan::default();
    let mut covered = BTreeSet::new();
    for key in archive.list(&keys::compacted_of(stream)).await? {
        if SegmentKey::parse_compacted(&key).is_none_or(|parsed| !wanted(&parsed.hour)) {
            continue;
        }
        let Some(object) = archive.get(&key).await? else { continue };
        let reader = SegmentReader::open(object).map_err(|e| Error::new(e.kind(), format!("open {key}")).because(e))?;
        covered.extend(reader.info().replaces.iter().map(|replaced| replaced.key.clone()));
    }
    let folder = keys::manifests_of(stream);
    for key in archive.list(&folder).await? {
        let hour = key.strip_prefix(&folder).and_then(|name| name.strip_suffix(".json")).unwrap_or_default();
        if !wanted(hour) {
            continue;
        }
        let Some(text) = archive.get(&key).await? else { continue };
        let manifest = Manifest::decode(&text).map_err(|e| Error::new(e.kind(), format!("open {key}")).because(e))?;
        plan.hours += 1;
        if !manifest.complete {
            plan.hours_incomplete += 1;
            continue;
        }
        for shard in manifest.shards {
            let left = shard.segments.into_iter().filter(|segment| !covered.contains(&segment.key));
            runs(left, bytes_max, &mut plan.runs);
        }
    }
    Ok(plan)
}

/// Puts the segments of a shard and hour into runs, each without a hole.
fn runs(segments: impl Iterator<Item = SegmentSummary>, bytes_max: u64, runs: &mut Vec<Run>) {
    let mut open: Option<(Run, u64)> = None;
    for segment in segments {
        let bytes = segment.bytes;
        match &mut open {
            Some((run, held))
                if *held + bytes <= bytes_max
                    && run.segments.last().map(|before| &before.last) == segment.start.as_ref() =>
            {
                run.segments.push(segment);
                *held += bytes;
            }
            _ => {
                runs.extend(open.take().map(|(run, _)| run));
                let Some(key) = SegmentKey::parse(&segment.key) else { continue };
                open = Some((Run { key: key.compacted_text(), segments: vec![segment] }, bytes));
            }
        }
    }
    runs.extend(open.map(|(run, _)| run));
}

/// Makes the objects of a plan. Gives how many are new; one that is there already, made by somebody else in
/// the meantime, is left as it is.
pub async fn write<A: Archive>(archive: &A, plan: &CompactionPlan, on_progress: OnProgress<'_>) -> Result<u64> {
    let mut progress = Progress { segments_total: plan.segments(), ..Progress::default() };
    let mut written = 0;
    for run in &plan.runs {
        let Some(writer) = fill(archive, run, &mut progress, on_progress).await? else { continue };
        let object = writer.finish()?;
        written += u64::from(archive.create(&run.key, object.bytes).await? == Created::New);
    }
    Ok(written)
}

async fn fill<A: Archive>(
    archive: &A,
    run: &Run,
    progress: &mut Progress,
    on_progress: OnProgress<'_>,
) -> Result<Option<SegmentWriter>> {
    let mut writer: Option<SegmentWriter> = None;
    for named in &run.segments {
        let object = archive.get(&named.key).await?;
        let object = object.ok_or_else(|| Error::data(format!("read {}: it is not there", named.key)))?;
        if digest(&object) != named.sha256 {
            return Err(Error::data(format!(
                "read {}: it is not the object that its manifest names; `ledgerline archive check` says more",
                named.key
            )));
        }
        let segment = SegmentReader::open(object)?;
        let writer = match &mut writer {
            Some(writer) => writer,
            none => {
                let info = segment.info();
                let after = info.start.clone().zip(info.predecessor.clone());
                let place = SegmentPlace { stream: info.stream.clone(), shard: info.shard.clone(), after };
                let replaces = run.segments.iter().map(Replaced::of).collect();
                none.insert(SegmentWriter::new(place)?.replacing(replaces))
            }
        };
        for row in segment.rows() {
            writer.push(&row?)?;
            progress.records += 1;
        }
        progress.segments += 1;
        on_progress(*progress);
    }
    Ok(writer)
}

/// Proves that a compacted object holds what it names, row for row.
pub(crate) async fn prove<A: Archive>(archive: &A, key: &str, report: &mut ChainReport) -> Result<()> {
    let Some(object) = archive.get(key).await? else { return Ok(()) };
    let Ok(compacted) = SegmentReader::open(object.clone()) else {
        note_damage(report, key, &object, None);
        return Ok(());
    };
    if compacted.info().key() != key {
        let words = format!("the object under this key is {}", compacted.info().key());
        report.note(FaultKind::Misplaced, key, words);
        return Ok(());
    }
    let mut rows = compacted.rows();
    let mut expected = (compacted.info().start.clone(), compacted.info().predecessor.clone());
    for Replaced { key: original, sha256, .. } in &compacted.info().replaces {
        let wrong = |words: &str| (FaultKind::Compacted, format!("{words} {original}, which it names"));
        let found = match archive.get(original).await? {
            None => Err(wrong("nothing is there of")),
            Some(object) if digest(&object) != *sha256 => Err(wrong("it was made from another object than")),
            Some(object) => SegmentReader::open(object).map_err(|_| wrong("nothing can be read of")),
        };
        let found = found.and_then(|segment| {
            let info = segment.info();
            let follows = (info.start.clone(), info.predecessor.clone()) == expected;
            let link = Link { key: original.clone(), sha256: sha256.clone() };
            expected = (Some(info.last.clone()), Some(link));
            let same =
                segment.rows().all(|row| row.is_ok_and(|row| matches!(rows.next(), Some(Ok(copy)) if copy == row)));
            if follows && same { Ok(()) } else { Err(wrong("it does not hold the rows of")) }
        });
        if let Err((kind, words)) = found {
            report.note(kind, key, words);
            return Ok(());
        }
    }
    if rows.next().is_some() {
        report.note(FaultKind::Compacted, key, "it has rows of no segment that it names");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
