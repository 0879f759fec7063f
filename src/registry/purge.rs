//! Giving up images as a whole: hosted repositories, and what is cached of upstreams. The rows go at once, the bytes when they are collected.

use std::collections::BTreeSet;

use super::tags::{Act, Moved, Purged, purge};
use super::{Error, Kind, Registry, Target};
use crate::auth::{ADMIN, Who};
use crate::index::{Change, CommitError, EdgeKind, Expect, Promise};
use crate::oci::{Digest, ImageName, Reference, Repository, RepositoryName};

impl Registry {
    /// Removes a hosted image by tag or digest, as a client's DELETE does.
    pub async fn delete_image(&self, image: &ImageName) -> Result<Vec<Moved>, Error> {
        let name = self.hosted_name(&image.path_name()).await?;
        self.delete_manifest(&name, &image.reference, &Who::User(ADMIN.into())).await
    }

    /// Removes a hosted repository with all its tags; from then on the name belongs to nobody.
    pub async fn delete_repository(&self, name: &str) -> Result<Vec<Moved>, Error> {
        let hosted = Repository::hosted(&self.hosted_name(name).await?);
        self.change_tags(&hosted, Act::RemoveRepository, &Who::User(ADMIN.into())).await
    }

    /// The name, where it belongs to hosted.
    async fn hosted_name(&self, name: &str) -> Result<RepositoryName, Error> {
        let cached =
            || Error::new(Kind::Unsupported, format!("{name} is not hosted here but cached; give the copy up with: entrepot purge {name}"));
        match self.target(name, None)? {
            Target::Upstream(_) => Err(cached()),
            Target::Group(name) if self.is_hosted(&name).await? => Ok(name),
            Target::Group(group) => match self.cached(&group).await?.is_empty() {
                true => Err(Error::new(Kind::NameUnknown, format!("there is no hosted repository {name}"))),
                false => Err(cached()),
            },
        }
    }

    async fn is_hosted(&self, name: &RepositoryName) -> Result<bool, Error> {
        Ok(self.index.repository(&Repository::hosted(name)).await?.is_some())
    }

    async fn cached(&self, name: &RepositoryName) -> Result<Vec<Repository>, Error> {
        let mut found = Vec::new();
        for member in self.upstream_members(name) {
            if self.index.repository(&member).await?.is_some() {
                found.push(member);
            }
        }
        Ok(found)
    }

    /// The cached repositories that a name means, and no hosted one: for those there is `instead`.
    async fn purgeable(&self, name: &str, instead: &str) -> Result<Vec<Repository>, Error> {
        match self.target(name, None)? {
            Target::Upstream(repository) => Ok(vec![repository]),
            Target::Group(group) if self.is_hosted(&group).await? => {
                let text = format!("{name} is hosted here and not a copy of anything; remove it with: entrepot delete {instead}");
                Err(Error::new(Kind::Unsupported, text))
            }
            Target::Group(group) => self.cached(&group).await,
        }
    }

    /// Gives up the cached copies of an image, by tag or digest, with all that nothing else cached leads to.
    pub async fn purge_image(&self, image: &ImageName) -> Result<(), Error> {
        let mut known = false;
        for repository in self.purgeable(&image.path_name(), &image.to_string()).await? {
            let digest = match &image.reference {
                Reference::Digest(digest) => self.index.manifest(&repository, digest).await?.map(|_| *digest),
                Reference::Tag(tag) => self.index.tag(&repository, tag).await?.map(|row| row.digest),
            };
            let Some(digest) = digest else { continue };
            known = true;
            let pins = self.unharmed_pins(&repository, Some(&image.reference)).await?;
            let changes = self.forgetting(&repository, &image.reference, digest).await?;
            self.give_up(vec![Expect::PinnedAmong(repository, pins)], changes).await?;
        }
        match known {
            true => Ok(()),
            false => Err(Error::new(Kind::ManifestUnknown, format!("nothing of {image} is cached here"))),
        }
    }

    /// Gives up all that is cached under a name.
    pub async fn purge_repository(&self, name: &str) -> Result<(), Error> {
        let (mut expects, mut changes) = (Vec::new(), Vec::new());
        for repository in self.purgeable(name, &format!("--all {name}")).await? {
            if self.index.repository(&repository).await?.is_some() {
                let pins = self.unharmed_pins(&repository, None).await?;
                changes.push(purge(&repository, Purged::Everything));
                expects.push(Expect::PinnedAmong(repository, pins));
            }
        }
        match changes.is_empty() {
            true => Err(Error::new(Kind::NameUnknown, format!("nothing of {name} is cached here"))),
            false => self.give_up(expects, changes).await,
        }
    }

    async fn give_up(&self, expects: Vec<Expect>, changes: Vec<Change>) -> Result<(), Error> {
        match self.commit(expects, changes, Promise::Durable).await {
            Err(CommitError::Refused(_)) => Err(Error::new(Kind::Unavailable, "it was pinned this moment; look with: entrepot ls")),
            done => Ok(done?),
        }
    }

    /// What goes with a cached manifest: its tag, and every manifest and link below it that nothing else leads to.
    async fn forgetting(&self, repository: &Repository, reference: &Reference, root: Digest) -> Result<Vec<Change>, Error> {
        let mut changes = Vec::new();
        if let Reference::Tag(tag) = reference {
            changes.push(purge(repository, Purged::Tag(tag.clone())));
        }
        let (mut todo, mut gone, mut blobs) = (vec![root], BTreeSet::new(), BTreeSet::new());
        while let Some(digest) = todo.pop() {
            let mut naming = self.tags_naming(repository, &digest).await?;
            naming.retain(|tag| digest != root || *reference != Reference::Tag(tag.clone()));
            let asked = digest == root && matches!(reference, Reference::Digest(_));
            let led = !asked && (!naming.is_empty() || !self.only_under(repository, &digest, &gone).await?);
            if led || self.index.manifest(repository, &digest).await?.is_none() || !gone.insert(digest) {
                continue;
            }
            for (child, edge) in self.index.children(repository, &digest).await? {
                match edge.kind {
                    EdgeKind::Manifest => todo.push(child),
                    EdgeKind::Blob => drop(blobs.insert(child)),
                }
            }
            todo.extend(self.index.referrers(repository, &digest, None, usize::MAX).await?.into_iter().map(|(referrer, _)| referrer));
        }
        for digest in blobs {
            if self.only_under(repository, &digest, &gone).await? {
                changes.push(Change::Unlink { repository: repository.clone(), digest });
            }
        }
        changes.extend(gone.into_iter().map(|digest| purge(repository, Purged::Manifest(digest))));
        Ok(changes)
    }

    /// Whether no manifest but these has an edge to it.
    async fn only_under(&self, repository: &Repository, digest: &Digest, these: &BTreeSet<Digest>) -> Result<bool, Error> {
        let parents = self.index.parents(repository, digest, usize::MAX).await?;
        Ok(parents.iter().all(|parent| these.contains(parent)))
    }
}
