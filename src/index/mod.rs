//! Facts: which repositories, tags and manifests there are, which repository may read which blob.
//!
//! One way to change anything: [`Index::commit`]. Check and change are one step, ordered by one writer;
//! when it returns, the facts are visible, and durable as far as the [`Promise`] says.

mod journal;
mod keys;
mod lease;
mod life;
mod local;
mod rows;
mod table;

use std::collections::BTreeSet;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use lease::Lease;
pub use local::{Engine, Local, OpenError, Options};

use crate::oci::{Digest, Origin, Repository, RepositoryName, Tag};

/// Everything the other rooms may know about the index.
#[async_trait]
pub trait Index: Send + Sync + 'static {
    /// Checks every expectation and makes every change, or does nothing.
    ///
    /// # Errors
    /// [`CommitError::Refused`] names the expectation that does not hold.
    async fn commit(&self, expects: Vec<Expect>, changes: Vec<Change>, promise: Promise) -> Result<(), CommitError>;

    /// The blob's row; a doomed blob is no blob.
    async fn blob(&self, digest: &Digest) -> Result<Option<BlobRow>, Unavailable>;
    /// Whether the repository may read the blob.
    async fn linked(&self, repository: &Repository, digest: &Digest) -> Result<bool, Unavailable>;
    async fn manifest(&self, repository: &Repository, digest: &Digest) -> Result<Option<ManifestRow>, Unavailable>;
    async fn tag(&self, repository: &Repository, tag: &Tag) -> Result<Option<TagRow>, Unavailable>;
    /// What some manifest of the repository says of its child `digest`.
    async fn edge(&self, repository: &Repository, digest: &Digest) -> Result<Option<EdgeRow>, Unavailable>;
    /// The repository's manifests that have an edge to `child`, at most `limit`.
    async fn parents(&self, repository: &Repository, child: &Digest, limit: usize) -> Result<Vec<Digest>, Unavailable>;
    async fn repository(&self, repository: &Repository) -> Result<Option<RepositoryRow>, Unavailable>;
    /// The repositories that may read the blob or have the manifest, at most `limit`.
    async fn holders(&self, digest: &Digest, limit: usize) -> Result<Vec<Repository>, Unavailable>;
    /// Tags in lexical order, beginning after `after`, at most `limit`.
    async fn tags(&self, repository: &Repository, after: Option<&str>, limit: usize) -> Result<Vec<(Tag, TagRow)>, Unavailable>;
    /// What became of the tag, oldest first, at most [`HISTORY`] moves; also of one that is gone.
    async fn history(&self, repository: &Repository, tag: &Tag) -> Result<Vec<TagMove>, Unavailable>;
    /// The last move of each tag that the repository had, in lexical order, beginning after `after`, at most `limit`.
    async fn last_moves(&self, repository: &Repository, after: Option<&str>, limit: usize) -> Result<Vec<(Tag, TagMove)>, Unavailable>;
    /// Names of one origin in lexical order, beginning after `after`, at most `limit`.
    async fn repositories(&self, origin: &Origin, after: Option<&str>, limit: usize) -> Result<Vec<RepositoryName>, Unavailable>;
    /// Manifests of the repository whose subject is `subject`, in order of their digests, beginning after `after`, at most `limit`.
    async fn referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Vec<(Digest, ManifestRow)>, Unavailable>;
    /// The upstream that a group name stays with.
    async fn bound(&self, name: &RepositoryName) -> Result<Option<Origin>, Unavailable>;
    async fn upload(&self, id: &str) -> Result<Option<UploadRow>, Unavailable>;
    async fn uploads(&self) -> Result<Vec<(String, UploadRow)>, Unavailable>;
    /// Live blobs in the order of their digests, beginning after `after`, with all who hold each. No entries: there are no more.
    async fn holdings(&self, after: Option<&Digest>, limit: usize) -> Result<Vec<Holding>, Unavailable>;
    /// The repository's manifests in the order of their digests, beginning after `after`, at most `limit`, each with when it came (Unix milliseconds).
    async fn manifests(
        &self,
        repository: &Repository,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Vec<(Digest, ManifestRow, u64)>, Unavailable>;
    /// The edges of one manifest.
    async fn children(&self, repository: &Repository, parent: &Digest) -> Result<Vec<(Digest, EdgeRow)>, Unavailable>;
    /// Sums over the live blobs.
    async fn totals(&self) -> Result<Totals, Unavailable>;

    /// Holds each digest against a [`Change::Doom`] until the lease is dropped.
    fn lease(&self, digests: &[Digest]) -> Lease;
    /// Holds each digest as [`Index::lease`] does, and returns when none of them is doomed: what a writer does before its
    /// rename, so that no unlink of a doom that came earlier meets the new bytes.
    ///
    /// # Errors
    /// [`Unavailable::Doomed`] when a doomed digest is not buried within half a minute.
    async fn claim(&self, digests: &[Digest]) -> Result<Lease, Unavailable>;
    /// Doomed digests, at most `limit`. After a start, whoever removes blobs must bury these first: a kill came between.
    async fn doomed(&self, limit: usize) -> Result<Vec<Digest>, Unavailable>;
    /// Holds the digest against a [`Change::Doom`] for a time: what a pusher was told is here, must still be here when it pushes.
    fn lease_for(&self, digest: &Digest, time: std::time::Duration);

    /// Whether every fact can be read and promised ones written.
    fn health(&self) -> Health;
    /// Finishes what is queued, syncs it, and marks the index as cleanly closed.
    async fn close(&self);
}

