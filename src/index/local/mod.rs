//! The index on the local disk: the journal is the truth, a table answers, one writer orders everything.
//!
//! Nothing is told from a half-filled table: while the rows are read back from the journal, who asks waits.

mod choice;
mod holding;
mod judge;
mod mark;
mod query;
mod refill;
mod serving;
#[cfg(test)]
mod suite;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::journal::{self, Journal};
use super::lease::Leases;
use super::*;
use serving::{Serving, State};
use writer::{Message, Writer};

/// How long a writer waits for a doomed blob to be buried.
const BURIAL: Duration = Duration::from_secs(30);

/// What serves the rows once they are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// sled, and memory whenever sled cannot be trusted.
    Sled,
    /// Memory alone.
    Memory,
}

/// How an index is opened.
#[derive(Clone)]
pub struct Options {
    /// The data folder; the journal and the tables lie in folders of it.
    pub data: PathBuf,
    pub engine: Engine,
    /// Bytes of one journal segment.
    pub segment_size: u64,
    /// Snapshots are made when the closed segments hold at least so many bytes, and as many as the last snapshot.
    pub merge_size: u64,
    /// How long who asks waits while the rows are read back.
    pub patience: Duration,
    /// How long one call of sled may take.
    pub table_patience: Duration,
    /// Whether the disk has room above its reserve: if not, nothing is written to sled.
    pub roomy: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Called with the reason when sled is given up until the next start.
    pub abandoned: Arc<dyn Fn(&str) + Send + Sync>,
    /// Syncs a segment's data: `File::sync_data`, unless a test wants it to fail.
    pub sync: journal::Sync,
}

impl Options {
    /// What a server uses.
    pub fn new(data: &Path) -> Options {
        Options {
            data: data.to_owned(),
            engine: Engine::Sled,
            segment_size: 16 << 20,
            merge_size: 64 << 20,
            patience: Duration::from_secs(5),
            table_patience: Duration::from_secs(10),
            roomy: Arc::new(|| true),
            abandoned: Arc::new(|_| {}),
            sync: Arc::new(std::fs::File::sync_data),
        }
    }

    fn journal(&self) -> PathBuf {
        self.data.join("journal")
    }

    fn tables(&self) -> PathBuf {
        self.data.join("index")
    }
}

/// The journal's folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the index in {} cannot be opened: {source}", folder.display())]
pub struct OpenError {
    folder: PathBuf,
    source: std::io::Error,
}

/// The index of one data folder.
pub struct Local {
    messages: flume::Sender<Message>,
    serving: Arc<Serving>,
    leases: Leases,
    patience: Duration,
}

impl Local {
    /// Opens the index. Returns at once; the rows are read in the background.
    ///
    /// # Errors
    /// The folder cannot be used, or its last segment was not written by this program.
    pub async fn open(options: Options) -> Result<Local, OpenError> {
        let failed = |folder: PathBuf| move |source| OpenError { folder, source };
        let opening = options.clone();
        let opened = tokio::task::spawn_blocking(move || Journal::open(&opening.journal(), opening.segment_size, opening.sync));
        let journal = opened.await.map_err(std::io::Error::other).and_then(|journal| journal);
        let journal = journal.map_err(failed(options.journal()))?;

        let (messages, received) = flume::unbounded();
        let serving = Arc::new(Serving::default());
        let leases = Leases::default();
        let local = Local { messages: messages.clone(), serving: Arc::clone(&serving), leases: leases.clone(), patience: options.patience };
        let folder = options.data.clone();
        Writer::start(options, journal, serving, leases, messages, received).map_err(failed(folder))?;
        Ok(local)
    }

    /// Waits until the rows can be read.
    async fn ready(&self) -> Result<State, Unavailable> {
        self.serving.ready(self.patience).await
    }

    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.messages.send(message(answer)).ok()?;
        answered.await.ok()
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // Without close() this is no better than a kill, and treated as one at the next start.
        let _ = self.messages.send(Message::Stop);
    }
}

fn stopped() -> Unavailable {
    Unavailable::Broken("it is closed".into())
}

#[async_trait]
impl Index for Local {
    async fn commit(&self, expects: Vec<Expect>, changes: Vec<Change>, promise: Promise) -> Result<(), CommitError> {
        self.ready().await?;
        let commit = writer::Commit { expects, changes, promise };
        self.ask(|answer| Message::Commit(commit, answer)).await.unwrap_or_else(|| Err(stopped().into()))
    }

    async fn blob(&self, digest: &Digest) -> Result<Option<BlobRow>, Unavailable> {
        self.leases.settled(digest).await;
        let digest = *digest;
        Ok(self.read(move |table| query::blob(table, &digest)).await?.and_then(rows::StoredBlob::live))
    }

    async fn linked(&self, repository: &Repository, digest: &Digest) -> Result<bool, Unavailable> {
        self.leases.settled(digest).await;
        let key = rows::member(b'l', repository, digest).done();
        self.read(move |table| Ok(table.get(&key)?.is_some())).await
    }

    async fn manifest(&self, repository: &Repository, digest: &Digest) -> Result<Option<ManifestRow>, Unavailable> {
        self.leases.settled(digest).await;
        let key = rows::member(b'm', repository, digest).done();
        self.read(move |table| query::row(table, &key)).await
    }

    async fn tag(&self, repository: &Repository, tag: &Tag) -> Result<Option<TagRow>, Unavailable> {
        let key = rows::tag_key(repository, tag).done();
        self.read(move |table| query::row(table, &key)).await
    }

