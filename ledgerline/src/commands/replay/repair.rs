//! `replay repair`: writes again what differs from the archive, and only that.

use std::collections::HashSet;
use std::hash::Hasher as _;
use std::time::{Duration, Instant};

use ledgerline_domain::ids::EntityKey;
use ledgerline_domain::ports::Clock as _;
use ledgerline_replay::rebuild::{Input, Rebuilt, rebuild};
use ledgerline_replay::repair::{Repair, RepairReport};
use ledgerline_replay::select::Selection;
use ledgerline_replay::selector::Selector;
use serde_json::json;

use super::{check_whole, progress, selector};
use crate::cli::RepairArgs;
use crate::consent::{self, Plan, Recorded};
use crate::exit::{Exit, Failure, Outcome};
use crate::generations::{self, texts_of};
use crate::output::{self, Output};
use crate::place::Data;
use crate::settings::Loaded;
use crate::wiring::{Reader, SystemClock};
use crate::words;

/// Most entities that people get by name; JSON has more.
const NAMED_MAX: usize = 20;
/// How often programs are told how far it is.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Runs the command.
pub async fn run(settings: &Loaded, args: &RepairArgs, out: &mut Output) -> Outcome {
    let reader = Reader::open(settings).await?;
    let live = &match args.reinterpret {
        true => as_the_settings(settings).await?,
        false => generations::as_live(settings).await?,
    };
    let selector = selector(&args.selector)?;
    let meant = Meant::find(&*reader.archive, &reader.stream, &selector).await?;
    let wanted = |entity: &EntityKey| selector.takes_entity(entity) && meant.holds(entity);
    let (bar, mut tell) = progress("segments folded");
    let replay = reader.replay(live, None);
    let input = Input { only: Some(&wanted), ..replay.input(None) };
    let rebuilt = rebuild(&*reader.archive, &input, &mut tell).await?;
    bar.finish_and_clear();
    check_whole("repair", &rebuilt)?;
    let store = reader.to_repair().await?;
    let repair = Repair {
        archive: &*reader.archive,
        stream: &reader.stream,
        entities: &store,
        sources: &live.sources,
        shards_of: &*reader.shard_of,
        wanted: &wanted,
        reinterpret: args.reinterpret,
        now: SystemClock.now(),
    };
    let found = repair.plan(&rebuilt).await?;
    let plan = plan(&found, &rebuilt, &selector, args.reinterpret);
    if !consent::ask(&plan, &args.consent, out)? {
        return Ok(Exit::Ok);
    }
    if found.differing == 0 {
        return nothing(args, out);
    }
    let run = Recorded::begin(&*reader.archive, &reader.stream, &plan, &args.consent).await?;
    let done = write(&repair, &rebuilt, found.differing, args, out).await;
    let report = run.ended(done).await?;
    if args.consent.json {
        out.json(&json!({ "result": report }))?;
    } else {
        out.line(format!("✓ {} written again", words::count(report.repaired, "entity was", "entities were")))?;
        if report.waiting > 0 {
            let waiting = words::count(report.waiting, "entity has", "entities have");
            out.line(format!("– {waiting} events that are not archived yet: run it again in a minute"))?;
        }
    }
    Ok(if report.waiting > 0 { Exit::Busy } else { Exit::Ok })
}

/// The settings, once the live generation is folded with their provider files. A running server took them
/// when it started; without one they are taken here, as a start would.
async fn as_the_settings(settings: &Loaded) -> Outcome<Loaded> {
    let mut live = generations::as_live(settings).await?;
    if texts_of(&live.sources) != texts_of(&settings.sources)
        && let Ok(data) = Data::open(settings).await
    {
        generations::take_settings(&data.control, &settings.sources).await?;
        live = generations::as_live(settings).await?;
    }
    if settings
        .sources
        .iter()
        .all(|(name, provider)| live.sources.provider(name).map(|p| p.text()) == Some(provider.text()))
    {
        return Ok(live);
    }
    Err(Failure::new(
        Exit::Refused,
        "reinterpret: the live generation is folded with other provider files than the settings name, so its next \
         events would be read the old way again; restart `serve` with the corrected file first, or use \
         `ledgerline replay rebuild` and `promote`, which need no restart",
    ))
}

