//! The journal's folder: what its files are called, how they are made, and how they are listed.
//!
//! A name holds the position of the file's first record, so that names sort as positions do.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FallocateFlags;

/// Syncs a segment's data. Tests put one here that fails.
pub type Sync = Arc<dyn Fn(&File) -> io::Result<()> + Send + std::marker::Sync>;

const SEGMENT: &str = "segment";
const SNAPSHOT: &str = "snapshot";
/// A snapshot that is being written.
const PART: &str = "part";

pub fn segment(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.{SEGMENT}"))
}

pub fn snapshot(folder: &Path, position: u64) -> PathBuf {
    folder.join(format!("{position:020}.{SNAPSHOT}"))
}

pub fn part(folder: &Path) -> PathBuf {
    folder.join(format!("next.{PART}"))
}

/// The first positions of the segments and the positions of the snapshots, each in order.
pub fn list(folder: &Path) -> io::Result<(Vec<u64>, Vec<u64>)> {
    let (mut segments, mut snapshots) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let Some((stem, end)) = name.to_str().and_then(|name| name.split_once('.')) else { continue };
        let Ok(position) = stem.parse::<u64>() else { continue };
        match end {
            SEGMENT => segments.push(position),
            SNAPSHOT => snapshots.push(position),
            _ => {}
        }
    }
    segments.sort_unstable();
    snapshots.sort_unstable();
    Ok((segments, snapshots))
}

/// A new file of `size` bytes that are zero and have their place on the disk.
pub fn preallocated(path: &Path, size: u64) -> io::Result<File> {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
    match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, size) {
        Ok(()) => Ok(file),
        // Not every file system can: then the place is found when the bytes come.
        Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(size).map(|()| file),
        Err(error) => Err(error.into()),
    }
}

/// Makes names that were added to or taken from the folder survive power loss.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Whether the disk has no room, which passes, rather than being broken.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
