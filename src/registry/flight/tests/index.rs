//! The index in memory over a real journal, with a journal that cannot be written on demand.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;

use crate::index::*;
use crate::oci::{Digest, Origin, Repository, RepositoryName, Tag};

pub(super) struct Facts {
    rows: Local,
    unwritable: AtomicBool,
    _data: TempDir,
}

impl Facts {
    pub(super) async fn new() -> Facts {
        let data = TempDir::new().unwrap();
        let options = Options { engine: Engine::Memory, segment_size: 1 << 20, ..Options::new(data.path()) };
        Facts { rows: Local::open(options).await.unwrap(), unwritable: AtomicBool::new(false), _data: data }
    }

    pub(super) fn fail(&self, fails: bool) {
        self.unwritable.store(fails, SeqCst);
    }
}

#[async_trait]
impl Index for Facts {
    async fn commit(&self, expects: Vec<Expect>, changes: Vec<Change>, promise: Promise) -> Result<(), CommitError> {
        match self.unwritable.load(SeqCst) {
            true => Err(CommitError::NotWritten("as the test says".into())),
            false => self.rows.commit(expects, changes, promise).await,
        }
    }

    async fn blob(&self, digest: &Digest) -> Result<Option<BlobRow>, Unavailable> {
        self.rows.blob(digest).await
    }
    async fn linked(&self, repository: &Repository, digest: &Digest) -> Result<bool, Unavailable> {
        self.rows.linked(repository, digest).await
    }
    async fn manifest(&self, repository: &Repository, digest: &Digest) -> Result<Option<ManifestRow>, Unavailable> {
        self.rows.manifest(repository, digest).await
    }
    async fn tag(&self, repository: &Repository, tag: &Tag) -> Result<Option<TagRow>, Unavailable> {
        self.rows.tag(repository, tag).await
    }
    async fn edge(&self, repository: &Repository, digest: &Digest) -> Result<Option<EdgeRow>, Unavailable> {
        self.rows.edge(repository, digest).await
    }
    async fn parents(&self, repository: &Repository, child: &Digest, limit: usize) -> Result<Vec<Digest>, Unavailable> {
        self.rows.parents(repository, child, limit).await
    }
    async fn repository(&self, repository: &Repository) -> Result<Option<RepositoryRow>, Unavailable> {
        self.rows.repository(repository).await
    }
    async fn holders(&self, digest: &Digest, limit: usize) -> Result<Vec<Repository>, Unavailable> {
        self.rows.holders(digest, limit).await
    }
    async fn tags(&self, repository: &Repository, after: Option<&str>, limit: usize) -> Result<Vec<(Tag, TagRow)>, Unavailable> {
        self.rows.tags(repository, after, limit).await
    }
    async fn history(&self, repository: &Repository, tag: &Tag) -> Result<Vec<TagMove>, Unavailable> {
        self.rows.history(repository, tag).await
    }
    async fn last_moves(&self, repository: &Repository, after: Option<&str>, limit: usize) -> Result<Vec<(Tag, TagMove)>, Unavailable> {
        self.rows.last_moves(repository, after, limit).await
    }
    async fn repositories(&self, origin: &Origin, after: Option<&str>, limit: usize) -> Result<Vec<RepositoryName>, Unavailable> {
        self.rows.repositories(origin, after, limit).await
    }
    async fn referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Vec<(Digest, ManifestRow)>, Unavailable> {
        self.rows.referrers(repository, subject, after, limit).await
    }
    async fn bound(&self, name: &RepositoryName) -> Result<Option<Origin>, Unavailable> {
        self.rows.bound(name).await
    }
    async fn upload(&self, id: &str) -> Result<Option<UploadRow>, Unavailable> {
        self.rows.upload(id).await
    }
    async fn uploads(&self) -> Result<Vec<(String, UploadRow)>, Unavailable> {
        self.rows.uploads().await
    }
    async fn holdings(&self, after: Option<&Digest>, limit: usize) -> Result<Vec<Holding>, Unavailable> {
        self.rows.holdings(after, limit).await
    }
    async fn manifests(
        &self,
        repository: &Repository,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Vec<(Digest, ManifestRow, u64)>, Unavailable> {
        self.rows.manifests(repository, after, limit).await
    }
    async fn children(&self, repository: &Repository, parent: &Digest) -> Result<Vec<(Digest, EdgeRow)>, Unavailable> {
        self.rows.children(repository, parent).await
    }
    async fn totals(&self) -> Result<Totals, Unavailable> {
        self.rows.totals().await
    }
    fn lease(&self, digests: &[Digest]) -> Lease {
        self.rows.lease(digests)
    }
    async fn claim(&self, digests: &[Digest]) -> Result<Lease, Unavailable> {
        self.rows.claim(digests).await
    }
    async fn doomed(&self, limit: usize) -> Result<Vec<Digest>, Unavailable> {
        self.rows.doomed(limit).await
    }
    fn lease_for(&self, digest: &Digest, time: Duration) {
        self.rows.lease_for(digest, time);
    }
    fn health(&self) -> Health {
        self.rows.health()
    }
    async fn close(&self) {
        self.rows.close().await;
    }
}
