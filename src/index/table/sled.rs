//! The table on disk: sled, in one tree. It loses acknowledged data at a power cut and stays broken after a full disk,
//! so it is never the only copy, and every call on it goes through [`super::Held`].
//!
//! It also writes to the disk for every batch, however small, so the newest rows wait in memory until there are many. Reads
//! see them first. Those that are lost with the process are in the journal.

use std::ops::Bound;
use std::path::Path;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

use super::{Batch, Row, Table, TableError};
use crate::index::keys;

/// Bytes of sled's page cache.
const CACHE: u64 = 16 << 20;
/// Rows that wait at most: one or two MiB.
const WAITING: usize = 4096;

/// Rows in sled.
pub struct Sled {
    db: sled::Db,
    late: RwLock<Late>,
    /// Held by whoever writes.
    writing: Mutex<()>,
}

/// What sled does not have yet.
#[derive(Default)]
struct Late {
    rows: Batch,
    position: Option<u64>,
}

impl Sled {
    /// Opens the table in `folder`, or makes it there.
    pub fn open(folder: &Path) -> Result<Sled, TableError> {
        let config = sled::Config::new().path(folder).cache_capacity(CACHE).flush_every_ms(None);
        Ok(Sled { db: config.open()?, late: RwLock::default(), writing: Mutex::default() })
    }

    /// Hands everything to the operating system. That is no sync.
    pub fn flush(&self) -> Result<(), TableError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.settle()?;
        self.db.flush()?;
        Ok(())
    }

    fn late(&self) -> RwLockReadGuard<'_, Late> {
        self.late.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives sled what waits. The rows stay visible here until they are visible there.
    fn settle(&self) -> Result<(), TableError> {
        let late = self.late();
        let mut changes = sled::Batch::default();
        for (key, value) in &late.rows {
            match value {
                Some(value) => changes.insert(&key[..], &value[..]),
                None => changes.remove(&key[..]),
            }
        }
        if let Some(position) = late.position {
            changes.insert(keys::POSITION, &position.to_be_bytes());
        }
        drop(late);
        self.db.apply_batch(changes)?;
        *self.late.write().unwrap_or_else(PoisonError::into_inner) = Late::default();
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
        if let Some(late) = self.late().rows.get(key) {
            return Ok(late.clone());
        }
        Ok(self.db.get(key)?.map(|value| value.to_vec()))
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, TableError> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let late = self.late();
        let mut newer = late.rows.range::<[u8], _>((from, Bound::Unbounded)).take_while(|(key, _)| key.starts_with(prefix)).peekable();
        let mut older = self.db.range::<&[u8], _>((from, Bound::Unbounded));
        let mut settled = older.next().transpose()?;
        let mut found = Vec::new();
        while found.len() < limit {
            let old = settled.take().filter(|(key, _)| key.starts_with(prefix));
            match (newer.peek(), old) {
                (Some((key, _)), Some((old_key, old_value))) if old_key[..] < key[..] => {
                    found.push((old_key.to_vec(), old_value.to_vec()));
                    settled = older.next().transpose()?;
                }
                (Some((key, value)), old) => {
                    found.extend(value.as_ref().map(|value| ((*key).clone(), value.clone())));
                    settled = match old {
                        Some((old_key, _)) if old_key[..] == key[..] => older.next().transpose()?,
                        old => old,
                    };
                    newer.next();
                }
                (None, Some((key, value))) => {
                    found.push((key.to_vec(), value.to_vec()));
                    settled = older.next().transpose()?;
                }
                (None, None) => break,
            }
        }
        Ok(found)
    }

    fn apply(&self, batch: &Batch, position: u64) -> Result<(), TableError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let many = {
            let mut late = self.late.write().unwrap_or_else(PoisonError::into_inner);
            late.rows.extend(batch.iter().map(|(key, value)| (key.clone(), value.clone())));
            late.position = Some(position);
            late.rows.len() >= WAITING
        };
        if many { self.settle() } else { Ok(()) }
    }

    fn position(&self) -> Result<u64, TableError> {
        if let Some(late) = self.late().position {
            return Ok(late);
        }
        let bytes = self.db.get(keys::POSITION)?;
        Ok(bytes.and_then(|bytes| bytes.as_ref().try_into().ok()).map_or(0, u64::from_be_bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::index::table::Memory;

    /// What is done to the table.
    #[derive(Clone, Debug)]
    enum Step {
        Apply(Batch),
        Flush,
        Scan(Vec<u8>, Option<Vec<u8>>, usize),
    }

    fn key() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(0u8..3, 1..4)
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => prop::collection::btree_map(key(), prop::option::of(prop::collection::vec(0u8..9, 0..3)), 0..6).prop_map(Step::Apply),
            1 => Just(Step::Flush),
            3 => (prop::collection::vec(0u8..3, 0..2), prop::option::of(key()), 0usize..9).prop_map(|(p, a, n)| Step::Scan(p, a, n)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn rows_that_wait_and_rows_in_sled_read_as_one_table(steps in prop::collection::vec(step(), 1..40)) {
            let folder = tempfile::tempdir().unwrap();
            let (sled, memory) = (Sled::open(folder.path()).unwrap(), Memory::default());
            for (position, step) in steps.iter().enumerate() {
                match step {
                    Step::Apply(batch) => {
                        sled.apply(batch, position as u64).unwrap();
                        memory.apply(batch, position as u64).unwrap();
                    }
                    Step::Flush => sled.flush().unwrap(),
                    Step::Scan(prefix, after, limit) => {
                        let scan = |table: &dyn Table| table.scan(prefix, after.as_deref(), *limit).unwrap();
                        let own = |rows: Vec<Row>| rows.into_iter().filter(|(key, _)| key != keys::POSITION).collect::<Vec<_>>();
                        prop_assert_eq!(own(scan(&sled)), own(scan(&memory)));
                    }
                }
                prop_assert_eq!(sled.position(), memory.position());
            }
            for (key, _) in memory.scan(&[], None, usize::MAX).unwrap() {
                prop_assert_eq!(sled.get(&key), memory.get(&key));
            }
        }
    }

    #[test]
    fn what_waits_is_there_again_after_a_flush_and_many_rows_wait_for_none() {
        let folder = tempfile::tempdir().unwrap();
        let rows = |count: u32| (0..count).map(|n| (n.to_be_bytes().to_vec(), Some(vec![1]))).collect::<Batch>();
        let sled = Sled::open(folder.path()).unwrap();
        sled.apply(&rows(10), 1).unwrap();
        assert_eq!(sled.late().rows.len(), 10);
        sled.apply(&rows(WAITING as u32), 2).unwrap();
        assert_eq!(sled.late().rows.len(), 0);
        sled.apply(&Batch::from([(vec![9], None), (vec![8], Some(vec![2]))]), 3).unwrap();
        sled.flush().unwrap();
        drop(sled);
        let again = Sled::open(folder.path()).unwrap();
        assert_eq!((again.position(), again.get(&[8])), (Ok(3), Ok(Some(vec![2]))));
        assert_eq!(again.get(&7u32.to_be_bytes()), Ok(Some(vec![1])));
    }
}
