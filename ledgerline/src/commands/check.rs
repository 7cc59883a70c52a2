//! `check`: settings, providers and secrets, before a start. Nothing is opened or changed.

use ledgerline_domain::ports::Clock as _;
use ledgerline_domain::provider::Provider;
use ledgerline_domain::signature::Tolerance;
use serde::Serialize;

use crate::cli::CheckArgs;
use crate::exit::{Exit, Failure, Outcome};
use crate::keys::OuterKeys;
use crate::output::{self, Output};
use crate::secret_ref::SecretRef;
use crate::secrets::{self, Use};
use crate::settings::{EXAMPLE, Loaded};
use crate::wiring::SystemClock;
use crate::words;

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    settings: Option<String>,
    data: String,
    listen: String,
    shards: Option<u32>,
    providers: Vec<ProviderLine>,
    sources: Vec<SourceLine>,
    warnings: Vec<String>,
    ok: bool,
}

#[derive(Debug, Serialize)]
struct ProviderLine {
    name: String,
    origin: String,
    scheme: &'static str,
    description: String,
}

#[derive(Debug, Serialize)]
struct SourceLine {
    name: String,
    path: String,
    provider: String,
    tolerance: String,
    secrets: Vec<String>,
    key_ids: Vec<String>,
    /// Where keys come from that are not among the secrets.
    keys_from: Option<String>,
    hydrate: Option<String>,
    problem: Option<String>,
}

/// Prints an example instead of checking.
pub fn print(args: &CheckArgs, out: &mut Output) -> Outcome {
    let text = match args.provider.as_deref() {
        None => EXAMPLE,
        Some(name) => Provider::built_in_text(name).ok_or_else(|| {
            let known: Vec<_> = Provider::built_in_names().collect();
            Failure::not_found(format!("find a built-in provider {name:?}: there are {}", known.join(", ")))
        })?,
    };
    out.line(text.trim_end())?;
    Ok(Exit::Ok)
}

/// Runs the command. Code 2 when a secret cannot be read.
pub fn run(loaded: &Loaded, args: &CheckArgs, out: &mut Output) -> Outcome {
    let report = look(loaded);
    if args.json {
        out.json_pretty(&report)?;
    } else {
        show(&report, out)?;
    }
    Ok(if report.ok { Exit::Ok } else { Exit::Usage })
}

fn look(loaded: &Loaded) -> Report {
    let settings = &loaded.settings;
    let mut warnings = Vec::new();
    if settings.source.is_empty() {
        warnings.push(
            "no [[source]] is configured: every webhook would get 404; `ledgerline check --example` prints a start"
                .into(),
        );
    }
    let mut sources = Vec::new();
    for source in &settings.source {
        let keys = loaded.scheme(source).and_then(|scheme| OuterKeys::open(loaded, source, &scheme));
        let origin = keys.as_ref().ok().and_then(OuterKeys::origin);
        let set = loaded.scheme(source).and_then(|scheme| {
            let set = secrets::read_set(source, &scheme, &keys?, Use::Door(SystemClock.now()))?;
            secrets::read_api_keys(source)?;
            Ok((set, scheme))
        });
        let tolerance = set.as_ref().ok().map(|(_, scheme)| match scheme.tolerance() {
            Some(Tolerance::Seconds(seconds)) => format!("{seconds} s"),
            Some(Tolerance::AnyAge) => "any age".into(),
            None => "no signed time".into(),
        });
        if source.secrets.iter().chain(&source.hydrate).any(SecretRef::is_literal) {
            warnings.push(format!(
                "source {}: a secret stands in the settings file; move it to env:NAME or file:PATH",
                source.name
            ));
        }
        sources.push(SourceLine {
            name: source.name.to_string(),
            path: format!("/webhooks/{}", source.name),
            provider: source.provider.clone(),
            tolerance: tolerance.unwrap_or_default(),
            secrets: source.secrets.iter().map(ToString::to_string).collect(),
            hydrate: source.hydrate.as_ref().map(ToString::to_string),
            key_ids: set.as_ref().map(|(set, _)| set.key_ids().map(str::to_owned).collect()).unwrap_or_default(),
            keys_from: origin,
            problem: set.err().map(|failure| failure.message),
        });
    }
    let providers = loaded.providers.iter().map(|(provider, origin)| ProviderLine {
        name: provider.name().to_owned(),
        origin: origin.clone(),
        scheme: provider.scheme().name(),
        description: provider.description().to_owned(),
    });
    Report {
        settings: loaded.file.as_ref().map(|f| f.display().to_string()),
        data: settings.data.display().to_string(),
        listen: settings.listen.to_string(),
        shards: settings.shards,
        providers: providers.collect(),
        ok: sources.iter().all(|s| s.problem.is_none()),
        sources,
        warnings,
    }
}

