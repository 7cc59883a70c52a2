//! The settings file, `ledgerline.toml`: plain data, read once at start and checked as a whole.
//!
//! Unknown keys are refused. Every error names the file, the key and the fix. Paths in the file are
//! relative to the folder that holds it. Without a file the defaults below hold and no source is
//! configured. Times are seconds, sizes bytes.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledgerline_domain::Error;
use ledgerline_domain::ids::SourceName;
use ledgerline_domain::provider::{Provider, Sources};
use ledgerline_domain::signature::Scheme;
use serde::Deserialize;

mod aws;
mod outputs;

use crate::exit::{Failure, Outcome};
use crate::secret_ref::SecretRef;
use crate::wiring::SHARDS_MAX;

pub use aws::{AwsSettings, ConsumerSettings, LeaseSettings, LogSettings};

/// Name of the settings file that is looked for in the current folder.
pub const FILE_NAME: &str = "ledgerline.toml";
/// The environment variable that names another settings file.
pub const FILE_VARIABLE: &str = "LEDGERLINE_CONFIG";
/// The environment variable that holds the text of a settings file: for containers.
pub const TEXT_VARIABLE: &str = "LEDGERLINE_SETTINGS";
/// Most sources.
const SOURCES_MAX: usize = 1_000;
/// Fetches per second of a source where the settings say nothing, and most of them.
const HYDRATE_PER_SECOND_DEFAULT: u32 = 10;
const HYDRATE_PER_SECOND_MAX: u32 = 1_000;
/// Largest body: its envelope must fit a record of the log, also where it travels as base64.
const BODY_BYTES_MAX: usize = 1_500_000;

/// An example that works, printed by `ledgerline check --example`.
pub const EXAMPLE: &str = include_str!("example.toml");

/// The file as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where log, state and archive are kept; with `aws` a folder for temporary files.
    pub data: PathBuf,
    /// Address of the HTTP server.
    pub listen: SocketAddr,
    /// Shards of a new log, 4 when nothing is said. An existing log keeps its number.
    pub shards: Option<u32>,
    /// Provider files that add to the built-in ones or override them by name.
    pub providers: Vec<PathBuf>,
    /// The webhook endpoints.
    pub source: Vec<SourceSettings>,
    /// Limits.
    pub limits: Limits,
    /// Where everything is kept instead, if at AWS.
    pub aws: Option<AwsSettings>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: "ledgerline-data".into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            shards: None,
            providers: Vec::new(),
            source: Vec::new(),
            limits: Limits::default(),
            aws: None,
        }
    }
}

/// One webhook endpoint, `POST /webhooks/{name}`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSettings {
    /// Its name; part of every entity's key, so it should never change.
    pub name: SourceName,
    /// Its provider.
    pub provider: String,
    /// Where its signing secrets are. Several may be valid at once, one of them until a given time.
    pub secrets: Vec<SecretRef>,
    /// Oldest and most future signed time accepted, instead of the provider's own.
    pub tolerance_seconds: Option<u32>,
    /// Its address exactly as it was entered at the provider, where the scheme signs it.
    pub url: Option<String>,
    /// Folder of the provider's certificates, where the scheme needs them and they shall not be fetched.
    pub certificates: Option<PathBuf>,
    /// Requests per second past which it is told to slow down (429).
    pub rate_limit_per_second: Option<u32>,
    /// Where its API key is, to fetch what thin notifications are about. Off without it.
    pub hydrate: Option<SecretRef>,
    /// Most fetches per second.
    #[serde(default = "hydrate_per_second")]
    pub hydrate_per_second: u32,
}

fn hydrate_per_second() -> u32 {
    HYDRATE_PER_SECOND_DEFAULT
}

/// Limits. Past each the caller gets a clear answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Longest request body, in bytes.
    pub body_bytes_max: usize,
    /// Longest time a body may take to come in.
    pub body_seconds_max: u64,
    /// Most requests at once.
    pub requests_in_flight_max: usize,
    /// Longest wait for the log before the caller gets 503.
    pub append_seconds_max: u64,
    /// Longest time that a shutdown waits for requests in flight.
    pub drain_seconds_max: u64,
    /// Oldest record that waits for its archive segment to fill.
    pub segment_age_seconds_max: u64,
    /// Most memory for the entity records of a replay, in MiB; the rest goes to temporary files.
    pub replay_memory_mib_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 1024 * 1024,
            body_seconds_max: 10,
            requests_in_flight_max: 4096,
            append_seconds_max: 10,
            drain_seconds_max: 20,
            segment_age_seconds_max: 60,
            replay_memory_mib_max: 256,
        }
    }
}

