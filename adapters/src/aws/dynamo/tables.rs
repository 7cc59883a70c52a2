//! The tables, by name and key. A deployment makes those of generation 1 (Terraform); [`create`] makes those of the
//! later ones, and all of them for tests and for trying things out.
//!
//! | table | keys | what |
//! | --- | --- | --- |
//! | `{prefix}-control` | `name` | the item `generations`, and long texts that it names |
//! | `{prefix}-records-{number}` | `key` | one item per entity; indexes `listing` and `attention` |
//! | `{prefix}-checkpoints-{number}` | `shard` | how far the processor is |
//! | `{prefix}-quarantine-{number}` | `part`, `id` | what could not be read |
//!
//! Numbers have four digits. An index is spread over [`PARTS`] hash keys, since DynamoDB gives each about a
//! thousand writes a second, and is sorted by the entity's key, so that a listing is a merge of so many ranges.
//! The index `attention` holds only the entities that need some.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
    PointInTimeRecoverySpecification, Projection, ProjectionType, ScalarAttributeType, TableStatus,
};
use ledgerline_domain::{Error, Result};

use super::{AwsConfig, DynamoSettings, call};
use crate::aws::RetrySettings;
use crate::aws::failure::Failure;
use crate::aws::retry::repeat;

/// Over how many hash keys an index is spread. Part of the layout: items carry their part.
pub const PARTS: u32 = 16;
/// Index of all entities, by key.
pub(crate) const LISTING: &str = "listing";
/// Index of the entities that need attention, by key.
pub(crate) const ATTENTION: &str = "attention";
/// How long a new table may take.
const NEW_TABLE: Duration = Duration::from_secs(120);

/// The names of one generation's tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    /// Entity records.
    pub records: String,
    /// Progress of the processor.
    pub checkpoints: String,
    /// What could not be read.
    pub quarantine: String,
    /// The generations, and which one is live; the same table for all.
    pub control: String,
}

impl Tables {
    /// The names for generation `number`. [`Invalid`](ledgerline_domain::ErrorKind::Invalid) for a prefix that
    /// no table's name can begin with.
    pub fn new(prefix: &str, number: u32) -> Result<Self> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
        if !(1..=200).contains(&prefix.len()) || !prefix.bytes().all(fits) {
            return Err(Error::invalid(format!(
                "use the table prefix {prefix:?}: give 1 to 200 letters, digits, '_', '.' and '-'"
            )));
        }
        Ok(Self {
            records: format!("{prefix}-records-{number:04}"),
            checkpoints: format!("{prefix}-checkpoints-{number:04}"),
            quarantine: format!("{prefix}-quarantine-{number:04}"),
            control: format!("{prefix}-control"),
        })
    }
}

/// The part of the indexes that something belongs to, as items carry it.
pub(crate) fn part_name(part: u32) -> String {
    format!("{part:02}")
}

/// Makes the tables of a generation, and the control table, where they are not there. Billed by use, with
/// point-in-time recovery where the service lets it be switched on.
pub async fn create(aws: &AwsConfig, settings: &DynamoSettings, number: u32) -> Result<()> {
    let (client, tables) = (aws.dynamodb(), Tables::new(&settings.prefix, number)?);
    let retries = &settings.retries;
    create_one(&client, retries, &tables.control, &["name"], &[]).await?;
    create_one(&client, retries, &tables.records, &["key"], &[(LISTING, "part"), (ATTENTION, "attention")]).await?;
    create_one(&client, retries, &tables.checkpoints, &["shard"], &[]).await?;
    create_one(&client, retries, &tables.quarantine, &["part", "id"], &[]).await?;
    for table in [&tables.control, &tables.records, &tables.checkpoints, &tables.quarantine] {
        keep_history(&client, retries, table).await;
    }
    Ok(())
}

