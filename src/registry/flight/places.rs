//! At most so many blob bodies at once from one upstream.
//!
//! Who is wanted goes before who is not, and takes the place of a running one that is not: that one is called back,
//! leaves at its offset, and queues again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{Notify, oneshot};

use super::demand::Demand;

/// The places of one upstream.
pub struct Places(Mutex<State>);

struct State {
    free: usize,
    queue: VecDeque<Waiting>,
    running: Vec<Running>,
    next: u64,
}

struct Waiting {
    demand: Arc<Demand>,
    grant: oneshot::Sender<Place>,
}

struct Running {
    id: u64,
    demand: Arc<Demand>,
    recall: Arc<Notify>,
    recalled: bool,
}

/// The right to one body, until it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    id: u64,
    recall: Arc<Notify>,
}

impl Places {
    /// Room for `limit` bodies, at least one.
    pub fn new(limit: usize) -> Arc<Places> {
        Arc::new(Places(Mutex::new(State { free: limit.max(1), queue: VecDeque::new(), running: Vec::new(), next: 0 })))
    }

    /// Waits for a place.
    pub(super) async fn take(self: &Arc<Self>, demand: &Arc<Demand>) -> Place {
        let (grant, granted) = oneshot::channel();
        self.lock().queue.push_back(Waiting { demand: demand.clone(), grant });
        self.settle();
        granted.await.expect("who waits is granted a place or is gone")
    }

    /// Gives free places away and calls places back, as it must be after anyone came, left, or is wanted or not any more.
    pub(super) fn settle(self: &Arc<Self>) {
        // A grant to someone who has left comes back as a dropped place, which settles again: not under the lock.
        let granted = self.lock().grants(self);
        for (grant, place) in granted {
            drop(grant.send(place));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic while it is held")
    }
}

impl State {
    fn grants(&mut self, places: &Arc<Places>) -> Vec<(oneshot::Sender<Place>, Place)> {
        self.queue.retain(|waiting| !waiting.grant.is_closed());
        let mut granted = Vec::new();
        while self.free > 0
            && let Some(waiting) = self.pop()
        {
            let place = self.give(places, waiting.demand, Arc::default());
            granted.push((waiting.grant, place));
        }
        self.call_back();
        granted
    }

    fn give(&mut self, places: &Arc<Places>, demand: Arc<Demand>, recall: Arc<Notify>) -> Place {
        let id = self.next;
        self.next += 1;
        self.free -= 1;
        self.running.push(Running { id, demand, recall: recall.clone(), recalled: false });
        Place { places: places.clone(), id, recall }
    }

    /// The first who is wanted, else the first.
    fn pop(&mut self) -> Option<Waiting> {
        let wanted = self.queue.iter().position(|waiting| waiting.demand.wanted());
        self.queue.remove(wanted.unwrap_or(0))
    }

    /// One running unwanted place for each wanted one in the queue; the youngest first, which loses least.
    fn call_back(&mut self) {
        let wanted = self.queue.iter().filter(|waiting| waiting.demand.wanted()).count();
        let called = self.running.iter().filter(|running| running.recalled).count();
        let unwanted = self.running.iter_mut().rev().filter(|running| !running.recalled && !running.demand.wanted());
        for running in unwanted.take(wanted.saturating_sub(called)) {
            running.recalled = true;
            running.recall.notify_one();
        }
    }
}

impl Place {
    /// One more beside this, if one is free. Nobody wants it for itself: it is called back before one of a flight that is
    /// wanted would wait. Calls are heard at either.
    pub(super) fn another(&self) -> Option<Place> {
        let mut state = self.places.lock();
        (state.free > 0).then(|| state.give(&self.places, Arc::new(Demand::new()), self.recall.clone()))
    }

    /// Waits until somebody wanted needs this place, or one that was taken beside it.
    pub(super) async fn recalled(&self) {
        self.recall.notified().await;
    }

    /// What is told then.
    pub(super) fn recall(&self) -> Arc<Notify> {
        self.recall.clone()
    }

    pub(super) fn is_recalled(&self) -> bool {
        self.places.lock().running.iter().any(|running| running.id == self.id && running.recalled)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        {
            let mut state = self.places.lock();
            state.running.retain(|running| running.id != self.id);
            state.free += 1;
        }
        self.places.settle();
    }
}
