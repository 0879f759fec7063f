//! The tags of a repository: the one place where any of them is named, moved or removed, so that no way to the same end
//! misses the rule. What is judged here is what the writer changes: both are one step.

mod cached;

pub(super) use cached::{Purged, purge};

use std::collections::BTreeMap;

use super::{Error, Kind, Registry, now};
use crate::auth::Who;
use crate::config::{Redeploy, TagPolicy};
use crate::index::{Change, CommitError, Expect, Promise, TagRow};
use crate::oci::{Digest, Repository, Tag};

/// How often a commit that somebody else's commit got ahead of is tried again.
const TRIES: usize = 5;

/// What is to become of tags of one hosted repository.
pub(super) enum Act {
    /// Every tag names the manifest, which comes with these changes.
    Name { tags: Vec<Tag>, digest: Digest, with: Vec<Change> },
    /// The tag goes.
    Remove(Tag),
    /// The manifest goes with every tag that names it.
    RemoveManifest(Digest),
    /// The blob goes from the repository, and so from every image that has it.
    RemoveBlob(Digest),
    /// The tag goes unless it was named again since it had this row.
    Expire(Tag, TagRow),
    /// The repository goes with all its tags.
    RemoveRepository,
}

/// What became of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    pub tag: Tag,
    /// What it named when that was judged; `None`: nothing.
    pub from: Option<Digest>,
    /// `None`: it is gone.
    pub to: Option<Digest>,
}

/// What an act changes as things are now, and what of them it relies on.
#[derive(Default)]
struct Weighed {
    expects: Vec<Expect>,
    changes: Vec<Change>,
    moved: Vec<Moved>,
}

/// Why a tag stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stays {
    ReadOnly,
    Immutable,
}

/// Whether the policy lets the tag name `to` where it named `from`; `None` is nothing.
fn judge(policy: &TagPolicy, tag: &Tag, from: Option<Digest>, to: Option<Digest>) -> Result<(), Stays> {
    let moves = from.is_some() && from != to;
    match policy.redeploy {
        Redeploy::ReadOnly => Err(Stays::ReadOnly),
        Redeploy::Allow | Redeploy::Deny if moves && policy.is_immutable(tag.as_str()) => Err(Stays::Immutable),
        Redeploy::Allow | Redeploy::Deny => Ok(()),
    }
}

impl Registry {
    /// Does what is to be done, as the policy of the repository allows; when it returns it survives power loss. Tells what became of
    /// each tag.
    ///
    /// # Errors
    /// [`Kind::TagImmutable`], [`Kind::Denied`] and [`Kind::Unsupported`] when a tag must stay as it is, [`Kind::ManifestUnknown`]
    /// when there is nothing to remove; nothing was changed then.
    pub(super) async fn change_tags(&self, hosted: &Repository, act: Act, who: &Who) -> Result<Vec<Moved>, Error> {
        match act {
            Act::Name { .. } => self.writable(hosted)?,
            Act::Remove(_) | Act::RemoveManifest(_) | Act::RemoveBlob(_) | Act::RemoveRepository | Act::Expire(..) => {
                self.deletes(hosted)?
            }
        }
        for _ in 0..TRIES {
            let Weighed { expects, changes, moved } = self.weigh(hosted, &act, who).await?;
            match self.commit(expects, changes, Promise::Durable).await {
                Err(CommitError::Refused(_)) => continue,
                done => return Ok(done.map(|()| moved)?),
            }
        }
        Err(Error::new(Kind::Unavailable, format!("{hosted} is being changed by others; try again")))
    }

