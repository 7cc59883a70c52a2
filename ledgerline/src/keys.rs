//! Keys of a source that its settings do not hold: which there are, and where they come from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledgerline_adapters::Trust;
use ledgerline_domain::ports::{Clock, Web};
use ledgerline_domain::signature::{NamedKeys, Scheme};

use crate::certificates::FolderCertificates;
use crate::exit::Outcome;
use crate::fetched_certificates::FetchedCertificates;
use crate::fetched_keys::FetchedKeys;
use crate::settings::{Loaded, SourceSettings};
use crate::words;

/// Folder of fetched certificates in the data directory; a folder for each source is in it.
const CERTIFICATES: &str = "certificates";

/// Where a source's keys come from. Copies share what was fetched.
#[derive(Clone)]
pub enum OuterKeys {
    /// From its secrets alone.
    None,
    /// From a folder that is looked after by hand.
    Folder(PathBuf),
    /// From PayPal, as requests name them.
    Fetched(Arc<FetchedCertificates>),
    /// From the issuer of tokens.
    Tokens(Arc<FetchedKeys>),
}

impl OuterKeys {
    /// Opens what is at hand. Errors name the file.
    pub fn open(loaded: &Loaded, source: &SourceSettings, scheme: &Scheme) -> Outcome<Self> {
        Ok(match (scheme, &source.certificates) {
            (Scheme::PayPal(_), Some(folder)) => Self::Folder(folder.clone()),
            (Scheme::PayPal(paypal), None) => {
                let name = source.name.as_str();
                let folder = loaded.settings.data.join(CERTIFICATES).join(name);
                Self::Fetched(Arc::new(FetchedCertificates::open(name, paypal.certificates_url(), &folder)?))
            }
            (Scheme::Oidc(oidc), _) => Self::Tokens(Arc::new(FetchedKeys::new(source.name.as_str(), oidc))),
            _ => Self::None,
        })
    }

    /// The keys as a scheme asks for them. Reads a folder again.
    pub fn named(&self) -> Outcome<NamedKeys> {
        Ok(match self {
            Self::None => NamedKeys::None,
            Self::Folder(folder) => NamedKeys::Certificates(Arc::new(FolderCertificates::read(folder)?)),
            Self::Fetched(certificates) => {
                certificates.look_again()?;
                NamedKeys::Certificates(certificates.clone())
            }
            Self::Tokens(keys) => NamedKeys::Tokens(keys.clone()),
        })
    }

    /// The folder that somebody may put keys into.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::None | Self::Tokens(_) => None,
            Self::Folder(folder) => Some(folder),
            Self::Fetched(certificates) => Some(certificates.folder()),
        }
    }

    /// Fetches what has to be fetched, for ever; at once at an end where there is nothing.
    pub async fn fetch<W: Web, C: Clock>(self, web: Arc<W>, trust: Arc<Trust>, clock: Arc<C>) {
        match self {
            Self::None | Self::Folder(_) => {}
            Self::Fetched(certificates) => certificates.run(web, trust, clock).await,
            Self::Tokens(keys) => keys.run(web).await,
        }
    }

    /// Where they come from, in words; nothing when they are the secrets.
    pub fn origin(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Folder(folder) => {
                Some(format!("certificates from the folder {} alone; none is fetched", folder.display()))
            }
            Self::Fetched(certificates) => Some(format!(
                "certificates are fetched as requests name them and kept in {} ({} there)",
                certificates.folder().display(),
                words::count(certificates.count() as u64, "certificate", "certificates")
            )),
            Self::Tokens(keys) => Some(format!("token keys are fetched from {}", keys.origin())),
        }
    }
}
