//! Every fetch under way. A newcomer meets the flight or the blob, never neither.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use super::confirm::Confirmations;
use super::fetch::{Flight, Following};
use super::progress::End;
use super::roster::Admission;
use super::{FetchError, Follower, Source, Tuning, Wish, pilot};
use crate::index::{Change, CommitError, Expect, Index, Promise};
use crate::oci::Digest;
use crate::store::{BlobStore, Draft};
use crate::upstream::Budget;

/// The flights, and the drafts of stopped ones.
pub struct Board {
    pub(super) store: Arc<dyn BlobStore>,
    pub(super) index: Arc<dyn Index>,
    pub(super) tuning: Tuning,
    flights: Mutex<HashMap<Digest, Arc<Flight>>>,
    shelf: Mutex<HashMap<Digest, Shelved>>,
    confirmations: Confirmations,
}

/// A stopped flight's draft.
struct Shelved {
    draft: Draft,
    total: Option<u64>,
    /// Tells this one from a later one of the same digest.
    mark: Arc<()>,
}

impl Board {
    /// An empty board over a store and the index that knows what is in it.
    pub fn new(store: Arc<dyn BlobStore>, index: Arc<dyn Index>, tuning: Tuning) -> Arc<Board> {
        Arc::new(Board {
            store,
            index,
            tuning,
            flights: Mutex::default(),
            shelf: Mutex::default(),
            confirmations: Confirmations::default(),
        })
    }

    /// Joins the fetch of the blob or starts it. `size` comes from the edge, where there is one; `budget` bounds the
    /// question whether the source's repository has what is here or in flight for another.
    pub async fn join(
        self: &Arc<Self>,
        digest: &Digest,
        size: Option<u64>,
        source: Arc<dyn Source>,
        wish: Wish,
        budget: Budget,
    ) -> Result<Follower, FetchError> {
        let mut confirmed = false;
        loop {
            let (flight, following, started) = self.aboard(digest, size, &source, wish);
            flight.begun().await;
            match flight.admit(&source, confirmed) {
                Admission::Admitted => return Ok(Follower::tailing(flight, following, size, source, self.tuning)),
                Admission::Unconfirmed => self.confirm(digest, &source, budget).await?,
                Admission::Closed => match flight.ended().await {
                    End::Landed => {
                        if let Some(follower) = self.stored(digest, size, &source, confirmed, budget).await? {
                            return Ok(follower);
                        }
                    }
                    // His own was over before he was in: another one would fare no better.
                    End::Failed(error) if started => return Err(error),
                    End::Passing if started => return Ok(Follower::tailing(flight, following, size, source, self.tuning)),
                    End::Failed(_) | End::Passing => continue,
                },
            }
            confirmed = true;
        }
    }

    /// Fetches under way.
    pub fn under_way(&self) -> usize {
        self.flights().len()
    }

    /// The blob's flight, and whether it had to be started.
    fn aboard(
        self: &Arc<Self>,
        digest: &Digest,
        size: Option<u64>,
        source: &Arc<dyn Source>,
        wish: Wish,
    ) -> (Arc<Flight>, Following, bool) {
        let mut flights = self.flights();
        if let Some(flight) = flights.get(digest).cloned() {
            drop(flights);
            let following = Following::new(&flight, wish);
            return (flight, following, false);
        }
        let flight = Flight::new(*digest, size, source.clone(), &self.tuning);
        let following = Following::new(&flight, wish);
        flights.insert(*digest, flight.clone());
        drop(flights);
        pilot::launch(self, flight.clone());
        (flight, following, true)
    }

    async fn confirm(&self, digest: &Digest, source: &Arc<dyn Source>, budget: Budget) -> Result<(), FetchError> {
        if self.index.linked(source.repository(), digest).await? {
            return Ok(());
        }
        Ok(self.confirmations.ask(digest, &**source, budget).await?)
    }

    /// A follower of the bytes in the store; `None` when they went meanwhile.
    async fn stored(
        &self,
        digest: &Digest,
        size: Option<u64>,
        source: &Arc<dyn Source>,
        confirmed: bool,
        budget: Budget,
    ) -> Result<Option<Follower>, FetchError> {
        let lease = self.index.lease(&[*digest]);
        let Some(row) = self.index.blob(digest).await? else { return Ok(None) };
        let repository = source.repository();
        if !self.index.linked(repository, digest).await? {
            if !confirmed {
                self.confirm(digest, source, budget).await?;
            }
            let link = Change::Link { repository: repository.clone(), digest: *digest };
            match self.index.commit(vec![Expect::Live(*digest)], vec![link], Promise::Appended).await {
                Err(CommitError::Refused(_)) => return Ok(None),
                // The right is proved, only its memory is missing: the next one asks again.
                Err(error) => tracing::warn!(%repository, %digest, %error, "a link could not be recorded"),
                Ok(()) => {}
            }
        }
        Ok(Some(Follower::stored(*digest, row.size, lease, size, source.clone(), self.store.clone())))
    }

    /// Takes the flight off the board, unless another one of the same digest is there by now.
    pub(super) fn leave(&self, flight: &Arc<Flight>) {
        let mut flights = self.flights();
        if flights.get(&flight.digest).is_some_and(|there| Arc::ptr_eq(there, flight)) {
            flights.remove(&flight.digest);
        }
    }

    /// Keeps the draft of a stopped flight for a while.
    pub(super) fn shelve(self: &Arc<Self>, digest: Digest, draft: Draft, total: Option<u64>) {
        let mark = Arc::new(());
        let (board, kept) = (Arc::downgrade(self), mark.clone());
        self.shelf().insert(digest, Shelved { draft, total, mark });
        let time = self.tuning.shelf;
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            if let Some(board) = board.upgrade() {
                let mut shelf = board.shelf();
                if shelf.get(&digest).is_some_and(|shelved| Arc::ptr_eq(&shelved.mark, &kept)) {
                    shelf.remove(&digest);
                }
            }
        });
    }

    /// The draft of an earlier flight of a blob of that size.
    pub(super) fn unshelve(&self, digest: &Digest, size: Option<u64>) -> Option<(Draft, Option<u64>)> {
        let Shelved { draft, total, .. } = self.shelf().remove(digest)?;
        (size.is_none() || total.is_none() || size == total).then_some((draft, total))
    }

    /// Gives up every kept draft, for room.
    pub(super) fn clear_shelf(&self) {
        self.shelf().clear();
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<Digest, Arc<Flight>>> {
        self.flights.lock().expect("no panic while it is held")
    }

    fn shelf(&self) -> MutexGuard<'_, HashMap<Digest, Shelved>> {
        self.shelf.lock().expect("no panic while it is held")
    }
}
