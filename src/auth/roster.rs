//! The users file, where it is and how it is changed: whole, one change at a time, and seen at once by who reads it in this process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::file::{self, FileError};
use super::ledger::NotChanged;
use crate::config;

/// The file.
pub(super) struct Roster {
    path: PathBuf,
    changes: AtomicU64,
    changing: Mutex<()>,
}

impl Roster {
    /// The file of the configuration, or else of the data folder. It need not be there.
    pub fn new(data: &Path, auth: &config::Auth) -> Roster {
        let path = auth.htpasswd.clone().unwrap_or_else(|| data.join("users.htpasswd"));
        Roster { path, changes: AtomicU64::new(0), changing: Mutex::new(()) }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many changes this process has made: with another number the file has to be read again.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// What the file says; empty where there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn content(&self) -> Result<Vec<u8>, FileError> {
        match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            read => read.map_err(|error| FileError::io(&self.path, error)),
        }
    }

    /// Makes the change that `decide` finds right for what is said now; on return it is on the disk and holds. Blocks.
    ///
    /// # Errors
    /// `decide` refused, or the file could not be read or replaced; then nothing changed.
    pub fn change(&self, decide: impl FnOnce(&[u8]) -> Result<Vec<u8>, NotChanged>) -> Result<(), NotChanged> {
        let _turn = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let next = decide(&self.content()?)?;
        let written = if self.path.exists() { file::rewrite(&self.path, &next) } else { file::write(&self.path, &next) };
        written.map_err(|error| self.explained(error))?;
        self.changes.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// The failures that others than the disk are to blame for, with their remedy.
    fn explained(&self, error: FileError) -> NotChanged {
        let FileError::Io { source, .. } = &error else { return error.into() };
        let (path, why) = (
            self.path.display(),
            match source.kind() {
                io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => "may not be changed by this process",
                io::ErrorKind::ResourceBusy => "is mounted by itself and cannot be replaced (mount its folder instead)",
                _ => return error.into(),
            },
        );
        NotChanged::Refused(format!("{path} {why}: {source}; change it where it is kept, with htpasswd -B"))
    }
}
