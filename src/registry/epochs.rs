//! When an answer that was kept in memory may still be given: its repositories have not changed and its time has not come.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::ahead::Asks;
use crate::auth::Who;
use crate::oci::Repository;

const SLOTS: usize = 4096;

/// A counter for each repository (a few share one): it moves whenever something of the repository changed.
pub struct Epochs(Box<[AtomicU64]>);

impl Default for Epochs {
    fn default() -> Epochs {
        Epochs((0..SLOTS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Epochs {
    pub fn slot(&self, repository: &Repository) -> usize {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        hasher.hash_one(repository) as usize % SLOTS
    }

    pub fn bump(&self, slot: usize) {
        self.0[slot].fetch_add(1, Ordering::Release);
    }

    /// The slot with where it stands now: taken before the facts are read.
    pub fn stamp(&self, repository: &Repository) -> (usize, u64) {
        let slot = self.slot(repository);
        (slot, self.0[slot].load(Ordering::Acquire))
    }
}

/// How long an answer holds.
#[derive(Clone, Debug)]
pub struct Ticket {
    stamps: Vec<(usize, u64)>,
    /// `None`: until one of its repositories changes.
    until: Option<Instant>,
    /// The same for anonymous readers, who see what everybody may see.
    open_until: Option<Instant>,
    /// Where it counts as a client's question when the answer is given again.
    asks: Option<Arc<Asks>>,
}

impl Ticket {
    pub fn new(stamps: Vec<(usize, u64)>, until: Option<Instant>, open_until: Option<Instant>, asks: Option<Arc<Asks>>) -> Ticket {
        Ticket { stamps, until, open_until, asks }
    }
}

impl super::Registry {
    /// Whether the answer may still be given to him, as the caller is about to.
    pub fn holds(&self, ticket: &Ticket, who: &Who) -> bool {
        let still = |(slot, epoch): &(usize, u64)| self.epochs.0[*slot].load(Ordering::Acquire) == *epoch;
        let open = if who.is_signed_in() { None } else { ticket.open_until };
        let in_time = ticket.until.into_iter().chain(open).all(|until| Instant::now() < until);
        let holds = in_time && ticket.stamps.iter().all(still);
        if let Some(asks) = ticket.asks.as_ref().filter(|_| holds) {
            self.count(asks);
        }
        holds
    }
}
