//! One folder by its handle: every name is a single component below it, and a symlink in its place is never followed.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, fsync, mkdirat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;

#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

impl Folder {
    /// The folder at `path`, through symlinks: where the data lies is the administrator's choice.
    pub(super) fn open(path: &Path) -> io::Result<Folder> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Folder(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// The folder `name` in this one.
    pub(super) fn enter(&self, name: &str) -> io::Result<Folder> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Folder(openat(&self.0, name, flags, Mode::empty())?))
    }

    /// The folder `name` in this one, made when it is missing. Not yet durable: this one must be synced.
    pub(super) fn make(&self, name: &str) -> io::Result<Folder> {
        match mkdirat(&self.0, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => self.enter(name),
            Err(error) => Err(error.into()),
        }
    }

    /// A new file, to be written and read; an error when the name is taken.
    pub(super) fn create(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(&self.0, name, flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    /// The regular file `name` for reading, and its size in bytes.
    pub(super) fn read(&self, name: &str) -> io::Result<Option<(File, u64)>> {
        self.existing(name, OFlags::RDONLY)
    }

    /// The regular file `name` for reading and writing, and its size in bytes.
    pub(super) fn edit(&self, name: &str) -> io::Result<Option<(File, u64)>> {
        self.existing(name, OFlags::RDWR)
    }

    fn existing(&self, name: &str, access: OFlags) -> io::Result<Option<(File, u64)>> {
        // Without NONBLOCK, opening a planted FIFO would wait for ever.
        let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file: File = match openat(&self.0, name, flags, Mode::empty()) {
            Ok(file) => file.into(),
            Err(Errno::NOENT | Errno::LOOP | Errno::ISDIR | Errno::NXIO) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let facts = file.metadata()?;
        Ok(facts.is_file().then_some((file, facts.len())))
    }

    /// The size in bytes of the regular file `name`.
    pub(super) fn size(&self, name: &str) -> io::Result<Option<u64>> {
        match statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(facts) => Ok((FileType::from_raw_mode(facts.st_mode) == FileType::RegularFile).then_some(facts.st_size as u64)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes the file `name`; whether it was there.
    pub(super) fn remove(&self, name: &str) -> io::Result<bool> {
        match unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Moves the file `name` to `place` as `new`, over what is there.
    pub(super) fn rename(&self, name: &str, place: &Folder, new: &str) -> io::Result<()> {
        Ok(renameat(&self.0, name, &place.0, new)?)
    }

    /// All names but `.` and `..`, in no order; those that are not UTF-8 are no names of this store.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.0)? {
            if let Ok(name) = entry?.file_name().to_str()
                && !matches!(name, "." | "..")
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// Makes the names of this folder survive power loss.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(fsync(&self.0)?)
    }

    /// Bytes that an unprivileged process may still write on this file system.
    pub(super) fn free(&self) -> io::Result<u64> {
        let facts = rustix::fs::fstatvfs(&self.0)?;
        Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
    }
}
