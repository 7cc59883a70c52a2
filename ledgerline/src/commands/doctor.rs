//! `doctor`: looks at the deployment that the table `[aws]` of the settings names, and says what to mend.

use clap::Args;
use ledgerline_adapters::aws::AwsConfig;
use ledgerline_adapters::aws::doctor::{Finding, Part, State, Targets, examine};
use serde::Serialize;

use crate::cli::Role;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Output};
use crate::place::aws::options;
use crate::settings::{AwsSettings, ConsumerSettings, Loaded};

/// `doctor`.
#[derive(Debug, Args)]
#[command(
    after_help = "Looks and changes nothing; with --write it puts one small object below doctor/ in the bucket. Permissions are those
of whoever runs it: run it as the role that is looked at. Exit code 0 when nothing is at fault, 5 when something is;
warnings do not count.

Example:
  ledgerline doctor --role processor"
)]
pub struct DoctorArgs {
    /// Whose permissions are tried [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub role: Vec<Role>,
    /// Put an object, to see that a key can be created once only
    #[arg(long)]
    pub write: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    faults: usize,
    warnings: usize,
    findings: &'a [Finding],
}

/// Runs the command. Code 5 when something is at fault.
pub async fn run(loaded: &Loaded, args: &DoctorArgs, out: &mut Output) -> Outcome {
    let Some(settings) = &loaded.settings.aws else {
        return Err(Failure::usage(
            "look at a deployment: the settings have no table [aws]; give the file of the deployment with --config",
        ));
    };
    let named = loaded.settings.source.iter().flat_map(|source| &source.secrets);
    let mut secrets: Vec<String> =
        named.filter_map(|secret| secret.secrets_manager_name()).map(str::to_owned).collect();
    secrets.sort_unstable();
    secrets.dedup();
    let targets = Targets {
        stream: settings.stream.clone(),
        tables: settings.tables.clone(),
        bucket: settings.bucket.clone(),
        prefix: settings.prefix.clone(),
        secrets,
        consumers: consumers(settings),
        parts: parts(&args.role),
        write: args.write,
    };
    let aws = AwsConfig::load(&options(settings)).await?;
    let findings = examine(&aws, &targets).await;
    let count = |state| findings.iter().filter(|finding| finding.state == state).count();
    let (faults, warnings) = (count(State::Fault), count(State::Warning));
    if args.json {
        out.json_pretty(&Report { faults, warnings, findings: &findings })?;
    } else {
        print(&findings, faults, warnings, out)?;
    }
    Ok(if faults == 0 { Exit::Ok } else { Exit::Refused })
}

fn consumers(settings: &AwsSettings) -> Vec<(Part, String)> {
    let ConsumerSettings { processor, archiver } = &settings.log.fan_out;
    let named = [(Part::Processor, processor), (Part::Archiver, archiver)];
    named.into_iter().filter_map(|(part, name)| Some((part, name.clone()?))).collect()
}

fn parts(roles: &[Role]) -> Vec<Part> {
    let all = [Part::Ingest, Part::Processor, Part::Archiver];
    if roles.is_empty() {
        return all.to_vec();
    }
    let part = |role: &Role| match role {
        Role::Ingest => Part::Ingest,
        Role::Processor | Role::Hydrator => Part::Processor,
        Role::Archiver => Part::Archiver,
    };
    let wanted: Vec<Part> = roles.iter().map(part).collect();
    all.into_iter().filter(|part| wanted.contains(part)).collect()
}

fn print(findings: &[Finding], faults: usize, warnings: usize, out: &mut Output) -> Outcome<()> {
    let mut table = output::table(&["on", "what", "state", "found"]);
    for finding in findings {
        table.add_row([&finding.on, &finding.what, finding.state.as_str(), &finding.found]);
    }
    out.table(&table, 0)?;
    out.gap()?;
    let mut wrong: Vec<&Finding> = findings.iter().filter(|finding| !finding.fix.is_empty()).collect();
    wrong.sort_by_key(|finding| std::cmp::Reverse(finding.state));
    for finding in wrong {
        let Finding { on, what, state, found, fix } = finding;
        out.bullet(state.as_str(), &format!("{on}, {what}: {found}. Fix: {fix}"))?;
    }
    out.line(format!("{faults} at fault, {warnings} to be warned of, {} looked at", findings.len()))
}
