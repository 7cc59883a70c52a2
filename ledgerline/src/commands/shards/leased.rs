//! The shards of a stream at AWS, with the leases of processor and archiver.
//!
//! A lease does not say when it was written, and clocks are not compared: the table is read twice, some seconds
//! apart, and a lease whose counter did not move in between has nobody at work.

use std::collections::BTreeMap;
use std::time::Duration;

use ledgerline_domain::ids::ShardId;
use ledgerline_domain::lease::{Checkpoint, Lease, Leases as _, Observed, Standing, holes};
use ledgerline_domain::ports::{Clock as _, HashRange, Log as _, ReadLimit, ShardInfo};
use ledgerline_domain::time::UnixNanos;
use serde_json::{Value, json};

use super::{number, short};
use crate::cli::ShardsArgs;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Output};
use crate::place::aws::{ARCHIVER, Opened, PROCESSOR};
use crate::settings::Loaded;
use crate::wiring::SystemClock;
use crate::words;

/// What one role's leases say.
struct Seen {
    leases: BTreeMap<ShardId, (Lease, Standing)>,
    holes: Vec<HashRange>,
}

/// Runs the command. Code 6 while a shard has nobody at work, or keys that no lease covers.
pub async fn run(loaded: &Loaded, args: &ShardsArgs, out: &mut Output) -> Outcome {
    let Some(settings) = &loaded.settings.aws else { return Err(Failure::usage("find the settings of AWS")) };
    let opened = Opened::open(settings).await?;
    let shards = opened.log.lineage().await?;
    let between = Duration::from_secs_f64(settings.leases.renew_seconds * 1.5);
    let (processor, archiver) = tokio::join!(look(&opened, PROCESSOR, between), look(&opened, ARCHIVER, between));
    let (processor, archiver) = (processor?, archiver?);
    let mut table = output::table(&[
        "shard",
        ">keys",
        "processor",
        ">folded up to",
        ">waiting since",
        "archiver",
        ">archived up to",
    ]);
    for shard in &shards {
        let waiting = waiting(&opened, shard, processor.leases.get(&shard.id).map(|(lease, _)| lease)).await?;
        if args.json {
            out.json(&as_json(shard, &processor, &archiver, waiting))?;
            continue;
        }
        table.add_row([
            short(&shard.id),
            share(shard.hash_range),
            owner(&processor, &shard.id),
            reached(&processor, &shard.id),
            waiting.map_or_else(|| "–".to_owned(), words::duration),
            owner(&archiver, &shard.id),
            reached(&archiver, &shard.id),
        ]);
    }
    if !args.json {
        out.table(&table, 0)?;
    }
    let mut exit = Exit::Ok;
    for (role, seen) in [("processor", &processor), ("archiver", &archiver)] {
        let unheld = seen
            .leases
            .values()
            .filter(|(lease, standing)| *standing != Standing::Fresh && !lease.checkpoint.is_shard_end());
        let unheld = unheld.count() as u64;
        for (count, what) in [
            (unheld, "that nobody reads: start more workers, or wait some seconds after one went away"),
            (
                seen.holes.len() as u64,
                "of keys that no lease covers: a worker makes the missing leases when it looks next",
            ),
        ] {
            if count > 0 {
                exit = Exit::Busy;
                let (one, many) = if what.starts_with("that") { ("shard", "shards") } else { ("range", "ranges") };
                output::note(format!("{role}: {} {what}", words::count(count, one, many)));
            }
        }
        if seen.leases.is_empty() {
            exit = Exit::Busy;
            output::note(format!("{role}: no leases yet: none has ever run"));
        }
    }
    Ok(exit)
}

async fn look(opened: &Opened, role: &str, between: Duration) -> Outcome<Seen> {
    let table = opened.leases(role).await?;
    let mut observed = Observed::default();
    observed.see(Duration::ZERO, &table.all().await?);
    tokio::time::sleep(between).await;
    let leases = table.all().await?;
    observed.see(between, &leases);
    let holes = holes(&leases);
    // Unchanged between both looks counts as nobody at work.
    let lasts = between.mul_f64(0.9);
    let leases = leases.into_iter().map(|lease| {
        let standing = observed.standing(between, lasts, &lease);
        (lease.shard.clone(), (lease, standing))
    });
    Ok(Seen { leases: leases.collect(), holes })
}

/// For how many nanoseconds the oldest record behind the checkpoint has been in the stream; `None` when there is none.
/// Costs one of the shard's five reads a second.
async fn waiting(opened: &Opened, shard: &ShardInfo, lease: Option<&Lease>) -> Outcome<Option<i64>> {
    if lease.is_some_and(|lease| lease.checkpoint.is_shard_end()) {
        return Ok(None);
    }
    let after = lease.and_then(|lease| lease.checkpoint.position());
    let limit = ReadLimit { records_max: 1, bytes_max: 1, wait: Duration::ZERO };
    let batch = opened.log.log().read(&shard.id, after, limit).await?;
    let now: UnixNanos = SystemClock.now();
    Ok(batch.records.first().map(|record| now.since(record.arrived_at)))
}

fn owner(seen: &Seen, shard: &ShardId) -> String {
    match seen.leases.get(shard) {
        None => "no lease".to_owned(),
        Some((lease, _)) if lease.checkpoint.is_shard_end() => "done".to_owned(),
        Some((lease, Standing::Fresh)) => lease.owner.as_deref().unwrap_or_default().to_owned(),
        Some((lease, Standing::Expired)) => format!("{}, silent", lease.owner.as_deref().unwrap_or_default()),
        Some((_, Standing::Free)) => "nobody".to_owned(),
    }
}

fn reached(seen: &Seen, shard: &ShardId) -> String {
    match seen.leases.get(shard).map(|(lease, _)| &lease.checkpoint) {
        None | Some(Checkpoint::TrimHorizon) => number(None),
        Some(Checkpoint::At(position)) => number(Some(position)),
    }
}

/// How much of all keys a shard takes.
fn share(range: Option<HashRange>) -> String {
    let Some(HashRange { first, last }) = range else { return String::new() };
    #[expect(clippy::cast_precision_loss, reason = "a share, to a tenth of a percent")]
    let share = (last - first) as f64 / u128::MAX as f64;
    format!("{:.1} %", share * 100.0)
}

fn as_json(shard: &ShardInfo, processor: &Seen, archiver: &Seen, waiting: Option<i64>) -> Value {
    let role = |seen: &Seen| match seen.leases.get(&shard.id) {
        None => Value::Null,
        Some((lease, standing)) => json!({
            "owner": lease.owner,
            "at_work": *standing == Standing::Fresh,
            "checkpoint": lease.checkpoint.position(),
            "ended": lease.checkpoint.is_shard_end(),
            "owner_switches": lease.owner_switches,
        }),
    };
    json!({
        "shard": shard.id,
        "closed": shard.closed,
        "parents": shard.parents,
        "waiting_seconds": waiting.map(|nanos| nanos / 1_000_000_000),
        "processor": role(processor),
        "archiver": role(archiver),
    })
}
