//! From proved bytes to a blob that everybody finds, and the end of every flight.

use std::sync::Arc;

use super::FetchError;
use super::board::Board;
use super::fetch::Flight;
use super::progress::End;
use crate::index::{Change, Promise};
use crate::store::Proved;

/// Admits the bytes, then records them and the link of every confirmed repository.
pub(super) async fn land(board: &Board, flight: &Flight, proved: Proved, size: u64) -> Result<(), FetchError> {
    let digest = flight.digest;
    let _lease = board.index.claim(&[digest]).await?;
    board.store.admit(proved).await?;
    let repositories = flight.roster().close();
    let links = repositories.into_iter().map(|repository| Change::Link { repository, digest });
    let changes = std::iter::once(Change::Live { digest, size }).chain(links).collect();
    Ok(board.index.commit(Vec::new(), changes, Promise::Appended).await?)
}

/// A flight's presence on the board. Dropping it is failure, for every follower.
pub(super) struct Aboard {
    pub(super) board: Arc<Board>,
    pub(super) flight: Arc<Flight>,
    left: bool,
}

impl Aboard {
    pub(super) fn new(board: Arc<Board>, flight: Arc<Flight>) -> Aboard {
        Aboard { board, flight, left: false }
    }

    /// Off the board first, announced then: who hears of a failure and tries again starts anew.
    pub(super) fn leave(&mut self, end: End) {
        self.left = true;
        let digest = self.flight.digest;
        match &end {
            End::Failed(error @ (FetchError::Refused(_) | FetchError::Unfollowed(_))) => tracing::debug!(%digest, %error, "a fetch failed"),
            End::Failed(error) => tracing::warn!(%digest, %error, "a fetch failed"),
            End::Passing => tracing::warn!(%digest, "no room: a blob passes through without being stored"),
            End::Landed => {}
        }
        self.flight.roster().close();
        self.board.leave(&self.flight);
        self.flight.announce(end);
    }
}

impl Drop for Aboard {
    fn drop(&mut self) {
        if !self.left {
            self.leave(End::Failed(FetchError::Lost(self.flight.digest)));
        }
    }
}