/// What must hold for a commit to be made.
#[derive(Clone, Debug, PartialEq)]
pub enum Expect {
    /// The tag has this digest, or (`None`) does not exist.
    Tag(Repository, Tag, Option<Digest>),
    /// The tag has this very row: it was not even named again.
    TagRow(Repository, Tag, TagRow),
    /// The bytes are here (a live row).
    Live(Digest),
    /// The repository may read the blob.
    Linked(Repository, Digest),
    /// The repository has the manifest.
    Manifest(Repository, Digest),
    /// The repository exists, or does not.
    Repository(Repository, bool),
    /// No other tag than these names the manifest.
    NamedOnlyBy(Repository, Digest, Vec<Tag>),
    /// No other manifest of the repository than these has an edge to it.
    PartOnlyOf(Repository, Digest, Vec<Digest>),
    /// The repository has no other tags than these.
    TagsAmong(Repository, BTreeSet<Tag>),
    /// No other tags of the repository than these are pinned.
    PinnedAmong(Repository, BTreeSet<Tag>),
    /// The group name stays with nobody yet.
    Unbound(RepositoryName),
    /// The upload session exists.
    Upload(String),
    /// Nobody has a lease on the digest.
    Unleased(Digest),
    /// The repository may read the blob since that time (Unix milliseconds) or longer, and none of its manifests has an edge to it.
    Idle(Repository, Digest, u64),
    /// The repository has the manifest; no tag names it, no manifest there has an edge to it, and its subject, if it has one, is not there.
    Alone(Repository, Digest),
}

/// One fact made or unmade. Unmaking what is not there is no error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// The bytes are here: the row is made after them. Also brings a doomed blob back.
    Live {
        digest: Digest,
        size: u64,
    },
    /// The bytes are about to go. Refused while the digest is leased, linked, or a manifest somewhere.
    Doom {
        digest: Digest,
    },
    /// The bytes are gone; the doomed row goes too. Nothing happens to a live row.
    Bury {
        digest: Digest,
    },
    Link {
        repository: Repository,
        digest: Digest,
    },
    Unlink {
        repository: Repository,
        digest: Digest,
    },
    /// The repository has the manifest, with an edge to each child. Makes the repository.
    Manifest {
        repository: Repository,
        digest: Digest,
        row: ManifestRow,
        edges: Vec<(Digest, EdgeRow)>,
    },
    /// The manifest, its edges and the tags that name it go from this repository.
    RemoveManifest {
        repository: Repository,
        digest: Digest,
        /// Who removes it; empty for nobody in particular.
        by: String,
    },
    /// The tag names the manifest. Makes the repository.
    Tag {
        repository: Repository,
        tag: Tag,
        row: TagRow,
    },
    Untag {
        repository: Repository,
        tag: Tag,
        /// Who removes it; empty for nobody in particular.
        by: String,
    },
    /// The history of a tag that is gone goes too. Nothing happens to that of a tag that is there.
    Forget {
        repository: Repository,
        tag: Tag,
    },
    /// Everything of the repository goes: tags with their history, manifests, edges, links.
    RemoveRepository {
        repository: Repository,
    },
    /// The group name stays with this upstream; `None` releases it.
    Bind {
        name: RepositoryName,
        origin: Option<Origin>,
    },
    Upload {
        id: String,
        row: UploadRow,
    },
    EndUpload {
        id: String,
    },
}