/// Checked settings with everything they name.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The file, or nothing when the defaults hold.
    pub file: Option<PathBuf>,
    /// The settings; paths are complete.
    pub settings: Settings,
    /// Providers by source.
    pub sources: Arc<Sources>,
    /// Names and origins of the providers that are known.
    pub providers: Vec<(Arc<Provider>, String)>,
}

impl Loaded {
    /// Reads the settings from `file`, else from where [`FILE_VARIABLE`] says, else out of [`TEXT_VARIABLE`], else
    /// from [`FILE_NAME`] in the current folder if there is one.
    pub fn read(file: Option<&Path>) -> Outcome<Self> {
        let variable = std::env::var_os(FILE_VARIABLE).filter(|v| !v.is_empty()).map(PathBuf::from);
        let named = file.map(Path::to_owned).or(variable);
        if let (None, Ok(text)) = (&named, std::env::var(TEXT_VARIABLE)) {
            return Self::parse(Path::new(TEXT_VARIABLE), &text);
        }
        let fallback = || Path::new(FILE_NAME).exists().then(|| PathBuf::from(FILE_NAME));
        let file = named.or_else(fallback);
        let Some(file) = file.as_deref() else {
            return Self::check(Settings::default(), None);
        };
        let text = std::fs::read_to_string(file).map_err(|e| {
            let shown = file.display();
            Failure::usage(format!("read settings {shown}: {e}; name another file with --config"))
        })?;
        Self::parse(file, &text)
    }

    /// Reads the settings from `text`, which stands in `file`: TOML, or what `terraform output -json` writes where
    /// the file's name ends in `.json`.
    pub fn parse(file: &Path, text: &str) -> Outcome<Self> {
        let failed = |why: &str| Failure::usage(format!("read settings {}: {}", file.display(), why.trim_end()));
        let mut settings: Settings = if file.extension().is_some_and(|extension| extension == "json") {
            let values = outputs::settings(text);
            let values = values.ok_or_else(|| failed("it is not what `terraform output -json` writes"))?;
            serde_json::from_value(values).map_err(|e| failed(&e.to_string()))?
        } else {
            toml::from_str(text).map_err(|e| failed(&e.to_string()))?
        };
        let folder = file.parent().unwrap_or(Path::new(""));
        settings.data = folder.join(&settings.data);
        settings.providers.iter_mut().for_each(|p| *p = folder.join(&*p));
        settings.source.iter_mut().flat_map(|s| &mut s.certificates).for_each(|c| *c = folder.join(&*c));
        settings
            .source
            .iter_mut()
            .flat_map(|s| s.secrets.iter_mut().chain(&mut s.hydrate))
            .for_each(|s| s.resolve_in(folder));
        Self::check(settings, Some(file))
    }

    fn check(settings: Settings, file: Option<&Path>) -> Outcome<Self> {
        let name = file.map_or_else(|| "(defaults)".to_owned(), |f| f.display().to_string());
        let fault = |key: &str, fix: &str| Err(Failure::usage(format!("accept settings {name}: key `{key}`: {fix}")));
        let limits = &settings.limits;
        if settings.shards.is_some_and(|shards| !(1..=SHARDS_MAX).contains(&shards)) {
            return fault("shards", &format!("use 1 to {SHARDS_MAX}"));
        }
        if settings.data.as_os_str().is_empty() {
            return fault("data", "name the folder for log, state and archive");
        }
        if !(1..=BODY_BYTES_MAX).contains(&limits.body_bytes_max) {
            return fault(
                "limits.body_bytes_max",
                &format!("use 1 to {BODY_BYTES_MAX}, the largest body the log takes"),
            );
        }
        for (key, value, most) in [
            ("limits.body_seconds_max", limits.body_seconds_max, 600),
            ("limits.append_seconds_max", limits.append_seconds_max, 600),
            ("limits.drain_seconds_max", limits.drain_seconds_max, 600),
            ("limits.segment_age_seconds_max", limits.segment_age_seconds_max, 3_600),
            ("limits.replay_memory_mib_max", limits.replay_memory_mib_max, 1024 * 1024),
            ("limits.requests_in_flight_max", limits.requests_in_flight_max as u64, 1_000_000),
        ] {
            if !(1..=most).contains(&value) {
                return fault(key, &format!("use 1 to {most}"));
            }
        }
        if settings.source.len() > SOURCES_MAX {
            return fault("source", &format!("configure at most {SOURCES_MAX} sources"));
        }
        if let Some((key, fix)) = settings.aws.as_ref().and_then(|aws| aws.check().err()) {
            return fault(&format!("aws.{key}"), &fix);
        }
        let providers = read_providers(&settings.providers)?;
        let mut sources = Sources::default();
        let mut seen = BTreeSet::new();
        for (n, source) in settings.source.iter().enumerate() {
            if !seen.insert(&source.name) {
                let fix = format!("{:?} is configured twice: give each source a name of its own", source.name.as_str());
                return fault(&format!("source[{n}].name"), &fix);
            }
            let provider = providers.iter().find(|(p, _)| p.name() == source.provider);
            let Some((provider, _)) = provider else {
                let known: Vec<_> = providers.iter().map(|(p, _)| p.name()).collect();
                let fix = format!(
                    "no provider {:?}: use one of {}, or add its file to `providers`",
                    source.provider,
                    known.join(", ")
                );
                return fault(&format!("source[{n}].provider"), &fix);
            };
            if source.secrets.is_empty() {
                return fault(
                    &format!("source[{n}].secrets"),
                    "give at least one, such as \"env:STRIPE_SECRET\" or \"file:stripe.secret\"",
                );
            }
            if let Err((key, error)) = scheme_of(provider, source) {
                return fault(&format!("source[{n}].{key}"), &error.to_string());
            }
            if source.certificates.is_some() && !matches!(provider.scheme(), Scheme::PayPal(_)) {
                return fault(&format!("source[{n}].certificates"), "the scheme needs none; remove the key");
            }
            if source.rate_limit_per_second == Some(0) {
                return fault(&format!("source[{n}].rate_limit_per_second"), "use 1 or more, or leave it out");
            }
            if source.hydrate.is_some() && !provider.hydrates() {
                let fix = format!("the file of {} has no [[hydrate]] rule: remove the key", provider.name());
                return fault(&format!("source[{n}].hydrate"), &fix);
            }
            if !(1..=HYDRATE_PER_SECOND_MAX).contains(&source.hydrate_per_second) {
                return fault(
                    &format!("source[{n}].hydrate_per_second"),
                    &format!("use 1 to {HYDRATE_PER_SECOND_MAX}"),
                );
            }
            sources.insert(&source.name, provider.clone());
        }
        Ok(Self { file: file.map(Path::to_owned), settings, sources: Arc::new(sources), providers })
    }