/// Lets a table be restored to any second of the last days. What runs without it still runs: a refusal is a warning.
async fn keep_history(client: &Client, retries: &RetrySettings, table: &str) {
    let recovery = PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(true).build().ok();
    let asked = repeat(retries, || async {
        let ask = client.update_continuous_backups().table_name(table);
        let ask = ask.set_point_in_time_recovery_specification(recovery.clone());
        match ask.send().await {
            Ok(_) => Ok(()),
            // Of a table that was made a moment ago.
            Err(error) if error.as_service_error().is_some_and(|e| e.is_continuous_backups_unavailable_exception()) => {
                Err(Failure::refused(Error::retry(format!("keep the history of {table}: it is not ready for that"))))
            }
            Err(error) => {
                Err(call("switch point-in-time recovery on", "dynamodb:UpdateContinuousBackups", table).failed(&error))
            }
        }
    });
    if let Err(error) = asked.await {
        tracing::warn!(%table, %error, "a new table has no point-in-time recovery; switch it on, or go without");
    }
}

/// Deletes the tables of a generation, as far as they are there. Never the control table.
pub async fn delete(aws: &AwsConfig, settings: &DynamoSettings, number: u32) -> Result<()> {
    let (client, tables) = (aws.dynamodb(), Tables::new(&settings.prefix, number)?);
    for table in [&tables.records, &tables.checkpoints, &tables.quarantine] {
        repeat(&settings.retries, || async {
            match client.delete_table().table_name(table).send().await {
                Ok(_) => Ok(()),
                Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) => Ok(()),
                // Being made or deleted at this moment.
                Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_in_use_exception()) => {
                    Err(Failure::refused(Error::retry(format!("delete the table {table}: it is in use"))))
                }
                Err(error) => Err(call("delete a table", "dynamodb:DeleteTable", table).failed(&error)),
            }
        })
        .await?;
    }
    Ok(())
}

async fn create_one(
    client: &Client,
    retries: &RetrySettings,
    table: &str,
    keys: &[&str],
    indexes: &[(&str, &str)],
) -> Result<()> {
    let built = |e| Error::internal(format!("describe the table {table}")).because(e);
    let mut texts: Vec<&str> = keys.to_vec();
    let mut create = client.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
    for element in schema(keys).map_err(built)? {
        create = create.key_schema(element);
    }
    for (name, hash) in indexes {
        texts.push(hash);
        let status = Projection::builder().projection_type(ProjectionType::Include).non_key_attributes("status");
        let index = GlobalSecondaryIndex::builder().index_name(*name).projection(status.build());
        let index = index.set_key_schema(Some(schema(&[hash, "key"]).map_err(built)?)).build().map_err(built)?;
        create = create.global_secondary_indexes(index);
    }
    for text in texts {
        let text = AttributeDefinition::builder().attribute_name(text).attribute_type(ScalarAttributeType::S);
        create = create.attribute_definitions(text.build().map_err(built)?);
    }
    repeat(retries, || async {
        match create.clone().send().await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_in_use_exception()) => Ok(()),
            Err(error) => Err(call("create a table", "dynamodb:CreateTable", table).failed(&error)),
        }
    })
    .await?;
    let patient = RetrySettings { give_up_after: NEW_TABLE, ..*retries };
    repeat(&patient, || async {
        let described = client.describe_table().table_name(table).send().await;
        let described = described.map_err(|e| call("look at a table", "dynamodb:DescribeTable", table).failed(&e))?;
        let status = described.table.and_then(|table| table.table_status);
        let waiting = || Failure::refused(Error::retry(format!("use the table {table}: it is still being made")));
        if status == Some(TableStatus::Active) { Ok(()) } else { Err(waiting()) }
    })
    .await
}

/// A hash key, and a range key where there is a second name.
fn schema(keys: &[&str]) -> Result<Vec<KeySchemaElement>, aws_sdk_dynamodb::error::BuildError> {
    let types = [KeyType::Hash, KeyType::Range];
    let element = |(name, key_type): (&&str, KeyType)| {
        KeySchemaElement::builder().attribute_name(*name).key_type(key_type).build()
    };
    keys.iter().zip(types).map(element).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let tables = Tables::new("pay.eu_1", 12).unwrap();
        assert_eq!(tables.records, "pay.eu_1-records-0012");
        assert_eq!(tables.control, "pay.eu_1-control");
        for wrong in ["", "a b", "ü", "a/b"] {
            assert!(Tables::new(wrong, 1).is_err(), "{wrong:?}");
        }
    }
}
