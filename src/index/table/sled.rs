//! The table on disk: sled, in one tree. It loses acknowledged data at a power cut and stays broken after a full disk,
//! so it is never the only copy, and every call on it goes through [`super::Held`].

use std::ops::Bound;
use std::path::Path;

use super::{Batch, Row, Table, TableError};
use crate::index::keys;

/// Bytes of sled's page cache.
const CACHE: u64 = 16 << 20;

/// Rows in sled.
pub struct Sled(sled::Db);

impl Sled {
    /// Opens the table in `folder`, or makes it there.
    pub fn open(folder: &Path) -> Result<Sled, TableError> {
        let config = sled::Config::new().path(folder).cache_capacity(CACHE).flush_every_ms(None);
        Ok(Sled(config.open()?))
    }

    /// Hands everything to the operating system. That is no sync.
    pub fn flush(&self) -> Result<(), TableError> {
        self.0.flush()?;
        Ok(())
    }
}

impl From<sled::Error> for TableError {
    fn from(error: sled::Error) -> TableError {
        TableError(error.to_string())
    }
}

impl Table for Sled {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        Ok(self.0.get(key)?.map(|value| value.to_vec()))
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, TableError> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut found = Vec::new();
        for row in self.0.range::<&[u8], _>((from, Bound::Unbounded)).take(limit) {
            let (key, value) = row?;
            if !key.starts_with(prefix) {
                break;
            }
            found.push((key.to_vec(), value.to_vec()));
        }
        Ok(found)
    }

    fn apply(&self, batch: &Batch, position: u64) -> Result<(), TableError> {
        let mut changes = sled::Batch::default();
        for (key, value) in batch {
            match value {
                Some(value) => changes.insert(&key[..], &value[..]),
                None => changes.remove(&key[..]),
            }
        }
        changes.insert(keys::POSITION, &position.to_be_bytes());
        self.0.apply_batch(changes)?;
        Ok(())
    }

    fn position(&self) -> Result<u64, TableError> {
        let bytes = self.0.get(keys::POSITION)?;
        Ok(bytes.and_then(|bytes| bytes.as_ref().try_into().ok()).map_or(0, u64::from_be_bytes))
    }
}
