//! Keys and certificates as files: a reader finds the old content or the new, and a key is its owner's alone from its first byte.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::TlsError;
use crate::auth::replace;

/// Who may read a file: its owner, or everybody who may enter its folder.
pub(super) const SECRET: u32 = 0o600;
pub(super) const OPEN: u32 = 0o644;

pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::File { path: path.to_owned(), what: "read", source })
}

/// As [`read`], `None` where there is no such file.
pub(super) fn find(path: &Path) -> Result<Option<Vec<u8>>, TlsError> {
    match read(path) {
        Err(TlsError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// A folder that its owner alone may enter, unless it is there already.
pub(super) fn folder(path: &Path) -> Result<(), TlsError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| TlsError::File { path: path.to_owned(), what: "made", source })
}

/// Replaces the file at `path`; on return the content is on the disk.
pub(super) fn write(path: &Path, content: &str, mode: u32) -> Result<(), TlsError> {
    replace(path, content.as_bytes(), mode).map_err(|source| TlsError::File { path: path.to_owned(), what: "written", source })
}

/// Makes sure that the files that were written are found in the folder after a power cut.
pub(super) fn settle(folder: &Path) -> Result<(), TlsError> {
    let settled = File::open(folder).and_then(|folder| folder.sync_all());
    settled.map_err(|source| TlsError::File { path: folder.to_owned(), what: "written", source })
}

/// Writes a file that must not be there yet. Its folder is to be settled.
pub(super) fn write_new(path: &Path, content: &str, mode: u32) -> Result<(), TlsError> {
    let written = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).and_then(|mut file| {
        file.write_all(content.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|source| TlsError::File { path: path.to_owned(), what: "written", source })
}
