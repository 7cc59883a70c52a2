//! Certificates that signed something, checked up to roots that are trusted.
//!
//! A [`Trust`] is a set of roots: Mozilla's, built in, or those of a test. What is checked is what a
//! browser would check of a server: the chain of signatures, every link's days, that the first one is no
//! authority, that it is meant for servers, and whose name is in it. Revocation is not looked up.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ledgerline_domain::time::UnixNanos;
use ledgerline_domain::{Error, Result};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use std::fmt;
use std::time::Duration;
use webpki::{EndEntityCert, KeyUsage};

/// Most certificates of a chain.
const CHAIN_MAX: usize = 8;

/// Roots that are trusted.
pub struct Trust(Vec<TrustAnchor<'static>>);

impl Trust {
    /// The roots that Mozilla trusts, as of the build.
    pub fn public() -> Self {
        Self(webpki_roots::TLS_SERVER_ROOTS.to_vec())
    }

    /// The roots in a PEM text and no other. Errors are [`Invalid`](ledgerline_domain::ErrorKind::Invalid).
    pub fn of_pem(text: &[u8]) -> Result<Self> {
        let fault = || Error::invalid("read the trusted roots: the text holds no certificate of an authority in PEM");
        let roots = certificates(text).ok_or_else(fault)?;
        let anchor =
            |root: &CertificateDer<'_>| webpki::anchor_from_trusted_cert(root).map(|anchor| anchor.to_owned()).ok();
        roots.iter().map(anchor).collect::<Option<Vec<_>>>().map(Self).ok_or_else(fault)
    }

    /// Checks a chain in PEM, the certificate that signs first, as of `now`, and that a name in it is
    /// `domain` or below. Gives it back as this very code read it, in plain PEM. Errors are
    /// [`Data`](ledgerline_domain::ErrorKind::Data).
    pub fn check(&self, chain: &[u8], domain: &str, now: UnixNanos) -> Result<String> {
        let fault = |why: &str| Error::data(format!("trust a certificate for {domain}: {why}"));
        let chain = certificates(chain).ok_or_else(|| fault("it is no chain of 1 to 8 certificates in PEM"))?;
        let (first, others) = chain.split_first().ok_or_else(|| fault("it is empty"))?;
        let certificate = EndEntityCert::try_from(first).map_err(|e| fault(&format!("it cannot be read ({e})")))?;
        let seconds = u64::try_from(now.seconds()).unwrap_or_default();
        certificate
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &self.0,
                others,
                UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
                KeyUsage::server_auth(),
                None,
                None,
            )
            .map_err(|e| fault(&format!("its chain does not lead to a trusted root ({e})")))?;
        let below = |name: &str| {
            let name = name.to_ascii_lowercase();
            name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        if !certificate.valid_dns_names().any(below) {
            return Err(fault("it was made out to somebody else"));
        }
        Ok(chain.iter().map(|certificate| pem(certificate)).collect())
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trust({} roots)", self.0.len())
    }
}

/// The certificates of a PEM text; `None` when there is none, too many, or one cannot be read.
fn certificates(text: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(text).take(CHAIN_MAX + 1).collect::<Result<_, _>>().ok()?;
    (1..=CHAIN_MAX).contains(&found.len()).then_some(found)
}

/// One certificate in PEM.
fn pem(der: &[u8]) -> String {
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for (place, letter) in BASE64.encode(der).chars().enumerate() {
        if place > 0 && place % 64 == 0 {
            text.push('\n');
        }
        text.push(letter);
    }
    text.push_str("\n-----END CERTIFICATE-----\n");
    text
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};

    use super::*;

    const NAME: &str = "certs.paypal.com";
    /// Within the days that every certificate here has, unless said otherwise.
    const NOW: i64 = 1_790_000_000;

    fn root() -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "Roots of the test");
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn leaf(root: &CertifiedIssuer<'_, KeyPair>, name: &str, change: impl FnOnce(&mut CertificateParams)) -> String {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        change(&mut params);
        params.signed_by(&KeyPair::generate().unwrap(), root).unwrap().pem()
    }

    fn at(seconds: i64) -> UnixNanos {
        UnixNanos::from_seconds(seconds).unwrap()
    }

    #[test]
    fn a_chain_holds_up_to_its_own_root_alone() {
        let (ours, theirs) = (root(), root());
        let trust = Trust::of_pem(ours.pem().as_bytes()).unwrap();
        let good = leaf(&ours, NAME, |_| {});
        let kept = trust.check(good.as_bytes(), "paypal.com", at(NOW)).unwrap();
        assert_eq!(kept.replace('\n', ""), good.replace(['\r', '\n'], ""));
        assert!(trust.check(format!("{good}{}", ours.pem()).as_bytes(), "paypal.com", at(NOW)).is_ok());
        for (chain, words) in [
            (leaf(&theirs, NAME, |_| {}), "trusted root"),
            (format!("{}{}", leaf(&theirs, NAME, |_| {}), theirs.pem()), "trusted root"),
            (ours.pem(), "trusted root"),
            (leaf(&ours, NAME, |p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)), "trusted root"),
            (
                leaf(&ours, NAME, |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection]),
                "trusted root",
            ),
            (leaf(&ours, NAME, |p| p.not_after = rcgen::date_time_ymd(2026, 9, 1)), "trusted root"),
            (leaf(&ours, NAME, |p| p.not_before = rcgen::date_time_ymd(2027, 1, 1)), "trusted root"),
            (leaf(&ours, "certs.example.com", |_| {}), "somebody else"),
            (leaf(&ours, "notpaypal.com", |_| {}), "somebody else"),
            (leaf(&ours, "paypal.com.example.com", |_| {}), "somebody else"),
            (good.repeat(9), "1 to 8"),
            ("nothing".to_owned(), "1 to 8"),
            (good.replace("MII", "AAA"), "cannot be read"),
        ] {
            let error = trust.check(chain.as_bytes(), "paypal.com", at(NOW)).unwrap_err().to_string();
            assert!(error.contains(words), "{error} instead of {words}");
        }
        assert!(Trust::public().check(good.as_bytes(), "paypal.com", at(NOW)).is_err());
        assert!(Trust::of_pem(b"").is_err());
    }
}