    async fn weigh(&self, hosted: &Repository, act: &Act, who: &Who) -> Result<Weighed, Error> {
        let repository = || hosted.clone();
        let by = || who.name().to_owned();
        let gone = |(tag, from): (&Tag, Digest)| Moved { tag: tag.clone(), from: Some(from), to: None };
        match act {
            Act::Name { tags, digest, with } => {
                let mut weighed = Weighed { changes: with.clone(), ..Weighed::default() };
                for tag in tags {
                    let current = self.index.tag(hosted, tag).await?.map(|row| row.digest);
                    self.permit(hosted, tag, current, Some(*digest))?;
                    if self.policy(hosted).is_immutable(tag.as_str()) {
                        weighed.expects.push(Expect::Tag(repository(), tag.clone(), current));
                    }
                    let row = TagRow::new(*digest, now(), by());
                    weighed.changes.push(Change::Tag { repository: repository(), tag: tag.clone(), row });
                    weighed.moved.push(Moved { tag: tag.clone(), from: current, to: Some(*digest) });
                }
                Ok(weighed)
            }
            Act::Remove(tag) => {
                let row = self.index.tag(hosted, tag).await?.ok_or_else(|| unknown(hosted, tag))?;
                self.permit(hosted, tag, Some(row.digest), None)?;
                let untag = Change::Untag { repository: repository(), tag: tag.clone(), by: by() };
                let expects = vec![Expect::Tag(repository(), tag.clone(), Some(row.digest))];
                Ok(Weighed { expects, changes: vec![untag], moved: vec![gone((tag, row.digest))] })
            }
            Act::RemoveManifest(digest) => {
                self.index.manifest(hosted, digest).await?.ok_or_else(|| unknown(hosted, digest))?;
                let tags = self.tags_naming(hosted, digest).await?;
                for tag in &tags {
                    self.permit(hosted, tag, Some(*digest), None)?;
                }
                let moved = tags.iter().map(|tag| gone((tag, *digest))).collect();
                // One that is named meanwhile is judged like the others.
                let mut expects = self.part_of_what_may_change(hosted, digest).await?;
                expects.extend([Expect::Manifest(repository(), *digest), Expect::NamedOnlyBy(repository(), *digest, tags)]);
                let changes = vec![Change::RemoveManifest { repository: repository(), digest: *digest, by: by() }];
                Ok(Weighed { expects, changes, moved })
            }
            Act::RemoveBlob(digest) => {
                if !self.index.linked(hosted, digest).await? {
                    return Err(Error::new(Kind::BlobUnknown, format!("{hosted} has no blob {digest} to delete")));
                }
                let expects = self.part_of_what_may_change(hosted, digest).await?;
                let changes = vec![Change::Unlink { repository: repository(), digest: *digest }];
                Ok(Weighed { expects, changes, moved: Vec::new() })
            }
            Act::Expire(tag, row) => {
                if self.index.tag(hosted, tag).await?.as_ref() != Some(row) {
                    return Err(unknown(hosted, tag));
                }
                self.permit(hosted, tag, Some(row.digest), None)?;
                let untag = Change::Untag { repository: repository(), tag: tag.clone(), by: by() };
                let expects = vec![Expect::TagRow(repository(), tag.clone(), row.clone())];
                Ok(Weighed { expects, changes: vec![untag], moved: vec![gone((tag, row.digest))] })
            }
            Act::RemoveRepository => {
                let tags = self.all_tags(hosted).await?;
                for (tag, row) in &tags {
                    self.permit(hosted, tag, Some(row.digest), None)?;
                }
                let moved = tags.iter().map(|(tag, row)| gone((tag, row.digest))).collect();
                let judged = tags.into_iter().map(|(tag, _)| tag).collect();
                let expects = vec![Expect::Repository(repository(), true), Expect::TagsAmong(repository(), judged)];
                Ok(Weighed { expects, changes: vec![Change::RemoveRepository { repository: repository() }], moved })
            }
        }
    }

    /// Refuses to take a part from an image whose tag must stay as it is. What that relied on.
    async fn part_of_what_may_change(&self, hosted: &Repository, part: &Digest) -> Result<Vec<Expect>, Error> {
        let (mut expects, mut images, mut todo) = (Vec::new(), BTreeMap::new(), vec![*part]);
        while let Some(part) = todo.pop() {
            let parents = self.index.parents(hosted, &part, usize::MAX).await?;
            todo.extend(parents.iter().filter(|parent| images.insert(**parent, Vec::new()).is_none()));
            expects.push(Expect::PartOnlyOf(hosted.clone(), part, parents));
        }
        let tags = if images.is_empty() { Vec::new() } else { self.all_tags(hosted).await? };
        for (tag, row) in tags {
            let Some(naming) = images.get_mut(&row.digest) else { continue };
            self.permit(hosted, &tag, Some(row.digest), None)?;
            naming.push(tag);
        }
        expects.extend(images.into_iter().map(|(image, naming)| Expect::NamedOnlyBy(hosted.clone(), image, naming)));
        Ok(expects)
    }

