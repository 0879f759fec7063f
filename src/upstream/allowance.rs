//! What an endpoint still grants each account, as it last told, and what is not asked so that something is left.
//!
//! What was told holds until the window ends, and at most for an hour: then the next question shows how it stands.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Purpose;
use super::client::Kind;
use super::limits::Told;
use super::wire::Lane;

/// How long an endpoint is believed, and left alone, at most.
const LONGEST: Duration = Duration::from_secs(3600);

/// What one endpoint grants, by account; the empty name is nobody's in particular.
#[derive(Default)]
pub(super) struct Allowances(Mutex<BTreeMap<String, [Allowance; 2]>>);

#[derive(Clone, Copy, Default)]
struct Allowance {
    known: Option<Known>,
    /// Pulls that are asked for and not answered yet: nobody else has them.
    reserved: u64,
}

/// A question that is not answered yet.
pub(super) struct Reserved<'a> {
    allowances: &'a Allowances,
    account: &'a str,
    kind: Kind,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.allowances.change(self.account, self.kind.lane(), |allowance| allowance.reserved -= u64::from(self.kind.costs()));
    }
}

/// What is left in the window that runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) limit: Option<u64>,
    pub(super) remaining: u64,
    pub(super) window: Option<Duration>,
    /// When there is as much as the limit again: as told, else one window after its first answer.
    pub(super) resets: Instant,
    told: Instant,
}

/// Too little is left for a purpose.
#[derive(Clone, Copy, Debug)]
pub struct Scarcity {
    /// What it is too little for.
    pub purpose: Purpose,
    remaining: u64,
    limit: Option<u64>,
    /// When the window ends.
    pub resets: Instant,
    /// In how long it is worth asking again.
    pub wait: Duration,
}

impl fmt::Display for Scarcity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.remaining, self.limit) {
            (0, Some(limit)) => write!(f, "none of its {limit} pulls left")?,
            (0, None) => write!(f, "no pulls left")?,
            (remaining, Some(limit)) => write!(f, "{remaining} of {limit} pulls left")?,
            (remaining, None) => write!(f, "{remaining} pulls left")?,
        }
        if self.remaining > 0 && self.purpose != Purpose::Miss {
            write!(f, ", which are kept for images that clients wait for")?;
        }
        match self.resets.saturating_duration_since(Instant::now()).as_secs() {
            seconds @ 0..120 => write!(f, "; there are new ones in {} s", seconds + 1),
            seconds => write!(f, "; there are new ones in {} min", seconds.div_ceil(60)),
        }
    }
}

impl Allowances {
    /// Sets what a question costs aside until it is answered, unless too little is left.
    pub(super) fn reserve<'a>(&'a self, account: &'a str, kind: Kind, purpose: Purpose) -> Result<Reserved<'a>, Scarcity> {
        self.change(account, kind.lane(), |allowance| match allowance.scarcity(kind, purpose, Instant::now()) {
            Some(scarcity) => Err(scarcity),
            None => {
                allowance.reserved += u64::from(kind.costs());
                Ok(Reserved { allowances: self, account, kind })
            }
        })
    }

    /// An answer told how it stands.
    pub(super) fn told(&self, account: &str, lane: Lane, told: Told) {
        self.change(account, lane, |allowance| allowance.known = Some(Known::new(told, allowance.known, Instant::now())));
    }

    /// What was told of each account's manifests and blobs.
    pub(super) fn known(&self) -> Vec<(String, [Option<Known>; 2])> {
        self.lock().iter().map(|(account, lanes)| (account.clone(), lanes.map(|allowance| allowance.known))).collect()
    }

