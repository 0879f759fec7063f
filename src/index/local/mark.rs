//! The mark of a clean close, and the numbered folders that sled lies in. Without the mark nothing in them is trusted:
//! it is gone, and that is synced, before sled's first write, and written after everything of sled's was synced.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::index::journal::sync_folder;

const MARK: &str = "clean";

/// The folder of one sled.
pub fn folder(tables: &Path, number: u64) -> PathBuf {
    tables.join(format!("{number:06}"))
}

/// Takes the mark away; returns the number of the folder that it vouches for.
pub fn take(tables: &Path) -> io::Result<Option<u64>> {
    let path = tables.join(MARK);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    fs::remove_file(&path)?;
    sync_folder(tables)?;
    Ok(text.trim().parse().ok())
}

/// Syncs everything of the folder and vouches for it.
pub fn put(tables: &Path, number: u64) -> io::Result<()> {
    sync_all(&folder(tables, number))?;
    let beside = tables.join(format!("{MARK}.new"));
    let mut file = File::create(&beside)?;
    writeln!(file, "{number}")?;
    file.sync_all()?;
    fs::rename(&beside, tables.join(MARK))?;
    sync_folder(tables)
}

/// Removes everything that is left of earlier tables; returns a number that none of them had.
pub fn clear(tables: &Path) -> io::Result<u64> {
    fs::create_dir_all(tables)?;
    let mut last = 0;
    for entry in fs::read_dir(tables)? {
        let entry = entry?;
        last = last.max(entry.file_name().to_str().and_then(|name| name.parse().ok()).unwrap_or(0));
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    Ok(last + 1)
}

/// sled's own flush reaches the operating system only.
fn sync_all(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => sync_all(&entry.path())?,
            false => File::open(entry.path())?.sync_all()?,
        }
    }
    sync_folder(folder)
}