    async fn parents(&self, repository: &Repository, child: &Digest, limit: usize) -> Result<Vec<Digest>, Unavailable> {
        let prefix = rows::member(b'e', repository, child);
        self.read(move |table| query::parents(table, &prefix, limit)).await
    }

    async fn edge(&self, repository: &Repository, digest: &Digest) -> Result<Option<EdgeRow>, Unavailable> {
        let prefix = rows::member(b'e', repository, digest).done();
        self.read(move |table| query::first(table, &prefix)).await
    }

    async fn repository(&self, repository: &Repository) -> Result<Option<RepositoryRow>, Unavailable> {
        let key = rows::repository_key(repository).done();
        self.read(move |table| query::row(table, &key)).await
    }

    async fn holders(&self, digest: &Digest, limit: usize) -> Result<Vec<Repository>, Unavailable> {
        let digest = *digest;
        self.read(move |table| query::holders(table, &digest, limit)).await
    }

    async fn tags(&self, repository: &Repository, after: Option<&str>, limit: usize) -> Result<Vec<(Tag, TagRow)>, Unavailable> {
        let (prefix, after) = (keys::Key::new(b't').repository(repository), after.map(str::to_owned));
        self.read(move |table| query::tags(table, &prefix, after.as_deref(), limit)).await
    }

    async fn history(&self, repository: &Repository, tag: &Tag) -> Result<Vec<TagMove>, Unavailable> {
        let key = rows::history_key(repository, tag).done();
        Ok(self.read(move |table| query::row(table, &key)).await?.unwrap_or_default())
    }

    async fn last_moves(&self, repository: &Repository, after: Option<&str>, limit: usize) -> Result<Vec<(Tag, TagMove)>, Unavailable> {
        let (prefix, after) = (keys::Key::new(b'h').repository(repository), after.map(str::to_owned));
        self.read(move |table| query::last_moves(table, &prefix, after.as_deref(), limit)).await
    }

    async fn repositories(&self, origin: &Origin, after: Option<&str>, limit: usize) -> Result<Vec<RepositoryName>, Unavailable> {
        let (prefix, after) = (keys::Key::new(b'n').origin(origin), after.map(str::to_owned));
        self.read(move |table| query::repositories(table, &prefix, after.as_deref(), limit)).await
    }

    async fn referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Vec<(Digest, ManifestRow)>, Unavailable> {
        let (repository, subject, after) = (repository.clone(), *subject, after.copied());
        self.read(move |table| query::referrers(table, &repository, &subject, after.as_ref(), limit)).await
    }

    async fn bound(&self, name: &RepositoryName) -> Result<Option<Origin>, Unavailable> {
        let key = keys::Key::new(b'B').text(name.as_str()).done();
        self.read(move |table| query::row(table, &key)).await
    }

    async fn upload(&self, id: &str) -> Result<Option<UploadRow>, Unavailable> {
        let key = keys::Key::new(b'u').text(id).done();
        self.read(move |table| query::row(table, &key)).await
    }

    async fn uploads(&self) -> Result<Vec<(String, UploadRow)>, Unavailable> {
        self.read(|table| query::uploads(table)).await
    }

    async fn holdings(&self, after: Option<&Digest>, limit: usize) -> Result<Vec<Holding>, Unavailable> {
        let after = after.copied();
        self.read(move |table| holding::holdings(table, after, limit)).await
    }

    async fn manifests(
        &self,
        repository: &Repository,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Vec<(Digest, ManifestRow, u64)>, Unavailable> {
        let (repository, after) = (repository.clone(), after.copied());
        self.read(move |table| holding::manifests(table, &repository, after, limit)).await
    }

    async fn children(&self, repository: &Repository, parent: &Digest) -> Result<Vec<(Digest, EdgeRow)>, Unavailable> {
        let (repository, parent) = (repository.clone(), *parent);
        self.read(move |table| holding::children(table, &repository, &parent)).await
    }

    async fn totals(&self) -> Result<Totals, Unavailable> {
        Ok(self.read(|table| query::row(table, keys::TOTALS)).await?.unwrap_or_default())
    }

    fn lease(&self, digests: &[Digest]) -> Lease {
        self.leases.lease(digests)
    }

    async fn claim(&self, digests: &[Digest]) -> Result<Lease, Unavailable> {
        let lease = self.leases.lease(digests);
        let end = tokio::time::Instant::now() + BURIAL;
        for digest in digests {
            loop {
                let mut decision = std::pin::pin!(self.leases.next_decision());
                decision.as_mut().enable();
                self.leases.settled(digest).await;
                let digest = *digest;
                if !self.read(move |table| query::blob(table, &digest)).await?.is_some_and(|blob| blob.doomed) {
                    break;
                }
                tokio::time::timeout_at(end, decision).await.map_err(|_| Unavailable::Doomed(digest))?;
            }
        }
        Ok(lease)
    }

    async fn doomed(&self, limit: usize) -> Result<Vec<Digest>, Unavailable> {
        self.read(move |table| query::doomed(table, limit)).await
    }

    fn lease_for(&self, digest: &Digest, time: Duration) {
        self.leases.lease_for(digest, time);
    }

    fn health(&self) -> Health {
        self.serving.health()
    }

    async fn close(&self) {
        self.ask(Message::Close).await;
    }
}
