//! The journal: every change, in order, before anything else knows of it. The truth beside the blobs.
//!
//! Segments are preallocated and only ever appended to. A record counts when it is whole and no later segment voids it.
//! A write or sync that failed is final for its segment: what was not synced there is voided by the first record of the
//! next segment, and that record is synced before anything else is acknowledged.

mod files;
mod record;
mod replay;
mod snapshot;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub use files::{Sync, sync_folder};
pub use replay::fill;
pub use snapshot::{is_due, merge};

use super::Change;
use record::{Begin, FORMAT, Kind, Records};

/// What was not synced is kept in memory, so that it can be appended again after a failed sync; at most so many bytes.
const UNSYNCED: usize = 1 << 20;

/// The end of the journal, where it grows.
pub struct Journal {
    folder: PathBuf,
    segment_size: u64,
    sync: Sync,
    active: Option<Segment>,
    /// The position of the next record.
    next: u64,
    /// The position of the last record that was written without a failure.
    written: u64,
    /// Positions below are synced.
    synced: u64,
    /// Framed records that are to be written next; their positions end at `next`.
    staged: Vec<u8>,
    staged_records: u64,
    /// Framed records that were written and acknowledged, but not synced.
    unsynced: Vec<u8>,
    /// Why nothing can be appended before a new segment voids what failed.
    failed: Option<String>,
    /// Why nothing can be appended any more.
    read_only: Option<String>,
    /// Whether a segment was closed since it was last asked.
    rotated: bool,
}

struct Segment {
    file: File,
    first: u64,
    end: u64,
    size: u64,
}

impl Journal {
    /// Opens the journal in `folder`, cutting a torn tail. Reads the last segment only.
    ///
    /// # Errors
    /// The folder cannot be used, or what it holds is no journal of this version.
    pub fn open(folder: &Path, segment_size: u64, sync: Sync) -> io::Result<Journal> {
        fs::create_dir_all(folder)?;
        if let Some(parent) = folder.parent() {
            sync_folder(parent)?;
        }
        let next = cut(folder)?;
        Ok(Journal {
            folder: folder.to_owned(),
            segment_size,
            sync,
            active: None,
            next,
            written: next - 1,
            synced: next,
            staged: Vec::new(),
            staged_records: 0,
            unsynced: Vec::new(),
            failed: None,
            read_only: None,
            rotated: false,
        })
    }

    /// The position of the last record that counts.
    pub fn position(&self) -> u64 {
        self.written
    }

    /// Whether everything that counts is synced and can be followed by more.
    pub fn is_sound(&self) -> bool {
        self.failed.is_none() && self.read_only.is_none() && self.synced == self.next
    }

