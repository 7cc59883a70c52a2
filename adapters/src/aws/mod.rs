//! Everything on AWS: the log on Kinesis, leases, entity records and progress in DynamoDB, the archive in S3,
//! secrets in Secrets Manager.
//!
//! Every client comes from one [`AwsConfig`]. The SDK repeats nothing by itself: each adapter
//! knows which of its calls may be repeated as they are and which may have been done although no answer came.

mod apart;
pub mod config;
pub mod doctor;
pub mod dynamo;
mod failure;
pub mod kinesis;
pub mod leases;
pub mod meter;
mod parallel;
mod retry;
pub mod s3;
pub mod secrets;

pub use config::{AwsConfig, AwsOptions, Endpoints, Timeouts};
pub use meter::Meter;
pub use retry::RetrySettings;
