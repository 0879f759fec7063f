//! The staging folder: drafts by name, and nothing else. What no draft owns is removed at start, uploads excepted.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::draft::hash;
use super::folder::Folder;
use super::space::Space;
use super::{Draft, DraftName, StoreError};
use crate::oci::{Algorithm, Hasher};

const UPLOAD: &str = "upload-";

#[derive(Debug)]
pub(super) struct Staging {
    folder: Folder,
    space: Arc<Space>,
    fetches: AtomicU64,
    /// Uploads with an open handle: two writers of one file could change bytes after their proof.
    open: Mutex<HashSet<String>>,
}

impl Staging {
    /// Opens the folder at `path` and removes what no upload owns.
    pub(super) fn open(path: &Path, space: Arc<Space>) -> io::Result<Staging> {
        let folder = Folder::open(path)?;
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                std::fs::remove_dir_all(entry.path())?;
            } else if !(kind.is_file() && entry.file_name().to_str().and_then(upload_of).is_some()) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(Staging { folder, space, fetches: AtomicU64::new(0), open: Mutex::default() })
    }

    /// A new, empty draft.
    pub(super) fn create(self: &Arc<Self>, name: &DraftName) -> Result<Draft, StoreError> {
        let (name, keep) = match name {
            DraftName::Upload(id) => (self.claim(id)?, true),
            DraftName::Fetch => (format!("fetch-{}", self.fetches.fetch_add(1, Ordering::Relaxed)), false),
        };
        let file = self.folder.create(&name).inspect_err(|_| self.release(&name))?;
        Ok(Draft::new(self.draft(file, name, keep), 0, Hasher::new(Algorithm::Sha256)))
    }

    /// The draft of an upload that has no handle now, hashed again.
    pub(super) fn reopen(self: &Arc<Self>, id: &str) -> Result<Option<Draft>, StoreError> {
        if upload_name(id).is_none() {
            return Ok(None);
        }
        let name = self.claim(id)?;
        let Some((file, len)) = self.folder.edit(&name).inspect_err(|_| self.release(&name))? else {
            self.release(&name);
            return Ok(None);
        };
        let file = self.draft(file, name, true);
        let hasher = hash(file.handle(), Algorithm::Sha256, len)?;
        Ok(Some(Draft::new(file, len, hasher)))
    }

    pub(super) fn discard(&self, id: &str) -> Result<(), StoreError> {
        if let Some(name) = upload_name(id) {
            self.folder.remove(&name)?;
        }
        Ok(())
    }

    pub(super) fn uploads(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.folder.names()?.iter().filter_map(|name| upload_of(name)).map(str::to_owned).collect())
    }

    fn draft(self: &Arc<Self>, file: File, name: String, keep: bool) -> DraftFile {
        DraftFile { staging: self.clone(), file: Arc::new(file), name, keep: AtomicBool::new(keep) }
    }

    fn claim(&self, id: &str) -> Result<String, StoreError> {
        let name = upload_name(id).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no id of an upload"))?;
        match self.opened().insert(name.clone()) {
            true => Ok(name),
            false => Err(StoreError::Io(io::Error::new(io::ErrorKind::ResourceBusy, "the upload is being written"))),
        }
    }

    fn release(&self, name: &str) {
        self.opened().remove(name);
    }

    fn opened(&self) -> MutexGuard<'_, HashSet<String>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file name of an upload; `None` for a text that could leave the folder.
fn upload_name(id: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    ((1..=128).contains(&id.len()) && id.bytes().all(plain)).then(|| format!("{UPLOAD}{id}"))
}

/// The inverse of [`upload_name`].
fn upload_of(name: &str) -> Option<&str> {
    name.strip_prefix(UPLOAD).filter(|id| upload_name(id).is_some())
}

/// A draft's file, shared by the draft and its views; the last of them removes it, unless its name is kept.
#[derive(Debug)]
pub(super) struct DraftFile {
    staging: Arc<Staging>,
    file: Arc<File>,
    name: String,
    /// Nothing is to be removed: an upload's, one already removed, or one that is a blob now.
    keep: AtomicBool,
}

impl DraftFile {
    pub(super) fn handle(&self) -> &Arc<File> {
        &self.file
    }

    /// Writes each chunk at its offset. After an error the file ends where it did, at `end`.
    pub(super) fn write(&self, chunks: &[(u64, Bytes)], end: u64) -> Result<(), StoreError> {
        self.staging.space.take(chunks.iter().map(|(_, chunk)| chunk.len() as u64).sum())?;
        for (at, chunk) in chunks {
            if let Err(error) = self.file.write_all_at(chunk, *at) {
                self.file.set_len(end)?;
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Makes the bytes survive power loss. After a failure the kernel may have dropped them, so they are never tried again.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        if let Err(error) = rustix::fs::fdatasync(&*self.file) {
            self.scrap();
            return Err(io::Error::from(error).into());
        }
        self.keep.store(false, Ordering::Release);
        Ok(())
    }

    pub(super) fn place(&self, shard: &Folder, name: &str) -> io::Result<()> {
        self.staging.folder.rename(&self.name, shard, name)?;
        self.keep.store(true, Ordering::Release);
        Ok(())
    }

    /// Removes the file now. One that cannot be removed is harmless: the next start removes it, or finds it rotten.
    pub(super) fn scrap(&self) {
        self.keep.store(true, Ordering::Release);
        if let Err(error) = self.staging.folder.remove(&self.name) {
            tracing::warn!(draft = self.name, %error, "a draft cannot be removed");
        }
    }
}

impl Drop for DraftFile {
    fn drop(&mut self) {
        if self.keep.load(Ordering::Acquire) {
            self.staging.release(&self.name);
            return;
        }
        let (staging, file, name) = (self.staging.clone(), self.file.clone(), std::mem::take(&mut self.name));
        let remove = move || {
            if let Err(error) = staging.folder.remove(&name) {
                tracing::warn!(draft = name, %error, "a draft cannot be removed");
            }
            staging.release(&name);
            // Last, because giving a large file's blocks back takes a while.
            drop(file);
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}
