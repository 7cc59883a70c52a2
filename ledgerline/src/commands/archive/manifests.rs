//! `archive manifests`: manifests and heads again, from the segments.

use ledgerline_replay::check::check;
use ledgerline_replay::manifests::{self, Renewal};
use serde_json::json;

use super::progress;
use crate::cli::ConsentArgs;
use crate::consent::{self, Plan, Recorded};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::Output;
use crate::place::Data;
use crate::settings::Loaded;
use crate::words;

/// Runs the command.
pub async fn run(loaded: &Loaded, args: &ConsentArgs, out: &mut Output) -> Outcome {
    // Alone with the archive: an archiver writes the same objects.
    let data = Data::open(loaded).await?;
    let (bar, mut tell) = progress("segments read");
    let report = check(&*data.archive, &mut tell).await?;
    bar.finish_and_clear();
    let derived = |key: &str| key.starts_with("manifests/") || key.starts_with("heads/");
    if let Some(fault) = report.faults.iter().find(|fault| !derived(&fault.key)) {
        // Written now, they would no longer name what is missing.
        return Err(Failure::new(
            Exit::Drift,
            format!(
                "write manifests: the segments are not sound ({}: {}); mend them first, `ledgerline archive check` names every fault",
                fault.key, fault.words
            ),
        ));
    }
    let renewal = manifests::renew(&*data.archive, &data.stream).await?;
    let plan = plan(&renewal);
    if renewal.is_empty() {
        if args.json {
            out.json(&json!({ "plan": plan }))?;
        } else {
            out.line("All manifests and heads say what is there: nothing to write.")?;
        }
        return Ok(Exit::Ok);
    }
    if !consent::ask(&plan, args, out)? {
        return Ok(Exit::Ok);
    }
    let recorded = Recorded::begin(&*data.archive, &data.stream, &plan, args).await?;
    let written = renewal.write(&*data.archive).await.map_err(Failure::from);
    let written = recorded.ended(written).await?;
    if args.json {
        out.json(&json!({ "written": written }))?;
    } else {
        out.line(format!("✓ {} written", words::count(written, "object", "objects")))?;
    }
    Ok(Exit::Ok)
}

fn plan(renewal: &Renewal) -> Plan {
    let mut plan =
        Plan { command: "archive manifests", title: "write manifests and heads again".into(), ..Plan::default() };
    plan.figure(words::thousands(renewal.segments), "segments read");
    plan.figure(words::thousands(renewal.objects.len() as u64), "manifests and heads to write");
    for (key, why) in renewal.objects.iter().map(|object| (&object.key, object.why)).take(50) {
        plan.change(format!("{key}: {why}"));
    }
    plan.data =
        json!({ "segments": renewal.segments, "objects": renewal.objects.iter().map(|o| &o.key).collect::<Vec<_>>() });
    plan
}
