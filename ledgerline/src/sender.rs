//! Signing as a source's provider would: scheme and first secret of the settings.

use bytes::Bytes;
use ledgerline_domain::signature::{self, Scheme, Signed};
use ledgerline_domain::time::UnixNanos;
use secrecy::SecretString;

use crate::exit::{Failure, Outcome};
use crate::settings::Loaded;

/// Signs requests of one source.
#[derive(Clone)]
pub struct Signer {
    scheme: Scheme,
    secret: SecretString,
}

impl Signer {
    /// The signer of a configured source.
    pub fn of(loaded: &Loaded, source: &str) -> Outcome<Self> {
        let source = loaded.source(source)?;
        let first =
            source.secrets.first().ok_or_else(|| Failure::usage(format!("sign for {}: no secret", source.name)))?;
        let secret = first.read()?.into_iter().next();
        let secret = secret.ok_or_else(|| Failure::usage(format!("sign for {}: no secret", source.name)))?;
        Ok(Self { scheme: loaded.scheme(source)?, secret })
    }

    /// A signer by itself.
    pub fn new(scheme: Scheme, secret: SecretString) -> Self {
        Self { scheme, secret }
    }

    /// The request with this id, signed at this time, whatever the scheme.
    pub fn request(&self, id: &str, at: UnixNanos, body: &Bytes) -> Outcome<Signed> {
        Ok(signature::sign_request(&self.scheme, &self.secret, id, at, body)?)
    }

    /// The headers of a request with this id, signed at this time.
    pub fn headers(&self, id: &str, at: UnixNanos, body: &Bytes) -> Outcome<Vec<(String, String)>> {
        Ok(signature::sign(&self.scheme, &self.secret, id, at, body)?)
    }
}
