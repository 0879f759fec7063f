//! Asking upstreams about cached tags because somebody wants to know now.

use super::freshness::HeldBack;
use super::manifests::Miss;
use super::{Error, Kind, Reader, Registry, Sight, Target, Want};
use crate::auth::{ADMIN, Who};
use crate::oci::{Digest, ImageName, Reference, Repository, Tag};

/// What an upstream said of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refreshed {
    pub repository: Repository,
    pub from: Digest,
    /// What the tag names from now on.
    pub to: Digest,
    /// What the upstream names instead and is too new to be served.
    pub held: Option<HeldBack>,
}

impl Registry {
    /// Asks for a tag that is cached, however fresh it is; in each repository that the name may mean.
    ///
    /// # Errors
    /// The tag is hosted, pinned or not cached, or the upstream did not answer: what is cached is as it was.
    pub async fn refresh(&self, image: &ImageName) -> Result<Vec<Refreshed>, Error> {
        let (tag, sources) = self.tag_sources(image).await?;
        let mut refreshed = Vec::new();
        for repository in sources {
            let Some(row) = self.index.tag(&repository, &tag).await? else { continue };
            if row.pinned.is_some() {
                return Err(pinned(&repository, &tag));
            }
            let reference = Reference::Tag(tag.clone());
            self.fetched.forgive(&repository, &reference);
            let reader = Reader::new(Who::User(ADMIN.into()), Sight::Everything);
            let asked = self.ask_for(&repository, &reference, Want::Bytes, &reader).await;
            let found = asked.map_err(|miss| miss.into_error(Kind::ManifestUnknown, &format!("{repository}:{tag}")))?;
            refreshed.push(Refreshed { repository, from: row.digest, to: found.digest, held: found.held });
        }
        match refreshed.is_empty() {
            true => Err(Error::new(
                Kind::ManifestUnknown,
                format!("nothing of {image} is cached here; fetch it with: entrepot prefetch {image}"),
            )),
            false => Ok(refreshed),
        }
    }

    /// The cached repositories that the tag of a name may come from, where it is not hosted.
    pub(super) async fn tag_sources(&self, image: &ImageName) -> Result<(Tag, Vec<Repository>), Error> {
        let Reference::Tag(tag) = &image.reference else {
            return Err(Error::new(Kind::Unsupported, format!("{image} names a digest, which never changes; name a tag")));
        };
        let name = match self.target(&image.path_name(), None)? {
            Target::Upstream(repository) => return Ok((tag.clone(), vec![repository])),
            Target::Group(name) => name,
        };
        let standing = self.standing(&name).await?;
        let hosted = match &standing.hosted {
            Some(hosted) => self.index.tag(hosted, tag).await?.is_some() || matches!(standing.closed, Some(Miss::Unknown)),
            None => false,
        };
        match standing.closed {
            _ if hosted => Err(Error::new(Kind::Unsupported, format!("{image} is hosted here and follows no upstream"))),
            Some(closed) => Err(closed.into_error(Kind::ManifestUnknown, &image.to_string())),
            None => Ok((tag.clone(), standing.members)),
        }
    }
}

pub(super) fn pinned(repository: &Repository, tag: &Tag) -> Error {
    Error::new(Kind::Unsupported, format!("{repository}:{tag} is pinned here; let it go with: entrepot unpin {repository}:{tag}"))
}