    /// The first position of the segment that grows.
    pub fn active(&self) -> Option<u64> {
        self.active.as_ref().map(|segment| segment.first)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Why nothing can be appended any more.
    pub fn read_only(&self) -> Option<&str> {
        self.read_only.as_deref()
    }

    /// Whether a segment was closed since the last call, and another one grows.
    pub fn rotated(&mut self) -> bool {
        self.active.is_some() && std::mem::take(&mut self.rotated)
    }

    /// Whether something acknowledged is not synced yet.
    pub fn unsynced(&self) -> bool {
        !self.unsynced.is_empty()
    }

    /// Adds a commit to what [`Journal::write`] will append.
    pub fn stage(&mut self, at: u64, changes: &[Change]) {
        record::write(&mut self.staged, self.next, Kind::Commit, &(at, changes));
        self.next += 1;
        self.staged_records += 1;
    }

    /// Appends what is staged: when it returns, that survives `kill -9`. With `durable`, it survives power loss.
    ///
    /// # Errors
    /// Nothing of what was staged counts.
    pub fn write(&mut self, durable: bool) -> io::Result<()> {
        let result = self.place(self.staged.len() as u64).and_then(|()| match self.append() {
            Ok(()) if durable || self.unsynced.len() + self.staged.len() > UNSYNCED => self.sync_active(),
            other => other,
        });
        if let Err(error) = result {
            self.staged.clear();
            self.staged_records = 0;
            return Err(self.fail(error));
        }
        if self.synced < self.next {
            self.unsynced.extend_from_slice(&self.staged);
        }
        self.staged.clear();
        self.staged_records = 0;
        self.written = self.next - 1;
        Ok(())
    }

    /// Syncs everything that was appended.
    pub fn sync(&mut self) -> io::Result<()> {
        if self.synced == self.next {
            return Ok(());
        }
        self.sync_active().map_err(|error| self.fail(error))
    }

    /// Finds room for `length` more bytes: in the active segment, else in a new one.
    fn place(&mut self, length: u64) -> io::Result<()> {
        if let Some(reason) = &self.read_only {
            return Err(io::Error::other(reason.clone()));
        }
        if self.failed.is_some() {
            self.recover()?;
        }
        match &self.active {
            Some(segment) if segment.end + length <= segment.size => return Ok(()),
            Some(_) if self.synced < self.next - self.staged_records => self.sync_written()?,
            _ => {}
        }
        let first = self.next - self.staged_records;
        // Never again to the old one, even when this fails: a half-made successor could come back and void what went there.
        self.rotated |= self.active.take().is_some();
        match self.begin(first, first, length) {
            Ok(segment) => {
                self.active = Some(segment);
                Ok(())
            }
            Err(error) => {
                // Nothing was written: the positions are free again, and the next commit tries anew.
                self.next = first;
                Err(error)
            }
        }
    }

    fn append(&mut self) -> io::Result<()> {
        let segment = self.active.as_mut().expect("place() made one");
        let result = segment.file.write_all_at(&self.staged, segment.end);
        segment.end += self.staged.len() as u64;
        result.inspect_err(|error| self.failed = Some(error.to_string()))
    }

    fn sync_active(&mut self) -> io::Result<()> {
        let segment = self.active.as_ref().expect("something was written");
        (self.sync)(&segment.file).inspect_err(|error| self.failed = Some(error.to_string()))?;
        self.synced = self.next;
        self.unsynced.clear();
        Ok(())
    }

    /// Syncs what was written before what is staged.
    fn sync_written(&mut self) -> io::Result<()> {
        self.sync_active()?;
        self.synced = self.next - self.staged_records;
        Ok(())
    }

    /// After a failure: voids what was not synced, at once where that is possible. Returns the failure.
    fn fail(&mut self, error: io::Error) -> io::Error {
        if self.failed.is_none() {
            return error;
        }
        tracing::error!(%error, folder = %self.folder.display(), "the journal could not be written; its segment is closed");
        if let Err(second) = self.recover()
            && self.read_only.is_some()
        {
            tracing::error!(error = %second, "the journal failed again: the store is read-only until the next start");
        }
        error
    }

    /// Begins a segment that voids what failed and holds what had been acknowledged without a sync.
    fn recover(&mut self) -> io::Result<()> {
        let first = self.next;
        let mut again = std::mem::take(&mut self.unsynced);
        let result = self.begin(self.synced, first, again.len() as u64).and_then(|mut segment| {
            let position = record::renumber(&mut again, first);
            segment.file.write_all_at(&again, segment.end)?;
            segment.end += again.len() as u64;
            (self.sync)(&segment.file)?;
            Ok((segment, position))
        });
        match result {
            Ok((segment, position)) => {
                self.rotated |= self.active.replace(segment).is_some();
                self.written = position - 1;
                self.next = record::renumber(&mut self.staged, position);
                self.synced = position;
                self.failed = None;
                Ok(())
            }
            Err(error) => {
                self.unsynced = again;
                // A full disk passes. Anything else is the second failure.
                if !files::is_full(&error) {
                    self.read_only = Some(error.to_string());
                }
                Err(error)
            }
        }
    }

    /// A new segment whose first position is `first`, with room for `length` bytes, synced with its name.
    fn begin(&self, from: u64, first: u64, length: u64) -> io::Result<Segment> {
        let path = files::segment(&self.folder, first);
        let mut head = Vec::new();
        record::write(&mut head, first, Kind::Begin, &Begin { format: FORMAT, from });
        let size = self.segment_size.max(head.len() as u64 + length);
        let made = files::preallocated(&path, size).and_then(|file| {
            file.write_all_at(&head, 0)?;
            (self.sync)(&file)?;
            sync_folder(&self.folder)?;
            Ok(Segment { file, first, end: head.len() as u64, size })
        });
        made.inspect_err(|_| drop(fs::remove_file(&path)))
    }
}

/// Cuts the last segment after its last whole record and syncs it; returns the next position.
fn cut(folder: &Path) -> io::Result<u64> {
    let (mut segments, snapshots) = files::list(folder)?;
    while let Some(first) = segments.pop() {
        let path = files::segment(folder, first);
        let mut records = Records::open(&path)?;
        if records.begin()?.is_none() {
            // It was being made when the power went: nothing in it was acknowledged.
            fs::remove_file(&path)?;
            sync_folder(folder)?;
            continue;
        }
        let (mut next, mut end) = (first, records.offset);
        while records.next()?.is_some_and(|record| record.position == next) {
            (next, end) = (next + 1, records.offset);
        }
        let file = File::options().write(true).open(&path)?;
        file.set_len(end)?;
        file.sync_all()?;
        return Ok(next);
    }
    Ok(snapshots.last().map_or(1, |position| position + 1))
}
