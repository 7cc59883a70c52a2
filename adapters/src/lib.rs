//! Where things are kept: the ports of `ledgerline-domain`, implemented.
//!
//! - [`memory`]: the reference, for tests. It serialises as the real ones do and can be told to fail.
//! - [`embedded`]: one machine, one data directory: an append-only log, SQLite, archive files.
//! - `aws` (with the feature of that name): Kinesis, DynamoDB, S3, Secrets Manager.
//! - [`chain`]: certificates that public roots vouch for.
//! - [`claim`]: any log, with bodies that are too large for its records in an archive.
//! - [`control`]: generations of records, and how they come and go, whichever adapter keeps them.
//! - [`live`]: the records of whichever generation is live.
//! - [`web`]: pages of other machines, over HTTPS.
//!
//! Every implementation passes the same conformance suite. Errors name the file, shard or key and,
//! where there is one, the fix; their kind says what the caller must do.

pub mod archive_key;
#[cfg(feature = "aws")]
pub mod aws;
pub mod chain;
pub mod claim;
pub mod clock;
pub mod control;
pub mod embedded;
pub mod live;
pub mod memory;
pub mod partition;
pub mod web;

pub use chain::Trust;
pub use clock::SystemClock;
pub use embedded::keep_file;
pub use web::HttpsWeb;
