//! Manifests that several archivers share, each with its own shards.
//!
//! - **Nothing is lost.** A manifest is read, merged with what this process knows and exchanged for what was
//!   read, and again when somebody was faster. Statements only grow, so the order does not matter.
//! - **The manifest itself says when its hour is over.** Each archiver states in it that its shards are past the
//!   hour, after it has named all their segments and moved their heads. Whoever finds that all shards are past it
//!   calls it complete. A closed shard is past every hour that all its children are past: their archiving
//!   begins when the parent's is done (the leases see to it, or one process has them all).
//! - **Hours of others.** A shard without a record in an hour has to be stated too, so each archiver lists the
//!   manifests now and then. Hours are completed in their order.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use ledgerline_domain::ids::ShardId;
use ledgerline_domain::ports::{Archive, Log, ShardInfo};
use ledgerline_domain::segment::{Manifest, keys};
use ledgerline_domain::time::UnixNanos;
use ledgerline_domain::{Error, Result};

use super::book::{Book, Notes};

const HOUR_NANOS: i64 = 3_600_000_000_000;
/// Complete manifests in a row behind which none is looked for.
const COMPLETE_IN_A_ROW: usize = 3;
/// Exchanges of one manifest before it is left for later.
const EXCHANGES_MAX: u32 = 32;

/// What is known of the stream's hours.
#[derive(Default)]
pub(super) struct Hours {
    /// Where the next look begins: nothing before it is incomplete. `None` before the first look.
    from: Option<String>,
    /// Complete hours from there on.
    complete: BTreeSet<String>,
}

impl<L: Log, A: Archive> Book<L, A> {
    /// Hours with a manifest that is not complete, as far as known.
    pub(super) async fn look(&self, notes: &mut Notes) -> Result<BTreeSet<String>> {
        let of_stream = keys::manifests_of(&self.stream);
        let from = notes.hours.from.as_ref().map_or_else(String::new, |hour| keys::manifest(&self.stream, hour));
        let listed = self.archive.list_from(&of_stream, &from).await?;
        let hour_of = |key: &String| Some(key.strip_prefix(&of_stream)?.strip_suffix(".json")?.to_owned());
        let (mut open, mut in_a_row, mut from) = (BTreeSet::new(), 0, None);
        for hour in listed.iter().rev().filter_map(hour_of).filter(|hour| end_of(hour).is_some()) {
            if !notes.hours.complete.contains(&hour) {
                let text = self.archive.get(&keys::manifest(&self.stream, &hour)).await?;
                if text.is_some_and(|text| Manifest::decode(&text).is_ok_and(|manifest| manifest.complete)) {
                    notes.hours.complete.insert(hour.clone());
                } else {
                    open.insert(hour.clone());
                }
            }
            in_a_row = if open.contains(&hour) { 0 } else { in_a_row + 1 };
            from = Some(hour);
            if in_a_row >= COMPLETE_IN_A_ROW {
                break;
            }
        }
        if let Some(from) = from {
            notes.hours.complete = notes.hours.complete.split_off(&from);
            notes.hours.from = Some(from);
        }
        Ok(open)
    }

    /// Names the unlisted segments of `hour` in its manifest.
    pub(super) async fn list(&self, notes: &mut Notes, hour: &str) -> Result<()> {
        let past = self.past(hour);
        // That a shard is past the hour is stated behind its head.
        let mut parts = notes.parts(hour, |until| !past(until));
        parts.retain(|part| !part.segments.is_empty());
        let newer = |_: &Manifest| {
            let mut newer = Manifest::empty(&self.stream, hour);
            newer.shards.clone_from(&parts);
            newer
        };
        self.merge(hour, newer).await?;
        notes.listed(hour);
        Ok(())
    }

    /// States that this process's shards are past `hour`, and that it is complete if all of `lineage` are. Gives
    /// whether it is.
    pub(super) async fn state(&self, notes: &Notes, hour: &str, lineage: Option<&[ShardInfo]>) -> Result<bool> {
        let past = self.past(hour);
        let mut parts = notes.parts(hour, &past);
        parts.retain(|part| part.archived_until.is_some());
        let newer = |known: &Manifest| {
            let stated = |shard: &ShardId| {
                let part = known.shards.iter().find(|part| part.shard == *shard);
                part.and_then(|part| part.until()).is_some_and(&past)
            };
            let mut newer = Manifest::empty(&self.stream, hour);
            newer.shards = parts.iter().filter(|part| !stated(&part.shard)).cloned().collect();
            let is_past = |shard: &ShardId| stated(shard) || newer.shards.iter().any(|part| part.shard == *shard);
            newer.complete = lineage.is_some_and(|all| all_are_past(all, is_past));
            newer
        };
        Ok(self.merge(hour, newer).await?.complete)
    }

    /// Whether a time lies behind an hour by the grace.
    fn past(&self, hour: &str) -> impl Fn(UnixNanos) -> bool + use<L, A> {
        let end = end_of(hour).unwrap_or(i64::MAX).saturating_add(self.grace_nanos);
        move |until| until.nanos() >= end
    }

    /// Merges what `newer` makes of the manifest as it stands into it; gives it as it stands then.
    async fn merge(&self, hour: &str, newer: impl Fn(&Manifest) -> Manifest) -> Result<Manifest> {
        let key = keys::manifest(&self.stream, hour);
        for tries in 0..EXCHANGES_MAX {
            let known = self.archive.get(&key).await?;
            let before = match known.as_ref().map(|text| Manifest::decode(text)) {
                Some(Ok(manifest)) => Some(manifest),
                Some(Err(error)) => {
                    tracing::warn!(%key, %error, "a manifest is damaged; what it named must be rebuilt");
                    None
                }
                None => None,
            };
            let mut after = before.clone().unwrap_or_else(|| Manifest::empty(&self.stream, hour));
            after.merge(newer(&after));
            if before.as_ref() == Some(&after) {
                return Ok(after);
            }
            if self.archive.exchange(&key, known.as_ref(), Bytes::from(after.encode()?)).await? {
                return Ok(after);
            }
            // Somebody was faster; each time somebody gets on.
            tokio::time::sleep(Duration::from_millis(u64::from(tries))).await;
        }
        Err(Error::retry(format!("write the manifest {key}: others write it all the time")))
    }
}

/// Whether every shard is past the hour: by what is stated of it, or closed and followed by children that are.
fn all_are_past(lineage: &[ShardInfo], is_past: impl Fn(&ShardId) -> bool) -> bool {
    let (past, mut left): (Vec<_>, Vec<_>) = lineage.iter().partition(|shard| is_past(&shard.id));
    let mut past: BTreeSet<&ShardId> = past.into_iter().map(|shard| &shard.id).collect();
    loop {
        let before = left.len();
        left.retain(|shard| {
            let mut children = lineage.iter().filter(|child| child.parents.contains(&shard.id)).peekable();
            let over = shard.closed && children.peek().is_some() && children.all(|child| past.contains(&child.id));
            if over {
                past.insert(&shard.id);
            }
            !over
        });
        if left.is_empty() || left.len() == before {
            return left.is_empty();
        }
    }
}

/// The end of an hour such as `2026-11-24T13`, in nanoseconds since the epoch.
pub(super) fn end_of(hour: &str) -> Option<i64> {
    UnixNanos::parse_rfc3339(&format!("{hour}:00:00Z")).ok()?.nanos().checked_add(HOUR_NANOS)
}
