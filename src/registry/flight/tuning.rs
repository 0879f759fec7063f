//! The numbers of flights in one value, so that tests can use small and short ones.

use std::time::Duration;

use crate::upstream::Budget;

/// Sizes in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// What the pilot hands to the draft at once, at most.
    pub batch: usize,
    /// What a flight keeps in memory for followers near its head.
    pub ring: usize,
    /// Progress is told after so many bytes …
    pub tell_bytes: u64,
    /// … or so much time.
    pub tell_every: Duration,
    /// Attempts at one source without a byte in between.
    pub tries: u32,
    /// The pause before the first of them; doubled each time, jittered.
    pub backoff: Duration,
    /// From a place of its own to the answer's headers, where no client's budget is meant.
    pub open: Duration,
    /// Below this total a flight without followers goes on.
    pub small: u64,
    /// How long a flight that need not go on waits for a follower.
    pub linger: Duration,
    /// How long the draft of a stopped flight waits for the next one.
    pub shelf: Duration,
    /// From this total on a blob may come in segments.
    pub large: u64,
    /// What a segment fetches at once.
    pub stretch: u64,
    /// Below this, half of a segment's rest is not worth another one.
    pub half: u64,
    /// How far ahead of all segments a reader waits in vain, and one comes to him.
    pub far: u64,
    /// Over how long it is measured whether another segment helps.
    pub measure: Duration,
    /// How long what a pusher was told is here stays here.
    pub lease: Duration,
    /// How long it is believed that everybody may see a repository, or not.
    pub verdict: Duration,
}

impl Default for Tuning {
    fn default() -> Tuning {
        Tuning {
            batch: 1 << 20,
            ring: 1 << 20,
            tell_bytes: 256 << 10,
            tell_every: Duration::from_millis(10),
            tries: 5,
            backoff: Duration::from_millis(100),
            open: Duration::from_secs(10),
            small: 512 << 20,
            linger: Duration::from_secs(60),
            shelf: Duration::from_secs(3600),
            large: 16 << 20,
            stretch: 32 << 20,
            half: 4 << 20,
            far: 32 << 20,
            measure: Duration::from_millis(250),
            lease: Duration::from_secs(3600),
            verdict: Duration::from_secs(3600),
        }
    }
}

impl Tuning {
    pub(super) fn budget(&self) -> Budget {
        Budget::lasting(self.open)
    }

    /// The pause before attempt `tries + 1`: between half and all of the doubled backoff, so that flights cut together do not return together.
    pub(super) fn pause(&self, tries: u32) -> Duration {
        use std::hash::{BuildHasher, Hasher};
        let whole = self.backoff * 2u32.pow(tries.clamp(1, 8) - 1);
        let random = std::hash::RandomState::new().build_hasher().finish() % 1024;
        whole / 2 + whole / 2 * random as u32 / 1024
    }
}
