//! The permissions of the roles: each call is made as it would be, in a form that changes nothing.
//!
//! Writes to tables carry a condition that no item can meet: whoever may write is told that it does not hold. A put
//! into the stream names a hash key that no shard has. Putting objects is tried by `--write` alone.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ShardIteratorType};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use ledgerline_domain::ErrorKind;

use super::trouble::{Trouble, trouble};
use super::{Findings, Part, State, Targets};
use crate::aws::dynamo::tables::Tables;
use crate::aws::retry::unique;
use crate::aws::secrets::SecretsManager;
use crate::aws::{AwsConfig, RetrySettings};

/// Nothing meets it.
const NEVER: &str = "attribute_exists(#key) AND attribute_not_exists(#key)";
/// One above the last hash key.
const NO_HASH_KEY: &str = "340282366920938463463374607431768211456";

pub(super) async fn examine(aws: &AwsConfig, targets: &Targets, generation: u32, found: &mut Findings) {
    if targets.has(Part::Ingest) {
        secrets(aws, targets, found).await;
        put_records(aws, targets, found).await;
    }
    if targets.has(Part::Processor) || targets.has(Part::Archiver) {
        read_stream(aws, targets, found).await;
    }
    if targets.has(Part::Processor)
        && let Ok(tables) = Tables::new(&targets.tables, generation)
    {
        state(aws, &tables, found).await;
        leases(aws, &format!("{}-leases", targets.tables), found).await;
    }
    if targets.has(Part::Archiver) {
        leases(aws, &format!("{}-leases-archiver", targets.tables), found).await;
        archive(aws, targets, found).await;
    }
}

/// What an answer says about a permission. A refusal for another reason came behind it.
fn judge<T, E>(result: Result<T, SdkError<E, Response>>, permission: &str, on: &str, found: &mut Findings)
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let Err(error) = result else { return found.ok(on, permission, "allowed") };
    match trouble(&error, permission, on) {
        Trouble::Denied(code) => {
            let fix = format!("allow {permission} on {on} to this role");
            found.add(on, permission, State::Fault, format!("not allowed ({code})"), fix);
        }
        // That the thing is not there has a finding of its own.
        Trouble::Absent(code) if code.contains("ResourceNotFound") || code == "NoSuchBucket" => {
            found.add(on, permission, State::NotChecked, format!("not found ({code})"), "");
        }
        Trouble::Absent(_) => found.ok(on, permission, "allowed"),
        Trouble::Unknown => Trouble::Unknown.note(found, on, permission, permission),
        Trouble::Other(words) if error.as_service_error().is_some() => {
            let code = error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default();
            match code {
                "ConditionalCheckFailedException" | "InvalidArgumentException" | "ValidationException" => {
                    found.ok(on, permission, "allowed");
                }
                _ => found.add(on, permission, State::NotChecked, words, ""),
            }
        }
        other => other.note(found, on, permission, permission),
    }
}

async fn secrets(aws: &AwsConfig, targets: &Targets, found: &mut Findings) {
    let manager =
        SecretsManager::new(aws, RetrySettings { give_up_after: std::time::Duration::ZERO, ..Default::default() });
    for name in &targets.secrets {
        let on = format!("secret {name}");
        match manager.read(name).await {
            Ok(versions) => found.ok(&on, "readable", format!("versions that count: {}", versions.texts.len())),
            Err(error) if error.kind() == ErrorKind::Invalid => {
                let fix = "create it, correct its name, or allow secretsmanager:GetSecretValue (and kms:Decrypt with a key of your own) to ingest";
                found.add(&on, "readable", State::Fault, error.to_string(), fix);
            }
            Err(error) => found.add(&on, "readable", State::NotChecked, error.to_string(), ""),
        }
    }
}

async fn put_records(aws: &AwsConfig, targets: &Targets, found: &mut Findings) {
    let record = PutRecordsRequestEntry::builder().partition_key("doctor").explicit_hash_key(NO_HASH_KEY);
    let Ok(record) = record.data(Blob::new("doctor")).build() else { return };
    let sent = aws.kinesis().put_records().stream_name(&targets.stream).records(record).send().await;
    judge(sent, "kinesis:PutRecords", &format!("stream {}", targets.stream), found);
}

