//! Archive objects in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bytes::Bytes;
use ledgerline_domain::Result;
use ledgerline_domain::ports::{Archive, Created};

use super::{Faults, lock};
use crate::archive_key::check_key;

/// See the module.
#[derive(Default)]
pub struct MemoryArchive {
    objects: Mutex<BTreeMap<String, Bytes>>,
    faults: Faults,
}

impl MemoryArchive {
    /// An empty archive.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes creates and replaces fail.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }
}

impl Archive for MemoryArchive {
    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created> {
        check_key(key)?;
        self.faults.before("create an archive object")?;
        let created = {
            let mut objects = lock(&self.objects);
            let exists = objects.contains_key(key);
            objects.entry(key.to_owned()).or_insert(bytes);
            if exists { Created::Exists } else { Created::New }
        };
        self.faults.after("create an archive object")?;
        Ok(created)
    }

    async fn replace(&self, key: &str, bytes: Bytes) -> Result<()> {
        check_key(key)?;
        self.faults.before("replace an archive object")?;
        lock(&self.objects).insert(key.to_owned(), bytes);
        self.faults.after("replace an archive object")
    }

    async fn exchange(&self, key: &str, known: Option<&Bytes>, new: Bytes) -> Result<bool> {
        check_key(key)?;
        self.faults.before("exchange an archive object")?;
        let exchanged = {
            let mut objects = lock(&self.objects);
            let same = objects.get(key) == known;
            if same {
                objects.insert(key.to_owned(), new);
            }
            same
        };
        self.faults.after("exchange an archive object")?;
        Ok(exchanged)
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        check_key(key)?;
        Ok(lock(&self.objects).get(key).cloned())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.list_from(prefix, prefix).await
    }

    async fn list_from(&self, prefix: &str, from: &str) -> Result<Vec<String>> {
        let objects = lock(&self.objects);
        let from = objects.range(prefix.max(from).to_owned()..);
        Ok(from.map(|(key, _)| key).take_while(|key| key.starts_with(prefix)).cloned().collect())
    }
}
