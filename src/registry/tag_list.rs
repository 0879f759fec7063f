//! Lists of tags: those of the repository's owner, the upstream's own list and what is cached of it together.

use std::collections::BTreeSet;

use super::lists::{Asked, Known};
use super::manifests::Miss;
use super::{Error, Kind, Page, Reader, Registry, Target};
use crate::oci::{Repository, Tag};

impl Registry {
    /// At most `limit` tags after `after`, in lexical order.
    pub async fn tags(&self, target: &Target, after: Option<&str>, limit: usize, reader: &Reader) -> Result<Page<Tag>, Error> {
        let what = format!("{}'s list of tags", target.judged());
        let owners = self.owners(target, None, reader).await?;
        let (mut tags, mut stale) = (BTreeSet::new(), false);
        if let Some(hosted) = &owners.hosted {
            tags.extend(self.stored_tags(hosted, after, limit + 1).await?);
        }
        let mut answered = owners.hosted.is_some();
        let mut last = owners.closed.unwrap_or(Miss::Unknown);
        for member in &owners.members {
            match self.upstream_tags(member, reader).await {
                Ok(known) => {
                    let from = after.map_or(0, |after| known.entries.partition_point(|tag| tag.as_str() <= after));
                    tags.extend(known.entries[from..].iter().take(limit + 1).cloned());
                    tags.extend(self.stored_tags(member, after, limit + 1).await?);
                    (answered, stale) = (true, known.stale);
                    break;
                }
                Err(miss) if miss.passes_on() => last = miss,
                Err(_) if answered => {
                    stale = true;
                    break;
                }
                Err(miss) => return Err(miss.into_error(Kind::NameUnknown, &what)),
            }
        }
        if !answered {
            return Err(last.into_error(Kind::NameUnknown, &what));
        }
        let more = limit > 0 && tags.len() > limit;
        Ok(Page { entries: tags.into_iter().take(limit).collect(), more, stale })
    }

    async fn stored_tags(&self, repository: &Repository, after: Option<&str>, limit: usize) -> Result<Vec<Tag>, Error> {
        Ok(self.index.tags(repository, after, limit).await?.into_iter().map(|(tag, _)| tag).collect())
    }

    /// What the upstream says, or nothing of it where what is cached must do.
    async fn upstream_tags(&self, repository: &Repository, reader: &Reader) -> Result<Known<Tag>, Miss> {
        if !self.may_list(repository, reader).await? {
            return Err(Miss::LogIn);
        }
        let member = self.member(repository).ok_or(Miss::Unknown)?.clone();
        let some_here = !self.index.tags(repository, None, 1).await?.is_empty();
        let asked = Asked { repository, reader, some_here, weigh: |tag: &Tag| 48 + tag.as_str().len() };
        let name = repository.name.clone();
        let told =
            self.told(&self.tag_lists, repository.clone(), asked, |budget| async move { member.upstream().tags(&name, budget).await });
        match told.await {
            Err(Miss::Ours(error)) => Err(Miss::Ours(error)),
            Err(miss) if some_here => Ok(Known::nothing(!miss.passes_on())),
            Err(Miss::Policy(_)) if self.index.repository(repository).await?.is_some() => Ok(Known::nothing(false)),
            told => told,
        }
    }
}
