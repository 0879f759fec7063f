//! One flight: what its pilot and its followers share.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::{Notify, OnceCell, watch};

use super::demand::Demand;
use super::progress::{End, Progress};
use super::ring::Ring;
use super::roster::{Admission, Roster};
use super::{FetchError, Source, Tuning, Wish};
use crate::oci::{Digest, Hasher, Repository};
use crate::store::DraftView;
use crate::upstream::Refusal;

pub(super) struct Flight {
    pub(super) digest: Digest,
    /// Told by the pilot alone, in steps that are worth a wake-up.
    pub(super) progress: watch::Sender<Progress>,
    pub(super) demand: Arc<Demand>,
    /// Set before the first progress.
    pub(super) view: OnceLock<DraftView>,
    ring: Mutex<Ring>,
    /// Where readers wait far ahead of the head.
    calls: Mutex<Vec<u64>>,
    called: Notify,
    roster: Mutex<Roster>,
    /// The hash of what a flight without room had stored.
    stored: OnceCell<Hasher>,
}

impl Flight {
    pub(super) fn new(digest: Digest, size: Option<u64>, source: Arc<dyn Source>, tuning: &Tuning) -> Arc<Flight> {
        Arc::new(Flight {
            digest,
            progress: watch::Sender::new(Progress { total: size, ..Progress::default() }),
            demand: Arc::new(Demand::new()),
            view: OnceLock::new(),
            ring: Mutex::new(Ring::new(tuning.ring)),
            calls: Mutex::default(),
            called: Notify::new(),
            roster: Mutex::new(Roster::started_by(source)),
            stored: OnceCell::new(),
        })
    }

    /// Lets a joiner in whose repository is confirmed, or in by another joiner.
    pub(super) fn admit(&self, source: &Arc<dyn Source>, confirmed: bool) -> Admission {
        let proved = self.progress.borrow().proved;
        let admission = self.roster().admit(source, confirmed, proved);
        let repository = source.repository();
        if confirmed && admission == Admission::Admitted && self.progress.borrow().refusal(repository).is_some() {
            self.progress.send_modify(|progress| progress.refused.retain(|(refused, _)| refused != repository));
        }
        admission
    }

    pub(super) fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().expect("no panic while it is held")
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().expect("no panic while it is held")
    }

    /// The current source is out, and its repository's followers with it unless they have a right of their own.
    pub(super) fn out(&self, refusal: Refusal) {
        let loser = self.roster().out(refusal.clone());
        if let Some(repository) = loser {
            self.progress.send_modify(|progress| progress.refused.push((repository, refusal)));
        }
    }

    /// Remembers those of the written bytes that go on from `head`; they are shown once told.
    pub(super) fn remember(&self, mut head: u64, chunks: Vec<(u64, Bytes)>) {
        let mut ring = self.ring();
        for (offset, chunk) in chunks {
            if offset == head {
                head += chunk.len() as u64;
                ring.push(offset, chunk);
            }
        }
    }

    /// Some bytes from `position` on, where they are in memory.
    pub(super) fn recent(&self, position: u64) -> Option<Bytes> {
        self.ring().at(position)
    }

    /// A reader waits at that byte, far ahead of the head.
    pub(super) fn call(&self, position: u64) {
        self.calls.lock().expect("no panic while it is held").push(position);
        self.called.notify_one();
    }

    /// Waits until a reader calls.
    pub(super) async fn called(&self) {
        self.called.notified().await;
    }

    /// Where readers called from since this was asked last.
    pub(super) fn calls(&self) -> Vec<u64> {
        std::mem::take(&mut self.calls.lock().expect("no panic while it is held"))
    }

    /// Closes the flight to joiners if nobody follows it, nobody has for `linger`, and it is not worth finishing.
    pub(super) fn abandoned(&self, tuning: &Tuning) -> bool {
        if !self.demand.alone_for(tuning.linger) || self.demand.wished() {
            return false;
        }
        let progress = self.progress.borrow();
        let (total, reached) = (progress.total, progress.extents.covered());
        drop(progress);
        if total.unwrap_or(reached) < tuning.small || total.is_some_and(|total| reached > total / 4) {
            return false;
        }
        let mut roster = self.roster();
        // A joiner counts as a follower before it asks the roster.
        let abandoned = !self.demand.wanted();
        if abandoned {
            roster.close();
        }
        abandoned
    }

    /// The last word. Nobody reads from memory after it: the draft is whole, or nothing follows.
    pub(super) fn announce(&self, end: End) {
        self.ring().clear();
        self.progress.send_modify(|progress| progress.end = Some(end));
    }

    /// Waits until the pilot has looked whether there is anything to fetch.
    pub(super) async fn begun(&self) {
        self.until(|progress| (progress.begun || progress.end.is_some()).then_some(())).await;
    }

    pub(super) async fn ended(&self) -> End {
        self.until(|progress| progress.end.clone()).await
    }

    /// Waits until `look` finds what it looks for.
    pub(super) async fn until<T>(&self, look: impl Fn(&Progress) -> Option<T>) -> T {
        let mut progress = self.progress.subscribe();
        loop {
            if let Some(found) = look(&progress.borrow_and_update()) {
                return found;
            }
            progress.changed().await.expect("the sender is borrowed with the flight");
        }
    }

    /// The hash over the first `length` bytes of the draft, for those who go on without it. Read once.
    pub(super) async fn hashed(&self, length: u64) -> io::Result<Hasher> {
        let read = async || {
            let mut hasher = Hasher::new(self.digest.algorithm());
            if let Some(view) = self.view.get().filter(|_| length > 0) {
                let mut chunks = view.chunks(0..length);
                while let Some(chunk) = chunks.next().await {
                    hasher.update(&chunk?);
                }
            }
            Ok(hasher)
        };
        self.stored.get_or_try_init(read).await.cloned()
    }
}

/// A follower, as long as it follows.
pub(super) struct Following {
    flight: Arc<Flight>,
    wish: Wish,
}

impl Following {
    pub(super) fn new(flight: &Arc<Flight>, wish: Wish) -> Following {
        if flight.demand.add(wish) {
            reconsider(flight);
        }
        Following { flight: flight.clone(), wish }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        if self.flight.demand.leave(self.wish) {
            reconsider(&self.flight);
        }
    }
}

/// Being wanted or not any more changes who may run.
fn reconsider(flight: &Flight) {
    let places: Vec<_> = flight.roster().sources().map(|source| source.places().clone()).collect();
    places.iter().for_each(|places| places.settle());
}

/// An error that only the repository's own followers see, or everybody's.
pub(super) fn verdict(progress: &Progress, repository: &Repository) -> Option<FetchError> {
    if let Some(refusal) = progress.refusal(repository) {
        return Some(FetchError::Refused(refusal.clone()));
    }
    match &progress.end {
        Some(End::Failed(error)) if !progress.proved => Some(error.clone()),
        _ => None,
    }
}