    fn permit(&self, hosted: &Repository, tag: &Tag, from: Option<Digest>, to: Option<Digest>) -> Result<(), Error> {
        let immutable = |text| Err(Error::new(Kind::TagImmutable, format!("{hosted}:{tag} is immutable here and {text}")));
        match judge(self.policy(hosted), tag, from, to) {
            Ok(()) => Ok(()),
            Err(Stays::ReadOnly) => Err(read_only(hosted)),
            Err(Stays::Immutable) if to.is_some() => immutable("names another image already; push under a new tag"),
            Err(Stays::Immutable) => immutable("cannot be deleted, nor can what it leads to"),
        }
    }

    /// What the configuration says of the repository's tags.
    pub(super) fn policy(&self, hosted: &Repository) -> &TagPolicy {
        self.hosted.policy(hosted.name.long().as_str())
    }

    /// Whether anything of the repository may be changed at all.
    pub(super) fn writable(&self, hosted: &Repository) -> Result<(), Error> {
        match self.policy(hosted).redeploy {
            Redeploy::ReadOnly => Err(read_only(hosted)),
            Redeploy::Allow | Redeploy::Deny => Ok(()),
        }
    }

    /// Whether anything of the repository may be deleted at all. The specification has a kind of its own for a registry that
    /// deletes nothing.
    pub(super) fn deletes(&self, hosted: &Repository) -> Result<(), Error> {
        self.writable(hosted).map_err(|error| Error { kind: Kind::Unsupported, ..error })
    }

    pub(super) async fn tags_naming(&self, hosted: &Repository, digest: &Digest) -> Result<Vec<Tag>, Error> {
        let tags = self.all_tags(hosted).await?;
        Ok(tags.into_iter().filter(|(_, row)| row.digest == *digest).map(|(tag, _)| tag).collect())
    }

    /// Removes a manifest that nothing leads to, no tag either; whether that was still so.
    pub(super) async fn remove_untagged(&self, hosted: &Repository, digest: &Digest) -> Result<bool, Error> {
        let expects = vec![Expect::Alone(hosted.clone(), *digest), Expect::Unleased(*digest)];
        let remove = Change::RemoveManifest { repository: hosted.clone(), digest: *digest, by: "entrepot:gc".to_owned() };
        match self.commit(expects, vec![remove], Promise::Durable).await {
            Err(CommitError::Refused(_)) => Ok(false),
            made => Ok(made.map(|()| true)?),
        }
    }
}

fn read_only(hosted: &Repository) -> Error {
    Error::new(Kind::Denied, format!("{hosted} cannot be changed: the registry's configuration makes it read-only (hosted.redeploy)"))
}

fn unknown(hosted: &Repository, reference: &dyn std::fmt::Display) -> Error {
    Error::new(Kind::ManifestUnknown, format!("{hosted} has no {reference} to delete"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Patterns;

    #[test]
    fn a_tag_may_become_what_the_policy_says() {
        use Stays::{Immutable, ReadOnly};
        let [m, n] = ["m", "n"].map(|text| Some(Digest::of(text.as_bytes())));
        let steps = [(None, m), (m, m), (m, n), (m, None)];
        let all = [Ok(()); 4];
        let once = [Ok(()), Ok(()), Err(Immutable), Err(Immutable)];
        let table = [
            (Redeploy::Allow, "latest", all),
            (Redeploy::Allow, "v1", once),
            (Redeploy::Deny, "latest", once),
            (Redeploy::Deny, "v1", once),
            (Redeploy::ReadOnly, "latest", [Err(ReadOnly); 4]),
            (Redeploy::ReadOnly, "v1", [Err(ReadOnly); 4]),
        ];
        for (redeploy, tag, expected) in table {
            let immutable_tags = Patterns::new(&["v*"]).unwrap();
            let policy = TagPolicy { redeploy, immutable_tags, keep_last: None, keep_days: None };
            let judged = steps.map(|(from, to)| judge(&policy, &tag.parse().unwrap(), from, to));
            assert_eq!(judged, expected, "{redeploy:?} {tag}");
        }
    }
}
