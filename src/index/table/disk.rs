//! sled as the index uses it: what waits in memory is read and written in place, everything else goes through [`Held`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::newest::Newest;
use super::{Batch, Held, Sled, Table, TableError};

/// The rows of one sled.
pub struct Disk {
    held: Held<Sled>,
    newest: Arc<Newest>,
}

impl Disk {
    /// Opens the sled in `folder`, or makes it there. No call takes longer than `patience`.
    pub fn open(patience: Duration, folder: PathBuf) -> Result<Disk, TableError> {
        let newest = Arc::new(Newest::default());
        let waiting = Arc::clone(&newest);
        Ok(Disk { held: Held::open(patience, move || Sled::open(&folder, waiting))?, newest })
    }

    /// Looks something up: at once when memory can tell.
    pub async fn read<R, F>(&self, look: F) -> Result<R, TableError>
    where
        R: Send + 'static,
        F: FnOnce(&dyn Table) -> Result<R, TableError> + Clone + Send + 'static,
    {
        if let Ok(found) = self.held.unless_abandoned(|| look.clone()(&*self.newest))? {
            return Ok(found);
        }
        self.held.read(move |table| look(table)).await
    }

    /// Looks something up for the writer, waiting on this thread.
    pub fn look<R: Send + 'static>(
        &self,
        look: impl FnOnce(&dyn Table) -> Result<R, TableError> + Send + 'static,
    ) -> Result<R, TableError> {
        self.held.write(move |table| look(table))
    }

    /// Makes every change of the batch, waiting for sled when many rows wait for it. One thread at a time does so.
    pub fn apply(&self, batch: Batch, position: u64) -> Result<(), TableError> {
        match self.held.unless_abandoned(|| self.newest.add(batch, position))? {
            true => self.held.write(Sled::settle),
            false => Ok(()),
        }
    }

    /// Hands everything to the operating system.
    pub fn flush(&self) -> Result<(), TableError> {
        self.held.write(Sled::flush)
    }

    /// Lets go of sled for good.
    pub fn abandon(&self) {
        self.held.abandon();
    }

    /// Drops sled once nobody uses it any more, and returns when that is done.
    ///
    /// # Errors
    /// Somebody still uses it, or it hangs.
    pub fn close(disk: Arc<Disk>) -> Result<(), TableError> {
        Held::close(disk, |disk| &disk.held)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn row(key: u8, value: u8) -> Batch {
        Batch::from([(vec![key], Some(vec![value]))])
    }

    #[tokio::test]
    async fn what_waits_in_memory_is_told_while_sled_hangs_and_the_rest_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(Disk::open(Duration::from_millis(200), folder.path().to_owned()).unwrap());
        let mut gates = Vec::new();
        for _ in 0..3 {
            let (gate, wait) = mpsc::channel::<()>();
            let wait = Arc::new(std::sync::Mutex::new(wait));
            let hanging = Arc::clone(&disk);
            gates.push((gate, tokio::spawn(async move { hanging.read(move |_: &dyn Table| hang(&wait)).await })));
        }
        tokio::task::yield_now().await;
        disk.apply(row(1, 7), 1).unwrap();
        assert_eq!(disk.read(|table: &dyn Table| table.get(&[1])).await, Ok(Some(vec![7])));
        let unknown = disk.read(|table: &dyn Table| table.get(&[2])).await.unwrap_err();
        assert!(unknown.0.contains("did not answer"), "{unknown}");
        drop(gates);
        disk.abandon();
        assert!(disk.read(|table: &dyn Table| table.get(&[1])).await.is_err(), "what was let go of tells nothing");
        assert!(disk.apply(row(1, 8), 2).is_err());
    }

    /// Waits where sled would; in memory nothing is waited for.
    fn hang(wait: &std::sync::Mutex<mpsc::Receiver<()>>) -> Result<(), TableError> {
        match std::thread::current().name() {
            Some("index-table") => drop(wait.lock().unwrap().recv()),
            _ => return Err(TableError(String::new())),
        }
        Ok(())
    }
}
