//! Amazon Web Services, behind the feature `aws`.
//!
//! - [`kinesis`]: the log.
//! - [`leases`]: who reads which shard, in a DynamoDB table.

pub mod kinesis;
pub mod leases;