fn show(report: &Report, out: &mut Output) -> Outcome<()> {
    let file = report.settings.as_deref().unwrap_or("none: the defaults hold");
    out.line(format!("settings  {file}"))?;
    out.line(format!("data      {}", report.data))?;
    out.line(format!("listen    http://{}", report.listen))?;
    out.gap()?;
    let mut table = output::table(&["provider", "from", "scheme", "what it is"]);
    for line in &report.providers {
        table.add_row([line.name.as_str(), &line.origin, line.scheme, &line.description]);
    }
    out.table(&table, 0)?;
    if !report.sources.is_empty() {
        out.gap()?;
        let mut table = output::table(&["source", "endpoint", "provider", "tolerance", "secrets", "keys in force", ""]);
        for line in &report.sources {
            table.add_row([
                line.name.clone(),
                line.path.clone(),
                line.provider.clone(),
                line.tolerance.clone(),
                line.secrets.iter().chain(&line.hydrate).map(String::as_str).collect::<Vec<_>>().join(", "),
                line.key_ids.join(", "),
                if line.problem.is_some() { "✗".into() } else { "✓".to_owned() },
            ]);
        }
        out.table(&table, 0)?;
    }
    for line in &report.sources {
        if let Some(origin) = &line.keys_from {
            out.gap()?;
            out.line(format!("source {}: {origin}", line.name))?;
        }
    }
    for warning in &report.warnings {
        out.gap()?;
        out.line(format!("! {warning}"))?;
    }
    let problems: Vec<_> = report.sources.iter().filter_map(|s| s.problem.as_ref()).collect();
    out.gap()?;
    for problem in &problems {
        out.line(format!("✗ failed to {problem}"))?;
    }
    match problems.len() {
        0 => out.line("✓ ready to serve"),
        n => out.line(format!("{} to mend", words::count(n as u64, "thing", "things"))),
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use std::path::Path;

    fn source(secret: &str) -> String {
        format!("[[source]]\nname = \"shop\"\nprovider = \"stripe\"\nsecrets = [\"{secret}\"]\n")
    }

    #[test]
    fn every_source_is_tried() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("two"), "whsec_one\nwhsec_two\n").unwrap();
        let file = folder.path().join("ledgerline.toml");
        let good = look(&Loaded::parse(&file, &source("file:two")).unwrap());
        assert!(good.ok);
        assert_eq!(good.sources.first().unwrap().key_ids.len(), 2);
        let bad = look(&Loaded::parse(&file, &source("file:absent")).unwrap());
        assert!(!bad.ok && bad.sources.first().unwrap().problem.as_ref().unwrap().contains("absent"));
        let literal = look(&Loaded::parse(&file, &source("whsec_very_secret")).unwrap());
        assert!(literal.ok && literal.warnings.first().unwrap().contains("move it to env:NAME"));
        assert!(!serde_json::to_string(&literal).unwrap().contains("very_secret"));
    }

    #[test]
    fn without_sources_it_says_how_to_begin() {
        let report = look(&Loaded::parse(Path::new("l.toml"), "").unwrap());
        assert!(report.ok && report.warnings.first().unwrap().contains("check --example"));
    }
}