async fn read_stream(aws: &AwsConfig, targets: &Targets, found: &mut Findings) {
    let (client, on) = (aws.kinesis(), format!("stream {}", targets.stream));
    let listed = client.list_shards().stream_name(&targets.stream).max_results(1).send().await;
    let shard = listed.as_ref().ok().and_then(|all| all.shards().first()).map(|shard| shard.shard_id.clone());
    judge(listed, "kinesis:ListShards", &on, found);
    let Some(shard) = shard else { return };
    let iterator = client.get_shard_iterator().stream_name(&targets.stream).shard_id(shard);
    let iterator = iterator.shard_iterator_type(ShardIteratorType::Latest).send().await;
    let at = iterator.as_ref().ok().and_then(|answer| answer.shard_iterator.clone());
    judge(iterator, "kinesis:GetShardIterator", &on, found);
    if let Some(at) = at {
        judge(client.get_records().shard_iterator(at).limit(1).send().await, "kinesis:GetRecords", &on, found);
    }
}

async fn state(aws: &AwsConfig, tables: &Tables, found: &mut Findings) {
    let client = aws.dynamodb();
    let on = |name: &str| format!("table {name}");
    let key = |name: &str| HashMap::from([(name.to_owned(), text(&format!("doctor/{}", unique())))]);
    let records = &tables.records;
    if let Ok(keys) = KeysAndAttributes::builder().keys(key("key")).build() {
        let got = client.batch_get_item().request_items(records, keys).send().await;
        judge(got, "dynamodb:BatchGetItem", &on(records), found);
    }
    for (table, names) in [(records, &["key"][..]), (&tables.quarantine, &["part", "id"])] {
        let item = names.iter().flat_map(|name| key(name)).collect();
        let put = client.put_item().table_name(table).set_item(Some(item)).condition_expression(NEVER);
        let put = put.expression_attribute_names("#key", names.first().copied().unwrap_or_default());
        judge(put.send().await, "dynamodb:PutItem", &on(table), found);
    }
    let checkpoints = &tables.checkpoints;
    let got = client.get_item().table_name(checkpoints).set_key(Some(key("shard"))).send().await;
    judge(got, "dynamodb:GetItem", &on(checkpoints), found);
    let update = client.update_item().table_name(checkpoints).set_key(Some(key("shard"))).condition_expression(NEVER);
    judge(
        update.expression_attribute_names("#key", "shard").send().await,
        "dynamodb:UpdateItem",
        &on(checkpoints),
        found,
    );
    let control = &tables.control;
    let got = client.get_item().table_name(control).set_key(Some(key("name"))).send().await;
    judge(got, "dynamodb:GetItem", &on(control), found);
}

async fn leases(aws: &AwsConfig, table: &str, found: &mut Findings) {
    let (client, on) = (aws.dynamodb(), format!("table {table}"));
    let key = || Some(HashMap::from([("leaseKey".to_owned(), text(&format!("doctor-{}", unique())))]));
    judge(client.scan().table_name(table).limit(1).send().await, "dynamodb:Scan", &on, found);
    let put = client.put_item().table_name(table).set_item(key()).condition_expression(NEVER);
    judge(put.expression_attribute_names("#key", "leaseKey").send().await, "dynamodb:PutItem", &on, found);
    let update = client.update_item().table_name(table).set_key(key()).condition_expression(NEVER);
    judge(update.expression_attribute_names("#key", "leaseKey").send().await, "dynamodb:UpdateItem", &on, found);
    let delete = client.delete_item().table_name(table).set_key(key()).condition_expression(NEVER);
    judge(delete.expression_attribute_names("#key", "leaseKey").send().await, "dynamodb:DeleteItem", &on, found);
}

async fn archive(aws: &AwsConfig, targets: &Targets, found: &mut Findings) {
    let (client, bucket) = (aws.s3(), targets.bucket.as_str());
    let on = format!("bucket {bucket}");
    let listed = client.list_objects_v2().bucket(bucket).prefix(format!("{}segments/", targets.below())).max_keys(1);
    judge(listed.send().await, "s3:ListBucket", &on, found);
    let key = format!("{}doctor/{}", targets.below(), unique());
    // 404 where it may be read, 403 where not (or where the list may not be).
    judge(client.get_object().bucket(bucket).key(&key).send().await, "s3:GetObject", &on, found);
    let abort = client.abort_multipart_upload().bucket(bucket).key(&key).upload_id("doctor").send().await;
    judge(abort, "s3:AbortMultipartUpload", &on, found);
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}
