//! The table on disk: sled, in one tree. It loses acknowledged data at a power cut and stays broken after a full disk,
//! so it is never the only copy, and every call on it goes through [`super::Held`].
//!
//! It also writes to the disk for every batch, however small, so the newest rows wait in memory until there are many. Those
//! that are lost with the process are in the journal.

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use super::newest::{Late, Newest};
use super::{Batch, Row, Table, TableError};
use crate::index::keys;

/// Bytes of sled's page cache.
const CACHE: u64 = 16 << 20;

/// Rows in sled, and those that wait for it.
pub struct Sled {
    db: sled::Db,
    newest: Arc<Newest>,
}

impl Sled {
    /// Opens the table in `folder`, or makes it there.
    pub fn open(folder: &Path, newest: Arc<Newest>) -> Result<Sled, TableError> {
        let config = sled::Config::new().path(folder).cache_capacity(CACHE).flush_every_ms(None);
        Ok(Sled { db: config.open()?, newest })
    }

    /// Hands everything to the operating system. That is no sync.
    pub fn flush(&self) -> Result<(), TableError> {
        self.settle()?;
        self.db.flush()?;
        Ok(())
    }

    /// Gives sled what waits. The rows stay visible there until they are visible here.
    pub fn settle(&self) -> Result<(), TableError> {
        let Late { rows, position, batches } = self.newest.all();
        let mut changes = sled::Batch::default();
        for (key, value) in rows {
            match value {
                Some(value) => changes.insert(key, value),
                None => changes.remove(key),
            }
        }
        if let Some(position) = position {
            changes.insert(keys::POSITION, &position.to_be_bytes());
        }
        self.db.apply_batch(changes)?;
        self.newest.forget(batches);
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
        if let Some(waiting) = self.newest.waiting(key) {
            return Ok(waiting);
        }
        Ok(self.db.get(key)?.map(|value| value.to_vec()))
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, TableError> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut newer = self.newest.waiting_under(prefix, from).into_iter().peekable();
        let mut older = self.db.range::<&[u8], _>((from, Bound::Unbounded));
        let mut settled = older.next().transpose()?;
        let mut found = Vec::new();
        while found.len() < limit {
            let old = settled.take().filter(|(key, _)| key.starts_with(prefix));
            let new = newer.next_if(|(key, _)| old.as_ref().is_none_or(|(old, _)| key[..] <= old[..]));
            match (new, old) {
                (Some((key, value)), old) => {
                    settled = match old {
                        Some((old, _)) if old[..] == key[..] => older.next().transpose()?,
                        old => old,
                    };
                    found.extend(value.map(|value| (key, value)));
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
        if self.newest.add(batch.clone(), position) { self.settle() } else { Ok(()) }
    }

    fn position(&self) -> Result<u64, TableError> {
        if let Ok(waiting) = self.newest.position() {
            return Ok(waiting);
        }
        let bytes = self.db.get(keys::POSITION)?;
        Ok(bytes.and_then(|bytes| bytes.as_ref().try_into().ok()).map_or(0, u64::from_be_bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::newest::WAITING;
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
            let (sled, memory) = (Sled::open(folder.path(), Arc::default()).unwrap(), Memory::default());
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
        let sled = Sled::open(folder.path(), Arc::default()).unwrap();
        sled.apply(&rows(10), 1).unwrap();
        assert_eq!(sled.newest.all().rows.len(), 10);
        sled.apply(&rows(WAITING as u32), 2).unwrap();
        assert_eq!(sled.newest.all().rows.len(), 0);
        sled.apply(&Batch::from([(vec![9], None), (vec![8], Some(vec![2]))]), 3).unwrap();
        sled.flush().unwrap();
        drop(sled);
        // sled's own threads may hold its lock for a moment longer.
        let open = || std::iter::repeat_with(|| Sled::open(folder.path(), Arc::default())).take(100_000).find_map(Result::ok);
        let again = open().unwrap();
        assert_eq!((again.position(), again.get(&[8])), (Ok(3), Ok(Some(vec![2]))));
        assert_eq!(again.get(&7u32.to_be_bytes()), Ok(Some(vec![1])));
    }
}
