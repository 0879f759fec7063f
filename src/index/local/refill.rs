//! Fills a new sled from the memory table while that serves. What is committed meanwhile is gathered, the last word on each
//! row, and made after the copy.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::mark;
use super::writer::Message;
use crate::index::table::{Batch, Disk, Memory, Table, TableError};

/// Rows written in one batch.
const ROWS: usize = 1_000;
/// How often the refill catches up by itself. Commits can outrun it, so the writer, which stops them, does the last of it.
const ROUNDS: usize = 3;

/// A refill under way.
#[derive(Clone)]
pub struct Refill(Arc<Mutex<Batch>>);

/// What a refill needs to know.
pub struct Plan {
    pub memory: Arc<Memory>,
    pub tables: PathBuf,
    pub patience: Duration,
    pub roomy: Arc<dyn Fn() -> bool + Send + Sync>,
    pub messages: flume::Sender<Message>,
}

impl Refill {
    /// Begins in the background; ends with [`Message::Refilled`].
    pub fn start(plan: Plan) -> std::io::Result<Refill> {
        let refill = Refill(Arc::default());
        let queue = refill.clone();
        let run = move || {
            let (messages, result) = (plan.messages.clone(), queue.run(plan));
            // The writer may have stopped meanwhile.
            let _ = messages.send(Message::Refilled(result));
        };
        std::thread::Builder::new().name("index-refill".into()).spawn(run)?;
        Ok(refill)
    }

    /// A batch that was made in memory.
    pub fn queue(&self, batch: Batch) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(batch);
    }

    /// Makes what was gathered in sled; whether there was anything.
    pub fn catch_up(&self, disk: &Disk) -> Result<bool, TableError> {
        let mut rest = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().peekable();
        let any = rest.peek().is_some();
        while rest.peek().is_some() {
            let batch: Batch = rest.by_ref().take(ROWS).collect();
            disk.apply(batch, 0)?;
        }
        Ok(any)
    }

    fn run(&self, plan: Plan) -> Result<(u64, Arc<Disk>), TableError> {
        let number = mark::clear(&plan.tables).map_err(|error| TableError(error.to_string()))?;
        let folder = mark::folder(&plan.tables, number);
        let disk = Arc::new(Disk::open(plan.patience, folder)?);
        let filled = self.copy(&plan, &disk);
        if filled.is_err() {
            disk.abandon();
        }
        filled.map(|()| (number, disk))
    }

    fn copy(&self, plan: &Plan, disk: &Disk) -> Result<(), TableError> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let begun = Instant::now();
            let rows = plan.memory.scan(&[], after.as_deref(), ROWS)?;
            let Some((last, _)) = rows.last() else { break };
            after = Some(last.clone());
            check_room(plan)?;
            let full = rows.len() == ROWS;
            let batch: Batch = rows.into_iter().map(|(key, value)| (key, Some(value))).collect();
            disk.apply(batch, 0)?;
            if full {
                // Nobody waits for this: as much rest as work.
                std::thread::sleep(begun.elapsed());
            }
        }
        for _ in 0..ROUNDS {
            check_room(plan)?;
            if !self.catch_up(disk)? {
                break;
            }
        }
        Ok(())
    }
}

fn check_room(plan: &Plan) -> Result<(), TableError> {
    match (plan.roomy)() {
        true => Ok(()),
        false => Err(no_room()),
    }
}

/// Why nothing is written to sled.
pub fn no_room() -> TableError {
    TableError("less than the reserve is free on the disk".into())
}
