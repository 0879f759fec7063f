//! Who waits for a blob: for its headers, its bytes, or its landing.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::body::FlightBody;
use super::fetch::{Flight, Following, verdict};
use super::intake::failed;
use super::progress::{End, Progress};
use super::{FetchError, HELD_BACK, Source, Tuning};
use crate::index::Lease;
use crate::oci::Digest;
use crate::store::{BlobStore, StoreError};
use crate::upstream::{Budget, Cause};

/// A joiner. Dropping it leaves the flight.
pub struct Follower {
    /// What the joiner's edge says.
    size: Option<u64>,
    source: Arc<dyn Source>,
    bytes: Bytes,
}

/// Where a follower's bytes are.
enum Bytes {
    Tailing { flight: Arc<Flight>, following: Following, tuning: Tuning },
    Stored { digest: Digest, size: u64, lease: Lease, store: Arc<dyn BlobStore> },
}

/// What the answer's headers can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Size of the blob in bytes; `None` when the upstream does not tell before the end.
    pub total: Option<u64>,
}

impl Follower {
    pub(super) fn tailing(
        flight: Arc<Flight>,
        following: Following,
        size: Option<u64>,
        source: Arc<dyn Source>,
        tuning: Tuning,
    ) -> Follower {
        Follower { size, source, bytes: Bytes::Tailing { flight, following, tuning } }
    }

    pub(super) fn stored(
        digest: Digest,
        size: u64,
        lease: Lease,
        edge: Option<u64>,
        source: Arc<dyn Source>,
        store: Arc<dyn BlobStore>,
    ) -> Follower {
        Follower { size: edge, source, bytes: Bytes::Stored { digest, size, lease, store } }
    }

    /// Waits until the answer's headers can be sent: the size is known, or known to be unknown. A blob of at most
    /// 64 KiB is proved first.
    pub async fn head(&self, budget: Budget) -> Result<Head, FetchError> {
        let asked = Instant::now();
        let total = match &self.bytes {
            Bytes::Stored { size, .. } => Some(*size),
            Bytes::Tailing { flight, .. } => {
                let known = flight.until(|progress| self.known(progress));
                tokio::time::timeout_at(budget.until.into(), known)
                    .await
                    .map_err(|_| failed(&*self.source, Cause::Timeout(asked.elapsed())))??
            }
        };
        match (self.size, total) {
            (Some(edge), Some(total)) if edge != total => {
                let text = format!("it has {total} bytes, not {edge}");
                Err(failed(&*self.source, Cause::Malformed { what: "blob", text }).into())
            }
            _ => Ok(Head { total: total.or(self.size) }),
        }
    }

    fn known(&self, progress: &Progress) -> Option<Result<Option<u64>, FetchError>> {
        if let Some(error) = verdict(progress, self.source.repository()) {
            return Some(Err(error));
        }
        let small = progress.total.unwrap_or(progress.extents.prefix()) <= HELD_BACK;
        let passing = matches!(progress.end, Some(End::Passing));
        (progress.proved || passing || progress.opened && !small).then_some(Ok(progress.total))
    }

    /// The bytes of `range`, which must lie within the blob; all of them without one.
    pub fn body(self, range: Option<Range<u64>>) -> FlightBody {
        match self.bytes {
            Bytes::Stored { digest, size, lease, store } => FlightBody::stored(store, digest, range.unwrap_or(0..size), lease),
            Bytes::Tailing { flight, following, tuning } => FlightBody::tailing(flight, following, self.source, range, tuning),
        }
    }

    /// Waits until the blob is stored and visible. Its size.
    pub async fn landed(&self) -> Result<u64, FetchError> {
        match &self.bytes {
            Bytes::Stored { size, .. } => Ok(*size),
            Bytes::Tailing { flight, .. } => flight.until(|progress| self.down(progress)).await,
        }
    }

    fn down(&self, progress: &Progress) -> Option<Result<u64, FetchError>> {
        if let Some(error) = verdict(progress, self.source.repository()) {
            return Some(Err(error));
        }
        match progress.end.as_ref()? {
            End::Landed => Some(Ok(progress.total.unwrap_or_default())),
            End::Passing => Some(Err(StoreError::Full.into())),
            End::Failed(error) => Some(Err(error.clone())),
        }
    }
}
