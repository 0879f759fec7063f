//! Tables: where the rows lie. A table knows keys and bytes, nothing of what they mean, and may be lost at any time:
//! it is derived from the journal.

mod disk;
mod held;
mod memory;
mod newest;
mod sled;

use std::collections::BTreeMap;

pub use disk::Disk;
use held::Held;
pub use memory::Memory;
use sled::Sled;

/// Puts (`Some`) and deletes (`None`) that become visible together.
pub type Batch = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// The table cannot be used any more; the text says why.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct TableError(pub String);

/// Sorted rows.
pub trait Table: Send + Sync {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError>;
    /// Keys and values under `prefix` in order of the keys, beginning after the key `after`, at most `limit`.
    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, TableError>;
    /// Makes every change of the batch, and `position` the table's position, at once.
    fn apply(&self, batch: &Batch, position: u64) -> Result<(), TableError>;
    /// The position of the last batch; 0 for a new table.
    fn position(&self) -> Result<u64, TableError>;
}

/// A key and its value.
pub type Row = (Vec<u8>, Vec<u8>);
