//! The steps that lead from one world to the next.

use super::*;

impl World {
    /// All worlds that one step leads to, with the step in words.
    pub(super) fn next(&self, rules: Rules) -> Vec<(String, Self)> {
        let mut found = Vec::new();
        if self.log_steps < LOG_STEPS {
            let mut next = self.clone();
            next.log_steps += 1;
            found.push((format!("log step {}", next.log_steps), next));
        }
        for (w, name) in NAMES.iter().enumerate() {
            self.lease_steps(w, rules, &mut found);
            self.apply_steps(w, rules, &mut found);
            if rules.archive {
                self.archive_steps(w, &mut found);
            }
            if self.crashes_left > 0 && self.workers[w] != Worker::default() {
                let mut next = self.clone();
                next.crashes_left -= 1;
                // Its next run has another name in the program; here it comes back without memory, which is worse.
                next.workers[w] = Worker::default();
                found.push((format!("{name} crashes"), next));
            }
        }
        found
    }

    fn lease_steps(&self, w: usize, rules: Rules, found: &mut Vec<(String, Self)>) {
        let (me, name) = (&self.workers[w], NAMES[w]);
        // A look: leases for new shards, and what to take.
        for suspects in [false, true] {
            if me.intent.is_some() || suspects && self.suspicions_left == 0 {
                continue;
            }
            let mut next = self.clone();
            let stored: Vec<Lease> = self.leases.values().cloned().collect();
            for lease in missing(&self.shards(), &stored) {
                next.leases.insert(lease.shard.clone(), lease);
            }
            let mut leases: Vec<Lease> = next.leases.values().cloned().collect();
            if !rules.parents_first {
                leases.iter_mut().for_each(|lease| lease.parents.clear());
            }
            let standing = |lease: &Lease| match lease.owner {
                None => Standing::Free,
                Some(_) if suspects && !me.held.contains_key(&lease.shard) => Standing::Expired,
                Some(_) => Standing::Fresh,
            };
            let wish = wish(name, &leases, &self.shards(), standing, 0);
            let wanted = wish.shards().find(|shard| !me.held.contains_key(shard));
            next.workers[w].intent = wanted.and_then(|shard| next.leases.get(&shard).cloned());
            let of_another = next.workers[w].intent.as_ref().is_some_and(|lease| lease.owner.is_some());
            next.suspicions_left -= u8::from(suspects && of_another);
            // With suspicion only what is not seen without.
            if next != *self && suspects == of_another {
                found.push((format!("{name} looks"), next));
            }
        }
        if let Some(intent) = &me.intent {
            let taken = intent.taken(name);
            let mut next = self.clone();
            let mine = match next.write(&taken) {
                LeaseWrite::Done => true,
                LeaseWrite::Refused(now) => judge_refused(&taken, now.as_ref()) == Refused::WasMine,
            };
            if mine && self.lost_answers_left > 0 && next.leases != self.leases {
                let mut lost = next.clone();
                lost.lost_answers_left -= 1;
                found.push((format!("{name} takes {} and hears nothing", taken.shard), lost));
            }
            next.workers[w].intent = None;
            if mine {
                next.workers[w].held.insert(taken.shard.clone(), taken.clone());
            }
            found.push((format!("{name} takes {}: {mine}", taken.shard), next));
        }
        for (shard, held) in &me.held {
            let ended = me.ended.contains_key(shard);
            // Only a job that ended says so.
            let of_store = self.checkpoints.get(shard).cloned().map(Checkpoint::At);
            let progress = if ended {
                Some(Checkpoint::shard_end())
            } else {
                of_store.filter(|progress| !rules.lease_ends_last || !progress.is_shard_end())
            };
            let wanted = if ended { held.released(progress.as_ref()) } else { held.renewed(progress.as_ref()) };
            // A heartbeat without progress changes nothing but the counter.
            if wanted.checkpoint == held.checkpoint && !ended {
                continue;
            }
            let mut next = self.clone();
            let kept = match next.write(&wanted) {
                LeaseWrite::Done => true,
                LeaseWrite::Refused(now) => judge_refused(&wanted, now.as_ref()) == Refused::WasMine,
            };
            if kept && !ended {
                next.workers[w].held.insert(shard.clone(), wanted);
            } else {
                next.workers[w].held.remove(shard);
                next.workers[w].ended.remove(shard);
            }
            found.push((format!("{name} keeps {shard}: {kept}"), next));
        }
    }

    fn apply_steps(&self, w: usize, rules: Rules, found: &mut Vec<(String, Self)>) {
        let (me, name) = (&self.workers[w], NAMES[w]);
        if let Some(batch) = &me.batch {
            let mut next = self.clone();
            next.workers[w].batch = None;
            let done = next.commit(batch, rules);
            found.push((format!("{name} commits {} to {}: {done}", batch.shard, batch.checkpoint), next));
            return;
        }
        for held in me.held.keys() {
            // What is left of its ancestors is a part of the job.
            let shard = if rules.ancestors_first && *held == child() && !self.at_end(&parent()) {
                parent()
            } else {
                held.clone()
            };
            let Some(batch) = self.read(&shard) else {
                // The job is all that is done with a shard: archiving too.
                let archived =
                    !rules.archive || !rules.lease_ends_last || self.chain_end(held) == *self.records(held).end();
                if self.at_end(held) && archived && !me.ended.contains_key(held) {
                    let mut next = self.clone();
                    next.workers[w].ended.insert(held.clone(), true);
                    found.push((format!("{name} finds {held} at its end"), next));
                }
                continue;
            };
            let mut next = self.clone();
            if rules.archive {
                next.commit(&batch, rules);
            } else {
                next.workers[w].batch = Some(batch);
            }
            found.push((format!("{name} reads {shard}"), next));
        }
    }

    fn archive_steps(&self, w: usize, found: &mut Vec<(String, Self)>) {
        let (me, name) = (&self.workers[w], NAMES[w]);
        if let Some((shard, start, last)) = &me.segment {
            let mut next = self.clone();
            next.workers[w].segment = None;
            // Create-only: of many that follow one start the first stands.
            next.archive.entry((shard.clone(), *start)).or_insert(*last);
            found.push((format!("{name} puts {shard} {start}..{last}"), next));
            return;
        }
        for shard in me.held.keys() {
            let start = self.chain_end(shard);
            let records = self.records(shard);
            // A segment of one record, or of all there are.
            let first = records.clone().find(|position| *position > start);
            for last in first.into_iter().chain(first.map(|_| *records.end())).collect::<BTreeSet<_>>() {
                let mut next = self.clone();
                next.workers[w].segment = Some((shard.clone(), start, last));
                found.push((format!("{name} builds {shard} {start}..{last}"), next));
            }
        }
    }
}
