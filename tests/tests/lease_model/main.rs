//! Leases, checkpoints, conditional commits and the segment chain as a model, explored in all its states.
//!
//! Two workers, a shard that is split, a crash at any moment, an answer of a lease write that is lost. Clocks are
//! worse than real ones: a worker may hold any lease of another for expired at any moment, a few times. Every write to the lease table,
//! the store and the archive is a step of its own, so a worker may sleep between any two and go on as a
//! zombie. The lease decisions and the fold are the program's own functions; what is modelled here is who
//! calls them when.
//!
//! In every state:
//!
//! - **I10** the entity's record holds every event up to each shard's checkpoint, each once;
//! - **I6** the archive's segments are a chain of exactly the log's records;
//! - a shard's lease says "at its end" only when the store does.
//!
//! In every state from which no step leads on (**I1**): every event is applied and archived, and the record
//! is the one that a single worker makes.

mod checks;
mod steps;

use std::cell::RefCell;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::time::Instant;

use ledgerline_domain::fact::Meaning;
use ledgerline_domain::fold::{Incoming, apply};
use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId};
use ledgerline_domain::lease::{
    Checkpoint, Lease, LeaseWrite, Refused, Standing, judge_refused, missing, readable, wish,
};
use ledgerline_domain::order::{OrderClass, OrderKey};
use ledgerline_domain::ports::ShardInfo;
use ledgerline_domain::record::EntityRecord;
use ledgerline_domain::time::UnixNanos;

/// Positions of the log by shard: the parent has two events, the child of the split one.
const PARENT: u32 = 0;
const CHILD: u32 = 1;
/// The environment's steps: an event, the split, an event of the child. One event is there at the start.
const LOG_STEPS: u8 = 3;
const WORKERS: usize = 2;
const NAMES: [&str; WORKERS] = ["a", "b"];

/// What is explored.
#[derive(Clone, Copy, Debug)]
struct Rules {
    /// Archiving beside applying; then a batch is loaded and committed in one step.
    archive: bool,
    /// A worker applies what is left of a shard's ancestors first.
    ancestors_first: bool,
    /// A lease is taken only when its parents are at their ends.
    parents_first: bool,
    /// Writes of records compare revisions.
    revisions: bool,
    /// A lease is at its end when all that is done with the shard is.
    lease_ends_last: bool,
}

const ALL_RULES: Rules =
    Rules { archive: false, ancestors_first: true, parents_first: true, revisions: true, lease_ends_last: true };

/// A record as it is stored: its binary form, and the revision by which writes are compared.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
struct StoredEntity {
    binary: Vec<u8>,
    revision: u64,
}

/// A batch that was folded and not committed yet.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Batch {
    shard: ShardId,
    expected_revision: u64,
    written: Option<StoredEntity>,
    checkpoint: SequenceNumber,
}

/// A segment that was built and not put yet: the shard, the position before it, its last position.
type Segment = (ShardId, u64, u64);