fn nothing(args: &RepairArgs, out: &mut Output) -> Outcome {
    if !args.consent.json {
        out.line("✓ nothing to repair")?;
    }
    Ok(Exit::Ok)
}

async fn write<A, E>(
    repair: &Repair<'_, A, E>,
    rebuilt: &Rebuilt,
    differing: u64,
    args: &RepairArgs,
    out: &mut Output,
) -> Outcome<RepairReport>
where
    A: ledgerline_domain::ports::Archive,
    E: ledgerline_domain::ports::Entities + ledgerline_domain::ports::Quarantine,
{
    let bar = output::bar("entities repaired", Some(differing));
    let (began, mut told) = (Instant::now(), Instant::now());
    let mut failed = None;
    let mut on_progress = |report: &RepairReport| {
        bar.set_position(report.repaired);
        if args.consent.json && told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            let progress = json!({ "progress": { "entities": report.repaired, "of": differing } });
            failed = out.json(&progress).and_then(|()| out.flush()).err();
        }
        // A page at a time: what is ahead of the rate is waited for.
        if let Some(rate) = args.rate {
            let due = Duration::from_nanos(report.repaired.saturating_mul(1_000_000_000) / u64::from(rate));
            std::thread::sleep(due.saturating_sub(began.elapsed()));
        }
    };
    let report = repair.repair(rebuilt, &mut on_progress).await?;
    bar.finish_and_clear();
    failed.map_or(Ok(report), Err)
}

/// Entities with events that a selector means, when it asks for more than can be told by an entity's name.
enum Meant {
    All,
    /// Hashes of their keys: one that is meant by chance is compared like the others.
    Some(HashSet<u64>),
}

impl Meant {
    async fn find<A: ledgerline_domain::ports::Archive>(
        archive: &A,
        stream: &str,
        selector: &Selector,
    ) -> Outcome<Self> {
        if selector.from.is_none() && selector.to.is_none() && selector.types.is_empty() {
            return Ok(Self::All);
        }
        let mut hashes = HashSet::new();
        let (bar, mut tell) = progress("segments looked through");
        let mut selection = Selection::begin(archive, stream, selector).await?;
        while let Some((_, row)) = selection.next().await? {
            hashes.insert(hash(&row.value.event.entity));
            tell(selection.progress());
        }
        bar.finish_and_clear();
        Ok(Self::Some(hashes))
    }

    fn holds(&self, entity: &EntityKey) -> bool {
        match self {
            Self::All => true,
            Self::Some(hashes) => hashes.contains(&hash(entity)),
        }
    }
}

fn hash(entity: &EntityKey) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(entity.as_str().as_bytes());
    hasher.finish()
}

fn plan(found: &RepairReport, rebuilt: &Rebuilt, selector: &Selector, reinterpret: bool) -> Plan {
    let title = match reinterpret {
        true => format!("repair the live state, with the provider files of today ({})", selector.in_words()),
        false => format!("repair the live state ({})", selector.in_words()),
    };
    let mut plan = Plan { command: "repair", title, ..Plan::default() };
    plan.figure(words::thousands(rebuilt.chain.segments()), "segments read");
    plan.figure(words::thousands(rebuilt.chain.bytes()), "bytes of them");
    plan.figure(words::thousands(found.compared), "entities compared");
    plan.figure(words::thousands(found.differing - found.waiting), "entities to write again");
    for (count, what) in [
        (found.waiting, "differ and have events that are not archived yet: not now"),
        (found.read_otherwise, "are read otherwise by the provider files of today: only with --reinterpret"),
    ] {
        if count > 0 {
            plan.figure(words::thousands(count), what);
        }
    }
    for sum in &found.money {
        plan.change(sum.in_words());
    }
    if found.money.is_empty() && found.differing > 0 {
        plan.change("no sum of money changes");
    }
    for drift in found.named.iter().take(NAMED_MAX) {
        plan.change(format!("{}: {}", drift.entity, drift.words.join("; ")));
    }
    let more = found.differing.saturating_sub(NAMED_MAX as u64);
    if more > 0 {
        plan.change(format!("and {} more entities (see --json)", words::thousands(more)));
    }
    plan.data = json!({
        "selector": selector,
        "reinterpret": reinterpret,
        "segments": rebuilt.chain.segments(),
        "bytes": rebuilt.chain.bytes(),
        "found": found,
    });
    plan
}
