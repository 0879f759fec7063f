//! Leases: who needs a digest to stay, and until when. They live in memory; after a start there are none.
//!
//! A lease and a doom of one digest exclude each other under one lock: whoever comes first is known to the other.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::oci::Digest;

/// Holds digests against a doom until it is dropped.
#[must_use = "a lease holds only while it lives"]
pub struct Lease {
    leases: Leases,
    digests: Vec<Digest>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut table = self.leases.table();
        for digest in &self.digests {
            table.release(digest);
        }
    }
}

/// All leases of one index.
#[derive(Clone, Default)]
pub struct Leases(Arc<Shared>);

#[derive(Default)]
struct Shared {
    table: Mutex<Table>,
    /// Told when dooms were decided.
    decided: Notify,
}

#[derive(Default)]
struct Table {
    held: HashMap<Digest, Held>,
    /// Being decided by the writer: whether it goes will be known when its group is visible.
    dooming: Vec<Digest>,
    /// How many entries make a look for expired ones worth it.
    crowded: usize,
}

#[derive(Default)]
struct Held {
    leases: u32,
    until: Option<Instant>,
}

impl Held {
    fn holds(&self) -> bool {
        self.leases > 0 || self.until.is_some_and(|until| until > Instant::now())
    }
}

impl Table {
    fn release(&mut self, digest: &Digest) {
        if let Entry::Occupied(mut entry) = self.held.entry(*digest) {
            entry.get_mut().leases = entry.get().leases.saturating_sub(1);
            if !entry.get().holds() {
                entry.remove();
            }
        }
    }

    /// Forgets expired leases when there are twice as many entries as after the last look.
    fn tidy(&mut self) {
        if self.held.len() > self.crowded.max(1_000) {
            self.held.retain(|_, held| held.holds());
            self.crowded = self.held.len() * 2;
        }
    }
}

impl Leases {
    pub fn lease(&self, digests: &[Digest]) -> Lease {
        let mut table = self.table();
        for digest in digests {
            table.held.entry(*digest).or_default().leases += 1;
        }
        Lease { leases: self.clone(), digests: digests.to_vec() }
    }

    pub fn lease_for(&self, digest: &Digest, time: Duration) {
        let mut table = self.table();
        table.tidy();
        let until = Instant::now() + time;
        let held = table.held.entry(*digest).or_default();
        held.until = held.until.max(Some(until));
    }

    /// The writer is about to decide whether the digest goes, from the store or from a repository; false when it is leased.
    /// If not, who looks waits for the decision.
    pub fn try_doom(&self, digest: &Digest) -> bool {
        let mut table = self.table();
        let leased = table.held.get(digest).is_some_and(Held::holds);
        if !leased {
            table.dooming.push(*digest);
        }
        !leased
    }

    /// The writer's decisions are visible.
    pub fn decided(&self) {
        self.table().dooming.clear();
        self.0.decided.notify_waiters();
    }

    /// Returns when nobody is deciding whether the digest goes.
    pub async fn settled(&self, digest: &Digest) {
        loop {
            let decided = self.0.decided.notified();
            if !self.table().dooming.contains(digest) {
                return;
            }
            decided.await;
        }
    }

    /// Returns at the next decision after it is first polled.
    pub fn next_decision(&self) -> tokio::sync::futures::Notified<'_> {
        self.0.decided.notified()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leased_digest_cannot_be_doomed_until_every_lease_is_gone() {
        let (leases, digest) = (Leases::default(), Digest::of(b"x"));
        let (one, two) = (leases.lease(&[digest]), leases.lease(&[digest, Digest::of(b"y")]));
        assert!(!leases.try_doom(&digest));
        drop(one);
        assert!(!leases.try_doom(&digest));
        drop(two);
        assert!(leases.try_doom(&digest));
        assert!(leases.table().held.is_empty());
    }

    #[test]
    fn a_timed_lease_ends_by_itself() {
        let (leases, digest) = (Leases::default(), Digest::of(b"x"));
        leases.lease_for(&digest, Duration::from_secs(60));
        leases.lease_for(&digest, Duration::ZERO);
        assert!(!leases.try_doom(&digest), "a shorter lease must not end a longer one");
        let other = Digest::of(b"y");
        leases.lease_for(&other, Duration::ZERO);
        assert!(leases.try_doom(&other));
    }

    #[tokio::test]
    async fn who_looks_while_a_doom_is_decided_waits_for_the_decision() {
        let (leases, digest) = (Leases::default(), Digest::of(b"x"));
        assert!(leases.try_doom(&digest));
        let waiting = tokio::spawn({
            let leases = leases.clone();
            async move { leases.settled(&digest).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        leases.decided();
        waiting.await.unwrap();
    }
}