#[derive(Clone, PartialEq, Eq, Hash, Default)]
struct Worker {
    /// A lease as it was read, and is to be taken.
    intent: Option<Lease>,
    held: BTreeMap<ShardId, Lease>,
    /// Shards whose job came to the end.
    ended: BTreeMap<ShardId, bool>,
    batch: Option<Batch>,
    segment: Option<Segment>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct World {
    log_steps: u8,
    leases: BTreeMap<ShardId, Lease>,
    entity: StoredEntity,
    checkpoints: BTreeMap<ShardId, SequenceNumber>,
    /// Last position of the segment that follows a position.
    archive: BTreeMap<(ShardId, u64), u64>,
    workers: Vec<Worker>,
    crashes_left: u8,
    lost_answers_left: u8,
    /// How often a lease may yet be held for expired.
    suspicions_left: u8,
}

fn parent() -> ShardId {
    ShardId::numbered(PARENT)
}

fn child() -> ShardId {
    ShardId::numbered(CHILD)
}

fn key() -> EntityKey {
    EntityKey::parse("shop/order/1").expect("a key")
}

fn number(position: &SequenceNumber) -> u64 {
    position.to_u64().expect("a number")
}

/// The event at a position. The later one in the log is the earlier one in the entity's life.
fn event(position: u64) -> Incoming {
    Incoming {
        id: format!("evt_{position}").into(),
        event_type: "order.updated".into(),
        order: OrderKey {
            class: OrderClass::Contiguous { first: 1 },
            value: 4 - i64::try_from(position).expect("small"),
        },
        occurred_at: None,
        received_at: UnixNanos::from_nanos(1_790_000_000_000_000_000),
        sequence: SequenceNumber::from_u64(position),
        meaning: Some(Meaning { rank: 1, facts: Vec::new(), status: Some(format!("s{position}").into()) }),
    }
}

thread_local! {
    /// Records by their binary forms: there are few, and they are asked for in every state.
    static DECODED: RefCell<HashMap<Vec<u8>, EntityRecord>> = RefCell::default();
    /// What became of a stored record and the event at a position.
    static APPLIED: RefCell<HashMap<(StoredEntity, u64), StoredEntity>> = RefCell::default();
}

fn decode(entity: &StoredEntity) -> Option<EntityRecord> {
    if entity.binary.is_empty() {
        return None;
    }
    let read = || EntityRecord::decode(&entity.binary).expect("a record");
    Some(DECODED.with_borrow_mut(|known| known.entry(entity.binary.clone()).or_insert_with(read).clone()))
}

/// The fold of one more event.
fn applied(entity: &StoredEntity, position: u64) -> StoredEntity {
    let key_of = (entity.clone(), position);
    if let Some(known) = APPLIED.with_borrow(|known| known.get(&key_of).cloned()) {
        return known;
    }
    let stored = encode(&apply(&key(), decode(entity), [event(position)]).0);
    APPLIED.with_borrow_mut(|known| known.insert(key_of, stored.clone()));
    stored
}

fn encode(record: &EntityRecord) -> StoredEntity {
    StoredEntity { binary: record.encode_binary(Vec::new()).expect("a binary"), revision: record.revision }
}

impl World {
    fn new(rules: Rules) -> Self {
        Self {
            log_steps: 0,
            leases: BTreeMap::new(),
            entity: StoredEntity::default(),
            checkpoints: BTreeMap::new(),
            archive: BTreeMap::new(),
            workers: vec![Worker::default(); WORKERS],
            crashes_left: 1,
            lost_answers_left: u8::from(!rules.archive),
            suspicions_left: 2,
        }
    }

    fn split_done(&self) -> bool {
        self.log_steps >= 2
    }

    fn shards(&self) -> Vec<ShardInfo> {
        let mut shards = vec![ShardInfo { closed: self.split_done(), ..ShardInfo::first(parent()) }];
        if self.split_done() {
            shards.push(ShardInfo { parents: vec![parent()], ..ShardInfo::first(child()) });
        }
        shards
    }

    /// Positions of a shard's records.
    fn records(&self, shard: &ShardId) -> std::ops::RangeInclusive<u64> {
        if *shard == parent() {
            1..=1 + u64::from(self.log_steps.min(1))
        } else {
            3..=2 + u64::from(self.log_steps.saturating_sub(2))
        }
    }

    fn closed(&self, shard: &ShardId) -> bool {
        *shard == parent() && self.split_done()
    }

    fn at_end(&self, shard: &ShardId) -> bool {
        self.checkpoints.get(shard).is_some_and(SequenceNumber::is_shard_end)
    }

    /// One conditional write of the lease table.
    fn write(&mut self, wanted: &Lease) -> LeaseWrite {
        match self.leases.get_mut(&wanted.shard) {
            Some(stored) if stored.counter + 1 == wanted.counter => {
                stored.clone_from(wanted);
                LeaseWrite::Done
            }
            found => LeaseWrite::Refused(found.cloned()),
        }
    }

    /// The next record of a shard, folded into the record as it is stored now; or the shard's end.
    fn read(&self, shard: &ShardId) -> Option<Batch> {
        let after = self.checkpoints.get(shard);
        if after.is_some_and(SequenceNumber::is_shard_end) {
            return None;
        }
        let after = after.map_or(0, number);
        let Some(position) = self.records(shard).find(|position| *position > after) else {
            let end = Batch {
                shard: shard.clone(),
                expected_revision: 0,
                written: None,
                checkpoint: SequenceNumber::shard_end(),
            };
            return self.closed(shard).then_some(end);
        };
        let folded = applied(&self.entity, position);
        Some(Batch {
            shard: shard.clone(),
            expected_revision: self.entity.revision,
            written: (folded.revision != self.entity.revision).then_some(folded),
            checkpoint: SequenceNumber::from_u64(position),
        })
    }

