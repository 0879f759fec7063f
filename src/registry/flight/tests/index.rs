//! The few facts that flights need, in memory.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;

use crate::index::*;
use crate::oci::{Digest, Origin, Repository, RepositoryName, Tag};

#[derive(Default)]
pub(super) struct Facts(Mutex<Rows>);

#[derive(Default)]
struct Rows {
    live: HashMap<Digest, u64>,
    links: HashSet<(Repository, Digest)>,
    fails: bool,
}

impl Facts {
    pub(super) fn size(&self, digest: &Digest) -> Option<u64> {
        self.0.lock().unwrap().live.get(digest).copied()
    }

    pub(super) fn links(&self) -> usize {
        self.0.lock().unwrap().links.len()
    }

    pub(super) fn fail(&self, fails: bool) {
        self.0.lock().unwrap().fails = fails;
    }
}

#[async_trait]
impl Index for Facts {
    async fn commit(&self, expects: Vec<Expect>, changes: Vec<Change>, _: Promise) -> Result<(), CommitError> {
        let mut rows = self.0.lock().unwrap();
        if rows.fails {
            return Err(CommitError::NotWritten("as the test says".into()));
        }
        for expect in expects {
            if matches!(&expect, Expect::Live(digest) if !rows.live.contains_key(digest)) {
                return Err(CommitError::Refused(expect));
            }
        }
        for change in changes {
            match change {
                Change::Live { digest, size } => drop(rows.live.insert(digest, size)),
                Change::Link { repository, digest } => drop(rows.links.insert((repository, digest))),
                other => panic!("flights do not make {other:?}"),
            }
        }
        Ok(())
    }

    async fn blob(&self, digest: &Digest) -> Result<Option<BlobRow>, Unavailable> {
        Ok(self.size(digest).map(|size| BlobRow { size }))
    }

    async fn linked(&self, repository: &Repository, digest: &Digest) -> Result<bool, Unavailable> {
        Ok(self.0.lock().unwrap().links.contains(&(repository.clone(), *digest)))
    }

    fn lease(&self, _: &[Digest]) -> Lease {
        Lease
    }

    async fn manifest(&self, _: &Repository, _: &Digest) -> Result<Option<ManifestRow>, Unavailable> {
        unimplemented!()
    }
    async fn tag(&self, _: &Repository, _: &Tag) -> Result<Option<TagRow>, Unavailable> {
        unimplemented!()
    }
    async fn edge(&self, _: &Repository, _: &Digest) -> Result<Option<EdgeRow>, Unavailable> {
        unimplemented!()
    }
    async fn repository(&self, _: &Repository) -> Result<Option<RepositoryRow>, Unavailable> {
        unimplemented!()
    }
    async fn holders(&self, _: &Digest, _: usize) -> Result<Vec<Repository>, Unavailable> {
        unimplemented!()
    }
    async fn tags(&self, _: &Repository, _: Option<&str>, _: usize) -> Result<Vec<(Tag, TagRow)>, Unavailable> {
        unimplemented!()
    }
    async fn repositories(&self, _: &Origin, _: Option<&str>, _: usize) -> Result<Vec<RepositoryName>, Unavailable> {
        unimplemented!()
    }
    async fn referrers(&self, _: &Repository, _: &Digest) -> Result<Vec<(Digest, ManifestRow)>, Unavailable> {
        unimplemented!()
    }
    async fn bound(&self, _: &RepositoryName) -> Result<Option<Origin>, Unavailable> {
        unimplemented!()
    }
    async fn upload(&self, _: &str) -> Result<Option<UploadRow>, Unavailable> {
        unimplemented!()
    }
    async fn uploads(&self) -> Result<Vec<(String, UploadRow)>, Unavailable> {
        unimplemented!()
    }
    async fn totals(&self) -> Result<Totals, Unavailable> {
        unimplemented!()
    }
    fn lease_for(&self, _: &Digest, _: Duration) {}
    fn health(&self) -> Health {
        Health::Ready
    }
    async fn close(&self) {}
}
