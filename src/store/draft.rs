//! Drafts: files in staging, hashed as they grow.
//!
//! Bytes may be written anywhere; the hash runs over the contiguous prefix and nothing else. Only a draft without gaps whose
//! length and digest were checked becomes [`Proved`].

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::folder::Folder;
use super::staging::DraftFile;
use super::{Chunks, Extents};
use crate::oci::{Algorithm, Digest, Hasher};

/// What a draft is for, which decides how long it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DraftName {
    /// An upload session's, by its id.
    Upload(String),
    /// A fetch's.
    Fetch,
}

/// How many bytes from behind the prefix one write reads and hashes, at most: the next write should not wait for long.
const CATCH_UP: u64 = 8 << 20;

/// A growing file, hashed over its contiguous prefix.
pub struct Draft {
    file: Arc<DraftFile>,
    written: Written,
    /// Not here while a write runs, and lost with one that panicked.
    hasher: Option<Hasher>,
    running: Option<JoinHandle<Outcome>>,
}

/// Which bytes the file has, and how far from the first they are hashed.
#[derive(Clone, Default)]
struct Written {
    extents: Extents,
    hashed: u64,
}

/// What a write leaves. The hash is always over exactly the bytes that count as hashed.
type Outcome = (Hasher, Written, Result<(), StoreError>);

impl Draft {
    pub(super) fn new(file: DraftFile, len: u64, hasher: Hasher) -> Draft {
        let mut written = Written { hashed: len, ..Written::default() };
        written.extents.insert(0..len);
        Draft { file: Arc::new(file), written, hasher: Some(hasher), running: None }
    }

    /// Length of the contiguous prefix, in bytes.
    pub fn len(&self) -> u64 {
        self.written.extents.prefix()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Which bytes are written.
    pub fn extents(&self) -> &Extents {
        &self.written.extents
    }

    /// A reader of what is written so far and from now on; it outlives the draft, its sealing and the blob's removal.
    pub fn view(&self) -> DraftView {
        DraftView { draft: self.file.clone() }
    }

    /// Appends the chunks in order, as [`Draft::write`] does.
    pub async fn append(&mut self, chunks: Vec<Bytes>) -> Result<(), StoreError> {
        let mut at = self.settle().await;
        let place = |chunk: Bytes| {
            let offset = at;
            at += chunk.len() as u64;
            (offset, chunk)
        };
        self.write(chunks.into_iter().map(place).collect()).await
    }

    /// Writes each chunk at its offset, on the blocking pool. What is written cannot be written again, for it may be hashed.
    /// After an error the length is what it was. A write whose future is dropped goes on by itself: see [`Draft::settle`].
    pub async fn write(&mut self, chunks: Vec<(u64, Bytes)>) -> Result<(), StoreError> {
        self.settle().await;
        let mut hasher = self.hasher.take().ok_or_else(lost)?;
        let (file, mut written) = (self.file.clone(), self.written.clone());
        self.running = Some(tokio::task::spawn_blocking(move || {
            let result = written.write(&chunks, &mut hasher, &file);
            (hasher, written, result)
        }));
        self.finish_running().await
    }

    /// Waits for a write whose future was dropped, and returns the length after it.
    pub async fn settle(&mut self) -> u64 {
        // Who asked for that write is gone; the length tells whether it worked.
        let _ = self.finish_running().await;
        self.len()
    }

    async fn finish_running(&mut self) -> Result<(), StoreError> {
        let Some(running) = &mut self.running else { return Ok(()) };
        let ended = running.await;
        self.running = None;
        let (hasher, written, result) = ended.map_err(io::Error::other)?;
        (self.hasher, self.written) = (Some(hasher), written);
        result
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
        checked.map(|()| Proved { file: self.file, digest: *digest, size: self.written.hashed })
    }

    async fn check(&mut self, expected: &Digest, size: Option<u64>) -> Result<(), SealError> {
        let (len, end) = (self.len(), self.written.extents.end());
        let expected_len = size.unwrap_or(end);
        if len != end || len != expected_len {
            return Err(SealError::Length { expected: expected_len, actual: len });
        }
        while self.written.hashed < len {
            self.write(Vec::new()).await?;
        }
        let hasher = self.hasher.take().ok_or_else(lost)?;
        let actual = match expected.algorithm() {
            Algorithm::Sha256 => hasher.finish(),
            other => {
                let file = self.file.clone();
                blocking(move || Ok(hash(file.handle(), other, len)?)).await?.finish()
            }
        };
        match actual == *expected {
            true => Ok(()),
            false => Err(SealError::Digest { expected: *expected, actual }),
        }
    }
}

impl Written {
    /// Writes the chunks and hashes those that the prefix has reached, then what lies behind them in the file.
    fn write(&mut self, chunks: &[(u64, Bytes)], hasher: &mut Hasher, file: &DraftFile) -> Result<(), StoreError> {
        let mut extents = self.extents.clone();
        for (at, chunk) in chunks.iter().filter(|(_, chunk)| !chunk.is_empty()) {
            let range = *at..*at + chunk.len() as u64;
            if extents.gap(range.start, range.end).as_ref() != Some(&range) {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "these bytes of the draft are written already").into());
            }
            extents.insert(range);
        }
        file.write(chunks, self.extents.end())?;
        self.extents = extents;
        for (at, chunk) in chunks {
            if *at == self.hashed {
                hasher.update(chunk);
                self.hashed += chunk.len() as u64;
            }
        }
        let upto = self.extents.prefix().min(self.hashed + CATCH_UP);
        Ok(hash_on(file.handle(), hasher, &mut self.hashed, upto)?)
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
    hash_on(file, &mut hasher, &mut 0, len)?;
    Ok(hasher)
}

/// Goes on with a hash that is at the byte `at`, up to the byte `end`.
fn hash_on(file: &File, hasher: &mut Hasher, at: &mut u64, end: u64) -> io::Result<()> {
    if *at >= end {
        return Ok(());
    }
    let mut buffer = vec![0; 256 * 1024];
    while *at < end {
        let wanted = (end - *at).min(buffer.len() as u64) as usize;
        file.read_exact_at(&mut buffer[..wanted], *at)?;
        hasher.update(&buffer[..wanted]);
        *at += wanted as u64;
    }
    Ok(())
}

/// Runs `work` where it may wait for the disk.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, StoreError> + Send + 'static) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn lost() -> StoreError {
    StoreError::Io(io::Error::other("a write to this draft broke off"))
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
