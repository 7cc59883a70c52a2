//! Leases in a DynamoDB table, under the names and conditions of the Kinesis Client Library 2.
//!
//! One item per shard, key `leaseKey`. Every write is conditional on `leaseCounter`. A refused write gives
//! the item that stands there, so nobody has to read again. What this program does not know of an item
//! (`childShardIds`, `pendingCheckpoint`) stays as it is.
//!
//! | attribute | type | meaning |
//! | --- | --- | --- |
//! | `leaseKey` | S | the shard |
//! | `leaseOwner` | S, absent if free | the worker |
//! | `leaseCounter` | N | grows with every write |
//! | `ownerSwitchesSinceCheckpoint` | N | changes of the owner since progress was made |
//! | `checkpoint` | S | `TRIM_HORIZON`, `SHARD_END` or a position, padded with zeros |
//! | `checkpointSubSequenceNumber` | N | 0 |
//! | `parentShardId` | SS | parents |
//! | `startingHashKey`, `endingHashKey` | S | which keys the shard takes |
//!
//! A table in which a KCL 3 fleet works is refused: it hands leases over without moving the counter, and
//! keeps rows of its leader and its migrations there. Nor may any other KCL work in the table at the same
//! time; one may take it over when this program is stopped.

mod item;

use std::time::Duration;

use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ReturnValuesOnConditionCheckFailure,
    ScalarAttributeType,
};
use aws_sdk_dynamodb::{Client, Config};
use aws_smithy_types::retry::RetryConfig;
use ledgerline_domain::lease::{Lease, LeaseWrite, Leases};
use ledgerline_domain::{Error, Result};

use super::kinesis::failure::Failure;

use item::{COUNTER, KEY, lease, put_attributes};

/// Longest time for one attempt of one call. Leases last several times as long.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// Attempts of a call, with the SDK's pauses between them. A write that succeeded and lost its answer is
/// refused when it is tried again; [`judge_refused`](ledgerline_domain::lease::judge_refused) knows it.
const ATTEMPTS: u32 = 3;

/// See the module.
#[derive(Clone, Debug)]
pub struct DynamoLeases {
    client: Client,
    table: String,
}

impl DynamoLeases {
    /// Leases in an existing table. Errors: `Invalid` when it does not exist or belongs to a KCL 3 fleet.
    pub async fn open(config: &Config, table: impl Into<String>) -> Result<Self> {
        let leases = Self { client: client(config), table: table.into() };
        leases.all().await?;
        Ok(leases)
    }

    /// Makes the table, with capacity on demand, and says whether it is new. It may take a few seconds until
    /// it can be opened.
    pub async fn create_table(config: &Config, table: &str) -> Result<bool> {
        let action = format!("create the table {table}");
        let incomplete = |e| Error::internal(action.clone()).because(e);
        let key = AttributeDefinition::builder().attribute_name(KEY).attribute_type(ScalarAttributeType::S);
        let schema = KeySchemaElement::builder().attribute_name(KEY).key_type(KeyType::Hash);
        let call = client(config)
            .create_table()
            .table_name(table)
            .billing_mode(BillingMode::PayPerRequest)
            .attribute_definitions(key.build().map_err(incomplete)?)
            .key_schema(schema.build().map_err(incomplete)?);
        match call.send().await {
            Ok(_) => Ok(true),
            Err(e) if e.as_service_error().is_some_and(CreateTableError::is_resource_in_use_exception) => Ok(false),
            Err(e) => Err(Failure::from(e).during(action)),
        }
    }

    fn action(&self, verb: &str, lease: &Lease) -> String {
        format!("{verb} the lease of {} in {}", lease.shard, self.table)
    }
}

fn client(config: &Config) -> Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(ATTEMPT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(ATTEMPT_TIMEOUT * ATTEMPTS)
        .build();
    let retries = RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(Duration::from_millis(50));
    Client::from_conf(config.to_builder().retry_config(retries).timeout_config(timeouts).build())
}

impl Leases for DynamoLeases {
    async fn all(&self) -> Result<Vec<Lease>> {
        let action = format!("read the leases in {}", self.table);
        let mut leases = Vec::new();
        let mut from = None;
        loop {
            let call = self.client.scan().table_name(&self.table).consistent_read(true);
            let page = call.set_exclusive_start_key(from).send().await.map_err(|e| Failure::from(e).during(&action))?;
            for found in page.items() {
                leases.push(lease(found, &self.table)?);
            }
            from = page.last_evaluated_key.filter(|key| !key.is_empty());
            if from.is_none() {
                leases.sort_by(|a: &Lease, b| a.shard.cmp(&b.shard));
                return Ok(leases);
            }
        }
    }

    async fn create(&self, lease: &Lease) -> Result<bool> {
        let call = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(put_attributes(lease)))
            .condition_expression(format!("attribute_not_exists({KEY})"));
        match call.send().await {
            Ok(_) => Ok(true),
            Err(e) if e.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception) => {
                Ok(false)
            }
            Err(e) => Err(Failure::from(e).during(self.action("create", lease))),
        }
    }

    async fn write(&self, lease: &Lease) -> Result<LeaseWrite> {
        let expected = lease.counter.checked_sub(1).ok_or_else(|| Error::internal("write a lease of counter 0"))?;
        let mut attributes = put_attributes(lease);
        attributes.remove(KEY);
        let mut call = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(KEY, AttributeValue::S(lease.shard.to_string()))
            .condition_expression(format!("{COUNTER} = :expected"))
            .expression_attribute_values(":expected", AttributeValue::N(expected.to_string()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let mut sets: Vec<String> = Vec::new();
        for (name, value) in attributes {
            sets.push(format!("#{name} = :{name}"));
            call = call
                .expression_attribute_names(format!("#{name}"), &name)
                .expression_attribute_values(format!(":{name}"), value);
        }
        sets.sort_unstable();
        let remove = if lease.owner.is_none() { format!(" REMOVE {}", item::OWNER) } else { String::new() };
        call = call.update_expression(format!("SET {}{remove}", sets.join(", ")));
        match call.send().await {
            Ok(_) => Ok(LeaseWrite::Done),
            Err(e) => match e.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                    let found = refused.item().map(|found| item::lease(found, &self.table)).transpose()?;
                    Ok(LeaseWrite::Refused(found))
                }
                _ => Err(Failure::from(e).during(self.action("write", lease))),
            },
        }
    }

    async fn remove(&self, lease: &Lease) -> Result<()> {
        let call = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key(KEY, AttributeValue::S(lease.shard.to_string()))
            .condition_expression(format!("{COUNTER} = :expected"))
            .expression_attribute_values(":expected", AttributeValue::N(lease.counter.to_string()));
        match call.send().await {
            Ok(_) => Ok(()),
            Err(e) if e.as_service_error().is_some_and(DeleteItemError::is_conditional_check_failed_exception) => {
                Ok(())
            }
            Err(e) => Err(Failure::from(e).during(self.action("remove", lease))),
        }
    }
}
