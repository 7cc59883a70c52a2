//! Chunks that are certainly in the table, some with their content: what is known need not be put, and what is kept
//! need not be read. A chunk never changes, so neither is ever wrong.
//!
//! Bounded: two generations of each; when the young one is full the old one is forgotten.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::chunks::Name;

/// Most names in one generation.
const NAMES_MAX: usize = 200_000;
/// Most bytes of content in one generation.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// See the module.
#[derive(Default)]
pub struct Known {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    names: [HashSet<Name>; 2],
    contents: [HashMap<Name, Bytes>; 2],
    young_bytes: usize,
}

impl Known {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is certainly in the table.
    pub fn knows(&self, name: &Name) -> bool {
        self.lock().names.iter().any(|names| names.contains(name))
    }

    /// Its content, if it is kept.
    pub fn get(&self, name: &Name) -> Option<Bytes> {
        let mut inner = self.lock();
        let found = inner.contents.iter().find_map(|contents| contents.get(name).cloned())?;
        inner.keep(*name, &found);
        Some(found)
    }

    /// They are in the table.
    pub fn note(&self, names: impl IntoIterator<Item = Name>) {
        let mut inner = self.lock();
        names.into_iter().for_each(|name| inner.note(name));
    }

    /// It is in the table, with this content.
    pub fn keep(&self, name: Name, content: Bytes) {
        let mut inner = self.lock();
        inner.note(name);
        inner.keep(name, &content);
    }
}

impl Inner {
    fn note(&mut self, name: Name) {
        let [young, old] = &mut self.names;
        if young.len() >= NAMES_MAX {
            *old = std::mem::take(young);
        }
        young.insert(name);
    }

    fn keep(&mut self, name: Name, content: &Bytes) {
        let [young, old] = &mut self.contents;
        if self.young_bytes >= BYTES_MAX {
            *old = std::mem::take(young);
            self.young_bytes = 0;
        }
        if young.insert(name, content.clone()).is_none() {
            self.young_bytes += content.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_bounds_hold() {
        let known = Known::default();
        let name = |n: usize| -> Name { (n as u128).to_be_bytes() };
        let content = Bytes::from(vec![0; 1024]);
        for n in 0..100_000 {
            known.keep(name(n), content.clone());
            assert!(known.get(&name(0)).is_some(), "used all the time");
        }
        let inner = known.lock();
        let bytes: usize = inner.contents.iter().flat_map(HashMap::values).map(Bytes::len).sum();
        assert!(bytes <= 2 * BYTES_MAX + 2048, "{bytes}");
        drop(inner);
        assert!(known.get(&name(1)).is_none() && known.knows(&name(1)));
        known.note((0..2 * NAMES_MAX + 2).map(|n| name(n + 200_000)));
        assert!(!known.knows(&name(1)) && known.knows(&name(300_000)));
    }
}
