//! The newest rows, in memory until there are enough of them for the disk. They are asked first, by anybody and at once: the
//! lock is never held while the disk is waited for.

use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use super::{Batch, Row, Table, TableError};

/// Rows that wait at most: one or two MiB.
pub(super) const WAITING: usize = 4096;

/// What the disk does not have yet.
#[derive(Default)]
pub struct Newest(RwLock<Late>);

#[derive(Clone, Default)]
pub(super) struct Late {
    pub(super) rows: Batch,
    pub(super) position: Option<u64>,
    /// How many batches came so far.
    pub(super) batches: u64,
}

impl Newest {
    fn late(&self) -> RwLockReadGuard<'_, Late> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a batch; whether so many wait now that they should go to the disk.
    pub fn add(&self, batch: Batch, position: u64) -> bool {
        let mut late = self.0.write().unwrap_or_else(PoisonError::into_inner);
        late.rows.extend(batch);
        late.position = Some(position);
        late.batches += 1;
        late.rows.len() >= WAITING
    }

    /// All that waits.
    pub(super) fn all(&self) -> Late {
        self.late().clone()
    }

    /// Forgets what the disk has now, unless more came meanwhile: then all of it waits on.
    pub(super) fn forget(&self, batches: u64) {
        let mut late = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if late.batches == batches {
            *late = Late { batches, ..Late::default() };
        }
    }

    /// What waits for the key: nothing, that it will be gone, or its value.
    pub(super) fn waiting(&self, key: &[u8]) -> Option<Option<Vec<u8>>> {
        self.late().rows.get(key).cloned()
    }

    /// What waits under the prefix, beginning at `from`.
    pub(super) fn waiting_under(&self, prefix: &[u8], from: Bound<&[u8]>) -> Batch {
        let late = self.late();
        let under = late.rows.range::<[u8], _>((from, Bound::Unbounded)).take_while(|(key, _)| key.starts_with(prefix));
        under.map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

/// Answers what can be told without the disk, and fails at everything else.
impl Table for Newest {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        self.waiting(key).ok_or_else(not_here)
    }

    fn scan(&self, _: &[u8], _: Option<&[u8]>, _: usize) -> Result<Vec<Row>, TableError> {
        Err(not_here())
    }

    fn apply(&self, batch: &Batch, position: u64) -> Result<(), TableError> {
        self.add(batch.clone(), position);
        Ok(())
    }

    fn position(&self) -> Result<u64, TableError> {
        self.late().position.ok_or_else(not_here)
    }
}

/// No text: it is never told, the disk is asked instead.
fn not_here() -> TableError {
    TableError(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_forgotten_that_came_after_the_disk_was_given_the_rest() {
        let row = |key: u8| Batch::from([(vec![key], Some(vec![key]))]);
        let newest = Newest::default();
        newest.add(row(1), 1);
        let given = newest.all();
        newest.add(row(2), 2);
        newest.forget(given.batches);
        assert_eq!((newest.get(&[1]), newest.get(&[2])), (Ok(Some(vec![1])), Ok(Some(vec![2]))));
        newest.forget(newest.all().batches);
        assert!(newest.get(&[2]).is_err() && newest.position().is_err());
    }
}
