//! How many bytes may still be written before the reserve is touched: asked at most once a second, counted down between.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::StoreError;
use super::folder::Folder;

const REMEMBERED: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Space {
    folder: Arc<Folder>,
    reserve: u64,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    at: Option<Instant>,
    left: u64,
}

impl Space {
    pub(super) fn new(folder: Arc<Folder>, reserve: u64) -> Space {
        Space { folder, reserve, seen: Mutex::default() }
    }

    /// Bytes above the reserve.
    pub(super) fn left(&self) -> u64 {
        self.look().left
    }

    /// From now on there are so many bytes left, whatever the file system says.
    #[cfg(test)]
    pub(super) fn pretend(&self, left: u64) {
        let forever = Instant::now() + Duration::from_secs(1 << 20);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Seen { at: Some(forever), left };
    }

    /// Counts `bytes` as written, or says that they would touch the reserve.
    pub(super) fn take(&self, bytes: u64) -> Result<(), StoreError> {
        let mut seen = self.look();
        seen.left = seen.left.checked_sub(bytes).ok_or(StoreError::Full)?;
        Ok(())
    }

    fn look(&self) -> MutexGuard<'_, Seen> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.at.is_none_or(|at| at.elapsed() > REMEMBERED) {
            // A file system that does not answer here will fail the write itself, with its own error.
            if let Ok(free) = self.folder.free() {
                seen.left = free.saturating_sub(self.reserve);
            }
            seen.at = Some(Instant::now());
        }
        seen
    }
}
