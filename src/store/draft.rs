//! Drafts: files in staging, hashed as they grow.

use bytes::Bytes;

use super::Chunks;
use crate::oci::Digest;

/// What a draft is for, which decides how long it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DraftName {
    /// An upload session's, by its id.
    Upload(String),
    /// A fetch's.
    Fetch,
}

/// A growing file, hashed over its contiguous bytes.
pub struct Draft;

impl Draft {
    /// Bytes written and hashed.
    pub fn len(&self) -> u64 {
        0
    }

    /// A reader of what is written so far and from now on; it outlives the draft, its sealing and the blob's removal.
    pub fn view(&self) -> DraftView {
        DraftView
    }

    /// Appends the chunks in order, on the blocking pool.
    pub async fn append(&mut self, _chunks: Vec<Bytes>) -> Result<(), StoreError> {
        Ok(())
    }

    /// Checks length and digest. On failure the draft is gone.
    pub async fn prove(self, _digest: &Digest, _size: Option<u64>) -> Result<Proved, SealError> {
        Ok(Proved)
    }
}

/// A draft whose length and digest are right, not yet synced.
pub struct Proved;

impl Proved {
    /// Syncs the bytes; a failed sync is final.
    pub async fn sync(self) -> Result<Sealed, StoreError> {
        Ok(Sealed)
    }
}

/// Bytes that may enter the store.
pub struct Sealed;

/// Positional reads of a draft's bytes on one shared handle.
#[derive(Clone)]
pub struct DraftView;

impl DraftView {
    /// The bytes of `range`, which must be written already.
    pub fn chunks(&self, _range: std::ops::Range<u64>) -> Chunks {
        Chunks
    }
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
    Io(#[from] std::io::Error),
}
