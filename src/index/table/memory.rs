//! The table in memory: sorted maps under one lock, which is held for the length of one look or one batch.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use super::{Batch, Row, Table, TableError};

/// Rows in memory.
#[derive(Default)]
pub struct Memory(RwLock<Rows>);

#[derive(Default)]
struct Rows {
    rows: BTreeMap<Box<[u8]>, Box<[u8]>>,
    position: u64,
}

impl Memory {
    fn rows(&self) -> RwLockReadGuard<'_, Rows> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts one row, as a snapshot has it.
    pub fn put(&self, key: &[u8], value: &[u8]) {
        let mut rows = self.0.write().unwrap_or_else(PoisonError::into_inner);
        rows.rows.insert(key.into(), value.into());
    }

    /// Makes a batch's changes, taking its bytes.
    pub fn take(&self, batch: Batch, position: u64) {
        let mut rows = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in batch {
            match value {
                Some(value) => rows.rows.insert(key.into(), value.into()),
                None => rows.rows.remove(&key[..]),
            };
        }
        rows.position = position;
    }
}

impl Table for Memory {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        Ok(self.rows().rows.get(key).map(|value| value.to_vec()))
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, TableError> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let rows = self.rows();
        let found = rows.rows.range::<[u8], _>((from, Bound::Unbounded)).take_while(|(key, _)| key.starts_with(prefix));
        Ok(found.take(limit).map(|(key, value)| (key.to_vec(), value.to_vec())).collect())
    }

    fn apply(&self, batch: &Batch, position: u64) -> Result<(), TableError> {
        let mut rows = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in batch {
            match value {
                Some(value) => rows.rows.insert(key[..].into(), value[..].into()),
                None => rows.rows.remove(&key[..]),
            };
        }
        rows.position = position;
        Ok(())
    }

    fn position(&self) -> Result<u64, TableError> {
        Ok(self.rows().position)
    }
}
