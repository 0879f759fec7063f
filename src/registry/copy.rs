//! Copying an image into a hosted repository without a client: nothing is moved, the new repository gains manifests, links and the tag.

use super::publish::Pushed;
use super::{Error, Kind, Published, Registry, Target, to_the_end};
use crate::auth::{ADMIN, Who};
use crate::oci::{ImageName, Manifest, Origin, Reference, Repository};

impl Registry {
    /// Copies what is here of the image, hosted or cached, all platforms of an index that it has, in one commit that survives power loss.
    pub async fn copy(&self, from: &ImageName, to: &ImageName) -> Result<Published, Error> {
        let Target::Group(name) = self.target(&to.path_name(), None)? else {
            let text = format!("{to} is a name of an upstream's; images are copied into hosted repositories, such as team/app:1");
            return Err(Error::new(Kind::Unsupported, text));
        };
        let hosted = Repository::hosted(&name);
        self.writable(&hosted)?;
        let (this, from, to) = (self.this(), from.clone(), to.clone());
        to_the_end(async move { this.copy_here(&from, &to, &hosted).await }).await
    }

    async fn copy_here(&self, from: &ImageName, to: &ImageName, hosted: &Repository) -> Result<Published, Error> {
        let sources = match self.target(&from.path_name(), None)? {
            Target::Upstream(repository) => vec![repository],
            Target::Group(name) => std::iter::once(Repository::hosted(&name)).chain(self.upstream_members(&name)).collect(),
        };
        let fetch = |what: &str| {
            let text = format!("{what}; have it fetched first: entrepot prefetch --platform all {from}");
            Error::new(Kind::ManifestUnknown, text)
        };
        for source in sources {
            let Some(found) = self.hosted_manifest(&source, &from.reference).await? else { continue };
            let bytes = found.bytes.unwrap_or_default();
            let manifest = Manifest::read(&bytes, &found.media_type)?;
            let subject = manifest.subject;
            let tags = match &to.reference {
                Reference::Tag(tag) => std::slice::from_ref(tag),
                Reference::Digest(digest) if *digest == found.digest => &[],
                Reference::Digest(digest) => {
                    return Err(Error::new(
                        Kind::DigestInvalid,
                        format!("{from} is {}, not {digest}; name the copy by a tag", found.digest),
                    ));
                }
            };
            let reach = self.reach(hosted, std::slice::from_ref(&source), &manifest).await?;
            if !reach.missing.is_empty() || self.is_hollow(&source, &manifest).await? {
                return Err(fetch(&format!("not all of {from} is here")));
            }
            let pushed = Pushed { manifest, digest: found.digest, bytes };
            let moved = self.record(hosted, pushed, tags, &Who::User(ADMIN.into()), reach).await?;
            return Ok(Published { digest: found.digest, subject, moved });
        }
        Err(fetch(&format!("{from} is not here")))
    }

    /// Whether it is a cached index of which no platform was fetched.
    async fn is_hollow(&self, source: &Repository, manifest: &Manifest) -> Result<bool, Error> {
        for child in manifest.manifests() {
            if self.index.manifest(source, &child.digest).await?.is_some() {
                return Ok(false);
            }
        }
        Ok(source.origin != Origin::Hosted && manifest.manifests().next().is_some())
    }
}
