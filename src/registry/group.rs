//! The root address: whose name it is, and in which order its members are asked.
//!
//! A tag resolves to one member for the whole pull; a failing member ends the search, so that no other registry answers in its place.

use super::manifests::{Found, Miss};
use super::{Error, Kind, Reader, Registry, Sight, Target, Ticket, Want, noted};
use crate::index::{Change, CommitError, Expect, Promise};
use crate::oci::{Origin, Reference, Repository, RepositoryName};
use crate::telemetry;

/// Who answers for a group name.
pub(super) struct Standing {
    /// The hosted repository, where the group has one and it exists.
    pub hosted: Option<Repository>,
    /// The upstream repositories to ask, in order.
    pub members: Vec<Repository>,
    /// Why the members answer only for what they have already.
    pub closed: Option<Miss>,
}

impl Registry {
    /// The manifest, and a ticket when the answer may be kept in memory.
    pub async fn manifest(
        &self,
        target: &Target,
        reference: &Reference,
        reader: &Reader,
        want: Want,
    ) -> Result<(Found, Option<Ticket>), Error> {
        let what = || format!("{}{}{reference}", target.judged(), if matches!(reference, Reference::Tag(_)) { ":" } else { "@" });
        let mut stamps = Vec::new();
        let found = match target {
            Target::Upstream(repository) => {
                stamps.push(self.epochs.stamp(repository));
                self.upstream_manifest(repository, reference, want, reader).await
            }
            Target::Group(name) => {
                stamps.push(self.epochs.stamp(&Repository::hosted(name)));
                stamps.extend(self.upstream_members(name).map(|r| self.epochs.stamp(&r)));
                match (self.group_manifest(name, reference, want, reader).await, reference) {
                    // A pusher is told that it is missing, so that he sends it again.
                    (Err(miss), Reference::Digest(digest)) if miss.passes_on() && reader.sight == Sight::Everything => {
                        let hosted = Repository::hosted(name);
                        let here = self.groups_hosted() && self.index.manifest(&hosted, digest).await?.is_some();
                        Err(if here { Miss::damaged(&hosted, digest) } else { miss })
                    }
                    (found, _) => found,
                }
            }
        };
        let found = found.map_err(|miss| miss.into_error(Kind::ManifestUnknown, &what()))?;
        match found.asked {
            true => telemetry::metrics::miss(telemetry::metrics::Kind::Manifest),
            false => telemetry::metrics::hit(telemetry::metrics::Kind::Manifest),
        }
        let ticket = found.ticket(stamps, self.seen_until(&found.repository));
        Ok((found, ticket))
    }

    async fn group_manifest(&self, name: &RepositoryName, reference: &Reference, want: Want, reader: &Reader) -> Result<Found, Miss> {
        let standing = self.standing_for(name, reader).await?;
        // As for blobs: a pusher sends no child that he was told is here.
        let _lease = match reference {
            Reference::Digest(digest) if reader.sight == Sight::Hosted => Some(self.index.lease(&[*digest])),
            _ => None,
        };
        if let Some(hosted) = &standing.hosted
            && let Some(found) = self.hosted_manifest(hosted, reference).await?
        {
            if reader.sight == Sight::Hosted {
                self.index.lease_for(&found.digest, self.lease);
            }
            return Ok(found);
        }
        // A pusher must not be told that what is made up was pushed.
        if reader.sight == Sight::Hosted {
            return Err(Miss::Unknown);
        }
        if let Some(hosted) = &standing.hosted
            && let Some(found) = self.made_up(hosted, reference).await?
        {
            return Ok(found);
        }
        if let Reference::Digest(digest) = reference {
            for member in &standing.members {
                if self.index.manifest(member, digest).await?.is_some() || self.index.edge(member, digest).await?.is_some() {
                    return self.upstream_manifest(member, reference, want, reader).await;
                }
            }
        }
        if let Some(closed) = standing.closed {
            return Err(closed);
        }
        let mut last = Miss::Unknown;
        for member in &standing.members {
            match self.upstream_manifest(member, reference, want, reader).await {
                Ok(found) => {
                    self.bind(name, member).await?;
                    return Ok(found);
                }
                Err(miss) if miss.passes_on() => last = miss,
                Err(miss) => return Err(miss),
            }
        }
        Err(last)
    }

