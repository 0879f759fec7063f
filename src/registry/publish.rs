//! Publishing: manifests of the hosted store, made and removed. What becomes of tags is judged and done in `tags.rs`.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::keep::{edge, manifest_row};
use super::tags::{Act, Moved};
use super::{Error, Kind, Reader, Registry, to_the_end};
use crate::auth::Who;
use crate::index::{Change, Lease};
use crate::oci::{Digest, MAX_MANIFEST, Manifest, Reference, Repository, RepositoryName, Role, Tag};

/// A manifest that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    pub digest: Digest,
    pub subject: Option<Digest>,
    /// The tags that name it now, and what they named before.
    pub moved: Vec<Moved>,
}

/// A manifest on its way in.
pub(super) struct Pushed {
    pub manifest: Manifest,
    pub digest: Digest,
    pub bytes: Bytes,
}

/// What a manifest reaches, as far as it may be read here.
#[derive(Default)]
pub(super) struct Reach {
    /// Links and child manifests that the repository gains.
    gains: BTreeMap<Digest, Change>,
    visited: BTreeSet<Digest>,
    /// On everything visited, taken before it was looked for.
    leases: Vec<Lease>,
    pub missing: Vec<Digest>,
}

impl Registry {
    /// Takes a manifest: links what it reaches, names it by the reference's tag or by all of `tags`, in one commit that survives power loss.
    pub async fn put_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
        tags: &[Tag],
        content_type: &str,
        bytes: Bytes,
        reader: &Reader,
    ) -> Result<Published, Error> {
        if bytes.len() > MAX_MANIFEST {
            return Err(Error::new(Kind::ManifestTooLarge, format!("a manifest has at most {MAX_MANIFEST} bytes")));
        }
        let hosted = Repository::hosted(name);
        let manifest = Manifest::pushed(&bytes, content_type)?;
        let (digest, tags) = match reference {
            Reference::Tag(tag) => (Digest::of(&bytes), std::slice::from_ref(tag)),
            Reference::Digest(digest) if digest.matches(&bytes) => (*digest, tags),
            Reference::Digest(digest) => {
                let text = format!("the manifest's digest is {}, not {digest}; push it again", Digest::of(&bytes));
                return Err(Error::new(Kind::DigestInvalid, text));
            }
        };
        self.writable(&hosted)?;
        let (this, tags, who) = (self.this(), tags.to_vec(), reader.who.clone());
        let subject = manifest.subject;
        let pushed = Pushed { manifest, digest, bytes };
        let moved = to_the_end(async move { this.publish(&hosted, pushed, &tags, &who).await }).await?;
        Ok(Published { digest, subject, moved })
    }

    /// The part of a push that goes on when its client leaves: leases are held until what they are for is visible.
    async fn publish(&self, hosted: &Repository, pushed: Pushed, tags: &[Tag], who: &Who) -> Result<Vec<Moved>, Error> {
        let others: Vec<_> = self.upstream_members(&hosted.name).filter(|member| self.shown(member, who)).collect();
        let reach = self.reach(hosted, &others, &pushed.manifest).await?;
        if !reach.missing.is_empty() && !self.hosted.sparse {
            let list = reach.missing.iter().map(Digest::to_string).collect::<Vec<_>>().join(", ");
            let text = format!("the manifest refers to blobs that are not in {hosted}: {list}; push them first");
            return Err(Error { digests: reach.missing, ..Error::new(Kind::ManifestBlobUnknown, text) });
        }
        self.record(hosted, pushed, tags, who, reach).await
    }

    /// Stores the manifest and makes all it brings visible in one commit; the reach holds its leases until then.
    pub(super) async fn record(
        &self,
        hosted: &Repository,
        pushed: Pushed,
        tags: &[Tag],
        who: &Who,
        reach: Reach,
    ) -> Result<Vec<Moved>, Error> {
        let Pushed { manifest, digest, bytes } = pushed;
        let Reach { gains, leases, .. } = reach;
        let row = manifest_row(Some(&manifest), &manifest.media_type, bytes.len() as u64);
        let claim = self.index.claim(&[digest]).await?;
        self.put_small(digest, bytes).await?;
        let mut changes: Vec<_> = gains.into_values().collect();
        changes.push(Change::Live { digest, size: row.size });
        let edges = manifest.children.iter().map(edge).collect();
        changes.push(Change::Manifest { repository: hosted.clone(), digest, row, edges });
        let act = Act::Name { tags: tags.to_vec(), digest, with: changes };
        let committed = self.change_tags(hosted, act, who).await;
        drop((claim, leases));
        committed
    }

    /// Walks what the manifest reaches and gathers what the repository must gain from the others to serve it.
    /// Nothing is asked upstream for a push.
    pub(super) async fn reach(&self, hosted: &Repository, others: &[Repository], manifest: &Manifest) -> Result<Reach, Error> {
        let mut reach = Reach::default();
        let mut todo = vec![manifest.clone()];
        while let Some(manifest) = todo.pop() {
            for child in &manifest.children {
                if !reach.visited.insert(child.digest) {
                    continue;
                }
                reach.leases.push(self.index.lease(&[child.digest]));
                if child.role == Role::Manifest {
                    todo.extend(self.reach_manifest(hosted, others, &child.digest, &mut reach).await?);
                } else if !self.reach_blob(hosted, others, &child.digest, &mut reach).await? && child.role != Role::Foreign {
                    reach.missing.push(child.digest);
                }
            }
        }
        Ok(reach)
    }

    async fn reach_blob(&self, hosted: &Repository, others: &[Repository], digest: &Digest, reach: &mut Reach) -> Result<bool, Error> {
        if self.index.blob(digest).await?.is_none() {
            return Ok(false);
        }
        for holder in std::iter::once(hosted).chain(others) {
            if self.index.linked(holder, digest).await? {
                reach.gains.insert(*digest, Change::Link { repository: hosted.clone(), digest: *digest });
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A child manifest that came through the cache is taken over; the manifest, when there is more to walk.
    async fn reach_manifest(
        &self,
        hosted: &Repository,
        others: &[Repository],
        digest: &Digest,
        reach: &mut Reach,
    ) -> Result<Option<Manifest>, Error> {
        if self.index.manifest(hosted, digest).await?.is_some() {
            return Ok(None);
        }
        for other in others {
            let Some(row) = self.index.manifest(other, digest).await? else { continue };
            let Some(bytes) = self.manifest_bytes(digest, row.size).await? else { continue };
            let Ok(manifest) = Manifest::read(&bytes, &row.media_type) else { continue };
            let edges = manifest.children.iter().map(edge).collect();
            reach.gains.insert(*digest, Change::Manifest { repository: hosted.clone(), digest: *digest, row, edges });
            return Ok(Some(manifest));
        }
        Ok(None)
    }

    /// Removes a tag, or a manifest with every tag that names it; the tags that are gone.
    pub async fn delete_manifest(&self, name: &RepositoryName, reference: &Reference, who: &Who) -> Result<Vec<Moved>, Error> {
        let act = match reference {
            Reference::Tag(tag) => Act::Remove(tag.clone()),
            Reference::Digest(digest) => Act::RemoveManifest(*digest),
        };
        self.change_tags(&Repository::hosted(name), act, who).await
    }

    /// Takes the blob from the repository; its bytes stay while anybody else needs them.
    pub async fn delete_blob(&self, name: &RepositoryName, digest: &Digest, who: &Who) -> Result<(), Error> {
        self.change_tags(&Repository::hosted(name), Act::RemoveBlob(*digest), who).await.map(|_| ())
    }

    /// Whether pushing under the name changes what mirror clients get from an upstream.
    pub async fn shadows(&self, name: &RepositoryName) -> Result<bool, Error> {
        if self.overlay.matches(name.long().as_str()) {
            return Ok(true);
        }
        if self.index.repository(&Repository::hosted(name)).await?.is_some() {
            return Ok(false);
        }
        for member in self.upstream_members(name) {
            if self.index.repository(&member).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
