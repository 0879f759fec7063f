//! The file store, with a disk that fills up on demand.

use std::ops::Range;

use async_trait::async_trait;
use tempfile::TempDir;

use crate::oci::Digest;
use crate::store::{BlobStore, Chunks, Draft, DraftName, FileStore, Proved, StoreError};

pub(super) struct Cellar {
    files: FileStore,
    _data: TempDir,
}

impl Cellar {
    pub(super) fn new() -> Cellar {
        let data = TempDir::new().unwrap();
        Cellar { files: FileStore::open(data.path(), 0).unwrap(), _data: data }
    }

    /// The disk takes so many more bytes, which nobody knows beforehand.
    pub(super) fn fills_after(&self, bytes: usize) {
        self.files.pretend_room(bytes as u64);
    }
}

#[async_trait]
impl BlobStore for Cellar {
    fn room(&self) -> u64 {
        match self.files.room() {
            0 => 0,
            _ => u64::MAX,
        }
    }

    async fn draft(&self, name: DraftName) -> Result<Draft, StoreError> {
        self.files.draft(name).await
    }
    async fn reopen(&self, upload: &str) -> Result<Option<Draft>, StoreError> {
        self.files.reopen(upload).await
    }
    async fn discard(&self, upload: &str) -> Result<(), StoreError> {
        self.files.discard(upload).await
    }
    async fn uploads(&self) -> Result<Vec<String>, StoreError> {
        self.files.uploads().await
    }
    async fn admit(&self, proved: Proved) -> Result<(), StoreError> {
        self.files.admit(proved).await
    }
    async fn read(&self, digest: &Digest, range: Range<u64>) -> Result<Option<Chunks>, StoreError> {
        self.files.read(digest, range).await
    }
    async fn stat(&self, digest: &Digest) -> Result<Option<u64>, StoreError> {
        self.files.stat(digest).await
    }
    async fn remove(&self, digest: &Digest) -> Result<bool, StoreError> {
        self.files.remove(digest).await
    }
    async fn list(&self, after: Option<&Digest>, limit: usize) -> Result<Vec<(Digest, u64)>, StoreError> {
        self.files.list(after, limit).await
    }
}