    /// The scheme of a source: its provider's, with the source's own tolerance and address.
    pub fn scheme(&self, source: &SourceSettings) -> Outcome<Scheme> {
        let provider = self.sources.provider(source.name.as_str());
        let provider =
            provider.ok_or_else(|| Failure::usage(format!("find the provider of source {}", source.name)))?;
        scheme_of(provider, source).map_err(|(_, error)| error.into())
    }

    /// The settings of one source.
    pub fn source(&self, name: &str) -> Outcome<&SourceSettings> {
        self.settings.source.iter().find(|s| s.name.as_str() == name).ok_or_else(|| {
            let known: Vec<_> = self.settings.source.iter().map(|s| s.name.as_str()).collect();
            Failure::usage(match known.as_slice() {
                [] => format!("find source {name:?}: none is configured; `ledgerline check --example` prints a start"),
                known => format!("find source {name:?}: configured are {}", known.join(", ")),
            })
        })
    }
}

/// The scheme, or the key that is wrong and why.
fn scheme_of(provider: &Provider, source: &SourceSettings) -> Result<Scheme, (&'static str, Error)> {
    let mut scheme = provider.scheme().clone();
    if let Some(seconds) = source.tolerance_seconds {
        scheme = scheme.with_tolerance(seconds).map_err(|error| ("tolerance_seconds", error))?;
    }
    if let Some(url) = &source.url {
        scheme = scheme.with_url(url).map_err(|error| ("url", error))?;
    }
    if scheme.lacks_url() {
        let name = &source.name;
        return Err((
            "url",
            Error::invalid(format!(
                "leave it out: {} signs the address that it sends to, so give it exactly as it was entered there, \
                 such as url = \"https://example.com/webhooks/{name}\"",
                provider.name()
            )),
        ));
    }
    Ok(scheme)
}

/// The built-in providers and those of the files, which override by name.
fn read_providers(files: &[PathBuf]) -> Outcome<Vec<(Arc<Provider>, String)>> {
    let built_in = Provider::built_in_names().filter_map(Provider::built_in);
    let mut providers: Vec<_> = built_in.map(|p| (Arc::new(p), "built in".to_owned())).collect();
    for file in files {
        let shown = file.display().to_string();
        let text = std::fs::read_to_string(file)
            .map_err(|e| Failure::usage(format!("read provider file {shown} (key `providers`): {e}")))?;
        let provider = Arc::new(Provider::parse(&shown, &text)?);
        if let Some((_, other)) = providers.iter().find(|(p, from)| p.name() == provider.name() && from != "built in") {
            return Err(Failure::usage(format!(
                "accept provider file {shown}: key `name`: {:?} is already defined by {other}",
                provider.name()
            )));
        }
        providers.retain(|(p, _)| p.name() != provider.name());
        providers.push((provider, shown));
    }
    providers.sort_by(|a, b| a.0.name().cmp(b.0.name()));
    Ok(providers)
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
