//! Which generation is live: one item of the control table, moved by a conditional write.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure::AllOld;
use ledgerline_domain::{Error, ErrorKind, Result};

use super::item::{get_number, item, number, text};
use super::tables::Tables;
use super::{AwsConfig, DynamoSettings, call};
use crate::aws::RetrySettings;
use crate::aws::retry::{Attempts, repeat};

/// The item's name.
const LIVE: &str = "live";

/// The mark that says which generation is read.
#[derive(Debug)]
pub struct DynamoGenerations {
    client: Client,
    table: String,
    retries: RetrySettings,
}

impl DynamoGenerations {
    /// The mark in the control table.
    pub fn new(aws: &AwsConfig, settings: &DynamoSettings) -> Result<Self> {
        let table = Tables::new(&settings.prefix, 1)?.control;
        Ok(Self { client: aws.dynamodb(), table, retries: settings.retries })
    }

    /// The number of the live generation; `None` when none was ever made live.
    pub async fn live(&self) -> Result<Option<u32>> {
        let found = repeat(&self.retries, || async {
            let get = self.client.get_item().table_name(&self.table).key("name", text(LIVE)).consistent_read(true);
            get.send().await.map_err(|e| call("find the live generation", "dynamodb:GetItem", &self.table).failed(&e))
        });
        let Some(item) = found.await?.item else { return Ok(None) };
        let damaged = || Error::data(format!("find the live generation: the item {LIVE} of {} is damaged", self.table));
        get_number(&item, "generation").map(Some).ok_or_else(damaged)
    }

    /// Moves the mark from `before` to `number`. Whether that generation is complete is the caller's business.
    /// [`ErrorKind::Conflict`] when another one than `before` is live.
    pub async fn make_live(&self, before: Option<u32>, to: u32) -> Result<()> {
        let mut attempts = Attempts::new(&self.retries);
        loop {
            let put = self.client.put_item().table_name(&self.table).return_values_on_condition_check_failure(AllOld);
            let put = put.set_item(Some(item([("name", text(LIVE)), ("generation", number(to))])));
            let put = match before {
                None => {
                    put.condition_expression("attribute_not_exists(#name)").expression_attribute_names("#name", "name")
                }
                Some(before) => put
                    .condition_expression("#generation = :before")
                    .expression_attribute_names("#generation", "generation")
                    .expression_attribute_values(":before", number(before)),
            };
            let Err(error) = put.send().await else { return Ok(()) };
            if let Some(PutItemError::ConditionalCheckFailedException(found)) = error.as_service_error() {
                let live: Option<u32> = found.item().and_then(|item| get_number(item, "generation"));
                // Done already, by an earlier attempt or by somebody who wanted the same.
                if live == Some(to) {
                    return Ok(());
                }
                let text = format!("make generation {to} live: another one was made live in between");
                return Err(Error::new(ErrorKind::Conflict, text));
            }
            let call = call("make a generation live", "dynamodb:PutItem", &self.table);
            attempts.pause(call.failed(&error)).await?;
        }
    }
}
