//! Pinning a cached tag: it answers one digest and its upstream is not asked for it, until it is unpinned. What a pin needs is
//! not purged.

use std::collections::BTreeSet;

use super::refresh::pinned;
use super::{Error, Kind, Reader, Registry, Sight, Target, Want};
use crate::auth::{ADMIN, Who};
use crate::index::EdgeKind;
use crate::oci::{Digest, ImageName, Reference, Repository, Tag};

/// A tag that was pinned or unpinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    pub repository: Repository,
    /// What it named before; `None`: it was not here.
    pub from: Option<Digest>,
    pub to: Digest,
}

impl Registry {
    /// Has the tag stay at the digest, or at what it names now. The manifest is fetched when it is not here; when this returns
    /// it survives power loss.
    pub async fn pin(&self, image: &ImageName, digest: Option<Digest>) -> Result<Pinned, Error> {
        let (tag, sources) = self.tag_sources(image).await?;
        let mut last = Error::new(Kind::ManifestUnknown, format!("nothing of {image} is cached here; name a digest too: {image}@sha256:…"));
        for repository in sources {
            let named = self.index.tag(&repository, &tag).await?.map(|row| row.digest);
            let Some(to) = digest.or(named) else { continue };
            let reader = Reader::new(Who::User(ADMIN.into()), Sight::Everything);
            match self.upstream_manifest(&repository, &Reference::Digest(to), Want::Bytes, &reader).await {
                Ok(_) if self.index.manifest(&repository, &to).await?.is_none() => {
                    return Err(Error::new(Kind::NoSpace, format!("{repository}@{to} cannot be kept: the disk is full")));
                }
                Ok(_) => {
                    let from = self.pin_tag(&repository, &tag, to).await?;
                    if let Target::Group(name) = self.target(&image.path_name(), None)? {
                        self.bind(&name, &repository).await?;
                    }
                    return Ok(Pinned { repository, from, to });
                }
                Err(miss) => {
                    let goes_on = miss.passes_on();
                    last = miss.into_error(Kind::ManifestUnknown, &format!("{repository}@{to}"));
                    if !goes_on {
                        break;
                    }
                }
            }
        }
        Err(last)
    }

    /// Has the tag follow its upstream again.
    pub async fn unpin(&self, image: &ImageName) -> Result<Pinned, Error> {
        let (tag, sources) = self.tag_sources(image).await?;
        for repository in sources {
            if let Some(digest) = self.unpin_tag(&repository, &tag).await? {
                return Ok(Pinned { repository, from: Some(digest), to: digest });
            }
        }
        Err(Error::new(Kind::ManifestUnknown, format!("{image} is not pinned")))
    }

    /// The repository's pinned tags.
    async fn pins(&self, repository: &Repository) -> Result<Vec<(Tag, Digest)>, Error> {
        let tags = self.all_tags(repository).await?;
        Ok(tags.into_iter().filter(|(_, row)| row.pinned.is_some()).map(|(tag, row)| (tag, row.digest)).collect())
    }

    /// The tags whose pins do not need what is to go: the reference, or `None` for all of the repository.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] names a pin that needs it.
    pub(super) async fn unharmed_pins(&self, repository: &Repository, going: Option<&Reference>) -> Result<BTreeSet<Tag>, Error> {
        let mut unharmed = BTreeSet::new();
        for (tag, digest) in self.pins(repository).await? {
            let needed = match going {
                None => true,
                Some(Reference::Tag(going)) => *going == tag,
                Some(Reference::Digest(going)) => self.leads_to(repository, digest, *going).await?,
            };
            if needed {
                return Err(pinned(repository, &tag));
            }
            unharmed.insert(tag);
        }
        Ok(unharmed)
    }

    async fn leads_to(&self, repository: &Repository, root: Digest, wanted: Digest) -> Result<bool, Error> {
        let (mut todo, mut seen) = (vec![root], BTreeSet::from([root]));
        while let Some(digest) = todo.pop() {
            if digest == wanted {
                return Ok(true);
            }
            let children = self.index.children(repository, &digest).await?;
            todo.extend(
                children.into_iter().filter(|(child, edge)| edge.kind == EdgeKind::Manifest && seen.insert(*child)).map(|(child, _)| child),
            );
        }
        Ok(false)
    }
}
