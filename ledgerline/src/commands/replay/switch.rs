//! `replay promote`, `rollback` and `retire`: which generation is live, and the end of one.

use std::time::Duration;

use ledgerline_adapters::embedded::{Generation, GenerationStatus};
use ledgerline_replay::generation::difference as differ;
use serde_json::{Value, json};

use crate::cli::SwitchArgs;
use crate::consent::{self, Plan, Recorded};
use crate::exit::{Exit, Failure, Outcome};
use crate::generations::difference;
use crate::output::{self, Output};
use crate::requests::{self, Request};
use crate::settings::Loaded;
use crate::wiring::Reader;
use crate::words;

/// How much longer an answer is waited for than the server may take.
const ANSWER_GRACE: Duration = Duration::from_secs(15);

/// `replay promote`.
pub async fn promote(loaded: &Loaded, args: &SwitchArgs, out: &mut Output) -> Outcome {
    let reader = Reader::open(loaded).await?;
    let generations = reader.control.generations().await?;
    let number = match args.generation {
        Some(number) => number,
        None => newest(&generations, reader.live)?,
    };
    make_live(loaded, &reader, &generations, number, "promote", args, out).await
}

/// `replay rollback`.
pub async fn rollback(loaded: &Loaded, args: &SwitchArgs, out: &mut Output) -> Outcome {
    let reader = Reader::open(loaded).await?;
    let generations = reader.control.generations().await?;
    let before = generations.iter().find(|generation| generation.status == GenerationStatus::Previous);
    let number = match (args.generation, before) {
        (Some(number), _) => number,
        (None, Some(before)) => before.number,
        (None, None) => {
            return Err(Failure::new(Exit::Refused, "roll back: no generation that was live before is kept"));
        }
    };
    make_live(loaded, &reader, &generations, number, "rollback", args, out).await
}

/// `replay retire`.
pub async fn retire(loaded: &Loaded, args: &SwitchArgs, out: &mut Output) -> Outcome {
    let reader = Reader::open(loaded).await?;
    let generations = reader.control.generations().await?;
    let number = match args.generation {
        Some(number) => number,
        None => previous(&generations)?,
    };
    let generation = find(&generations, number)?;
    if generation.status == GenerationStatus::Live {
        let why = "it is live; promote another one first";
        return Err(Failure::new(Exit::Refused, format!("retire generation {number}: {why}")));
    }
    let title = format!("delete generation {number}, which is {}", generation.status.name());
    let mut plan = Plan { command: "retire", title, ..Plan::default() };
    let mut entities = None;
    if generation.status.is_complete() {
        let count = reader.generation(number).await?.entities().await?;
        plan.figure(words::thousands(count), "entity records to delete");
        entities = Some(count);
    }
    plan.change("its records are deleted for good; archive and log keep every event, so a rebuild makes the like");
    if generation.status == GenerationStatus::Previous {
        plan.change("rollback is not possible any more");
    }
    plan.data = json!({ "generation": number, "status": generation.status, "entities": entities });
    let request = Request::Retire { generation: number };
    let Some(_) = go(loaded, &reader, &plan, &request, args, out).await? else { return Ok(Exit::Ok) };
    if !args.consent.json {
        out.line(format!("✓ generation {number} is retired"))?;
    }
    Ok(Exit::Ok)
}

/// The newest complete generation, if it is newer than the live one.
fn newest(generations: &[Generation], live: u32) -> Outcome<u32> {
    let newer = generations.iter().filter(|g| g.status.is_complete() && g.number > live);
    newer.map(|generation| generation.number).max().ok_or_else(|| {
        Failure::new(
            Exit::Refused,
            format!(
                "promote: no complete generation is newer than {live}, the live one; `ledgerline replay rebuild` makes \
                 one, --generation names an older one"
            ),
        )
    })
}

/// The one to retire when none is named: what was live before.
fn previous(generations: &[Generation]) -> Outcome<u32> {
    let before = generations.iter().find(|generation| generation.status == GenerationStatus::Previous);
    before
        .map(|generation| generation.number)
        .ok_or_else(|| Failure::new(Exit::Refused, "retire: no generation was live before; name one with --generation"))
}

fn find(generations: &[Generation], number: u32) -> Outcome<&Generation> {
    let found = generations.iter().find(|generation| generation.number == number);
    found.ok_or_else(|| {
        Failure::not_found(format!("find generation {number}: `ledgerline replay generations` shows all"))
    })
}

async fn make_live(
    loaded: &Loaded,
    reader: &Reader,
    generations: &[Generation],
    number: u32,
    command: &'static str,
    args: &SwitchArgs,
    out: &mut Output,
) -> Outcome {
    let generation = find(generations, number)?;
    if number == reader.live {
        return Err(Failure::new(Exit::Refused, format!("{command}: generation {number} is live already")));
    }
    if !generation.status.is_complete() {
        let status = generation.status.name();
        return Err(Failure::new(Exit::Refused, format!("{command}: generation {number} is {status}")));
    }
    let bar = output::bar("comparing the generations", None);
    let new = reader.generation(number).await?;
    let report = differ(&reader.store, &new, &*reader.shard_of).await?;
    bar.finish_and_clear();
    let title = format!("make generation {number} the live one in place of generation {}", reader.live);
    let mut plan = Plan { command, title, ..Plan::default() };
    plan.figure(words::thousands(report.entities), "entities of the new generation");
    difference::describe(&mut plan, &report);
    plan.change(format!("generation {} is kept, and kept up to date, until it is retired", reader.live));
    plan.data = json!({
        "generation": number,
        "live": reader.live,
        "entities": report.entities,
        "difference": difference::as_json(&report),
    });
    let request = Request::Promote { generation: number, wait_seconds: args.wait };
    let Some(_) = go(loaded, reader, &plan, &request, args, out).await? else { return Ok(Exit::Ok) };
    if !args.consent.json {
        out.line(format!("✓ generation {number} is live; `ledgerline replay rollback` goes back"))?;
    }
    Ok(Exit::Ok)
}

/// Asks for consent, writes the run down, has it done. `None` without consent.
async fn go(
    loaded: &Loaded,
    reader: &Reader,
    plan: &Plan,
    request: &Request,
    args: &SwitchArgs,
    out: &mut Output,
) -> Outcome<Option<Value>> {
    if !consent::ask(plan, &args.consent, out)? {
        return Ok(None);
    }
    let run = Recorded::begin(&*reader.archive, &reader.stream, plan, &args.consent).await?;
    let wait = Duration::from_secs(args.wait) + ANSWER_GRACE;
    let done = requests::ask(loaded, &reader.control, request, wait).await;
    let result = run.ended(done).await?;
    if args.consent.json {
        out.json(&json!({ "result": result }))?;
    }
    Ok(Some(result))
}
