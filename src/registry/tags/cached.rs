//! The tags of cached repositories: each becomes what its upstream says, unless that is too new or the tag is pinned.

use std::time::Duration;

use super::super::{Error, Kind, Registry, noted, now};
use super::TRIES;
use crate::auth::ADMIN;
use crate::index::{Change, CommitError, Expect, Held, Promise, TagRow};
use crate::oci::{Digest, Repository, Tag};

/// What goes of a cached repository.
pub(in crate::registry) enum Purged {
    Tag(Tag),
    /// With the tags that name it.
    Manifest(Digest),
    Everything,
}

/// Gives up what is cached, as a command wants it.
pub(in crate::registry) fn purge(repository: &Repository, what: Purged) -> Change {
    let (repository, by) = (repository.clone(), ADMIN.to_owned());
    match what {
        Purged::Tag(tag) => Change::Untag { repository, tag, by },
        Purged::Manifest(digest) => Change::RemoveManifest { repository, digest, by },
        Purged::Everything => Change::RemoveRepository { repository },
    }
}

/// What a tag becomes when its upstream tells it. `known`: since when (Unix milliseconds) what is told is known here otherwise.
fn heard(before: Option<&TagRow>, told: TagRow, known: Option<u64>, cooldown: Duration) -> TagRow {
    let Some(before) = before else { return told };
    if before.pinned.is_some() {
        return before.clone();
    }
    let seen = before.held.filter(|held| held.digest == told.digest).map(|held| held.since);
    let since = seen.into_iter().chain(known).min().unwrap_or(told.at);
    let young = Duration::from_millis(told.at.saturating_sub(since)) < cooldown;
    match before.digest != told.digest && young {
        true => TagRow { at: told.at, held: Some(Held { digest: told.digest, since }), ..before.clone() },
        false => told,
    }
}

impl Registry {
    /// What the tag would become now that its upstream tells this.
    pub(in crate::registry) async fn tag_heard(
        &self,
        repository: &Repository,
        tag: &Tag,
        before: Option<&TagRow>,
        told: TagRow,
    ) -> Result<TagRow, Error> {
        let cooldown = self.member(repository).map_or(Duration::ZERO, |m| m.settings().tag_times(&repository.name, tag).cooldown);
        let known = match before {
            // What the tag has named before is as old as that, also when it comes back.
            Some(before) if before.digest != told.digest && !cooldown.is_zero() => {
                let history = self.index.history(repository, tag).await?;
                history.iter().find(|step| step.to == Some(told.digest)).map(|step| step.at)
            }
            _ => None,
        };
        Ok(heard(before, told, known, cooldown))
    }

    /// Writes down what the tag's upstream tells; what the tag is from now on.
    pub(in crate::registry) async fn tell_tag(&self, repository: &Repository, tag: &Tag, told: TagRow) -> Result<TagRow, Error> {
        for _ in 0..TRIES {
            let before = self.index.tag(repository, tag).await?;
            let row = self.tag_heard(repository, tag, before.as_ref(), told.clone()).await?;
            match self.set_tag(repository, tag, before.as_ref(), row.clone(), Promise::Appended).await {
                Err(CommitError::Refused(_)) => continue,
                done => {
                    noted(done)?;
                }
            }
            if let Some(held) = row.held
                && before.and_then(|before| before.held).is_none_or(|before| before.digest != held.digest)
            {
                tracing::info!(%repository, %tag, serves = %row.digest, held = %held.digest, "a changed tag is held back until the new digest is older (cooldown)");
            }
            return Ok(row);
        }
        Err(busy(repository, tag))
    }

    /// Has the tag stay at a manifest that is here; what it named before.
    pub(in crate::registry) async fn pin_tag(&self, repository: &Repository, tag: &Tag, digest: Digest) -> Result<Option<Digest>, Error> {
        for _ in 0..TRIES {
            let before = self.index.tag(repository, tag).await?;
            let from = before.as_ref().map(|before| before.digest);
            let held = before.as_ref().and_then(|before| before.held).filter(|held| held.digest != digest);
            let same = before.clone().filter(|before| before.digest == digest);
            let row = same.unwrap_or_else(|| TagRow::new(digest, now(), ADMIN));
            let row = TagRow { pinned: Some(now()), held, ..row };
            match self.set_tag(repository, tag, before.as_ref(), row, Promise::Durable).await {
                Err(CommitError::Refused(_)) => continue,
                done => return Ok(done.map(|()| from)?),
            }
        }
        Err(busy(repository, tag))
    }