    fn commit(&mut self, batch: &Batch, rules: Rules) -> bool {
        if let Some(written) = &batch.written {
            if rules.revisions && self.entity.revision != batch.expected_revision {
                return false;
            }
            self.entity = written.clone();
        }
        let at = self.checkpoints.entry(batch.shard.clone()).or_insert_with(|| SequenceNumber::new(""));
        *at = at.clone().max(batch.checkpoint.clone());
        true
    }

    fn chain_end(&self, shard: &ShardId) -> u64 {
        let mut end = 0;
        while let Some(last) = self.archive.get(&(shard.clone(), end)) {
            end = *last;
        }
        end
    }
}

fn fingerprint(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

/// Explores breadth first. Gives the number of states, or the shortest way to one that may not be.
fn explore(rules: Rules) -> Result<usize, Vec<String>> {
    let first = World::new(rules);
    let mut seen = HashSet::from([fingerprint(&first)]);
    // Steps that were taken: where from, in words.
    let mut steps: Vec<(usize, String)> = vec![(0, "the beginning".into())];
    let mut open = VecDeque::from([(0, first)]);
    let way = |steps: &[(usize, String)], mut at: usize, what: String| {
        let mut way = vec![what];
        while at != 0 {
            way.push(steps[at].1.clone());
            at = steps[at].0;
        }
        way.reverse();
        way
    };
    while let Some((at, world)) = open.pop_front() {
        let next = world.next(rules);
        if next.is_empty()
            && let Some(what) = world.incomplete(rules)
        {
            return Err(way(&steps, at, what));
        }
        for (step, world) in next {
            if !seen.insert(fingerprint(&world)) {
                continue;
            }
            steps.push((at, step));
            if let Some(what) = world.broken() {
                return Err(way(&steps, steps.len() - 1, what));
            }
            open.push_back((steps.len() - 1, world));
        }
    }
    Ok(seen.len())
}

#[test]
fn i1_and_i10_hold_in_every_state() {
    let began = Instant::now();
    let states = explore(ALL_RULES).unwrap_or_else(|way| panic!("{way:#?}"));
    println!("{states} states in {:?}", began.elapsed());
    assert!(states > 10_000, "{states}");
}

#[test]
fn i1_and_i6_hold_in_every_state_with_the_archive() {
    let began = Instant::now();
    let states = explore(Rules { archive: true, ..ALL_RULES }).unwrap_or_else(|way| panic!("{way:#?}"));
    println!("{states} states in {:?}", began.elapsed());
    assert!(states > 10_000, "{states}");
}

/// Either rule about parents is enough alone: a worker that holds to it loses nothing if a lease is wrong.
#[test]
fn leases_may_be_wrong_about_parents() {
    let states = explore(Rules { parents_first: false, ..ALL_RULES }).unwrap_or_else(|way| panic!("{way:#?}"));
    assert!(states > 10_000, "{states}");
}

/// The model sees what the rules are there for.
#[test]
fn without_its_rules_the_model_finds_the_loss() {
    for rules in
        [Rules { ancestors_first: false, parents_first: false, ..ALL_RULES }, Rules { revisions: false, ..ALL_RULES }]
    {
        let way = explore(rules).expect_err("a state that may not be");
        assert!(way.last().is_some_and(|what| what.starts_with("I1")), "{way:#?}");
    }
}

/// The parent's lease keeps the child's from being taken.
#[test]
fn a_child_is_readable_only_behind_its_parent() {
    let mut world = World::new(ALL_RULES);
    world.log_steps = 2;
    let mut leases = missing(&world.shards(), &[]);
    assert_eq!(leases.iter().map(|l| readable(l, &leases, &world.shards())).collect::<Vec<_>>(), [true, false]);
    leases[0].checkpoint = Checkpoint::shard_end();
    assert_eq!(leases.iter().map(|l| readable(l, &leases, &world.shards())).collect::<Vec<_>>(), [false, true]);
}
