//! Keys and certificates as files: a reader finds the old content or the new, and a key is its owner's alone from its first byte.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::TlsError;

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
    let beside = path.with_added_extension("new");
    let written = (|| {
        // One left by a crash may have another mode.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        create(&beside, content, mode)?;
        fs::rename(&beside, path)?;
        sync_folder(path)
    })();
    written.map_err(|source| TlsError::File { path: path.to_owned(), what: "written", source })
}

/// Writes a file that must not be there yet.
pub(super) fn write_new(path: &Path, content: &str, mode: u32) -> Result<(), TlsError> {
    let written = create(path, content, mode).and_then(|()| sync_folder(path));
    written.map_err(|source| TlsError::File { path: path.to_owned(), what: "written", source })
}

fn create(path: &Path, content: &str, mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
