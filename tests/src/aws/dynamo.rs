//! DynamoDB in this process, with the tables that a store needs; or another one, where the environment names it.

use ledgerline_adapters::aws::dynamo::{DynamoControl, DynamoSettings, DynamoStore, tables};
use ledgerline_adapters::aws::{Endpoints, RetrySettings};

use super::{Faults, quick_retries, reach, serve};

/// Names the address of a DynamoDB to use instead of the one in this process.
pub const OTHER_DYNAMODB: &str = "LEDGERLINE_TEST_DYNAMODB";

/// A DynamoDB that is empty but for the tables of generation 1.
pub struct LocalDynamo {
    endpoints: Endpoints,
    prefix: String,
}

impl LocalDynamo {
    /// Starts one, or takes new tables in the other one.
    pub async fn start() -> Self {
        let address = match std::env::var(OTHER_DYNAMODB) {
            Ok(address) => address,
            Err(_) => {
                let database = dynoxide::Database::memory().expect("a database in memory");
                serve(|listener| dynoxide::server::serve_on(listener, database)).await
            }
        };
        let endpoints = Endpoints { dynamodb: Some(address), ..Endpoints::default() };
        let local = Self { endpoints, prefix: format!("test-{:016x}", rand::random::<u64>()) };
        let aws = reach(local.endpoints(), None).await;
        tables::create(&aws, &local.settings(quick_retries()), 1).await.expect("tables");
        local
    }

    /// Its address.
    pub fn endpoints(&self) -> Endpoints {
        self.endpoints.clone()
    }

    /// What the names of its tables begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Settings for it.
    pub fn settings(&self, retries: RetrySettings) -> DynamoSettings {
        DynamoSettings { at_once: 16, retries, ..DynamoSettings::new(&self.prefix) }
    }

    /// The generations.
    pub async fn control(&self, faults: Option<&Faults>, retries: RetrySettings) -> DynamoControl {
        let aws = reach(self.endpoints(), faults).await;
        DynamoControl::open(&aws, &self.settings(retries)).await.expect("the control table")
    }

    /// The store of generation 1.
    pub async fn store(&self, faults: Option<&Faults>, retries: RetrySettings) -> DynamoStore {
        let aws = reach(self.endpoints(), faults).await;
        DynamoStore::new(&aws, &self.settings(retries), 1).expect("settings that work")
    }
}
