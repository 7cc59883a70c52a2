//! A command that changes something says first what it would do, and does it only when it is allowed
//! to; what it did stays in the audit log of runs.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use ledgerline_domain::ports::{Archive, Clock as _};
use ledgerline_replay::runs::{self, Run, RunStatus};
use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::ConsentArgs;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output};
use crate::wiring::SystemClock;

/// What a command would do.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Plan {
    /// The command, such as `redrive`.
    pub command: &'static str,
    /// In a line.
    pub title: String,
    /// Figures: how much, and what. For people.
    #[serde(skip)]
    pub figures: Vec<(String, String)>,
    /// What will change, in sentences.
    pub changes: Vec<String>,
    /// The same for programs.
    pub data: Value,
}

impl Plan {
    /// Adds a figure, such as `("12", "segments to read")`.
    pub fn figure(&mut self, amount: impl Into<String>, what: impl Into<String>) {
        self.figures.push((amount.into(), what.into()));
    }

    /// Adds a sentence about what will change.
    pub fn change(&mut self, sentence: impl Into<String>) {
        self.changes.push(sentence.into());
    }

    fn print(&self, out: &mut Output) -> Outcome<()> {
        out.line(format!("Plan: {}", self.title))?;
        out.gap()?;
        let mut table = output::table(&[">", "what"]);
        self.figures.iter().for_each(|(amount, what)| _ = table.add_row([amount, what]));
        out.table(&table, 2)?;
        out.gap()?;
        self.changes.iter().try_for_each(|sentence| out.bullet("•", sentence))?;
        if self.changes.is_empty() { Ok(()) } else { out.gap() }
    }
}

/// Shows the plan and finds out whether it may be done. A dry run ends here; without `--yes` somebody is
/// asked, and where nobody can be, the plan is refused with code 2.
pub fn ask(plan: &Plan, args: &ConsentArgs, out: &mut Output) -> Outcome<bool> {
    if args.json {
        out.json(&json!({ "plan": plan }))?;
    } else {
        plan.print(out)?;
    }
    if args.dry_run {
        if !args.json {
            out.line("A dry run: nothing was changed.")?;
        }
        return Ok(false);
    }
    if args.yes {
        return Ok(true);
    }
    let stdin = std::io::stdin();
    if args.json || !stdin.is_terminal() {
        return Err(Failure::usage(format!("{}: it changes something; add --yes to do it", plan.command)));
    }
    out.flush()?;
    let mut prompt = std::io::stderr();
    let asked = write!(prompt, "Go on? [y/N] ").and_then(|()| prompt.flush());
    asked.map_err(|e| Failure::failed(format!("ask for consent: {e}")))?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).map_err(|e| Failure::failed(format!("read the answer: {e}")))?;
    let yes = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    if !yes {
        out.line("Nothing was changed.")?;
    }
    Ok(yes)
}

/// A run in the audit log, from its begin to its end.
pub struct Recorded<'a, A> {
    archive: &'a A,
    stream: &'a str,
    run: Run,
}

impl<'a, A: Archive> Recorded<'a, A> {
    /// Writes down that the plan is about to be done.
    pub async fn begin(archive: &'a A, stream: &'a str, plan: &Plan, args: &ConsentArgs) -> Outcome<Self> {
        let data = serde_json::to_value(plan).map_err(|e| Failure::failed(format!("write down the plan: {e}")))?;
        let by = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "unknown".to_owned());
        let run = Run::new(plan.command, &by, args.reason.clone(), data, SystemClock.now(), rand::random());
        runs::begin(archive, stream, &run).await?;
        Ok(Self { archive, stream, run })
    }

    /// Takes up a run that was interrupted.
    pub fn resumed(archive: &'a A, stream: &'a str, run: Run) -> Self {
        Self { archive, stream, run: Run { status: RunStatus::Begun, ended_at: None, ..run } }
    }

    /// The run.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Writes down how far it is.
    pub async fn progress(&mut self, progress: Value) -> Outcome<()> {
        self.run.progress = progress;
        Ok(runs::update(self.archive, self.stream, &self.run).await?)
    }

    /// Writes down the end.
    pub async fn end(mut self, status: RunStatus, result: Value) -> Outcome<()> {
        self.run.end(status, result, SystemClock.now());
        Ok(runs::update(self.archive, self.stream, &self.run).await?)
    }

    /// Writes down the end by what `outcome` is, and gives it back.
    pub async fn ended<T: Serialize>(self, outcome: Outcome<T>) -> Outcome<T> {
        let (status, result) = match &outcome {
            Ok(result) => (RunStatus::Done, serde_json::to_value(result).unwrap_or_default()),
            Err(failure) => (RunStatus::Failed, json!({ "error": failure.message })),
        };
        self.end(status, result).await?;
        outcome
    }
}
