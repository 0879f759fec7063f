//! Letting tags go that their rule does not keep, judged of all tags of a repository at once. None goes that is immutable
//! or was pushed again since it was judged. Manifests and bytes stay until they are collected.

use super::tags::Act;
use super::{Error, Kind, Registry, now};
use crate::auth::Who;
use crate::config::TagPolicy;
use crate::index::TagRow;
use crate::oci::{Digest, Origin, Repository, RepositoryName, Tag};

/// Milliseconds.
const DAY: u64 = 24 * 3600 * 1000;

/// Who lets tags go, in their history. No user has such a name: in a file of users a colon ends it.
const BY: &str = "entrepot:prune";

/// A tag that its rule does not keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surplus {
    pub tag: Tag,
    /// The end of a sentence that begins with the tag.
    pub why: String,
    /// As it was when that was judged.
    row: TagRow,
}

impl Surplus {
    /// The manifest that the tag names.
    pub fn digest(&self) -> Digest {
        self.row.digest
    }
}

impl Registry {
    /// The names of all hosted repositories, in lexical order.
    pub async fn hosted_names(&self) -> Result<Vec<RepositoryName>, Error> {
        self.names_of(&Origin::Hosted).await
    }

    /// The tags of a hosted repository that its rule does not keep, newest first.
    ///
    /// # Errors
    /// [`Kind::NameUnknown`] when there is no such repository.
    pub async fn surplus(&self, name: &RepositoryName) -> Result<Vec<Surplus>, Error> {
        let hosted = Repository::hosted(name);
        if self.index.repository(&hosted).await?.is_none() {
            return Err(Error::new(Kind::NameUnknown, format!("{hosted} is no hosted repository here")));
        }
        let policy = self.policy(&hosted);
        if policy.keep_last.is_none() && policy.keep_days.is_none() {
            return Ok(Vec::new());
        }
        let mut tags = Vec::new();
        for (tag, row) in self.all_tags(&hosted).await? {
            if !self.goes_with_another(&hosted, &tag).await? {
                tags.push((tag, row));
            }
        }
        Ok(surplus(policy, tags, now()))
    }

    /// Removes a tag that is not kept; false when it was pushed again or removed since that was judged.
    pub async fn let_go(&self, name: &RepositoryName, surplus: &Surplus) -> Result<bool, Error> {
        let (hosted, Surplus { tag, row, .. }) = (Repository::hosted(name), surplus);
        match self.change_tags(&hosted, Act::Expire(tag.clone(), row.clone()), &Who::User(BY.into())).await {
            Ok(_) => Ok(true),
            Err(Error { kind: Kind::ManifestUnknown, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the tag is a signature or a list of referrers of a manifest that is here: those are neither counted nor let go.
    async fn goes_with_another(&self, hosted: &Repository, tag: &Tag) -> Result<bool, Error> {
        match subject(tag.as_str()) {
            Some(digest) => Ok(self.index.manifest(hosted, &digest).await?.is_some()),
            None => Ok(false),
        }
    }
}

/// The manifest that a tag like `sha256-….sig` (cosign's) or `sha256-…` (the specification's, for referrers) speaks of.
fn subject(tag: &str) -> Option<Digest> {
    let (algorithm, rest) = tag.split_once('-')?;
    let hash = rest.split_once('.').map_or(rest, |(hash, _)| hash);
    format!("{algorithm}:{hash}").parse().ok()
}

/// The tags that the policy lets go at a time (Unix milliseconds), newest first, and why.
fn surplus(policy: &TagPolicy, mut tags: Vec<(Tag, TagRow)>, now: u64) -> Vec<Surplus> {
    tags.retain(|(tag, _)| !policy.is_immutable(tag.as_str()));
    tags.sort_by(|(tag, row), (other, than)| than.at.cmp(&row.at).then_with(|| tag.cmp(other)));
    let judged = tags.into_iter().enumerate();
    let going =
        judged.filter_map(|(place, (tag, row))| Some(Surplus { why: outside(policy, place, now.saturating_sub(row.at))?, tag, row }));
    going.collect()
}

/// Why a tag is kept by nothing that is set, if so. `place`: how many are newer. `age`: milliseconds.
fn outside(policy: &TagPolicy, place: usize, age: u64) -> Option<String> {
    let mut why = Vec::new();
    if let Some(last) = policy.keep_last {
        if place < last {
            return None;
        }
        why.push(format!("is not among the {last} newest (keep_last)"));
    }
    if let Some(days) = policy.keep_days {
        if age <= DAY.saturating_mul(days as u64) {
            return None;
        }
        why.push(format!("was pushed {} days ago (keep_days = {days})", age / DAY));
    }
    (!why.is_empty()).then(|| why.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Patterns, Redeploy};

    #[test]
    fn a_tag_goes_only_when_it_is_outside_of_both_that_are_set() {
        // Tags by their age in days.
        let tags = |names: &[(&str, u64)]| {
            let row = |days: u64| TagRow::new(Digest::of(b"m"), (1000 - days) * DAY, "");
            names.iter().map(|(name, days)| (name.parse().unwrap(), row(*days))).collect::<Vec<(Tag, TagRow)>>()
        };
        let gone = |keep_last, keep_days| {
            let immutable_tags = Patterns::new(&["v*"]).unwrap();
            let policy = TagPolicy { redeploy: Redeploy::Allow, immutable_tags, keep_last, keep_days };
            let tags = tags(&[("v1", 900), ("b", 20), ("d", 40), ("a", 10), ("c", 30), ("v2", 1)]);
            let gone = surplus(&policy, tags, 1000 * DAY);
            gone.into_iter().map(|surplus| surplus.tag.to_string()).collect::<String>()
        };
        let table = [
            (None, None, ""),
            (Some(1), None, "bcd"),
            (Some(3), None, "d"),
            (Some(4), None, ""),
            (None, Some(1), "abcd"),
            (None, Some(20), "cd"),
            (None, Some(40), ""),
            (Some(1), Some(20), "cd"),
            (Some(3), Some(20), "d"),
            (Some(3), Some(40), ""),
        ];
        for (keep_last, keep_days, expected) in table {
            assert_eq!(gone(keep_last, keep_days), expected, "{keep_last:?} {keep_days:?}");
        }
        let policy = TagPolicy { redeploy: Redeploy::Deny, immutable_tags: Patterns::default(), keep_last: Some(1), keep_days: Some(1) };
        assert_eq!(surplus(&policy, tags(&[("a", 10), ("b", 20)]), 1000 * DAY), [], "nothing goes where nothing may change");
    }

    #[test]
    fn a_signatures_tag_says_of_which_manifest_it_is() {
        let digest = Digest::of(b"m");
        let hash = digest.hex();
        for tag in [format!("sha256-{hash}"), format!("sha256-{hash}.sig"), format!("sha256-{hash}.att.json")] {
            assert_eq!(subject(&tag), Some(digest), "{tag}");
        }
        for tag in ["latest", "sha256-abc", "v1-2", &format!("sha512-{hash}"), &format!("sha256-{hash}x")] {
            assert_eq!(subject(tag), None, "{tag}");
        }
    }
}
