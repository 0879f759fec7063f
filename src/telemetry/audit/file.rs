//! The audit events' own file: a line of JSON for each, appended by a thread of its own, so that nobody waits for a disk. A file that
//! was renamed or removed is made anew before the next line, as those who rotate logs expect. What cannot be written is counted.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use super::Line;

/// Lines that may wait for the disk.
const QUEUED_LINES: usize = 4096;

static QUEUE: Mutex<Option<SyncSender<Vec<u8>>>> = Mutex::new(None);
static LOST: AtomicU64 = AtomicU64::new(0);

/// Lines that were not written since the start.
pub fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// Writes out what is queued when it is dropped.
#[must_use = "without it the last lines are lost"]
pub struct Guard(Option<JoinHandle<()>>);

impl Drop for Guard {
    fn drop(&mut self) {
        *QUEUE.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if let Some(writer) = self.0.take() {
            let _ = writer.join();
        }
    }
}

/// From here on every event is in the file too, which is made when it is not there, for its owner alone.
///
/// # Errors
/// A sentence: the file cannot be opened.
pub fn to_file(path: &Path) -> Result<Guard, String> {
    let mut book = Book { path: path.to_owned(), file: None, torn: false, failing: false };
    book.open().map_err(|error| {
        format!(
            "log.audit: {} cannot be written: {error}; make its folder and let this user write there, or name another file",
            path.display()
        )
    })?;
    let (queue, lines) = sync_channel(QUEUED_LINES);
    let writer = std::thread::Builder::new().name("audit".into()).spawn(move || book.keep(&lines));
    let writer = writer.map_err(|error| format!("the system gives no threads: {error}"))?;
    *QUEUE.lock().unwrap_or_else(PoisonError::into_inner) = Some(queue);
    Ok(Guard(Some(writer)))
}

pub(super) fn write(line: &Line) {
    let queue = QUEUE.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let Some(queue) = queue else { return };
    let mut text = serde_json::to_vec(line).expect("a line is plain data");
    text.push(b'\n');
    if queue.try_send(text).is_err() && LOST.fetch_add(1, Ordering::Relaxed) == 0 {
        tracing::warn!("audit lines are lost: they come faster than their file can be written (log.audit)");
    }
}

/// The file and how it stands.
struct Book {
    path: PathBuf,
    file: Option<File>,
    /// Whether the last line was cut short.
    torn: bool,
    failing: bool,
}

impl Book {
    /// Writes lines until there are no more to come.
    fn keep(mut self, lines: &Receiver<Vec<u8>>) {
        for line in lines {
            match self.append(&line) {
                Ok(()) if self.failing => {
                    self.failing = false;
                    tracing::warn!(path = %self.path.display(), "audit lines are written again");
                }
                Ok(()) => {}
                Err(error) => {
                    LOST.fetch_add(1, Ordering::Relaxed);
                    if !std::mem::replace(&mut self.failing, true) {
                        tracing::warn!(path = %self.path.display(), %error, "audit lines cannot be written to their file (log.audit); the log has them");
                    }
                }
            }
        }
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let torn = self.torn;
        let file = self.open()?;
        // Together, so that no other writer comes between.
        let whole = if torn { [b"\n", line].concat() } else { line.to_vec() };
        let written = file.write_all(&whole);
        self.torn = written.is_err();
        written
    }

    /// The file at the path as it is now.
    fn open(&mut self) -> io::Result<&mut File> {
        let there = std::fs::metadata(&self.path).ok().map(|found| (found.dev(), found.ino()));
        let mine = self.file.as_ref().and_then(|file| file.metadata().ok()).map(|found| (found.dev(), found.ino()));
        if there.is_none() || there != mine {
            self.file = None;
            self.torn = false;
        }
        match &mut self.file {
            Some(file) => Ok(file),
            none => Ok(none.insert(OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn book(path: &Path) -> Book {
        Book { path: path.to_owned(), file: None, torn: false, failing: false }
    }

    #[test]
    fn a_file_that_was_renamed_is_made_anew_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("audit"), folder.path().join("audit.1"));
        let mut book = book(&path);
        book.append(b"one\n").unwrap();
        std::fs::rename(&path, &old).unwrap();
        book.append(b"two\n").unwrap();
        std::fs::remove_file(&path).unwrap();
        book.append(b"three\n").unwrap();
        // As logrotate's copytruncate does it.
        std::fs::write(&path, "").unwrap();
        book.append(b"four\n").unwrap();
        assert_eq!([&old, &path].map(|path| std::fs::read_to_string(path).unwrap()), ["one\n", "four\n"]);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_line_after_one_that_was_cut_short_stands_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        let mut book = book(&path);
        book.append(b"half").unwrap();
        book.torn = true;
        book.append(b"whole\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "half\nwhole\n");
        assert!(!book.torn);
    }
}
