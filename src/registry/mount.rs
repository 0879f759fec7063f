//! Mounting: a blob that lies here for one repository becomes readable in another, and no byte is sent.
//!
//! Only what the pusher may read is a source, and nothing is asked upstream. That a digest lies here for others is told to nobody.

use super::{Error, Registry, Target};
use crate::auth::Who;
use crate::index::{Change, Expect, Promise};
use crate::oci::{Digest, Origin, Repository, RepositoryName};

/// How many repositories are looked at for a mount that names no source.
const HOLDERS: usize = 1000;

impl Registry {
    /// Links a blob that one of `from` has; otherwise nothing happens.
    pub async fn mount(&self, name: &RepositoryName, digest: &Digest, from: &[Repository]) -> Result<bool, Error> {
        let hosted = Repository::hosted(name);
        self.writable(&hosted)?;
        let _lease = self.index.lease(&[*digest]);
        let Some(row) = self.index.blob(digest).await? else { return Ok(false) };
        if self.store.stat(digest).await? != Some(row.size) {
            return Ok(false);
        }
        for repository in from {
            if self.index.linked(repository, digest).await? {
                let changes = vec![Change::Link { repository: hosted, digest: *digest }];
                self.commit(vec![Expect::Live(*digest)], changes, Promise::Durable).await?;
                self.index.lease_for(digest, self.lease);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The repositories that a name points at for somebody who mounts from it: hosted, then the group's upstreams.
    /// What nobody knows to be public is for users alone.
    pub fn mount_sources(&self, target: &Target, who: &Who) -> Vec<Repository> {
        self.candidates(target).into_iter().filter(|repository| self.shown(repository, who)).collect()
    }

    /// Where the blob lies, for a mount that names no source.
    pub async fn holders(&self, digest: &Digest) -> Result<Vec<Target>, Error> {
        let target = |holder: Repository| match holder.origin {
            Origin::Hosted => Target::Group(holder.name),
            Origin::Upstream(_) => Target::Upstream(holder),
        };
        Ok(self.index.holders(digest, HOLDERS).await?.into_iter().map(target).collect())
    }
}
