//! DynamoDB in this process, with the tables that a store needs.

use ledgerline_adapters::aws::dynamo::{DynamoSettings, DynamoStore, tables};
use ledgerline_adapters::aws::{Endpoints, RetrySettings};

use super::{Faults, quick_retries, reach, serve};

/// A DynamoDB that is empty but for the tables of generation 1.
pub struct LocalDynamo {
    endpoints: Endpoints,
}

impl LocalDynamo {
    /// Starts one.
    pub async fn start() -> Self {
        let database = dynoxide::Database::memory().expect("a database in memory");
        let address = serve(|listener| dynoxide::server::serve_on(listener, database)).await;
        let local = Self { endpoints: Endpoints { dynamodb: Some(address), ..Endpoints::default() } };
        let aws = reach(local.endpoints(), None).await;
        tables::create(&aws, &local.settings(quick_retries()), 1).await.expect("tables");
        local
    }

    /// Its address.
    pub fn endpoints(&self) -> Endpoints {
        self.endpoints.clone()
    }

    /// Settings for it.
    pub fn settings(&self, retries: RetrySettings) -> DynamoSettings {
        DynamoSettings { at_once: 16, retries, ..DynamoSettings::new("test") }
    }

    /// The store of generation 1.
    pub async fn store(&self, faults: Option<&Faults>, retries: RetrySettings) -> DynamoStore {
        let aws = reach(self.endpoints(), faults).await;
        DynamoStore::new(&aws, &self.settings(retries), 1).expect("settings that work")
    }
}
