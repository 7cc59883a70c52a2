//! The bucket: nothing of the archive can be overwritten, deleted or read by strangers.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::BucketVersioningStatus;

use super::policy::Policy;
use super::trouble::{Trouble, trouble};
use super::{Findings, State, Targets, lifecycle};
use crate::aws::AwsConfig;
use crate::aws::retry::unique;

pub(super) async fn examine(aws: &AwsConfig, targets: &Targets, retention: Option<i32>, found: &mut Findings) {
    let (client, bucket) = (aws.s3(), targets.bucket.as_str());
    let on = format!("bucket {bucket}");
    match client.head_bucket().bucket(bucket).send().await {
        Ok(_) => found.ok(&on, "exists", "yes"),
        Err(error) => match trouble(&error, "s3:ListBucket", &on) {
            Trouble::Absent(_) => {
                return found.add(&on, "exists", State::Fault, "there is none", "create it, or correct name or region");
            }
            Trouble::Other(words) => {
                return found.add(&on, "exists", State::Fault, words, "make AWS reachable from here");
            }
            other => other.note(found, &on, "exists", "s3:ListBucket"),
        },
    }
    versioning(&client, bucket, &on, found).await;
    policy(&client, targets, &on, found).await;
    encryption(&client, bucket, &on, found).await;
    public_access(&client, bucket, &on, found).await;
    let rules = client.get_bucket_lifecycle_configuration().bucket(bucket).send().await;
    match rules.map_err(|error| trouble(&error, "s3:GetLifecycleConfiguration", &on)) {
        Ok(rules) => lifecycle::judge(&on, &targets.below(), rules.rules(), retention, found),
        Err(Trouble::Absent(code)) if code.contains("Lifecycle") => {
            lifecycle::judge(&on, &targets.below(), &[], retention, found);
        }
        Err(other) => other.note(found, &on, "lifecycle", "s3:GetLifecycleConfiguration"),
    }
    if targets.write {
        create_once(&client, targets, &on, found).await;
    } else {
        found.add(&on, "create only once", State::NotChecked, "it takes writing a small object", "run with --write");
    }
}

async fn versioning(client: &Client, bucket: &str, on: &str, found: &mut Findings) {
    match client.get_bucket_versioning().bucket(bucket).send().await {
        Ok(answer) if answer.status == Some(BucketVersioningStatus::Enabled) => found.ok(on, "versioning", "on"),
        Ok(_) => {
            let fix = format!(
                "aws s3api put-bucket-versioning --bucket {bucket} --versioning-configuration Status=Enabled: what is \
                 overwritten or deleted by mistake is lost otherwise"
            );
            found.add(on, "versioning", State::Fault, "off", fix);
        }
        Err(error) => {
            let permission = "s3:GetBucketVersioning";
            trouble(&error, permission, on).note(found, on, "versioning", permission);
        }
    }
}

async fn policy(client: &Client, targets: &Targets, on: &str, found: &mut Findings) {
    const WHAT: [&str; 2] = ["no deletes", "create-only policy"];
    let permission = "s3:GetBucketPolicy";
    let policy = match client.get_bucket_policy().bucket(&targets.bucket).send().await {
        Ok(answer) => Policy::parse(answer.policy().unwrap_or_default()),
        Err(error) => match trouble(&error, permission, on) {
            Trouble::Absent(code) if code.contains("Policy") => None,
            other => {
                WHAT.iter().for_each(|what| other.clone().note(found, on, what, permission));
                return;
            }
        },
    };
    let segments = format!("{}segments/", targets.below());
    let object = format!("{}/{segments}any", targets.bucket);
    let all = |policy: &Policy| ["s3:DeleteObject", "s3:DeleteObjectVersion"].iter().all(|a| policy.denies(a, &object));
    if policy.as_ref().is_some_and(all) {
        found.ok(on, WHAT[0], format!("denied to everybody below {segments}"));
    } else {
        let fix = format!(
            "deny s3:DeleteObject and s3:DeleteObjectVersion on {segments}* to everybody in the bucket's policy"
        );
        found.add(on, WHAT[0], State::Fault, "segments can be deleted: the archive is no proof", fix);
    }
    if policy.as_ref().is_some_and(|policy| policy.denies_plain_puts(&object)) {
        found.ok(on, WHAT[1], format!("in force below {segments}"));
    } else {
        let fix = format!(
            "deny s3:PutObject on {segments}* to everybody with the conditions Null s3:if-none-match = true and Bool \
             s3:ObjectCreationOperation = true"
        );
        found.add(on, WHAT[1], State::Fault, "segments can be overwritten", fix);
    }
}

