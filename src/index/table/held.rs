//! A table that may panic or hang, held at arm's length: every call runs on threads of its own, is caught when it
//! panics, and is waited for a limited time. After the first failure the table is never touched again, not even dropped.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use flume::{Receiver, Sender, unbounded};
use tokio::sync::oneshot;

use super::{Table, TableError};

type Job<T> = Box<dyn FnOnce(&T) + Send>;

/// Threads that look things up; one more is the writer's own.
const READERS: usize = 2;

/// A table and its threads.
pub struct Held<T> {
    table: Arc<T>,
    reads: Sender<Job<T>>,
    writes: Sender<Job<T>>,
    patience: Duration,
    abandoned: AtomicBool,
}

impl<T: Table + 'static> Held<T> {
    /// Opens the table on a thread of its own.
    ///
    /// # Errors
    /// `open` failed, panicked, or took longer than `patience`.
    pub fn open(patience: Duration, open: impl FnOnce() -> Result<T, TableError> + Send + 'static) -> Result<Held<T>, TableError> {
        let (answer, opened) = flume::bounded(1);
        spawn(move || {
            // Nobody waits any more: the table must not be dropped, for that too may hang.
            if let Err(flume::SendError(late)) = answer.send(caught(open)) {
                std::mem::forget(late);
            }
        })?;
        let table = Arc::new(opened.recv_timeout(patience).map_err(|_| too_slow(patience))??);
        // A job wakes one of the readers, and the others sleep on.
        let (reads, jobs) = unbounded();
        for _ in 0..READERS {
            let (table, jobs) = (Arc::clone(&table), jobs.clone());
            spawn(move || work(&*table, &jobs))?;
        }
        let (writes, jobs) = unbounded();
        let worker = Arc::clone(&table);
        spawn(move || work(&*worker, &jobs))?;
        Ok(Held { table, reads, writes, patience, abandoned: AtomicBool::new(false) })
    }

    /// Looks something up, for an async caller.
    pub async fn read<R: Send + 'static>(&self, call: impl FnOnce(&T) -> Result<R, TableError> + Send + 'static) -> Result<R, TableError> {
        let (answer, answered) = oneshot::channel();
        let job: Job<T> = Box::new(move |table| drop(answer.send(caught(|| call(table)))));
        self.send(&self.reads, job)?;
        match tokio::time::timeout(self.patience, answered).await {
            Ok(Ok(result)) => result,
            _ => Err(too_slow(self.patience)),
        }
    }

    /// Runs the writer's call and waits for it on this thread.
    pub fn write<R: Send + 'static>(&self, call: impl FnOnce(&T) -> Result<R, TableError> + Send + 'static) -> Result<R, TableError> {
        let (answer, answered) = flume::bounded(1);
        let job: Job<T> = Box::new(move |table| drop(answer.send(caught(|| call(table)))));
        self.send(&self.writes, job)?;
        answered.recv_timeout(self.patience).map_err(|_| too_slow(self.patience))?
    }

    /// Lets go of the table for good; true for the first caller.
    pub fn abandon(&self) -> bool {
        let first = !self.abandoned.swap(true, Ordering::AcqRel);
        if first {
            // Dropping what is broken may hang or panic: this handle keeps it from ever being dropped.
            std::mem::forget(Arc::clone(&self.table));
        }
        first
    }

    /// Drops the table once nobody uses it any more, and returns when that is done. `owner` is what holds it.
    ///
    /// # Errors
    /// Somebody still uses it, or it hangs.
    pub fn close<O>(owner: Arc<O>, held: impl FnOnce(&O) -> &Held<T>) -> Result<(), TableError> {
        let Held { patience, table, .. } = held(&owner);
        let (patience, table) = (*patience, Arc::downgrade(table));
        drop(owner);
        let end = Instant::now() + patience;
        while table.strong_count() > 0 {
            if Instant::now() > end {
                return Err(too_slow(patience));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Does what needs no table, as long as the table is not abandoned.
    pub fn unless_abandoned<R>(&self, run: impl FnOnce() -> R) -> Result<R, TableError> {
        match self.abandoned.load(Ordering::Acquire) {
            true => Err(gone()),
            false => Ok(run()),
        }
    }

    fn send(&self, queue: &Sender<Job<T>>, job: Job<T>) -> Result<(), TableError> {
        self.unless_abandoned(|| queue.send(job))?.map_err(|_| gone())
    }
}

fn gone() -> TableError {
    TableError("it was abandoned".into())
}

fn work<T>(table: &T, jobs: &Receiver<Job<T>>) {
    jobs.iter().for_each(|job| job(table));
}

fn caught<R>(call: impl FnOnce() -> Result<R, TableError>) -> Result<R, TableError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(TableError(format!("it panicked: {}", text.unwrap_or("without a word"))))
    })
}

fn spawn(run: impl FnOnce() + Send + 'static) -> Result<(), TableError> {
    let thread = std::thread::Builder::new().name("index-table".into()).spawn(run);
    thread.map(drop).map_err(|error| TableError(format!("no thread for it: {error}")))
}

fn too_slow(patience: Duration) -> TableError {
    TableError(format!("it did not answer within {patience:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::table::{Batch, Memory};

    fn held(patience: u64) -> Held<Memory> {
        Held::open(Duration::from_millis(patience), || Ok(Memory::default())).unwrap()
    }

    #[tokio::test]
    async fn a_call_that_panics_is_an_error() {
        let held = held(10_000);
        let error = held.read::<()>(|_| panic!("tried to serialize Uninitialized")).await.unwrap_err();
        assert_eq!(error.0, "it panicked: tried to serialize Uninitialized");
        assert_eq!(held.read(Table::position).await, Ok(0));
    }

    #[tokio::test]
    async fn a_call_that_hangs_is_an_error_and_the_writer_is_not_held_up_by_readers() {
        let held = held(100);
        let (release, wait) = flume::unbounded::<()>();
        let error = held.read(move |_| wait.recv().map_err(|_| TableError("too late".into()))).await.unwrap_err();
        assert!(error.0.contains("did not answer"), "{error}");
        held.write(|table| table.apply(&Batch::new(), 7)).unwrap();
        drop(release);
        assert!(held.abandon() && !held.abandon());
        assert!(held.read(Table::position).await.is_err());
    }
}
