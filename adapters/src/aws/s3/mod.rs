//! The archive in an S3 bucket: one object per key, below a prefix.
//!
//! A create is one conditional request (`If-None-Match: *`), so S3 itself decides who is first. What the answers
//! mean, and what is done:
//!
//! | answer | done |
//! | --- | --- |
//! | 200 | [`Created::New`] |
//! | 412 | an object is there. If an earlier attempt of this call got no answer, its put id tells whether it is ours: then [`Created::New`], else [`Created::Exists`] |
//! | 409 | another create of it is under way: the same bytes again after a pause. It is *not* "exists" |
//! | no answer, a cut answer, 5xx, throttled | the same bytes again after a pause, up to a limit |
//! | 403 and the like | [`ErrorKind::Invalid`], with the permission that is missing |
//!
//! Every put carries an id of its own in the object's metadata (`ledgerline-put`).
//!
//! Deletes must be forbidden on the prefix by policy: where the bucket is versioned, a deleted object can be
//! created again.
//!
//! [`ErrorKind::Invalid`]: ledgerline_domain::ErrorKind::Invalid

mod get;
mod list;
mod put;
mod upload;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use bytes::Bytes;
use ledgerline_domain::ports::{Archive, Created, End};
use ledgerline_domain::{Error, Result};

use super::failure::Call;
use super::{AwsConfig, RetrySettings};
use crate::archive_key::{KEY_BYTES_MAX, check_key};

/// Smallest part of an upload that S3 takes, but for the last.
const PART_BYTES_MIN: usize = 5 * 1024 * 1024;
/// Most parts of an upload that S3 takes.
const PARTS_MAX: usize = 10_000;

/// Which bucket, and how it is used. Plain data.
#[derive(Clone, Debug)]
pub struct S3Settings {
    /// The bucket.
    pub bucket: String,
    /// Stands before every key, with a `/` between; may be empty.
    pub prefix: String,
    /// Objects longer than this are put in parts, in bytes.
    pub parts_above: usize,
    /// Length of a part, in bytes; S3 takes no less than 5 MiB.
    pub part_bytes: usize,
    /// Length of the ranges in which long objects are fetched, in bytes.
    pub range_bytes: u64,
    /// Most parts or ranges under way for one object.
    pub at_once: usize,
    /// Longest time for the body of one answer.
    pub body_timeout: Duration,
    /// Pauses and patience.
    pub retries: RetrySettings,
}

impl S3Settings {
    /// The usual settings for a bucket.
    pub fn new(bucket: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            prefix: prefix.into(),
            parts_above: 16 * 1024 * 1024,
            part_bytes: 8 * 1024 * 1024,
            range_bytes: 8 * 1024 * 1024,
            at_once: 4,
            body_timeout: Duration::from_secs(30),
            retries: RetrySettings::default(),
        }
    }

    fn check(&self) -> Result<()> {
        let wrong = |text: String| Err(Error::invalid(format!("use the bucket {}: {text}", self.bucket)));
        if self.bucket.is_empty() {
            return wrong("it has no name".into());
        }
        if self.part_bytes < PART_BYTES_MIN || self.range_bytes == 0 || self.at_once == 0 {
            return wrong(format!(
                "parts must have {PART_BYTES_MIN} bytes or more, ranges one byte, and one must be under way"
            ));
        }
        if self.prefix.is_empty() { Ok(()) } else { check_key(&self.prefix) }
    }
}

/// Objects in a bucket. Clones share the client.
#[derive(Clone)]
pub struct S3Archive {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    settings: S3Settings,
    /// Empty, or the prefix and a slash.
    before_keys: String,
}

impl S3Archive {
    /// The archive in a bucket, which must exist. Asks nothing of it yet.
    /// [`Invalid`](ledgerline_domain::ErrorKind::Invalid) for settings that cannot work.
    pub fn new(aws: &AwsConfig, settings: S3Settings) -> Result<Self> {
        settings.check()?;
        let before_keys = if settings.prefix.is_empty() { String::new() } else { format!("{}/", settings.prefix) };
        Ok(Self { inner: Arc::new(Inner { client: aws.s3(), settings, before_keys }) })
    }
}

impl Inner {
    /// An object's name in the bucket.
    fn name(&self, key: &str) -> Result<String> {
        check_key(key)?;
        let name = format!("{}{key}", self.before_keys);
        if name.len() > KEY_BYTES_MAX {
            let text =
                format!("accept the archive key {key:?}: with the prefix it is longer than {KEY_BYTES_MAX} bytes");
            return Err(Error::invalid(text));
        }
        Ok(name)
    }

    fn call<'a>(&'a self, action: &'a str, permission: &'a str) -> Call<'a> {
        Call { action, permission, on: &self.settings.bucket }
    }

    fn is_long(&self, bytes: &Bytes) -> bool {
        bytes.len() > self.settings.parts_above
    }

    /// How long the parts of an object are: longer than set where it would have too many.
    fn part_bytes(&self, object: usize) -> usize {
        self.settings.part_bytes.max(object.div_ceil(PARTS_MAX))
    }
}

impl Archive for S3Archive {
    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created> {
        let name = self.inner.name(key)?;
        if self.inner.is_long(&bytes) {
            upload::create(&self.inner, &name, bytes).await
        } else {
            put::create(&self.inner, &name, bytes).await
        }
    }

    /// An attempt that got no answer may still be done later, over what a later call puts: as with any store
    /// over a network. Only derived objects are replaced.
    async fn replace(&self, key: &str, bytes: Bytes) -> Result<()> {
        let name = self.inner.name(key)?;
        if self.inner.is_long(&bytes) {
            upload::replace(&self.inner, &name, bytes).await
        } else {
            put::replace(&self.inner, &name, bytes).await
        }
    }

    async fn exchange(&self, key: &str, known: Option<&Bytes>, new: Bytes) -> Result<bool> {
        let name = self.inner.name(key)?;
        put::exchange(&self.inner, &name, known, new).await
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        let name = self.inner.name(key)?;
        get::get(&self.inner, &name).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        let name = self.inner.name(key)?;
        get::get_range(&self.inner, &name, range).await
    }

    async fn get_ends(&self, keys: &[String], bytes_max: u64) -> Result<Vec<Option<End>>> {
        let names = keys.iter().map(|key| self.inner.name(key)).collect::<Result<Vec<_>>>()?;
        get::get_ends(&self.inner, names, bytes_max).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.list_from(prefix, "").await
    }

    async fn list_from(&self, prefix: &str, from: &str) -> Result<Vec<String>> {
        list::list(&self.inner, prefix, from).await
    }
}

impl fmt::Debug for S3Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Archive({}/{})", self.inner.settings.bucket, self.inner.settings.prefix)
    }
}
