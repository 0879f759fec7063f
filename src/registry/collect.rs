//! The data's way out: links that wait for a manifest in vain, then blobs that no repository holds.
//!
//! The row goes before the bytes: doomed and synced, removed, buried. One remover at a time, for two of them could remove what was pushed
//! again between them; what is leased, linked or a manifest is refused by the index in the step that dooms it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::{Error, Registry, now, to_the_end};
use crate::index::{Change, CommitError, Expect, Holder, Holding, Promise};
use crate::oci::{Digest, Origin, Repository, RepositoryName};

/// How long after its push a blob waits for a manifest, and a manifest for something that leads to it, in milliseconds.
const WAIT: u64 = 24 * 3600 * 1000;

/// Blobs looked at in one step.
const PAGE: usize = 256;

/// What a collection does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// Removes nothing, and counts what would go.
    pub dry_run: bool,
    /// Hosted manifests go too when nothing leads to them.
    pub untagged: bool,
}

/// What went. Manifests are counted as such and, for their bytes, among the blobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    pub manifests: u64,
    pub blobs: u64,
    pub bytes: u64,
    /// Blobs that no manifest uses and that are kept: pushed within the last day, or in use this moment.
    pub waiting: u64,
}

/// A collection under way, step by step.
pub struct Collection {
    registry: Arc<Registry>,
    sweep: Sweep,
    /// Hosted repositories whose manifests are still to be looked at.
    names: Vec<RepositoryName>,
    /// Manifests that went, or would go.
    left: BTreeMap<Repository, BTreeSet<Digest>>,
    after: Option<Digest>,
    /// As [`WAIT`], unless a test cannot wait.
    pub(super) wait: u64,
    pub collected: Collected,
}

/// What is to be done about a blob.
struct Verdict {
    /// The repositories whose link goes.
    unlink: Vec<Repository>,
    needed: bool,
    waits: bool,
}

impl Verdict {
    /// Whether the blob itself may go, once its links have.
    fn goes(&self) -> bool {
        !self.needed && !self.waits
    }
}

impl Registry {
    /// Removes the bytes of what was doomed before a kill or a failure came between.
    pub async fn bury_doomed(&self) -> Result<(), Error> {
        let this = self.this();
        to_the_end(async move {
            let _turn = this.removing.lock().await;
            loop {
                let doomed = this.index.doomed(PAGE).await?;
                if doomed.is_empty() {
                    return Ok(());
                }
                this.remove_doomed(doomed).await?;
            }
        })
        .await
    }

    /// Begins a collection.
    pub async fn collect(&self, sweep: Sweep) -> Result<Collection, Error> {
        self.bury_doomed().await?;
        let names = if sweep.untagged { self.names_of(&Origin::Hosted).await? } else { Vec::new() };
        Ok(Collection {
            registry: self.this(),
            sweep,
            names,
            left: BTreeMap::new(),
            after: None,
            wait: WAIT,
            collected: Collected::default(),
        })
    }

    /// Removes bytes and buries their rows, also when one of them cannot be removed. The caller has the turn.
    async fn remove_doomed(&self, doomed: Vec<Digest>) -> Result<(), Error> {
        let (mut buried, mut failed) = (Vec::new(), Ok(()));
        for digest in doomed {
            match self.store.remove(&digest).await {
                Ok(_) => buried.push(Change::Bury { digest }),
                Err(error) => failed = Err(error.into()),
            }
        }
        self.commit(Vec::new(), buried, Promise::Appended).await?;
        failed
    }

    /// Takes the blob from the repository unless somebody needs it by now; whether it went.
    async fn unlink_idle(&self, repository: Repository, digest: Digest, before: u64) -> Result<bool, Error> {
        let expects = vec![Expect::Idle(repository.clone(), digest, before), Expect::Unleased(digest)];
        made(self.commit(expects, vec![Change::Unlink { repository, digest }], Promise::Appended).await)
    }

    /// Whether the blob is doomed now, by this call.
    async fn doom(&self, digest: Digest) -> Result<bool, Error> {
        made(self.commit(vec![Expect::Live(digest)], vec![Change::Doom { digest }], Promise::Durable).await)
    }
}

/// Whether a commit was made, or rightly refused.
fn made(committed: Result<(), CommitError>) -> Result<bool, Error> {
    match committed {
        Err(CommitError::Refused(_) | CommitError::InUse(_)) => Ok(false),
        committed => Ok(committed.map(|()| true)?),
    }
}

