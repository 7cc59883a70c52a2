//! Pages of other machines, over HTTPS: [`Web`] by the client `ureq`.
//!
//! `ureq` because it is small and blocking: no second HTTP stack beside the server's, TLS by rustls (ring)
//! with Mozilla's roots built in, and nothing needed on the machine. A fetch occupies one thread of
//! tokio's blocking pool for at most its timeout.
//!
//! Promises: https only; no redirects; no connection is kept; head, body and time are bounded; no header,
//! no query of an address and no body stands in an error or log. A proxy is used where the environment
//! names one (`HTTPS_PROXY`, `NO_PROXY`), as everywhere else; it sees a TLS tunnel only.

use std::io::Read as _;
use std::net::IpAddr;

use bytes::Bytes;
use ledgerline_domain::ports::{Get, Web};
use ledgerline_domain::{Error, Result};
use secrecy::ExposeSecret as _;
use ureq::Agent;
use ureq::http::{HeaderName, HeaderValue, Uri};

/// Longest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 32 * 1024;
const USER_AGENT: &str = concat!("ledgerline/", env!("CARGO_PKG_VERSION"));

/// The client. Copies share it.
#[derive(Clone, Debug)]
pub struct HttpsWeb {
    agent: Agent,
    /// Where plain http is allowed as well; loopback only.
    loopback: Option<Agent>,
}

impl HttpsWeb {
    /// A client that takes https alone.
    pub fn new() -> Self {
        Self { agent: Self::agent(true), loopback: None }
    }

    /// For tests: plain http is allowed too, to addresses such as `127.0.0.1`, and never by a proxy.
    pub fn with_plain_loopback() -> Self {
        Self { loopback: Some(Self::agent(false)), ..Self::new() }
    }

    fn agent(https_only: bool) -> Agent {
        let config = Agent::config_builder()
            .https_only(https_only)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_idle_connections(0)
            .max_response_header_size(HEAD_BYTES_MAX)
            .user_agent(USER_AGENT);
        if https_only { config.build() } else { config.proxy(None).build() }.into()
    }

    /// The client for an address, or why there is none.
    fn agent_for(&self, shown: &str, uri: &Uri) -> Result<&Agent> {
        let host = uri.host().unwrap_or_default();
        if host.is_empty() || uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(Error::invalid(format!("fetch {shown}: give an address with a host and without a user")));
        }
        let loopback = || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        match (uri.scheme_str(), &self.loopback) {
            (Some("https"), _) => Ok(&self.agent),
            (Some("http"), Some(agent)) if loopback() => Ok(agent),
            _ => Err(Error::invalid(format!("fetch {shown}: only https:// is fetched; change the address"))),
        }
    }

    fn fetch(&self, get: &Get) -> Result<Bytes> {
        // What follows the path may be a secret.
        let shown = get.url.split(['?', '#']).next().unwrap_or_default();
        let uri = get.url.parse::<Uri>().map_err(|_| Error::invalid("fetch a page: its address cannot be read"))?;
        let mut request = self.agent_for(shown, &uri)?.get(uri);
        for (name, value) in &get.headers {
            let refused = || Error::invalid(format!("fetch {shown}: the header {name} cannot be sent"));
            let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused())?;
            let mut value = HeaderValue::from_str(value.expose_secret()).map_err(|_| refused())?;
            value.set_sensitive(true);
            request = request.header(header, value);
        }
        let mut response =
            request.config().timeout_global(Some(get.timeout)).build().call().map_err(|e| kind(shown, &e))?;
        match response.status().as_u16() {
            200 => {}
            status @ (429 | 500..=599) => {
                return Err(Error::retry(format!("fetch {shown}: the answer is {status}; it is tried again later")));
            }
            status @ 300..=399 => {
                return Err(Error::invalid(format!(
                    "fetch {shown}: the answer is {status}, a redirect, which is not followed; give the final address"
                )));
            }
            status => return Err(Error::invalid(format!("fetch {shown}: the answer is {status}; check the address"))),
        }
        let mut body = Vec::new();
        let limit = u64::try_from(get.bytes_max).unwrap_or(u64::MAX).saturating_add(1);
        let read = response.body_mut().as_reader().take(limit).read_to_end(&mut body);
        read.map_err(|e| Error::retry(format!("fetch {shown}: the body broke off: {}", e.kind())))?;
        if body.len() > get.bytes_max {
            return Err(Error::data(format!("fetch {shown}: the body is longer than {} bytes", get.bytes_max)));
        }
        Ok(body.into())
    }
}

impl Default for HttpsWeb {
    fn default() -> Self {
        Self::new()
    }
}

impl Web for HttpsWeb {
    async fn get(&self, get: Get) -> Result<Bytes> {
        let web = self.clone();
        let fetched = tokio::task::spawn_blocking(move || web.fetch(&get)).await;
        fetched.map_err(|_| Error::internal("fetch a page: the fetch was ended"))?
    }
}

/// What failed before there was an answer. Words of our own where the client's could quote the answer.
fn kind(shown: &str, error: &ureq::Error) -> Error {
    match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
            Error::invalid(format!("fetch {shown}: it cannot be requested; check the address"))
        }
        ureq::Error::RequireHttpsOnly(_) => Error::invalid(format!("fetch {shown}: only https:// is fetched")),
        ureq::Error::LargeResponseHeader(..) => {
            Error::data(format!("fetch {shown}: the head of the answer is longer than {HEAD_BYTES_MAX} bytes"))
        }
        ureq::Error::Timeout(_) => Error::retry(format!("fetch {shown}: no answer in time")),
        ureq::Error::HostNotFound => Error::retry(format!("fetch {shown}: its host is not found")),
        ureq::Error::Io(error) => Error::retry(format!("fetch {shown}: no connection: {}", error.kind())),
        ureq::Error::Rustls(_) | ureq::Error::Tls(_) => {
            Error::retry(format!("fetch {shown}: TLS failed: the certificate of the host or the way there is not good"))
        }
        _ => Error::retry(format!("fetch {shown}: the answer is no good HTTP, or the connection broke")),
    }
}

#[cfg(test)]
#[path = "web_tests.rs"]
mod tests;
