//! What is here, for whoever looks after it: images with their sizes, and the bytes of each repository.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Error, Registry};
use crate::config::Patterns;
use crate::index::{EdgeKind, TagRow};
use crate::oci::{Digest, Origin, Repository, Tag};

/// Rows read from the index at once.
const PAGE: usize = 1000;

/// An image that is here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// With its tag, or its digest when no tag names it.
    pub image: String,
    pub hosted: bool,
    /// Whether its tag stays at that digest, whatever the upstream says.
    pub pinned: bool,
    pub digest: Digest,
    /// Bytes of it that are here.
    pub size: u64,
    /// Unix milliseconds: pushed, fetched, or last confirmed by the upstream.
    pub at: u64,
}

/// The bytes of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    pub repository: String,
    pub hosted: bool,
    /// Bytes that no other repository holds.
    pub own: u64,
    /// Bytes that others hold too.
    pub shared: u64,
}

/// The bytes of everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub blobs: u64,
    pub bytes: u64,
    /// Bytes that a hosted repository holds.
    pub hosted: u64,
    /// Bytes that a cached repository holds; some may be hosted too.
    pub cached: u64,
    /// Bytes that the next collection may remove.
    pub collectable: u64,
}

/// What a repository has, as it is named there.
struct Named {
    /// As it follows the repository's name: `:TAG` or `@DIGEST`.
    reference: String,
    digest: Digest,
    at: u64,
    pinned: bool,
}

impl Registry {
    /// The images of a repository, of those that match if that is asked for: by name or image, with its registry or without.
    pub async fn images(&self, repository: &Repository, patterns: Option<&Patterns>) -> Result<Vec<Listed>, Error> {
        let mut images = Vec::new();
        for Named { reference, digest, at, pinned } in self.stocked(repository).await? {
            let (name, short, image) = (repository.to_string(), repository.name.short().to_string(), format!("{repository}{reference}"));
            let written = [name, format!("{short}{reference}"), short, image.clone()];
            if patterns.is_none_or(|patterns| written.iter().any(|text| patterns.matches(text))) {
                let size = self.size_here(repository, &digest).await?;
                images.push(Listed { image, hosted: repository.origin == Origin::Hosted, pinned, digest, size, at });
            }
        }
        Ok(images)
    }

    /// Every repository with a tag or a manifest, hosted ones first.
    pub async fn repositories(&self) -> Result<Vec<Repository>, Error> {
        let mut registries: Vec<_> = self.members.keys().collect();
        registries.sort_unstable();
        let origins =
            std::iter::once(Origin::Hosted).chain(registries.into_iter().map(|registry| Origin::Upstream(registry.as_str().into())));
        let mut found = Vec::new();
        for origin in origins {
            found.extend(self.names_of(&origin).await?.into_iter().map(|name| Repository { origin: origin.clone(), name }));
        }
        Ok(found)
    }

    /// The tags of a repository, then the manifests that neither a tag nor another manifest leads to.
    async fn stocked(&self, repository: &Repository) -> Result<Vec<Named>, Error> {
        let tags = self.all_tags(repository).await?;
        let tagged: BTreeSet<_> = tags.iter().map(|(_, row)| row.digest).collect();
        let named = |(tag, row): (Tag, TagRow)| {
            let pinned = row.pinned.is_some();
            Named { reference: format!(":{tag}"), digest: row.digest, at: row.at, pinned }
        };
        let mut found: Vec<_> = tags.into_iter().map(named).collect();
        for (digest, row, since) in self.all_manifests(repository).await? {
            let led = tagged.contains(&digest) || row.subject.is_some() || !self.index.parents(repository, &digest, 1).await?.is_empty();
            if !led {
                found.push(Named { reference: format!("@{digest}"), digest, at: since, pinned: false });
            }
        }
        Ok(found)
    }

    /// Bytes here of a manifest and all that it reaches.
    async fn size_here(&self, repository: &Repository, root: &Digest) -> Result<u64, Error> {
        let (mut todo, mut seen, mut size) = (vec![*root], BTreeSet::from([*root]), 0);
        while let Some(digest) = todo.pop() {
            let Some(row) = self.index.manifest(repository, &digest).await? else { continue };
            size += row.size;
            for (child, edge) in self.index.children(repository, &digest).await? {
                match edge.kind {
                    _ if !seen.insert(child) => {}
                    EdgeKind::Manifest => todo.push(child),
                    EdgeKind::Blob if self.index.linked(repository, &child).await? => size += edge.size,
                    EdgeKind::Blob => {}
                }
            }
        }
        Ok(size)
    }

    /// The bytes of each repository, and of everything.
    pub async fn usage(&self) -> Result<(Vec<Share>, Usage), Error> {
        let (mut shares, mut usage, mut last) = (BTreeMap::<Repository, (u64, u64)>::new(), Usage::default(), None);
        loop {
            let page = self.index.holdings(last.as_ref(), PAGE).await?;
            let Some(holding) = page.last() else { break };
            last = Some(holding.digest);
            for holding in page {
                usage.blobs += 1;
                usage.bytes += holding.size;
                let held_by = |hosted: bool| holding.holders.iter().any(|holder| (holder.repository.origin == Origin::Hosted) == hosted);
                usage.hosted += if held_by(true) { holding.size } else { 0 };
                usage.cached += if held_by(false) { holding.size } else { 0 };
                usage.collectable += if holding.holders.iter().all(|holder| holder.idle.is_some()) { holding.size } else { 0 };
                let alone = holding.holders.len() == 1;
                for holder in holding.holders {
                    let (own, shared) = shares.entry(holder.repository).or_default();
                    *(if alone { own } else { shared }) += holding.size;
                }
            }
        }
        let share = |(repository, (own, shared)): (Repository, (u64, u64))| Share {
            hosted: repository.origin == Origin::Hosted,
            repository: repository.to_string(),
            own,
            shared,
        };
        Ok((shares.into_iter().map(share).collect(), usage))
    }
}