    /// The hosted manifest of a reference.
    pub(super) async fn hosted_manifest(&self, hosted: &Repository, reference: &Reference) -> Result<Option<Found>, Error> {
        let digest = match reference {
            Reference::Digest(digest) => *digest,
            Reference::Tag(tag) => match self.index.tag(hosted, tag).await? {
                Some(row) => row.digest,
                None => return Ok(None),
            },
        };
        let found = self.stored(hosted, &digest).await?;
        // Unless it was removed this moment, the tag promises it.
        if found.is_none() && matches!(reference, Reference::Tag(_)) && self.index.manifest(hosted, &digest).await?.is_some() {
            let text = format!("{hosted}:{reference} is {digest}, whose bytes are damaged here; push it again");
            return Err(Error::new(Kind::Internal, text));
        }
        Ok(found)
    }

    /// Whose name it is, as it stands now.
    pub(super) async fn standing(&self, name: &RepositoryName) -> Result<Standing, Error> {
        let hosted = Repository::hosted(name);
        let exists = self.groups_hosted() && self.index.repository(&hosted).await?.is_some();
        let mut members: Vec<_> = self.upstream_members(name).collect();
        let closed =
            if exists && !self.overlay.matches(name.long().as_str()) { Some(Miss::Unknown) } else { self.reserves(name).map(Miss::Policy) };
        if members.len() > 1
            && let Some(origin) = self.index.bound(&name.long()).await?
        {
            members.retain(|member| member.origin == origin);
        }
        Ok(Standing { hosted: exists.then_some(hosted), members, closed })
    }

    /// The same for a reader, who may read the hosted repository where it exists.
    pub(super) async fn standing_for(&self, name: &RepositoryName, reader: &Reader) -> Result<Standing, Error> {
        let standing = self.standing(name).await?;
        standing.hosted.iter().try_for_each(|hosted| self.require_read(hosted, &reader.who))?;
        Ok(standing)
    }

    /// Of [`Registry::candidates`] those that are asked for a pull as things stand, in order.
    pub async fn answering(&self, target: &Target) -> Result<Vec<Repository>, Error> {
        match target {
            Target::Upstream(repository) => Ok(vec![repository.clone()]),
            Target::Group(name) => {
                let Standing { hosted, members, closed } = self.standing(name).await?;
                Ok(hosted.into_iter().chain(members.into_iter().filter(|_| closed.is_none())).collect())
            }
        }
    }

    /// Why the upstream of a cached repository must not be asked about it, as a sentence. A name that is reserved at the root
    /// leaves for none of the group's upstreams, however it is written.
    pub(super) fn forbids(&self, repository: &Repository) -> Option<String> {
        let reserved = || self.group.contains(&repository.origin).then(|| self.reserves(&repository.name)).flatten();
        self.member(repository)?.forbids(&repository.name).or_else(reserved)
    }

    fn reserves(&self, name: &RepositoryName) -> Option<String> {
        let reserved = [name.long(), name.short()].iter().any(|n| self.hosted.reserved.matches(n.as_str()));
        reserved.then(|| format!("{name} is reserved here and never looked up elsewhere; push it first"))
    }

    /// From now on the name stays with this member, where the group has several.
    pub(super) async fn bind(&self, name: &RepositoryName, member: &Repository) -> Result<(), Error> {
        let upstreams = self.group.iter().filter(|origin| **origin != Origin::Hosted).count();
        let name = name.long();
        if upstreams < 2 || self.index.bound(&name).await?.is_some() {
            return Ok(());
        }
        let bind = Change::Bind { name: name.clone(), origin: Some(member.origin.clone()) };
        match self.commit(vec![Expect::Unbound(name)], vec![bind], Promise::Appended).await {
            // The first one wins.
            Err(CommitError::Refused(_)) => Ok(()),
            bound => noted(bound).map(|_| ()),
        }
    }
}
