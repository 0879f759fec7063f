//! The sources of one flight: each joiner's own, once per repository.
//!
//! A repository gets bytes and link only when it is confirmed: its own upstream opened the blob or answered a HEAD.

use std::sync::Arc;

use super::{FetchError, Source};
use crate::oci::Repository;
use crate::upstream::Refusal;

#[derive(Default)]
pub(super) struct Roster {
    entries: Vec<Entry>,
    /// Nobody joins any more: it lands, or has failed.
    closed: bool,
    turn: usize,
}

struct Entry {
    source: Arc<dyn Source>,
    confirmed: bool,
    /// Attempts since the last byte.
    tries: u32,
    out: Option<Refusal>,
}

/// Whether a joiner is in.
#[derive(Debug, PartialEq)]
pub(super) enum Admission {
    Admitted,
    /// Another repository's flight: its own upstream must be asked first.
    Unconfirmed,
    Closed,
}

impl Roster {
    pub(super) fn started_by(source: Arc<dyn Source>) -> Roster {
        let first = Entry { source, confirmed: false, tries: 0, out: None };
        Roster { entries: vec![first], closed: false, turn: 0 }
    }

    pub(super) fn admit(&mut self, source: &Arc<dyn Source>, confirmed: bool, proved: bool) -> Admission {
        let known = self.entries.iter_mut().find(|entry| entry.source.repository() == source.repository());
        let listed = known.as_ref().is_some_and(|entry| entry.out.is_none() || entry.confirmed);
        if self.closed {
            return if listed && proved { Admission::Admitted } else { Admission::Closed };
        }
        match known {
            Some(_) if listed => {}
            _ if !confirmed => return Admission::Unconfirmed,
            Some(entry) => *entry = Entry { source: source.clone(), confirmed: true, tries: 0, out: None },
            None => self.entries.push(Entry { source: source.clone(), confirmed: true, tries: 0, out: None }),
        }
        Admission::Admitted
    }

    /// The source whose turn it is. `None` when all have failed: then nobody joins any more.
    pub(super) fn current(&mut self) -> Option<Arc<dyn Source>> {
        let count = self.entries.len();
        let turn = (0..count).map(|step| (self.turn + step) % count).find(|at| self.entries[*at].out.is_none());
        self.closed |= turn.is_none();
        self.turn = turn?;
        Some(self.entries[self.turn].source.clone())
    }

    pub(super) fn confirm_current(&mut self) {
        self.entries[self.turn].confirmed = true;
    }

    /// There was progress: everybody's attempts count anew.
    pub(super) fn progressed(&mut self) {
        self.entries.iter_mut().for_each(|entry| entry.tries = 0);
    }

    /// The current source broke: it is out after `limit` attempts. Its turn ends. Tells its attempts so far.
    pub(super) fn broke(&mut self, refusal: Refusal, limit: u32) -> u32 {
        let entry = &mut self.entries[self.turn];
        entry.tries += 1;
        if entry.tries >= limit {
            entry.out = Some(refusal);
        }
        let tries = entry.tries;
        self.turn += 1;
        tries
    }

    /// The current source is out. Its repository, when it has lost its right to the bytes (or never had it).
    pub(super) fn out(&mut self, refusal: Refusal) -> Option<Repository> {
        let entry = &mut self.entries[self.turn];
        entry.confirmed &= matches!(refusal, Refusal::Failed { .. });
        entry.out = Some(refusal);
        (!entry.confirmed).then(|| entry.source.repository().clone())
    }

    pub(super) fn current_is_confirmed(&self) -> bool {
        self.entries[self.turn].confirmed
    }

    /// Ends the joining. The repositories that gain a link.
    pub(super) fn close(&mut self) -> Vec<Repository> {
        self.closed = true;
        self.entries.iter().filter(|entry| entry.confirmed).map(|entry| entry.source.repository().clone()).collect()
    }

    /// What all are told who were not refused themselves: an outage before an "absent".
    pub(super) fn verdict(&self) -> Option<FetchError> {
        let refusals = || self.entries.iter().filter_map(|entry| entry.out.as_ref());
        let failed = refusals().find(|refusal| matches!(refusal, Refusal::Failed { .. }));
        failed.or_else(|| refusals().next()).cloned().map(FetchError::Refused)
    }

    pub(super) fn sources(&self) -> impl Iterator<Item = &Arc<dyn Source>> {
        self.entries.iter().map(|entry| &entry.source)
    }
}