/// How durable a commit is when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// Synced: survives power loss.
    Durable,
    /// Appended: survives `kill -9`; synced within a second. For what can be fetched again.
    Appended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRow {
    pub size: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestRow {
    pub media_type: String,
    pub size: u64,
    pub subject: Option<Digest>,
    /// `artifactType`, else the config's media type.
    pub artifact_type: Option<String>,
    /// The manifest's annotations, sorted by key: what the referrers list shows.
    pub annotations: Vec<(String, String)>,
}

/// What a manifest says of a child.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeRow {
    pub kind: EdgeKind,
    pub size: u64,
    pub media_type: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EdgeKind {
    Manifest,
    Blob,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagRow {
    pub digest: Digest,
    /// Unix milliseconds: pushed, or last confirmed by the upstream.
    pub at: u64,
    /// Who pushed it, or the upstream that said so; empty for nobody in particular.
    pub by: String,
    /// Since when (Unix milliseconds) a cached tag stays what it is, whatever its upstream says; `None`: it follows it.
    pub pinned: Option<u64>,
    /// What the upstream names instead, which is too new to be served.
    pub held: Option<Held>,
}

impl TagRow {
    /// A tag as it was pushed, or as its upstream names it.
    pub fn new(digest: Digest, at: u64, by: impl Into<String>) -> TagRow {
        TagRow { digest, at, by: by.into(), pinned: None, held: None }
    }
}

/// A digest that an upstream's tag names and that is not served yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub digest: Digest,
    /// Unix milliseconds: first seen.
    pub since: u64,
}

/// How many moves of a tag are remembered.
pub const HISTORY: usize = 100;

/// A tag began to name another manifest, or none. Naming the same one again is no move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagMove {
    /// Unix milliseconds.
    pub at: u64,
    /// Who did it: a user, or the upstream that said so; empty for nobody in particular.
    pub by: String,
    /// `None`: the tag was not there.
    pub from: Option<Digest>,
    /// `None`: the tag was removed.
    pub to: Option<Digest>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryRow {
    /// Unix milliseconds.
    pub since: u64,
}

/// An upload session. Its bytes are a draft of the store's, named by the session's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadRow {
    pub repository: Repository,
    /// Empty for nobody in particular.
    pub user: String,
    /// Unix milliseconds.
    pub started: u64,
}

/// A live blob and who holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    pub digest: Digest,
    pub size: u64,
    /// Sorted by repository.
    pub holders: Vec<Holder>,
}

/// A repository that may read a blob, or has it as a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub repository: Repository,
    /// Of a hosted repository none of whose manifests has an edge to the blob: since when it waits for one, Unix milliseconds;
    /// 0 when it had one. `None`: the repository needs it.
    pub idle: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    pub blobs: u64,
    pub bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    Ready,
    /// Being filled from the journal; reads wait.
    Filling,
    /// Promised facts cannot be written any more; the text says why.
    ReadOnly(String),
}

/// The facts cannot be read now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    #[error("the index is still being read from the journal; ask again in a few seconds")]
    Filling,
    #[error("the index cannot be read: {0}")]
    Broken(String),
    #[error("the old bytes of {0} are still being removed")]
    Doomed(Digest),
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CommitError {
    /// The first expectation that did not hold.
    #[error("refused: {0:?} does not hold")]
    Refused(Box<Expect>),
    /// A doom of what is leased or still referred to.
    #[error("{0} is in use")]
    InUse(Digest),
    /// Not promised: the disk is full or failing. Nothing was changed.
    #[error("the journal cannot be written: {0}")]
    NotWritten(String),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Change {
    /// The repository that the change is about.
    pub fn repository(&self) -> Option<&Repository> {
        match self {
            Change::Link { repository, .. }
            | Change::Unlink { repository, .. }
            | Change::Manifest { repository, .. }
            | Change::RemoveManifest { repository, .. }
            | Change::Tag { repository, .. }
            | Change::Untag { repository, .. }
            | Change::Forget { repository, .. }
            | Change::RemoveRepository { repository } => Some(repository),
            Change::Live { .. } | Change::Doom { .. } | Change::Bury { .. } | Change::Bind { .. } => None,
            Change::Upload { .. } | Change::EndUpload { .. } => None,
        }
    }
}