impl Collection {
    /// One step of at most a few hundred blobs, or one repository; whether more follow. A step once begun is finished.
    pub async fn step(&mut self) -> Result<bool, Error> {
        let before = now().saturating_sub(self.wait);
        if let Some(name) = self.names.pop() {
            self.look_at_manifests(Repository::hosted(&name), before).await?;
            return Ok(true);
        }
        let registry = self.registry.clone();
        let page = registry.index.holdings(self.after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(false) };
        self.after = Some(last.digest);
        let mut judged = Vec::with_capacity(page.len());
        for holding in &page {
            judged.push((holding.digest, self.judge(holding, before).await?));
        }
        let unneeded: BTreeSet<_> = judged.iter().filter(|(_, verdict)| !verdict.needed).map(|(digest, _)| *digest).collect();
        let gone = match self.sweep.dry_run {
            true => judged.into_iter().filter(|(_, verdict)| verdict.goes()).map(|(digest, _)| digest).collect(),
            false => to_the_end(remove(registry, judged, before)).await?,
        };
        for holding in page.iter().filter(|holding| unneeded.contains(&holding.digest)) {
            if gone.contains(&holding.digest) {
                self.collected.blobs += 1;
                self.collected.bytes += holding.size;
            } else {
                self.collected.waiting += 1;
            }
        }
        Ok(true)
    }

    async fn look_at_manifests(&mut self, hosted: Repository, before: u64) -> Result<(), Error> {
        let mut left = BTreeSet::new();
        for digest in self.registry.untagged(&hosted, before).await? {
            if self.sweep.dry_run || self.registry.remove_untagged(&hosted, &digest).await? {
                left.insert(digest);
            }
        }
        self.collected.manifests += left.len() as u64;
        self.left.insert(hosted, left);
        Ok(())
    }

    async fn judge(&self, holding: &Holding, before: u64) -> Result<Verdict, Error> {
        let mut verdict = Verdict { unlink: Vec::new(), needed: false, waits: false };
        for holder in &holding.holders {
            match self.idle(holder, &holding.digest).await? {
                None => verdict.needed = true,
                Some(since) if since <= before => verdict.unlink.push(holder.repository.clone()),
                Some(_) => verdict.waits = true,
            }
        }
        Ok(verdict)
    }

    /// As [`Holder::idle`], as if what a dry run leaves out had gone.
    async fn idle(&self, holder: &Holder, digest: &Digest) -> Result<Option<u64>, Error> {
        let left = self.left.get(&holder.repository).filter(|left| self.sweep.dry_run && holder.idle.is_none() && !left.is_empty());
        let Some(left) = left else { return Ok(holder.idle) };
        if left.contains(digest) {
            return Ok(Some(0));
        }
        let parents = self.registry.index.parents(&holder.repository, digest, usize::MAX).await?;
        Ok((!parents.is_empty() && parents.iter().all(|parent| left.contains(parent))).then_some(0))
    }
}

/// Removes what the verdicts say, as far as the index still agrees; which blobs went.
async fn remove(registry: Arc<Registry>, judged: Vec<(Digest, Verdict)>, before: u64) -> Result<BTreeSet<Digest>, Error> {
    let registry = &registry;
    let _turn = registry.removing.lock().await;
    let unlinks = judged.iter().flat_map(|(digest, verdict)| verdict.unlink.iter().map(|repository| (repository.clone(), *digest)));
    let unlinks = unlinks.map(|(repository, digest)| registry.unlink_idle(repository, digest, before));
    for unlinked in join_all(unlinks).await {
        unlinked?;
    }
    let free = judged.iter().filter(|(_, verdict)| verdict.goes());
    let dooms = free.map(|(digest, _)| async move { Ok::<_, Error>(registry.doom(*digest).await?.then_some(*digest)) });
    // All are heard before one that failed ends it: what was doomed must be removed.
    let (mut doomed, mut failed) = (BTreeSet::new(), Ok(()));
    for doom in join_all(dooms).await {
        match doom {
            Ok(digest) => doomed.extend(digest),
            Err(error) => failed = Err(error),
        }
    }
    registry.remove_doomed(doomed.iter().copied().collect()).await?;
    failed.map(|()| doomed)
}
