//! What can go wrong in the registry, in its own words: what happened, who is to blame, whether waiting helps.
//!
//! The message is a sentence for the person at the client, with the remedy where there is one.

use std::time::Duration;

use crate::index::{CommitError, Unavailable};
use crate::oci::{Digest, InvalidManifest};
use crate::store::{SealError, StoreError};
use crate::upstream::{Cause, Refusal};

/// A request that could not be done.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    pub kind: Kind,
    pub message: String,
    /// When it is worth asking again, where somebody said so.
    pub retry_after: Option<Duration>,
    /// Digests that the message is about.
    pub digests: Vec<Digest>,
}

/// The kinds of failure. One file of the server maps each to its HTTP status and registry code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    // the client asked for what is not there
    ManifestUnknown,
    BlobUnknown,
    NameUnknown,
    UploadUnknown,
    // the client sent what cannot be taken
    NameInvalid,
    DigestInvalid,
    ManifestInvalid,
    ManifestTooLarge,
    TooManyTags,
    ManifestBlobUnknown,
    UploadInvalid,
    UploadRange,
    Unsupported,
    // the client may not
    LogIn,
    Denied,
    TagImmutable,
    // others failed
    UpstreamFailed,
    UpstreamTimeout,
    UpstreamLimited,
    // we failed
    NoSpace,
    Unavailable,
    Internal,
}

impl Kind {
    /// Every kind, for the table that maps them.
    pub const ALL: [Kind; 22] = [
        Kind::ManifestUnknown,
        Kind::BlobUnknown,
        Kind::NameUnknown,
        Kind::UploadUnknown,
        Kind::NameInvalid,
        Kind::DigestInvalid,
        Kind::ManifestInvalid,
        Kind::ManifestTooLarge,
        Kind::TooManyTags,
        Kind::ManifestBlobUnknown,
        Kind::UploadInvalid,
        Kind::UploadRange,
        Kind::Unsupported,
        Kind::LogIn,
        Kind::Denied,
        Kind::TagImmutable,
        Kind::UpstreamFailed,
        Kind::UpstreamTimeout,
        Kind::UpstreamLimited,
        Kind::NoSpace,
        Kind::Unavailable,
        Kind::Internal,
    ];
}

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into(), retry_after: None, digests: Vec::new() }
    }

    /// The upstream's refusal as the last word on `what`, for which absent and denied are `unknown`.
    pub fn refused(refusal: &Refusal, unknown: Kind, what: &str) -> Error {
        match refusal {
            Refusal::Absent { source_name } => Error::new(unknown, format!("{what} does not exist at {source_name}")),
            Refusal::Denied { source_name } => {
                Error::new(unknown, format!("{what} does not exist at {source_name} or needs a log-in there"))
            }
            Refusal::Failed { source_name, cause } => {
                let (kind, retry_after) = match cause {
                    Cause::Timeout(_) => (Kind::UpstreamTimeout, None),
                    Cause::RateLimited { retry_after } => (Kind::UpstreamLimited, *retry_after),
                    Cause::Spared(scarcity) => (Kind::UpstreamLimited, Some(scarcity.wait)),
                    _ => (Kind::UpstreamFailed, None),
                };
                let message = format!("{what} is not cached here, and {source_name} could not be asked: {cause}");
                Error { kind, message, retry_after, digests: Vec::new() }
            }
        }
    }
}

impl From<Unavailable> for Error {
    fn from(error: Unavailable) -> Error {
        Error { retry_after: Some(Duration::from_secs(5)), ..Error::new(Kind::Unavailable, error.to_string()) }
    }
}

impl From<CommitError> for Error {
    fn from(error: CommitError) -> Error {
        match error {
            CommitError::Unavailable(unavailable) => unavailable.into(),
            CommitError::NotWritten(why) => Error::new(Kind::NoSpace, format!("this cannot be recorded, nothing was changed: {why}")),
            CommitError::Refused(expect) => {
                Error::new(Kind::Unavailable, format!("somebody else changed this meanwhile ({expect:?}); try again"))
            }
            CommitError::InUse(digest) => Error::new(Kind::Unavailable, format!("{digest} is in use; try again")),
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Error {
        match error {
            StoreError::Full => {
                Error::new(Kind::NoSpace, "the registry's disk is full; ask its administrator to make room, then push again")
            }
            StoreError::Io(why) => {
                tracing::error!(error = %why, "the store failed");
                Error::new(Kind::Internal, "the registry's disk failed; its log says how")
            }
        }
    }
}

impl From<SealError> for Error {
    fn from(error: SealError) -> Error {
        match error {
            SealError::Store(store) => store.into(),
            SealError::Digest { .. } | SealError::Length { .. } => {
                Error::new(Kind::DigestInvalid, format!("the upload was damaged on its way: {error}; push it again"))
            }
        }
    }
}

impl From<InvalidManifest> for Error {
    fn from(error: InvalidManifest) -> Error {
        Error::new(Kind::ManifestInvalid, error.to_string())
    }
}
