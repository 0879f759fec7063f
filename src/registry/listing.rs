//! Lists: a repository's tags, and the repositories that can be pulled here.

use std::collections::{BTreeMap, BTreeSet};

use super::{Error, Kind, Reader, Registry, Target};
use crate::auth::Who;
use crate::index::{ManifestRow, TagRow};
use crate::oci::{Digest, Origin, Repository, RepositoryName, Tag};

/// Names read from the index at once.
const PAGE: usize = 1000;

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    pub entries: Vec<T>,
    /// Whether more follow.
    pub more: bool,
}

impl Registry {
    /// At most `limit` tags after `after`, in lexical order.
    pub async fn tags(&self, target: &Target, after: Option<&str>, limit: usize, reader: &Reader) -> Result<Page<Tag>, Error> {
        let repositories = self.answering(target).await?;
        let (mut tags, mut known) = (BTreeSet::new(), false);
        for repository in repositories {
            if self.shown(&repository, &reader.who) && self.index.repository(&repository).await?.is_some() {
                known = true;
                tags.extend(self.index.tags(&repository, after, limit + 1).await?.into_iter().map(|(tag, _)| tag));
            }
        }
        if !known {
            return Err(Error::new(
                Kind::NameUnknown,
                format!("there is no repository {} here; push to it or pull from it first", target.judged()),
            ));
        }
        let more = tags.len() > limit;
        Ok(Page { entries: tags.into_iter().take(limit).collect(), more })
    }

    /// At most `limit` names after `after`: hosted ones and, unless `hosted_only`, those that are cached, under the names they are pulled by.
    pub async fn catalog(&self, after: Option<&str>, limit: usize, hosted_only: bool, reader: &Reader) -> Result<Page<String>, Error> {
        let mut names = BTreeSet::new();
        for name in self.names_of(&Origin::Hosted).await? {
            names.insert(name.to_string());
        }
        let registries: Vec<_> = if hosted_only { Vec::new() } else { self.members.keys().cloned().collect() };
        for registry in registries {
            for name in self.names_of(&Origin::Upstream(registry.as_str().into())).await? {
                let repository = Repository::upstream(&registry, &name);
                if self.shown(&repository, &reader.who) {
                    let at_root = self.group.contains(&repository.origin) && registry == "docker.io";
                    names.insert(if at_root { name.short().to_string() } else { repository.to_string() });
                }
            }
        }
        let mut rest = names.into_iter().filter(|name| after.is_none_or(|after| name.as_str() > after));
        let entries = rest.by_ref().take(limit).collect();
        Ok(Page { entries, more: rest.next().is_some() })
    }

    pub(super) async fn names_of(&self, origin: &Origin) -> Result<Vec<RepositoryName>, Error> {
        let mut names: Vec<RepositoryName> = Vec::new();
        loop {
            let after = names.last().map(|name| name.to_string());
            let page = self.index.repositories(origin, after.as_deref(), PAGE).await?;
            if page.is_empty() {
                return Ok(names);
            }
            names.extend(page);
        }
    }

    /// Every tag of the repository with what it names.
    pub(super) async fn all_tags(&self, repository: &Repository) -> Result<Vec<(Tag, TagRow)>, Error> {
        let mut tags: Vec<(Tag, TagRow)> = Vec::new();
        loop {
            let after = tags.last().map(|(tag, _)| tag.to_string());
            let page = self.index.tags(repository, after.as_deref(), PAGE).await?;
            if page.is_empty() {
                return Ok(tags);
            }
            tags.extend(page);
        }
    }

    /// Every manifest of the repository, with when it came, Unix milliseconds.
    pub(super) async fn all_manifests(&self, repository: &Repository) -> Result<Vec<(Digest, ManifestRow, u64)>, Error> {
        let mut manifests: Vec<(Digest, ManifestRow, u64)> = Vec::new();
        loop {
            let after = manifests.last().map(|(digest, ..)| *digest);
            let page = self.index.manifests(repository, after.as_ref(), PAGE).await?;
            if page.is_empty() {
                return Ok(manifests);
            }
            manifests.extend(page);
        }
    }

    /// Whether a list may name the repository, as far as is known without asking anybody.
    pub(super) fn shown(&self, repository: &Repository, who: &Who) -> bool {
        matches!(who, Who::User(_)) || self.known_public(repository)
    }

    /// The repositories whose lists answer for a name.
    async fn answering(&self, target: &Target) -> Result<Vec<Repository>, Error> {
        match target {
            Target::Upstream(repository) => Ok(vec![repository.clone()]),
            Target::Group(name) => {
                let standing = self.standing(name).await?;
                let members = if standing.closed.is_some() { Vec::new() } else { standing.members };
                Ok(standing.hosted.into_iter().chain(members).collect())
            }
        }
    }

    /// The stored manifests whose subject is `digest`, of one artifact type if that is asked for.
    pub async fn referrers(
        &self,
        target: &Target,
        digest: &Digest,
        artifact_type: Option<&str>,
        reader: &Reader,
    ) -> Result<Vec<(Digest, ManifestRow)>, Error> {
        let repositories = self.answering(target).await?;
        let mut found = BTreeMap::new();
        for repository in repositories.iter().filter(|repository| self.shown(repository, &reader.who)) {
            found.extend(self.index.referrers(repository, digest).await?);
        }
        let wanted = |row: &ManifestRow| artifact_type.is_none_or(|wanted| row.artifact_type.as_deref() == Some(wanted));
        Ok(found.into_iter().filter(|(_, row)| wanted(row)).collect())
    }
}
