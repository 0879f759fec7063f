//! Serving a tag of an upstream: believed for its time, then asked for; while the answer is awaited, or cannot be had, the old one.
//!
//! Nobody waits longer than he must, and an old answer is never told as a new one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::manifests::{Found, Miss, Outcome};
use super::{Reader, Registry, Want, now};
use crate::config::TagTimes;
use crate::index::{Held, TagRow};
use crate::oci::{Digest, Reference, Repository, Tag};
use crate::upstream::{Budget, Cause, HeadAnswer, Refusal};

/// How long what cannot be asked for is believed.
const UNASKED: Duration = Duration::from_secs(1);

/// What an upstream's tag names, which is served later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBack {
    pub digest: Digest,
    /// Unix milliseconds: first seen.
    pub since: u64,
    /// Unix milliseconds: when it is old enough.
    pub until: u64,
}

impl HeldBack {
    pub(super) fn new(held: Held, cooldown: Duration) -> HeldBack {
        HeldBack { digest: held.digest, since: held.since, until: held.since.saturating_add(millis(cooldown)) }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// How much longer the tag is believed: until its ttl ends, or what is held back is old enough.
pub(super) fn believed(row: &TagRow, times: TagTimes, now: u64) -> Duration {
    // Confirmed in the future: the clock was put back, and nothing can be said.
    let Some(age) = now.checked_sub(row.at) else { return Duration::ZERO };
    let left = millis(times.ttl).saturating_sub(age);
    let until = row.held.map_or(u64::MAX, |held| HeldBack::new(held, times.cooldown).until);
    Duration::from_millis(left.min(until.saturating_sub(now)))
}

impl Registry {
    /// A manifest by its tag: cached and fresh, else asked for, else stale.
    pub(super) async fn upstream_tag(&self, repository: &Repository, tag: &Tag, want: Want, reader: &Reader) -> Result<Found, Miss> {
        let reference = Reference::Tag(tag.clone());
        let times = self.member(repository).ok_or(Miss::Unknown)?.settings().tag_times(&repository.name, tag);
        let row = self.index.tag(repository, tag).await?;
        if want == Want::Head
            && row.as_ref().is_none_or(|row| row.pinned.is_none())
            && let Some(head) = self.fetched.head(repository, tag, times.ttl)
        {
            return Found::from_head(repository, head).ok_or(Miss::Unknown);
        }
        let Some(row) = row else {
            return self.ask_for(repository, &reference, want, reader).await;
        };
        let found = match self.stored(repository, &row.digest).await? {
            Some(found) => self.in_force(found, tag, &row),
            None if row.pinned.is_some() => return self.ask_for(repository, &Reference::Digest(row.digest), want, reader).await,
            None => return self.ask_for(repository, &reference, want, reader).await,
        };
        if row.pinned.is_some() || !believed(&row, times, now()).is_zero() {
            return Ok(found);
        }
        match self.forbids(repository) {
            Some(_) => Ok(found.fresh_for(UNASKED)),
            None => self.revalidated(repository, tag, want, reader, found, &row).await,
        }
    }

    /// The tag as its upstream names it now, else as it was, which is told.
    async fn revalidated(
        &self,
        repository: &Repository,
        tag: &Tag,
        want: Want,
        reader: &Reader,
        found: Found,
        row: &TagRow,
    ) -> Result<Found, Miss> {
        let member = self.member(repository).ok_or(Miss::Unknown)?;
        let (settings, reference) = (member.settings(), Reference::Tag(tag.clone()));
        let always = settings.tag_times(&repository.name, tag).ttl.is_zero();
        let age = Duration::from_millis(now().saturating_sub(row.at));
        let keep = settings.stale_if_error.is_none_or(|limit| age < limit);
        if keep && self.fetched.recently_failed(repository, tag) {
            return Ok(found.stale(age));
        }
        if keep && !always && !member.upstream().is_well() {
            // That is how it is found to be well again.
            drop(self.pose(repository, &reference, want)?);
            return Ok(found.stale(age));
        }
        let wait = if always || !keep { self.deadlines.budget } else { self.deadlines.stale_wait };
        match tokio::time::timeout(wait, self.ask_for(repository, &reference, want, reader)).await {
            Ok(Ok(newer)) => Ok(newer),
            Ok(Err(Miss::Refused(Refusal::Failed { .. }))) if keep => {
                tracing::info!(%repository, %tag, ?age, "serving a stale tag");
                Ok(found.stale(age))
            }
            Ok(Err(miss)) => Err(miss),
            Err(_) if keep => Ok(found.stale(age)),
            Err(_) => {
                let source_name = repository.origin.to_string();
                Err(Miss::Refused(Refusal::Failed { source_name, cause: Cause::Timeout(wait) }))
            }
        }
    }

    /// What the tag names, with how long it may be believed and what is held back.
    fn in_force(&self, found: Found, tag: &Tag, row: &TagRow) -> Found {
        let Some(member) = self.member(&found.repository).filter(|_| row.pinned.is_none()) else { return found };
        let times = member.settings().tag_times(&found.repository.name, tag);
        let left = believed(row, times, now());
        let asks = (!left.is_zero()).then(|| self.asked.of(&found.repository, tag, row, times));
        let held = row.held.map(|held| HeldBack::new(held, times.cooldown));
        found.of_tag(left, held, asks)
    }

    /// Asks the upstream what the tag names: by HEAD where that may do, for it costs no pull.
    pub(super) async fn inquire_tag(&self, repository: &Repository, tag: &Tag, want: Want, budget: Budget) -> Result<Outcome, Miss> {
        let upstream = self.member(repository).ok_or(Miss::Unknown)?.upstream();
        let (name, tagged) = (&repository.name, Reference::Tag(tag.clone()));
        let mut by = tagged.clone();
        if want == Want::Head || self.index.tag(repository, tag).await?.is_some() {
            let head = upstream.head_manifest(name, &tagged, budget).await.map_err(Miss::Refused)?;
            let told = head.digest.or_else(|| self.fetched.by_etag(repository, tag, head.etag.as_deref()?));
            if let Some(digest) = told {
                if let Some(found) = self.named(repository, tag, digest, budget).await? {
                    return Ok(Outcome::Stored(found));
                }
                if want == Want::Head {
                    let head = HeadAnswer { digest: told, ..head };
                    self.fetched.saw_head(repository, tag, &head);
                    return Ok(Outcome::Head(head));
                }
                by = Reference::Digest(digest);
            }
        }
        let answer = upstream.manifest(name, &by, budget).await.map_err(Miss::Refused)?;
        if by == tagged {
            self.fetched.saw_etag(repository, tag, &answer);
        }
        self.fetched.forget_head(repository, tag);
        let told = self.told_by(repository, answer.digest);
        let (found, kept) = self.keep_manifest(repository, answer).await?;
        let before = self.index.tag(repository, tag).await?;
        let next = self.tag_heard(repository, tag, before.as_ref(), told.clone()).await?;
        if !kept && next.digest == found.digest {
            return Ok(Outcome::Stored(self.in_force(found, tag, &told)));
        }
        let row = self.tell_tag(repository, tag, told).await?;
        let found = if row.digest == found.digest { found } else { self.stored_or_fetched(repository, row.digest, budget).await? };
        Ok(Outcome::Stored(self.in_force(found, tag, &row)))
    }

    /// What the tag answers now that its upstream names the digest; `None` when that must be fetched first.
    async fn named(&self, repository: &Repository, tag: &Tag, digest: Digest, budget: Budget) -> Result<Option<Found>, Miss> {
        let (told, before) = (self.told_by(repository, digest), self.index.tag(repository, tag).await?);
        let next = self.tag_heard(repository, tag, before.as_ref(), told.clone()).await?;
        if next.digest == digest && self.stored(repository, &digest).await?.is_none() {
            return Ok(None);
        }
        let row = self.tell_tag(repository, tag, told).await?;
        let found = self.stored_or_fetched(repository, row.digest, budget).await?;
        Ok(Some(self.in_force(found, tag, &row)))
    }

    fn told_by(&self, repository: &Repository, digest: Digest) -> TagRow {
        TagRow::new(digest, now(), repository.origin.as_str())
    }

    async fn stored_or_fetched(&self, repository: &Repository, digest: Digest, budget: Budget) -> Result<Found, Miss> {
        if let Some(found) = self.stored(repository, &digest).await? {
            return Ok(found);
        }
        let upstream = self.member(repository).ok_or(Miss::Unknown)?.upstream();
        let answer = upstream.manifest(&repository.name, &Reference::Digest(digest), budget).await.map_err(Miss::Refused)?;
        Ok(self.keep_manifest(repository, answer).await?.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_believed_until_its_time_ends_or_what_is_held_back_is_old_enough() {
        let times = |ttl, cooldown| TagTimes { ttl: Duration::from_millis(ttl), cooldown: Duration::from_millis(cooldown) };
        let row = TagRow::new(Digest::of(b"a"), 1000, "");
        let left = |row: &TagRow, times, now| believed(row, times, now).as_millis();
        assert_eq!((left(&row, times(100, 0), 1000), left(&row, times(100, 0), 1099), left(&row, times(100, 0), 1100)), (100, 1, 0));
        assert_eq!(left(&row, times(0, 0), 1000), 0);
        assert_eq!(left(&row, times(100, 0), 999), 0, "a clock that was put back");
        let held = TagRow { held: Some(Held { digest: Digest::of(b"b"), since: 900 }), ..row };
        assert_eq!(
            (left(&held, times(100, 150), 1000), left(&held, times(100, 300), 1000), left(&held, times(100, 150), 1051)),
            (50, 100, 0)
        );
    }
}
