//! What must hold in every world.

use super::*;

impl World {
    /// What may never be.
    pub(super) fn broken(&self) -> Option<String> {
        let entries = decode(&self.entity).map(|record| record.entries).unwrap_or_default();
        for (shard, checkpoint) in &self.checkpoints {
            let covered = self.records(shard).filter(|p| checkpoint.is_shard_end() || *p <= number(checkpoint));
            for position in covered {
                let found: Vec<_> = entries.iter().filter(|e| e.id == format!("evt_{position}").as_str()).collect();
                if found.len() != 1 || found[0].delivery.copies != 1 {
                    return Some(format!("I10: event {position} of {shard} is behind {checkpoint} and not there once"));
                }
            }
        }
        for (shard, lease) in &self.leases {
            if lease.checkpoint.is_shard_end() && !self.at_end(shard) {
                return Some(format!("the lease of {shard} is at its end before the store is"));
            }
        }
        let mut covered = 0;
        for ((shard, start), last) in &self.archive {
            let before = self.archive.iter().any(|((s, _), l)| s == shard && l == start);
            if *last <= *start || !(before || *start == 0) || !self.records(shard).contains(last) {
                return Some(format!("I6: segment {shard} {start}..{last} is no part of a chain"));
            }
            covered += self.records(shard).filter(|p| p > start && p <= last).count();
        }
        let chained: usize =
            self.shards().iter().map(|s| self.records(&s.id).filter(|p| *p <= self.chain_end(&s.id)).count()).sum();
        (covered != chained).then(|| "I6: segments overlap".to_owned())
    }

    /// What must be when nothing is left to do.
    pub(super) fn incomplete(&self, rules: Rules) -> Option<String> {
        // A worker is gone and nobody may notice it any more.
        let held = |lease: &Lease| self.workers.iter().any(|worker| worker.held.contains_key(&lease.shard));
        if self.suspicions_left == 0 && self.leases.values().any(|lease| lease.owner.is_some() && !held(lease)) {
            return None;
        }
        let alone = (1..=3).fold(None, |record, position| Some(apply(&key(), record, [event(position)]).0));
        let alone = alone.expect("a record");
        let Some(found) = decode(&self.entity) else { return Some("I1: nothing is applied".to_owned()) };
        if encode(&found) != encode(&alone) {
            return Some("I1: the record is not the one that a single worker makes".to_owned());
        }
        let archived = self.chain_end(&parent()) == 2 && self.chain_end(&child()) == 3;
        (rules.archive && !archived).then(|| "I1: not all is archived".to_owned())
    }
}