    /// Has the tag follow its upstream again, from its next pull on; what it names until then. `None`: it was not pinned.
    pub(in crate::registry) async fn unpin_tag(&self, repository: &Repository, tag: &Tag) -> Result<Option<Digest>, Error> {
        for _ in 0..TRIES {
            let before = self.index.tag(repository, tag).await?;
            let Some(row) = before.clone().filter(|row| row.pinned.is_some()) else { return Ok(None) };
            let ttl = self.member(repository).map_or(Duration::ZERO, |m| m.settings().tag_times(&repository.name, tag).ttl);
            // What was pinned was not confirmed by anybody.
            let at = row.at.min(now().saturating_sub(ttl.as_millis() as u64));
            let digest = row.digest;
            match self.set_tag(repository, tag, before.as_ref(), TagRow { pinned: None, at, ..row }, Promise::Durable).await {
                Err(CommitError::Refused(_)) => continue,
                done => return Ok(done.map(|()| Some(digest))?),
            }
        }
        Err(busy(repository, tag))
    }

    /// Gives the tag its row unless it has another one by now than `before`, or what it names is not here.
    async fn set_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        before: Option<&TagRow>,
        row: TagRow,
        promise: Promise,
    ) -> Result<(), CommitError> {
        if before == Some(&row) {
            return Ok(());
        }
        let had = match before {
            Some(before) => Expect::TagRow(repository.clone(), tag.clone(), before.clone()),
            None => Expect::Tag(repository.clone(), tag.clone(), None),
        };
        let mut expects = vec![had];
        if before.is_none_or(|before| before.digest != row.digest) {
            expects.push(Expect::Manifest(repository.clone(), row.digest));
        }
        let change = Change::Tag { repository: repository.clone(), tag: tag.clone(), row };
        let set = self.commit(expects, vec![change], promise).await;
        self.asked.forget(repository, tag);
        self.fetched.forget_head(repository, tag);
        set
    }
}

fn busy(repository: &Repository, tag: &Tag) -> Error {
    Error::new(Kind::Unavailable, format!("{repository}:{tag} is being changed by others; try again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_tag_keeps_its_digest_until_the_new_one_is_old_enough() {
        let digest = |text: &str| Digest::of(text.as_bytes());
        let row = |text: &str, at| TagRow::new(digest(text), at, "one.test");
        let held = |text: &str, at, new: &str, since| TagRow { held: Some(Held { digest: digest(new), since }), ..row(text, at) };
        let pinned = TagRow { pinned: Some(5), ..row("a", 1) };
        let cooldown = Duration::from_millis(100);
        for (before, told, known, after) in [
            (None, row("a", 1), None, row("a", 1)),
            (Some(row("a", 1)), row("a", 9), None, row("a", 9)),
            (Some(row("a", 1)), row("b", 9), None, held("a", 9, "b", 9)),
            (Some(held("a", 9, "b", 9)), row("b", 108), None, held("a", 108, "b", 9)),
            (Some(held("a", 9, "b", 9)), row("b", 109), None, row("b", 109)),
            (Some(held("a", 9, "b", 9)), row("c", 109), None, held("a", 109, "c", 109)),
            (Some(held("a", 9, "b", 9)), row("a", 50), None, row("a", 50)),
            (Some(row("b", 300)), row("a", 310), Some(1), row("a", 310)),
            (Some(row("b", 300)), row("a", 310), Some(250), held("b", 310, "a", 250)),
            // A clock that was put back makes nothing old.
            (Some(held("a", 900, "b", 900)), row("b", 9), None, held("a", 9, "b", 900)),
            (Some(pinned.clone()), row("b", 999), Some(1), pinned),
        ] {
            assert_eq!(heard(before.as_ref(), told.clone(), known, cooldown), after, "{before:?} {told:?}");
        }
        assert_eq!(heard(Some(&row("a", 1)), row("b", 1), None, Duration::ZERO), row("b", 1), "without a cool-down it moves at once");
    }
}
