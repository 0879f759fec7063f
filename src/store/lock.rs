//! One process per data folder: a lock on `DATA/lock`, held as long as the value lives and gone with the process.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};

/// The right to be the only one in a data folder.
#[derive(Debug)]
pub(super) struct DataLock(#[expect(dead_code, reason = "the lock lives as long as the handle")] File);

impl DataLock {
    /// Takes the lock, or says at once that another process has it.
    pub(super) fn take(data: &Path) -> io::Result<DataLock> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.custom_flags(OFlags::NOFOLLOW.bits() as i32).open(data.join("lock"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(DataLock(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let text = format!("another process uses {}: stop it, or give this one a data folder of its own", data.display());
                Err(io::Error::new(io::ErrorKind::ResourceBusy, text))
            }
            Err(error) => Err(error.into()),
        }
    }
}
