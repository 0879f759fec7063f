//! How far a flight is, as its followers see it.

use super::FetchError;
use super::HELD_BACK;
use crate::oci::Repository;
use crate::store::Extents;
use crate::upstream::Refusal;

#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// The blob is not in the store, and is being fetched.
    pub(super) begun: bool,
    /// A source has answered with the bytes: what follows may be told to clients.
    pub(super) opened: bool,
    /// Size of the blob: the edge's, else the upstream's, else known when proved.
    pub(super) total: Option<u64>,
    pub(super) extents: Extents,
    /// Length and digest are right.
    pub(super) proved: bool,
    /// Repositories whose own upstream did not give it; their followers get nothing.
    pub(super) refused: Vec<(Repository, Refusal)>,
    pub(super) end: Option<End>,
}

/// How a flight ended.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// The bytes are in the store and the index says so.
    Landed,
    /// Nothing more may be stored: each follower goes on by itself.
    Passing,
    Failed(FetchError),
}

impl Progress {
    /// Where the bytes that begin at `position` and may be handed out end.
    pub(super) fn readable(&self, position: u64) -> u64 {
        let end = self.extents.end_from(position);
        match (self.proved, self.total) {
            (true, _) => end,
            (false, Some(total)) => end.min(total.saturating_sub(HELD_BACK)),
            (false, None) => end.min(self.extents.prefix().saturating_sub(HELD_BACK)),
        }
    }

    /// What the repository's own upstream said, where it refused.
    pub(super) fn refusal(&self, repository: &Repository) -> Option<&Refusal> {
        self.refused.iter().find(|(refused, _)| refused == repository).map(|(_, refusal)| refusal)
    }
}
