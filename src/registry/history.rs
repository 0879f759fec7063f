//! What became of a tag: who moved it, when, from which manifest to which. The index writes it down with each change; here
//! it is told, and forgotten when the tag is long gone.

use super::freshness::HeldBack;
use super::{Error, Kind, Registry, Target, now};
use crate::index::{Change, Promise, TagMove};
use crate::oci::{Digest, ImageName, Origin, Reference, Repository};

/// How long the history of a tag that is gone is kept, in milliseconds.
const REMEMBERED: u64 = 90 * 24 * 3600 * 1000;

/// Tags looked at in one step.
const PAGE: usize = 1000;

/// What became of a tag in one repository, and how it stands.
#[derive(Clone, Debug)]
pub struct Past {
    pub repository: Repository,
    /// Oldest first.
    pub moves: Vec<TagMove>,
    /// The digest at which the tag is pinned, and since when (Unix milliseconds).
    pub pinned: Option<(Digest, u64)>,
    /// What its upstream names instead and is too new to be served.
    pub held: Option<HeldBack>,
}

impl Registry {
    /// What became of an image's tag in each repository that the name may mean: hosted, then upstream.
    ///
    /// # Errors
    /// [`Kind::ManifestUnknown`] when none of them ever had the tag, as far as is remembered.
    pub async fn history(&self, image: &ImageName) -> Result<Vec<Past>, Error> {
        let Reference::Tag(tag) = &image.reference else {
            return Err(Error::new(Kind::ManifestUnknown, format!("{image} names a digest, which never changes; name a tag")));
        };
        let repositories = match self.target(&image.path_name(), None)? {
            Target::Upstream(repository) => vec![repository],
            Target::Group(name) => std::iter::once(Repository::hosted(&name)).chain(self.upstream_members(&name)).collect(),
        };
        let mut found = Vec::new();
        for repository in repositories {
            let moves = self.index.history(&repository, tag).await?;
            if moves.is_empty() {
                continue;
            }
            let row = self.index.tag(&repository, tag).await?;
            let pinned = row.as_ref().and_then(|row| Some((row.digest, row.pinned?)));
            let held = row.and_then(|row| row.held).filter(|_| pinned.is_none());
            let held = held.zip(self.member(&repository)).map(|(held, member)| {
                let cooldown = member.settings().tag_times(&repository.name, tag).cooldown;
                HeldBack::new(held, cooldown)
            });
            found.push(Past { repository, moves, pinned, held });
        }
        match found.is_empty() {
            true => Err(Error::new(Kind::ManifestUnknown, format!("no tag {image} is or was here"))),
            false => Ok(found),
        }
    }

    /// Forgets the history of tags that are gone since `REMEMBERED`, so that tags that come and go do not fill the disk.
    pub async fn forget_gone_tags(&self) -> Result<(), Error> {
        let upstreams = self.members.keys().map(|registry| Origin::Upstream(registry.as_str().into()));
        for origin in std::iter::once(Origin::Hosted).chain(upstreams) {
            for name in self.names_of(&origin).await? {
                self.forget_gone_tags_of(&Repository { origin: origin.clone(), name }).await?;
            }
        }
        Ok(())
    }

    async fn forget_gone_tags_of(&self, repository: &Repository) -> Result<(), Error> {
        let mut after: Option<String> = None;
        loop {
            let page = self.index.last_moves(repository, after.as_deref(), PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.to_string());
            let old = |step: &TagMove| step.to.is_none() && now().saturating_sub(step.at) > REMEMBERED;
            let forget = |tag| Change::Forget { repository: repository.clone(), tag };
            let changes: Vec<_> = page.into_iter().filter(|(_, step)| old(step)).map(|(tag, _)| forget(tag)).collect();
            if !changes.is_empty() {
                self.commit(Vec::new(), changes, Promise::Appended).await?;
            }
        }
    }
}
