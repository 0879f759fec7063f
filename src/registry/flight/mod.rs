//! Flights: one fetch of one blob, however many ask for it at once.
//!
//! The pilot is a task of its own and belongs to no client. Followers read the growing draft; nobody gets its last
//! 64 KiB before length and digest are right, so nobody can assemble a whole wrong blob.

mod board;
mod body;
mod confirm;
mod demand;
mod fetch;
mod follower;
mod intake;
mod landing;
mod pace;
mod passage;
mod pilot;
mod places;
mod progress;
mod ring;
mod roster;
mod segments;
#[cfg(test)]
mod tests;
mod tuning;

use std::sync::Arc;

use async_trait::async_trait;

pub use board::Board;
pub use body::FlightBody;
pub use follower::{Follower, Head};
pub use places::Places;
pub use tuning::Tuning;

use crate::index::{CommitError, Unavailable};
use crate::oci::{Digest, Repository};
use crate::store::StoreError;
use crate::upstream::{BlobAnswer, Budget, Refusal};

/// The end of a blob that is held back until it is proved, in bytes.
pub const HELD_BACK: u64 = 64 << 10;

/// Who asks, which decides whether the fetch goes on without them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// A client that reads.
    Client,
    /// Somebody who wants it here, read or not.
    Prefetch,
    /// Nobody yet: a layer of an image whose first blob was asked for.
    Ahead,
}

/// One cached repository at its own upstream.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// What gains the link when the blob has landed.
    fn repository(&self) -> &Repository;
    /// How many blob bodies this upstream sends at once.
    fn places(&self) -> &Arc<Places>;
    /// By how many bodies at once a large blob may come.
    fn segments(&self) -> usize;
    /// The bytes of the blob from `from` on, up to `until` or its end.
    async fn open(&self, digest: &Digest, from: u64, until: Option<u64>, budget: Budget) -> Result<BlobAnswer, Refusal>;
    /// Whether this repository has the blob at its upstream (a HEAD answered 200), and its size where that is told.
    async fn confirm(&self, digest: &Digest, budget: Budget) -> Result<Option<u64>, Refusal>;
}

/// Why there are no bytes. Every follower of a failed flight gets the same, but "absent" and "denied" go only to those
/// who came by the source that said so.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FetchError {
    /// What the source said, a wrong length and wrong bytes included.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The bytes can only pass through: there is no room for them here.
    #[error(transparent)]
    Store(#[from] Arc<StoreError>),
    #[error(transparent)]
    Index(#[from] Unavailable),
    /// The bytes are right, but that they are here could not be recorded.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Nobody followed for long enough.
    #[error("the fetch of {0} was stopped because nobody followed it")]
    Unfollowed(Digest),
    /// The pilot is gone without a word: a bug, or the end of the process.
    #[error("the fetch of {0} broke off")]
    Lost(Digest),
}

impl From<StoreError> for FetchError {
    fn from(error: StoreError) -> FetchError {
        FetchError::Store(Arc::new(error))
    }
}
