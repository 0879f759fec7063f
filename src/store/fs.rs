//! The file system as a blob store: `DATA/blobs/sha256/ab/abcd…`, drafts in `DATA/staging/` beside it.
//!
//! A file gets its place only by [`BlobStore::admit`], and its name is made from digest bytes alone.

use std::fs::DirBuilder;
use std::io;
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use super::draft::blocking;
use super::folder::Folder;
use super::lock::DataLock;
use super::space::Space;
use super::staging::Staging;
use super::tree::Trees;
use super::{BlobStore, Chunks, Draft, DraftName, Proved, StoreError};
use crate::oci::Digest;

/// Blobs in files. One value per data folder; the folder is locked as long as it lives.
pub struct FileStore {
    trees: Arc<Trees>,
    staging: Arc<Staging>,
    space: Arc<Space>,
    _lock: DataLock,
}

impl FileStore {
    /// Opens or makes the store in `data`, for this process alone, and clears staging of all but the drafts of uploads.
    /// `reserve` is the free space in bytes that is never written to. The error text tells what to do.
    pub fn open(data: &Path, reserve: u64) -> Result<FileStore, StoreError> {
        FileStore::prepare(data, reserve).map_err(|error| explain(data, error).into())
    }

    fn prepare(data: &Path, reserve: u64) -> io::Result<FileStore> {
        make_durably(data)?;
        let lock = DataLock::take(data)?;
        let root = Arc::new(Folder::open(data)?);
        let blobs = root.make("blobs")?;
        root.make("staging")?;
        root.sync()?;
        let space = Arc::new(Space::new(root, reserve));
        let staging = Arc::new(Staging::open(&data.join("staging"), space.clone())?);
        Ok(FileStore { trees: Arc::new(Trees::open(&blobs)?), staging, space, _lock: lock })
    }

    /// Lets tests of other rooms meet a disk that fills up.
    #[cfg(test)]
    pub(crate) fn pretend_room(&self, left: u64) {
        self.space.pretend(left);
    }

    async fn in_staging<T: Send + 'static>(
        &self,
        work: impl FnOnce(Arc<Staging>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let staging = self.staging.clone();
        blocking(move || work(staging)).await
    }

    async fn in_trees<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Trees) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let trees = self.trees.clone();
        blocking(move || work(&trees)).await
    }
}

#[async_trait]
impl BlobStore for FileStore {
    async fn draft(&self, name: DraftName) -> Result<Draft, StoreError> {
        self.in_staging(move |staging| staging.create(&name)).await
    }

    async fn reopen(&self, upload: &str) -> Result<Option<Draft>, StoreError> {
        let upload = upload.to_owned();
        self.in_staging(move |staging| staging.reopen(&upload)).await
    }

    async fn discard(&self, upload: &str) -> Result<(), StoreError> {
        let upload = upload.to_owned();
        self.in_staging(move |staging| staging.discard(&upload)).await
    }

    async fn uploads(&self) -> Result<Vec<String>, StoreError> {
        self.in_staging(|staging| staging.uploads()).await
    }

    async fn admit(&self, proved: Proved) -> Result<(), StoreError> {
        self.in_trees(move |trees| trees.admit(&proved)).await
    }

    async fn read(&self, digest: &Digest, range: Range<u64>) -> Result<Option<Chunks>, StoreError> {
        let digest = *digest;
        let opened = self.in_trees(move |trees| Ok(trees.read(&digest)?)).await?;
        let Some((file, size)) = opened else { return Ok(None) };
        if range.start > range.end || range.end > size {
            let text = format!("{digest} has {size} bytes, not those from {} to {}", range.start, range.end);
            return Err(StoreError::Io(io::Error::new(io::ErrorKind::UnexpectedEof, text)));
        }
        Ok(Some(Chunks::new(Arc::new(file), range)))
    }

    async fn stat(&self, digest: &Digest) -> Result<Option<u64>, StoreError> {
        let digest = *digest;
        self.in_trees(move |trees| Ok(trees.size(&digest)?)).await
    }

    async fn remove(&self, digest: &Digest) -> Result<bool, StoreError> {
        let digest = *digest;
        self.in_trees(move |trees| Ok(trees.remove(&digest)?)).await
    }

    async fn list(&self, after: Option<&Digest>, limit: usize) -> Result<Vec<(Digest, u64)>, StoreError> {
        let after = after.copied();
        self.in_trees(move |trees| Ok(trees.list(after, limit)?)).await
    }

    fn room(&self) -> u64 {
        self.space.left()
    }
}

/// Makes the folder and what is missing above it, each name synced.
fn make_durably(path: &Path) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    let missing: Vec<PathBuf> = path.ancestors().take_while(|folder| !folder.exists()).map(Path::to_owned).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
    for folder in missing.iter().filter_map(|folder| folder.parent()) {
        Folder::open(folder)?.sync()?;
    }
    Ok(())
}

/// Adds to a refusal what helps against it.
pub(super) fn explain(data: &Path, error: io::Error) -> io::Error {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return error;
    }
    let data = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    let (uid, gid, data) = (uid.as_raw(), gid.as_raw(), data.display());
    let text = format!("the data folder {data} cannot be written by uid {uid} ({error}); run: chown -R {uid}:{gid} {data}");
    io::Error::new(io::ErrorKind::PermissionDenied, text)
}