async fn encryption(client: &Client, bucket: &str, on: &str, found: &mut Findings) {
    let permission = "s3:GetEncryptionConfiguration";
    let rules = match client.get_bucket_encryption().bucket(bucket).send().await {
        Ok(answer) => answer.server_side_encryption_configuration.map(|all| all.rules).unwrap_or_default(),
        Err(error) => match trouble(&error, permission, on) {
            Trouble::Absent(code) if code.contains("Encryption") => Vec::new(),
            other => return other.note(found, on, "encryption", permission),
        },
    };
    let rule = rules.iter().find_map(|rule| rule.apply_server_side_encryption_by_default.as_ref());
    match rule {
        Some(rule) => found.ok(on, "encryption", rule.sse_algorithm.as_str()),
        None => {
            found.add(on, "encryption", State::Warning, "none is set", "set the bucket's default encryption to aws:kms")
        }
    }
}

async fn public_access(client: &Client, bucket: &str, on: &str, found: &mut Findings) {
    let permission = "s3:GetBucketPublicAccessBlock";
    let block = match client.get_public_access_block().bucket(bucket).send().await {
        Ok(answer) => answer.public_access_block_configuration,
        Err(error) => match trouble(&error, permission, on) {
            Trouble::Absent(code) if code.contains("PublicAccessBlock") => None,
            other => return other.note(found, on, "public access", permission),
        },
    };
    let all = block.is_some_and(|block| {
        let each = [
            block.block_public_acls,
            block.block_public_policy,
            block.ignore_public_acls,
            block.restrict_public_buckets,
        ];
        each.iter().all(|set| *set == Some(true))
    });
    if all {
        found.ok(on, "public access", "blocked");
    } else {
        let fix = format!(
            "aws s3api put-public-access-block --bucket {bucket} --public-access-block-configuration \
             BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true"
        );
        found.add(on, "public access", State::Fault, "not blocked in all four ways", fix);
    }
}

/// Creates an object twice; the second time must be refused.
async fn create_once(client: &Client, targets: &Targets, on: &str, found: &mut Findings) {
    const WHAT: &str = "create only once";
    let key = format!("{}doctor/{}", targets.below(), unique());
    let put = || async {
        let put = client.put_object().bucket(&targets.bucket).key(&key).if_none_match("*");
        put.body(ByteStream::from_static(b"ledgerline doctor")).send().await
    };
    if let Err(error) = put().await {
        return match trouble(&error, "s3:PutObject", on) {
            Trouble::Denied(code) => {
                let fix = format!("allow s3:PutObject on {}* to the archiver and to ingest", targets.below());
                found.add(on, WHAT, State::Fault, format!("not allowed to put ({code})"), fix);
            }
            other => other.note(found, on, WHAT, "s3:PutObject"),
        };
    }
    match put().await {
        Err(error) if error.raw_response().is_some_and(|answer| answer.status().as_u16() == 412) => {
            found.ok(on, WHAT, "the second put was refused with 412");
        }
        Err(error) => {
            let status = error.raw_response().map_or(0, |answer| answer.status().as_u16());
            let fix = "use S3, or a service that decides If-None-Match in one step and answers 412";
            found.add(on, WHAT, State::Fault, format!("the second put was answered with {status}, not 412"), fix);
        }
        Ok(_) => {
            let fix = "use S3, or a service that honours If-None-Match: two archivers would overwrite each other";
            found.add(on, WHAT, State::Fault, "the second put overwrote the first", fix);
        }
    }
}