    fn change<T>(&self, account: &str, lane: Lane, change: impl FnOnce(&mut Allowance) -> T) -> T {
        let mut accounts = self.lock();
        if !accounts.contains_key(account) {
            accounts.insert(account.to_owned(), Default::default());
        }
        change(&mut accounts.get_mut(account).expect("it was just put there")[lane as usize])
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, [Allowance; 2]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn new(told: Told, before: Option<Known>, now: Instant) -> Known {
        let Told { limit, remaining, window, resets_in } = told;
        let same = before.filter(|known| now < known.resets && remaining <= known.remaining);
        let resets = match (resets_in, same) {
            (Some(time), _) => now + time,
            (None, Some(known)) => known.resets,
            (None, None) => now + window.unwrap_or(LONGEST),
        };
        Known { limit, remaining, window, resets, told: now }
    }
}

impl Allowance {
    fn scarcity(&self, kind: Kind, purpose: Purpose, now: Instant) -> Option<Scarcity> {
        let Known { limit, remaining, resets, told, .. } = self.known?;
        let remaining = remaining.saturating_sub(self.reserved);
        let wait = resets.min(told + LONGEST).saturating_duration_since(now);
        let short = match purpose {
            Purpose::Miss => remaining == 0 && kind.costs(),
            Purpose::Revalidate | Purpose::Prefetch => {
                remaining == 0 || limit.is_some_and(|limit| remaining * 100 < limit * purpose.leaves())
            }
        };
        (short && !wait.is_zero()).then_some(Scarcity { purpose, remaining, limit, resets, wait })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = LONGEST;
    const MINUTE: Duration = Duration::from_secs(60);

    fn told(remaining: u64, window: Option<Duration>, resets_in: Option<Duration>) -> Told {
        Told { limit: Some(100), remaining, window, resets_in }
    }

    fn first(told: Told, now: Instant) -> Allowance {
        Allowance { known: Some(Known::new(told, None, now)), reserved: 0 }
    }

    #[test]
    fn clients_have_all_pulls_revalidation_stops_below_20_percent_and_prefetch_below_40() {
        let now = Instant::now();
        for (remaining, miss, revalidate, prefetch) in [
            (100, true, true, true),
            (40, true, true, true),
            (39, true, true, false),
            (20, true, true, false),
            (19, true, false, false),
            (1, true, false, false),
            (0, false, false, false),
        ] {
            let known = first(told(remaining, Some(HOUR), None), now);
            let asks = |kind, purpose| known.scarcity(kind, purpose, now).is_none();
            let asked = [Purpose::Miss, Purpose::Revalidate, Purpose::Prefetch].map(|purpose| asks(Kind::Manifest, purpose));
            assert_eq!(asked, [miss, revalidate, prefetch], "{remaining}");
            assert!(asks(Kind::Head, Purpose::Miss), "a HEAD costs no pull");
        }
        let mut unlimited = told(1, None, None);
        unlimited.limit = None;
        assert!(first(unlimited, now).scarcity(Kind::Manifest, Purpose::Prefetch, now).is_none(), "nobody knows of how many");
    }

    #[test]
    fn what_was_told_holds_until_the_window_ends_and_for_an_hour_at_most() {
        let began = Instant::now();
        for (window, resets_in, end) in [
            (Some(MINUTE), None, MINUTE),
            (Some(MINUTE * 2), Some(MINUTE), MINUTE),
            (None, Some(MINUTE), MINUTE),
            (None, None, HOUR),
            (Some(HOUR * 6), None, HOUR),
            (Some(HOUR * 6), Some(HOUR * 5), HOUR),
        ] {
            let known = first(told(0, window, resets_in), began);
            let spares = |at: Instant| known.scarcity(Kind::Manifest, Purpose::Miss, at).is_some();
            assert!(spares(began + end - Duration::from_secs(1)) && !spares(began + end), "{window:?} {resets_in:?}");
        }
    }

    #[test]
    fn a_window_begins_with_the_first_answer_and_again_when_there_is_more() {
        let began = Instant::now();
        let mut known = None;
        for (remaining, at, resets) in [
            (50, Duration::ZERO, HOUR),
            (40, MINUTE, HOUR),
            (90, MINUTE * 2, MINUTE * 2 + HOUR),
            (89, MINUTE * 3, MINUTE * 2 + HOUR),
            (88, HOUR * 2, HOUR * 3),
        ] {
            known = Some(Known::new(told(remaining, Some(HOUR), None), known, began + at));
            assert_eq!(known.unwrap().resets, began + resets, "{remaining}");
        }
    }

    #[test]
    fn accounts_and_blobs_have_allowances_of_their_own() {
        let allowances = Allowances::default();
        allowances.told("me", Lane::Api, told(0, Some(HOUR), None));
        allowances.told("", Lane::Blobs, told(0, Some(HOUR), None));
        let asks = |account, kind| allowances.reserve(account, kind, Purpose::Miss).is_ok();
        assert!(!asks("me", Kind::Manifest) && asks("me", Kind::Blob));
        assert!(asks("", Kind::Manifest) && !asks("", Kind::Blob));
        assert!(asks("you", Kind::Manifest) && asks("you", Kind::Blob));
    }

    #[test]
    fn what_is_asked_for_and_not_answered_yet_is_not_asked_for_again() {
        let allowances = Allowances::default();
        allowances.told("", Lane::Api, told(21, Some(HOUR), None));
        let reserve = |kind, purpose| allowances.reserve("", kind, purpose);
        let (first, _head) = (reserve(Kind::Manifest, Purpose::Revalidate), reserve(Kind::Head, Purpose::Revalidate));
        let second = reserve(Kind::Manifest, Purpose::Revalidate);
        assert!(first.is_ok() && second.is_ok() && reserve(Kind::Manifest, Purpose::Revalidate).is_err());
        drop(first);
        assert!(reserve(Kind::Manifest, Purpose::Revalidate).is_ok());
        let all: Vec<_> = (0..30).map(|_| reserve(Kind::Manifest, Purpose::Miss).is_ok()).collect();
        assert!(all.iter().all(|granted| *granted), "each was answered before the next");
        let held: Vec<_> = (0..30).map_while(|_| reserve(Kind::Manifest, Purpose::Miss).ok()).collect();
        assert_eq!(held.len(), 20);
    }

    #[test]
    fn what_is_left_is_told_with_the_time_of_the_next() {
        let now = Instant::now();
        let text = |told: Told, purpose| first(told, now).scarcity(Kind::Manifest, purpose, now).unwrap().to_string();
        let spared = text(told(12, Some(HOUR * 6), None), Purpose::Prefetch);
        assert_eq!(spared, "12 of 100 pulls left, which are kept for images that clients wait for; there are new ones in 360 min");
        let nothing = text(told(0, None, Some(MINUTE)), Purpose::Miss);
        assert!(nothing.starts_with("none of its 100 pulls left; there are new ones in "), "{nothing}");
    }
}
