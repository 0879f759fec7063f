//! Bytes at rest: content-addressed blobs and the drafts that become them.
//!
//! Unverified bytes cannot enter: [`BlobStore::admit`] takes a [`Proved`], and only a [`Draft`] whose length and
//! digest were checked becomes one. No path, handle or rename leaves this room.

mod chunks;
mod draft;
mod folder;
mod fs;
mod lock;
mod space;
mod staging;
#[cfg(test)]
mod suite;
#[cfg(test)]
mod tests;
mod tree;

use std::ops::Range;

use async_trait::async_trait;

pub use chunks::Chunks;
pub use draft::{Draft, DraftName, DraftView, Proved, SealError, StoreError};
pub use fs::FileStore;

use crate::oci::Digest;

/// Where blobs lie.
#[async_trait]
pub trait BlobStore: Send + Sync + 'static {
    /// A new, empty draft on the local disk. One of [`DraftName::Upload`] outlives its handle and the process, until it
    /// is admitted or discarded; one of [`DraftName::Fetch`] is deleted when its last handle is dropped.
    async fn draft(&self, name: DraftName) -> Result<Draft, StoreError>;
    /// The draft of an upload from before a restart, hashed again; `None` when there is none.
    async fn reopen(&self, upload: &str) -> Result<Option<Draft>, StoreError>;
    /// Deletes the draft of an upload.
    async fn discard(&self, upload: &str) -> Result<(), StoreError>;
    /// The ids of the uploads whose drafts lie in staging.
    async fn uploads(&self) -> Result<Vec<String>, StoreError>;

    /// Puts the bytes in their place, over rotten ones if need be, so that they survive power loss. May take minutes. When it
    /// fails they are gone.
    async fn admit(&self, proved: Proved) -> Result<(), StoreError>;
    /// The bytes of `range`, which must lie within the blob; `None` when the blob is not here.
    /// The stream goes on when the blob is removed meanwhile.
    async fn read(&self, digest: &Digest, range: Range<u64>) -> Result<Option<Chunks>, StoreError>;
    /// The blob's size in bytes.
    async fn stat(&self, digest: &Digest) -> Result<Option<u64>, StoreError>;
    /// Removes the bytes; whether they were there.
    async fn remove(&self, digest: &Digest) -> Result<bool, StoreError>;
    /// Blobs and their sizes in the order of their digests, beginning after `after`, at most `limit`.
    async fn list(&self, after: Option<&Digest>, limit: usize) -> Result<Vec<(Digest, u64)>, StoreError>;
    /// Bytes that may still be written before the reserve is touched.
    fn room(&self) -> u64;
}
