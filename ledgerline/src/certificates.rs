//! PayPal's certificates, in a folder: each file is one, in PEM, named as the last part of its address.
//!
//! What is in the folder is trusted as it is. Where a source names a folder of its own, whoever runs the
//! program puts them there (`curl -O https://api.paypal.com/v1/notifications/certs/CERT-…`), and a request
//! that names another one is refused with the cause `unknown_key` until its file is there; else they are
//! [fetched](crate::fetched_certificates). Files must stay for as long as archived signatures are to be
//! checked. The folder is looked at with the secrets.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ledgerline_domain::signature::{Certificate, Certificates, Lookup};

use crate::exit::{Failure, Outcome};

/// Most certificates of a source, and the longest file in bytes.
const CERTIFICATES_MAX: usize = 1_000;
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// The certificates of one folder, by name.
pub struct FolderCertificates(BTreeMap<String, Arc<Certificate>>);

impl FolderCertificates {
    /// Reads a folder; hidden files are left out. Errors name the file.
    pub fn read(folder: &Path) -> Outcome<Self> {
        let failed = |path: &Path, why: &str| Failure::usage(format!("read certificate {}: {why}", path.display()));
        let mut found = BTreeMap::new();
        for entry in std::fs::read_dir(folder).map_err(|e| failed(folder, &e.to_string()))? {
            let path = entry.map_err(|e| failed(folder, &e.to_string()))?.path();
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if name.starts_with('.') {
                continue;
            }
            if found.len() == CERTIFICATES_MAX {
                return Err(failed(folder, &format!("it holds more than {CERTIFICATES_MAX} files")));
            }
            let length = std::fs::metadata(&path).map_err(|e| failed(&path, &e.to_string()))?.len();
            if length > FILE_BYTES_MAX {
                return Err(failed(&path, &format!("it is longer than {FILE_BYTES_MAX} bytes")));
            }
            let text = std::fs::read_to_string(&path).map_err(|e| failed(&path, &e.to_string()))?;
            let certificate = Certificate::from_pem(&text).map_err(|e| failed(&path, &e.to_string()))?;
            found.insert(name.strip_suffix(".pem").unwrap_or(&name).to_owned(), Arc::new(certificate));
        }
        Ok(Self(found))
    }

    /// The certificates by name.
    pub fn into_certificates(self) -> BTreeMap<String, Arc<Certificate>> {
        self.0
    }
}

impl Certificates for FolderCertificates {
    fn certificate(&self, name: &str) -> Lookup<Certificate> {
        self.0.get(name).cloned().map_or(Lookup::Unknown, Lookup::Found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_holds_certificates_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let pem = include_str!("../../domain/src/signature/tests/certificate_for_tests.pem");
        for name in ["CERT-one", "CERT-two.pem", ".hidden"] {
            std::fs::write(folder.path().join(name), if name == ".hidden" { "" } else { pem }).unwrap();
        }
        let found = FolderCertificates::read(folder.path()).unwrap();
        assert!(["CERT-one", "CERT-two"].iter().all(|name| found.certificate(name).found().is_ok()));
        assert!(found.certificate("CERT-three").found().is_err() && found.0.len() == 2);
        std::fs::write(folder.path().join("CERT-bad"), "no certificate").unwrap();
        assert!(FolderCertificates::read(folder.path()).err().unwrap().message.contains("CERT-bad"));
        assert!(FolderCertificates::read(&folder.path().join("absent")).err().unwrap().message.contains("absent"));
    }
}
