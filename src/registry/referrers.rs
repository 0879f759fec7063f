//! Lists of referrers: the manifests that name another one as their subject, of the subject's owner. What is stored here and
//! what the upstream lists together, each once.

use std::collections::BTreeMap;

use super::lists::{Asked, Known};
use super::manifests::Miss;
use super::{Error, Kind, Page, Reader, Registry, Target};
use crate::index::ManifestRow;
use crate::oci::{Digest, MAX_MANIFEST, Reference, Referrer, Repository};

/// Rows read from the index at once: each may have annotations as long as a manifest.
const ROWS: usize = 64;

/// Which part of a list is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Of this artifact type alone.
    pub artifact_type: Option<&'a str>,
    /// Those that come after this one.
    pub after: Option<Digest>,
    /// At most so many; fewer when they would not fit into one manifest.
    pub limit: usize,
}

impl Wanted<'_> {
    fn fits(&self, referrer: &Referrer) -> bool {
        let typed = self.artifact_type.is_none_or(|wanted| referrer.artifact_type.as_deref() == Some(wanted));
        typed && self.after.is_none_or(|after| referrer.digest > after)
    }
}

impl Registry {
    /// The manifests whose subject is `digest`, in order of their digests.
    pub async fn referrers(&self, target: &Target, digest: &Digest, wanted: Wanted<'_>, reader: &Reader) -> Result<Page<Referrer>, Error> {
        let owners = self.owners(target, Some(digest), reader).await?;
        let what = || format!("the list of referrers of {digest}");
        let (mut found, mut stale) = (BTreeMap::new(), false);
        if let Some(hosted) = &owners.hosted {
            found = self.stored_referrers(hosted, digest, wanted).await?;
        }
        for member in &owners.members {
            match self.upstream_referrers(member, digest, reader).await {
                Ok(known) => {
                    let fitting = known.entries.iter().filter(|referrer| wanted.fits(referrer));
                    found.extend(fitting.map(|referrer| (referrer.digest, referrer.clone())));
                    found.extend(self.stored_referrers(member, digest, wanted).await?);
                    stale |= known.stale;
                    if !found.is_empty() {
                        break;
                    }
                }
                Err(miss @ Miss::LogIn) if owners.hosted.is_none() => return Err(miss.into_error(Kind::ManifestUnknown, &what())),
                Err(miss) if miss.passes_on() => {}
                Err(_) if !found.is_empty() => stale = true,
                Err(miss) => return Err(miss.into_error(Kind::ManifestUnknown, &what())),
            }
        }
        Ok(page(found.into_values(), wanted.limit, stale))
    }

    /// The stored ones, in order, as many as one page may have and one more.
    pub(super) async fn stored_referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
        wanted: Wanted<'_>,
    ) -> Result<BTreeMap<Digest, Referrer>, Error> {
        let (mut found, mut after, mut weight) = (BTreeMap::new(), wanted.after, 0);
        while found.len() <= wanted.limit && weight <= MAX_MANIFEST {
            let rows = self.index.referrers(repository, subject, after.as_ref(), ROWS).await?;
            let Some((last, _)) = rows.last() else { break };
            after = Some(*last);
            for referrer in rows.into_iter().map(|(digest, row)| referrer(digest, row)).filter(|referrer| wanted.fits(referrer)) {
                weight += referrer.weight();
                found.insert(referrer.digest, referrer);
            }
        }
        Ok(found)
    }

    /// What the upstream says, or nothing of it where what is cached must do.
    async fn upstream_referrers(&self, repository: &Repository, subject: &Digest, reader: &Reader) -> Result<Known<Referrer>, Miss> {
        if !self.may_see(repository, &Reference::Digest(*subject), reader).await? {
            return Err(Miss::LogIn);
        }
        let member = self.member(repository).ok_or(Miss::Unknown)?.clone();
        let some_here = !self.index.referrers(repository, subject, None, 1).await?.is_empty();
        let asked = Asked { repository, reader, some_here, weigh: Referrer::weight };
        let (name, of) = (repository.name.clone(), *subject);
        let question = |budget| async move { member.upstream().referrers(&name, &of, budget).await };
        match self.told(&self.referrer_lists, (repository.clone(), *subject), asked, question).await {
            Err(Miss::Ours(error)) => Err(Miss::Ours(error)),
            Err(miss) if some_here => Ok(Known::nothing(!miss.passes_on())),
            told => told,
        }
    }
}

fn referrer(digest: Digest, row: ManifestRow) -> Referrer {
    let ManifestRow { media_type, size, artifact_type, annotations, .. } = row;
    Referrer { media_type, digest, size, artifact_type, annotations: annotations.into_iter().collect() }
}

/// The first ones, as many as are wanted and fit into one manifest; one fits always.
pub(super) fn page(found: impl Iterator<Item = Referrer>, limit: usize, stale: bool) -> Page<Referrer> {
    let (mut entries, mut weight, mut more) = (Vec::new(), 0, false);
    for referrer in found {
        weight += referrer.weight();
        more = entries.len() == limit || (weight > MAX_MANIFEST && !entries.is_empty());
        if more {
            break;
        }
        entries.push(referrer);
    }
    Page { entries, more: more && limit > 0, stale }
}
