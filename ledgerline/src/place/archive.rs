//! The archive, of either kind.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use ledgerline_adapters::embedded::LocalArchive;
use ledgerline_domain::Result;
use ledgerline_domain::ports::{Archive, Created, End};

use super::either;

/// See the module.
#[derive(Clone)]
pub enum AnyArchive {
    /// Files on this machine.
    Local(Arc<LocalArchive>),
    /// Objects in an S3 bucket.
    #[cfg(feature = "aws")]
    Aws(ledgerline_adapters::aws::s3::S3Archive),
}

impl Archive for AnyArchive {
    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created> {
        either!(self, archive => archive.create(key, bytes).await)
    }

    async fn replace(&self, key: &str, bytes: Bytes) -> Result<()> {
        either!(self, archive => archive.replace(key, bytes).await)
    }

    async fn exchange(&self, key: &str, known: Option<&Bytes>, new: Bytes) -> Result<bool> {
        either!(self, archive => archive.exchange(key, known, new).await)
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        either!(self, archive => archive.get(key).await)
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        either!(self, archive => archive.get_range(key, range).await)
    }

    async fn get_ends(&self, keys: &[String], bytes_max: u64) -> Result<Vec<Option<End>>> {
        either!(self, archive => archive.get_ends(keys, bytes_max).await)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        either!(self, archive => archive.list(prefix).await)
    }

    async fn list_from(&self, prefix: &str, from: &str) -> Result<Vec<String>> {
        either!(self, archive => archive.list_from(prefix, from).await)
    }
}
