//! Fetching a whole image into the cache, as a client's pull would, for chosen platforms.

use std::collections::BTreeSet;

use super::flight::Wish;
use super::manifests::Miss;
use super::{Error, Kind, Reader, Registry, Sight, Target, Want};
use crate::auth::{ADMIN, Who};
use crate::oci::{Digest, ImageName, Manifest, Reference, Repository};
use crate::upstream::Purpose;

/// The platforms of an image that are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Platforms {
    All,
    /// Each as `os/architecture[/variant]`; without a variant every variant fits.
    These(Vec<String>),
}

impl Platforms {
    fn want(&self, platform: Option<&str>) -> bool {
        match (self, platform) {
            (Platforms::All, _) | (_, None) => true,
            (Platforms::These(list), Some(platform)) => list
                .iter()
                .any(|wanted| platform == wanted || platform.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.starts_with('/'))),
        }
    }
}

/// How far an image is, in bytes of its blobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Here, whether fetched now or before.
    pub here: u64,
    pub total: u64,
}

impl Registry {
    /// Has the image here when it returns. `progress` is told whenever a blob has landed.
    pub async fn prefetch(
        &self,
        image: &ImageName,
        platforms: &Platforms,
        mut progress: impl FnMut(Fetched) + Send,
    ) -> Result<Fetched, Error> {
        let target = self.target(&image.path_name(), None)?;
        let mut todo = vec![image.reference.clone()];
        let (mut manifests, mut chosen) = (Vec::<(Repository, Digest)>::new(), BTreeSet::new());
        while let Some(reference) = todo.pop() {
            let reader = Reader::new(Who::User(ADMIN.into()), Sight::Everything).asking(Purpose::Prefetch);
            let (found, _) = self.manifest(&target, &reference, &reader, Want::Bytes).await?;
            let bytes = found.bytes.unwrap_or_default();
            let manifest = Manifest::read(&bytes, &found.media_type)?;
            let children: Vec<_> = manifest.manifests().collect();
            let wanted: Vec<_> = children.iter().filter(|child| platforms.want(child.platform.as_deref())).collect();
            if !children.is_empty() && wanted.is_empty() {
                let there: BTreeSet<_> = children.iter().filter_map(|child| child.platform.as_deref()).collect();
                let there = there.into_iter().collect::<Vec<_>>().join(", ");
                return Err(Error::new(Kind::ManifestUnknown, format!("{image} has none of the wanted platforms; it has {there}")));
            }
            todo.extend(wanted.iter().filter(|child| chosen.insert(child.digest)).map(|child| Reference::Digest(child.digest)));
            manifests.push((found.repository, found.digest));
        }
        self.fetch_blobs(&target, &manifests, &mut progress).await
    }

    async fn fetch_blobs(
        &self,
        target: &Target,
        manifests: &[(Repository, Digest)],
        progress: &mut (impl FnMut(Fetched) + Send),
    ) -> Result<Fetched, Error> {
        let mut flights = Vec::new();
        for (repository, digest) in manifests {
            let joined = self.fetch_layers(repository, digest, Wish::Prefetch).await;
            flights.extend(joined.map_err(|miss| miss.into_error(Kind::BlobUnknown, &format!("the layers of {repository}@{digest}")))?);
        }
        let mut fetched = Fetched { here: 0, total: self.size_of(manifests).await? };
        let missing = flights.iter().fold(0, |sum: u64, (_, size, _)| sum.saturating_add(*size));
        fetched.here = fetched.total.saturating_sub(missing);
        progress(fetched);
        for (digest, size, follower) in flights {
            let landed = follower.landed().await;
            let what = || format!("blob {digest} of {}", target.judged());
            landed.map_err(|error| Miss::from(error).into_error(Kind::BlobUnknown, &what()))?;
            fetched.here += size;
            progress(fetched);
        }
        Ok(fetched)
    }

    async fn size_of(&self, manifests: &[(Repository, Digest)]) -> Result<u64, Error> {
        let mut blobs = std::collections::BTreeMap::new();
        for (repository, digest) in manifests {
            if let Some(found) = self.stored(repository, digest).await?
                && let Ok(manifest) = Manifest::read(&found.bytes.unwrap_or_default(), &found.media_type)
            {
                blobs.extend(manifest.blobs().map(|child| (child.digest, child.size)));
            }
        }
        Ok(blobs.values().fold(0, |sum: u64, size| sum.saturating_add(*size)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_without_a_variant_takes_every_variant() {
        let these = Platforms::These(vec!["linux/arm".into(), "linux/arm64/v8".into()]);
        for yes in [None, Some("linux/arm"), Some("linux/arm/v7"), Some("linux/arm64/v8")] {
            assert!(these.want(yes), "{yes:?}");
        }
        for no in ["linux/arm64", "linux/amd64", "windows/arm"] {
            assert!(!these.want(Some(no)), "{no}");
        }
        assert!(Platforms::All.want(Some("plan9/386")));
    }
}
