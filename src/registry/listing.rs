//! Whole lists, read page by page, for work that needs every entry.

use super::{Error, Registry};
use crate::index::{ManifestRow, TagRow};
use crate::oci::{Digest, Origin, Repository, RepositoryName, Tag};

/// Rows read from the index at once.
const PAGE: usize = 1000;

impl Registry {
    /// Every repository of the origin.
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
}
