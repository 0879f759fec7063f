//! Who wants a flight: it decides whether the flight may run before others, and whether it goes on at all.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::Wish;

/// Counts the followers of one flight, or stands for a single reader.
pub(super) struct Demand(Mutex<State>);

struct State {
    followers: usize,
    /// A prefetch asked for it, and may be gone.
    wished: bool,
    /// Since when nobody follows.
    alone: Instant,
}

impl Demand {
    pub(super) fn new() -> Demand {
        Demand(Mutex::new(State { followers: 0, wished: false, alone: Instant::now() }))
    }

    /// Adds a follower; whether it is the first.
    pub(super) fn add(&self, wish: Wish) -> bool {
        let mut state = self.lock();
        state.wished |= wish == Wish::Prefetch;
        state.followers += usize::from(wish != Wish::Ahead);
        state.followers == 1 && wish != Wish::Ahead
    }

    /// Takes a follower away; whether it was the last.
    pub(super) fn leave(&self, wish: Wish) -> bool {
        let mut state = self.lock();
        state.followers -= usize::from(wish != Wish::Ahead);
        let last = state.followers == 0 && wish != Wish::Ahead;
        if last {
            state.alone = Instant::now();
        }
        last
    }

    pub(super) fn wanted(&self) -> bool {
        self.lock().followers > 0
    }

    pub(super) fn wished(&self) -> bool {
        self.lock().wished
    }

    /// Whether nobody has followed for that long.
    pub(super) fn alone_for(&self, time: Duration) -> bool {
        let state = self.lock();
        state.followers == 0 && state.alone.elapsed() >= time
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("no panic while it is held")
    }
}
