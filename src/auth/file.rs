//! Small files that must not be lost: a reader finds the old content or the new, never a part, also after a power cut.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Why a small file cannot be used; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is empty: {remedy}", path.display())]
    Empty { path: PathBuf, remedy: &'static str },
    #[error("{} cannot be read: {remedy}", path.display())]
    Broken { path: PathBuf, remedy: &'static str },
}

impl FileError {
    pub(super) fn io(path: &Path, source: io::Error) -> FileError {
        FileError::Io { path: path.to_owned(), source }
    }
}

/// Replaces the file at `path`, readable by its owner alone; on return the content is on the disk.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), FileError> {
    replace(path, content, 0o600).map_err(|source| FileError::io(path, source))
}

/// Replaces the file at `path`, which is there already and keeps its mode and its owner; on return the content is on the disk.
pub(super) fn rewrite(path: &Path, content: &[u8]) -> Result<(), FileError> {
    // What a link leads to is replaced, not the link.
    let written = fs::canonicalize(path).and_then(|path| replace_with(&path, content, |file| like(file, &fs::metadata(&path)?)));
    written.map_err(|source| FileError::io(path, source))
}

/// Replaces the file at `path` with one of this mode; on return the content is on the disk.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    replace_with(path, content, |file| file.set_permissions(fs::Permissions::from_mode(mode)))
}

/// `prepare` gets the new file while it is empty and its owner's alone.
fn replace_with(path: &Path, content: &[u8], prepare: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    // One left by a crash may have another mode.
    match fs::remove_file(&beside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    prepare(&file)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(folder)?.sync_all()
}

/// Gives the file the owner and the mode of another one.
fn like(file: &File, before: &fs::Metadata) -> io::Result<()> {
    let now = file.metadata()?;
    if (before.uid(), before.gid()) != (now.uid(), now.gid()) {
        fchown(file, Some(before.uid()), Some(before.gid()))?;
    }
    file.set_permissions(before.permissions())
}

/// The content of the file at `path`, or `None` where there is none.
///
/// # Errors
/// An empty file is one, with `remedy` as the way out: it is what a crash of another program leaves.
pub(super) fn read(path: &Path, remedy: &'static str) -> Result<Option<Vec<u8>>, FileError> {
    match fs::read(path) {
        Ok(content) if content.trim_ascii().is_empty() => Err(FileError::Empty { path: path.to_owned(), remedy }),
        Ok(content) => Ok(Some(content)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FileError::io(path, source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(folder.path().join("key.new"), "left by a crash").unwrap();
        for content in [&b"a longer one"[..], b"short"] {
            write(&path, content).unwrap();
            assert_eq!(read(&path, "").unwrap().as_deref(), Some(content));
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_rewritten_keeps_its_mode_also_behind_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("users"), folder.path().join("link"));
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("users", &link).unwrap();
        rewrite(&link, b"new").unwrap();
        assert_eq!((fs::read(&path).unwrap(), fs::metadata(&path).unwrap().permissions().mode() & 0o777), (b"new".to_vec(), 0o640));
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(rewrite(&folder.path().join("none"), b"").is_err());
    }

    #[test]
    fn an_empty_file_is_an_error_that_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert!(read(&path, "delete it").unwrap().is_none());
        fs::write(&path, "\n").unwrap();
        let message = read(&path, "delete it").unwrap_err().to_string();
        assert!(message.ends_with("key is empty: delete it"), "{message}");
    }
}
