//! Drafts: files in staging, hashed as they grow.
//!
//! Only a draft whose length and digest were checked becomes [`Proved`]. The file is hashed over exactly the bytes that count
//! as written.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::Chunks;
use super::folder::Folder;
use super::staging::DraftFile;
use crate::oci::{Algorithm, Digest, Hasher};

/// What a draft is for, which decides how long it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DraftName {
    /// An upload session's, by its id.
    Upload(String),
    /// A fetch's.
    Fetch,
}

/// A growing file, hashed over its contiguous bytes.
pub struct Draft {
    file: Arc<DraftFile>,
    len: u64,
    /// Not here while an append runs, and lost with one that panicked.
    hasher: Option<Hasher>,
    running: Option<JoinHandle<(Hasher, Result<u64, StoreError>)>>,
}

impl Draft {
    pub(super) fn new(file: DraftFile, len: u64, hasher: Hasher) -> Draft {
        Draft { file: Arc::new(file), len, hasher: Some(hasher), running: None }
    }

    /// Bytes written and hashed.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A reader of what is written so far and from now on; it outlives the draft, its sealing and the blob's removal.
    pub fn view(&self) -> DraftView {
        DraftView { draft: self.file.clone() }
    }

    /// Appends the chunks in order, on the blocking pool. After an error the length is what it was.
    /// An append whose future is dropped goes on by itself: see [`Draft::settle`].
    pub async fn append(&mut self, chunks: Vec<Bytes>) -> Result<(), StoreError> {
        self.settle().await;
        let mut hasher = self.hasher.take().ok_or_else(lost)?;
        let (file, len) = (self.file.clone(), self.len);
        self.running = Some(tokio::task::spawn_blocking(move || {
            let written = file.write(&chunks, len);
            if written.is_ok() {
                chunks.iter().for_each(|chunk| hasher.update(chunk));
            }
            (hasher, written)
        }));
        self.finish_running().await
    }

    /// Waits for an append whose future was dropped, and returns the length after it.
    pub async fn settle(&mut self) -> u64 {
        // Who asked for that append is gone; the length tells whether it worked.
        let _ = self.finish_running().await;
        self.len
    }

    async fn finish_running(&mut self) -> Result<(), StoreError> {
        let Some(running) = &mut self.running else { return Ok(()) };
        let ended = running.await;
        self.running = None;
        let (hasher, written) = ended.map_err(io::Error::other)?;
        self.hasher = Some(hasher);
        self.len = written?;
        Ok(())
    }

    /// Checks length and digest. On failure the draft is gone.
    pub async fn prove(mut self, digest: &Digest, size: Option<u64>) -> Result<Proved, SealError> {
        self.settle().await;
        let checked = self.check(digest, size).await;
        if checked.is_err() {
            let file = self.file.clone();
            blocking(move || {
                file.scrap();
                Ok(())
            })
            .await?;
        }
        checked.map(|()| Proved { file: self.file, digest: *digest, size: self.len })
    }

    async fn check(&mut self, expected: &Digest, size: Option<u64>) -> Result<(), SealError> {
        if let Some(expected) = size
            && expected != self.len
        {
            return Err(SealError::Length { expected, actual: self.len });
        }
        let hasher = self.hasher.take().ok_or_else(lost)?;
        let actual = match expected.algorithm() {
            Algorithm::Sha256 => hasher.finish(),
            other => {
                let (file, len) = (self.file.clone(), self.len);
                blocking(move || Ok(hash(file.handle(), other, len)?)).await?.finish()
            }
        };
        match actual == *expected {
            true => Ok(()),
            false => Err(SealError::Digest { expected: *expected, actual }),
        }
    }
}

/// A draft whose length and digest are right: bytes that may enter the store.
pub struct Proved {
    file: Arc<DraftFile>,
    digest: Digest,
    size: u64,
}

impl Proved {
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Bytes in all.
    pub fn len(&self) -> u64 {
        self.size
    }

    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Syncs the bytes; a failed sync is final. From here on the file lives no longer than its handles, unless placed.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.file.sync()
    }

    /// Moves the file to `shard` under `name`.
    pub(super) fn place(&self, shard: &Folder, name: &str) -> io::Result<()> {
        self.file.place(shard, name)
    }
}

/// Positional reads of a draft's bytes on one shared handle.
#[derive(Clone)]
pub struct DraftView {
    draft: Arc<DraftFile>,
}

impl DraftView {
    /// The bytes of `range`, which must be written already.
    pub fn chunks(&self, range: Range<u64>) -> Chunks {
        Chunks::new(self.draft.handle().clone(), range)
    }
}

/// The hash of the first `len` bytes of `file`.
pub(super) fn hash(file: &File, algorithm: Algorithm, len: u64) -> io::Result<Hasher> {
    let mut hasher = Hasher::new(algorithm);
    let mut buffer = vec![0; 256 * 1024];
    let mut at = 0;
    while at < len {
        let wanted = (len - at).min(buffer.len() as u64) as usize;
        file.read_exact_at(&mut buffer[..wanted], at)?;
        hasher.update(&buffer[..wanted]);
        at += wanted as u64;
    }
    Ok(hasher)
}

/// Runs `work` where it may wait for the disk.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, StoreError> + Send + 'static) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn lost() -> StoreError {
    StoreError::Io(io::Error::other("an append to this draft broke off"))
}

/// The bytes are not what they should be.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error("the bytes have the digest {actual}, not {expected}")]
    Digest { expected: Digest, actual: Digest },
    #[error("there are {actual} bytes, not {expected}")]
    Length { expected: u64, actual: u64 },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The local disk failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No room: the disk or the quota is full, or the reserve would be touched.
    #[error("no space is left for more bytes")]
    Full,
    #[error("the store cannot be used: {0}")]
    Io(#[source] io::Error),
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> StoreError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full,
            _ => StoreError::Io(error),
        }
    }
}
