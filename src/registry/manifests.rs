//! Serving manifests of one repository: from what is stored, else from its upstream. One question per reference at a time; what is
//! stored under a digest is never asked for again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;

use super::ahead::Asks;
use super::flight::FetchError;
use super::freshness::HeldBack;
use super::questions::Answer;
use super::{Error, Kind, Reader, Registry, Ticket, Want};
use crate::index::{CommitError, ManifestRow, Unavailable};
use crate::oci::{Digest, Reference, Repository};
use crate::store::StoreError;
use crate::upstream::{Budget, Cause, HeadAnswer, Purpose, Refusal};

/// A manifest to serve.
#[derive(Clone, Debug)]
pub struct Found {
    pub repository: Repository,
    pub digest: Digest,
    pub media_type: String,
    /// Bytes; `None` only where an upstream's HEAD did not tell.
    pub size: Option<u64>,
    /// `None` where only the headers were wanted and the bytes are not here.
    pub bytes: Option<Bytes>,
    /// Set when the upstream could not be asked and the tag is older than it should be.
    pub stale: Option<Duration>,
    /// What the upstream names instead and is too new to be served.
    pub held: Option<HeldBack>,
    /// How long the tag is still believed; `None`: until it is changed here.
    fresh_until: Option<Instant>,
    /// Where clients' questions for the tag are counted, as long as it is believed.
    pub(super) asks: Option<Arc<Asks>>,
    /// Whether an upstream was asked for it.
    pub(super) asked: bool,
}

impl Found {
    /// A ticket for keeping the answer in memory, for anonymous readers until `open_until`, unless it must not be kept.
    pub(super) fn ticket(&self, stamps: Vec<(usize, u64)>, open_until: Option<Instant>) -> Option<Ticket> {
        (self.bytes.is_some() && self.stale.is_none()).then(|| Ticket::new(stamps, self.fresh_until, open_until, self.asks.clone()))
    }
}

/// Why one repository did not give the manifest or blob.
#[derive(Clone, Debug)]
pub(super) enum Miss {
    /// Nothing of it is here, and there is nobody to ask.
    Unknown,
    /// Policy forbids asking; the sentence says which.
    Policy(String),
    /// Anonymous clients must log in to see it.
    LogIn,
    Refused(Refusal),
    Ours(Error),
}

impl Miss {
    /// Whether the next member of a group may answer instead.
    pub fn passes_on(&self) -> bool {
        match self {
            Miss::Unknown | Miss::Policy(_) | Miss::LogIn => true,
            Miss::Refused(refusal) => !matches!(refusal, Refusal::Failed { .. }),
            Miss::Ours(_) => false,
        }
    }

    pub fn damaged(repository: &Repository, digest: &Digest) -> Miss {
        Miss::Ours(Error::new(Kind::Internal, format!("{repository}@{digest} is damaged here; push it again")))
    }

    /// The miss as the last word on `what`.
    pub fn into_error(self, unknown: Kind, what: &str) -> Error {
        match self {
            Miss::Unknown => Error::new(unknown, format!("{what} is not in this registry")),
            Miss::Policy(why) => Error::new(unknown, format!("{what}: {why}")),
            Miss::LogIn => Error::new(Kind::LogIn, format!("{what} needs a log-in here: docker login, then pull again")),
            Miss::Refused(refusal) => Error::refused(&refusal, unknown, what),
            Miss::Ours(error) => error,
        }
    }
}

impl From<Error> for Miss {
    fn from(error: Error) -> Miss {
        Miss::Ours(error)
    }
}

impl From<Unavailable> for Miss {
    fn from(error: Unavailable) -> Miss {
        Miss::Ours(error.into())
    }
}

impl From<CommitError> for Miss {
    fn from(error: CommitError) -> Miss {
        Miss::Ours(error.into())
    }
}

impl From<StoreError> for Miss {
    fn from(error: StoreError) -> Miss {
        Miss::Ours(error.into())
    }
}

impl From<FetchError> for Miss {
    fn from(error: FetchError) -> Miss {
        match error {
            FetchError::Refused(refusal) => Miss::Refused(refusal),
            FetchError::Index(unavailable) => unavailable.into(),
            FetchError::Commit(commit) => commit.into(),
            FetchError::Store(store) => match &*store {
                StoreError::Full => StoreError::Full.into(),
                StoreError::Io(why) => StoreError::Io(std::io::Error::new(why.kind(), why.to_string())).into(),
            },
            FetchError::Unfollowed(_) | FetchError::Lost(_) => Miss::Ours(Error::new(Kind::Unavailable, format!("{error}; ask again"))),
        }
    }
}

/// What came of a question to an upstream.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Stored(Found),
    Head(HeadAnswer),
    Miss(Miss),
}

impl Registry {
    /// A hosted manifest, or one that is cached: from the local store alone.
    pub(super) async fn stored(&self, repository: &Repository, digest: &Digest) -> Result<Option<Found>, Error> {
        let Some(row) = self.index.manifest(repository, digest).await? else { return Ok(None) };
        let Some(bytes) = self.manifest_bytes(digest, row.size).await? else { return Ok(None) };
        Ok(Some(Found::new(repository, *digest, &row, bytes)))
    }

    /// The bytes of a manifest, checked; `None` when the file is missing or rotten.
    pub(super) async fn manifest_bytes(&self, digest: &Digest, size: u64) -> Result<Option<Bytes>, Error> {
        if self.store.stat(digest).await? != Some(size) {
            return Ok(None);
        }
        let Some(chunks) = self.store.read(digest, 0..size).await? else { return Ok(None) };
        let read: Result<Vec<Bytes>, _> = chunks.collect::<Vec<_>>().await.into_iter().collect();
        let bytes = Bytes::from(read.map_err(StoreError::from)?.concat());
        let right = digest.matches(&bytes);
        if !right {
            tracing::error!(%digest, "a stored manifest has rotted; it is fetched again where an upstream has it");
        }
        Ok(right.then_some(bytes))
    }

    /// A manifest of an upstream's repository: cached and fresh, else asked for, else stale.
    pub(super) async fn upstream_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
        want: Want,
        reader: &Reader,
    ) -> Result<Found, Miss> {
        if !self.may_see(repository, reference, reader).await? {
            return Err(Miss::LogIn);
        }
        let found = match reference {
            Reference::Digest(digest) => match self.stored(repository, digest).await? {
                Some(found) => found,
                None => self.ask_for(repository, reference, want, reader).await?,
            },
            Reference::Tag(tag) => self.upstream_tag(repository, tag, want, reader).await?,
        };
        if let Some(asks) = &found.asks {
            self.count(asks);
        }
        if want == Want::Bytes {
            self.fetched.served(repository, &found.digest);
        }
        Ok(found)
    }

    /// Asks the upstream, together with everybody who asks the same.
    pub(super) async fn ask_for(&self, repository: &Repository, reference: &Reference, want: Want, reader: &Reader) -> Result<Found, Miss> {
        loop {
            let answer = self.pose(repository, reference, want, reader.purpose)?;
            match self.within(reader, repository, answer).await? {
                Some(Outcome::Stored(found)) => return Ok(Found { asked: true, ..found }),
                // Who asked first wanted no more than the headers.
                Some(Outcome::Head(_)) if want == Want::Bytes => continue,
                // Or had less need.
                Some(Outcome::Miss(Miss::Refused(refusal))) if refusal.spared().is_some_and(|it| it.purpose > reader.purpose) => continue,
                Some(Outcome::Head(head)) => {
                    return Found::from_head(repository, head).map(|found| Found { asked: true, ..found }).ok_or(Miss::Unknown);
                }
                Some(Outcome::Miss(miss)) => return Err(miss),
                None => {
                    return Err(Miss::Ours(Error::new(Kind::Internal, "asking the upstream broke off here; the registry's log says why")));
                }
            }
        }
    }

    /// Joins the open question of that reference, or asks it; either way it goes on without the caller.
    pub(super) fn pose(
        &self,
        repository: &Repository,
        reference: &Reference,
        want: Want,
        purpose: Purpose,
    ) -> Result<Answer<Outcome>, Miss> {
        if let Some(why) = self.forbids(repository) {
            return Err(Miss::Policy(why));
        }
        if let Some(refusal) = self.fetched.refusal(repository, reference) {
            return Err(Miss::Refused(refusal));
        }
        let this = self.this();
        Ok(self.fetched.questions.ask((repository.clone(), reference.clone()), || {
            let (repository, reference) = (repository.clone(), reference.clone());
            async move { this.question(repository, reference, want, purpose).await }
        }))
    }

    /// The answer to a question that others may share, as long as the reader's budget lasts; the question goes on without him.
    pub(super) async fn within<V: Clone>(&self, reader: &Reader, repository: &Repository, answer: Answer<V>) -> Result<Option<V>, Miss> {
        tokio::time::timeout_at(self.budget_of(reader).until.into(), answer).await.map_err(|_| self.late(repository))
    }

    /// The repository's upstream did not answer in time.
    pub(super) fn late(&self, repository: &Repository) -> Miss {
        let cause = Cause::Timeout(self.deadlines.budget);
        Miss::Refused(Refusal::Failed { source_name: repository.origin.to_string(), cause })
    }

    /// Whether the refusal is worth a line of the log: that little is left at an upstream is told once in its window.
    pub(super) fn is_news(&self, repository: &Repository, refusal: &Refusal) -> bool {
        refusal.spared().is_none_or(|scarcity| self.member(repository).is_some_and(|member| member.is_news(scarcity)))
    }

    async fn question(&self, repository: Repository, reference: Reference, want: Want, purpose: Purpose) -> Outcome {
        let budget = self.budget().of(purpose);
        let asked = match &reference {
            Reference::Tag(tag) => self.inquire_tag(&repository, tag, want, budget).await,
            Reference::Digest(digest) => self.inquire(&repository, digest, want, budget).await,
        };
        let miss = match asked {
            Ok(outcome) => {
                self.fetched.forgive(&repository, &reference);
                return outcome;
            }
            Err(miss) => miss,
        };
        if let Miss::Refused(refusal) = &miss {
            let ttl = self.member(&repository).map_or(Duration::ZERO, |m| m.settings().negative_ttl);
            self.fetched.refused(&repository, &reference, refusal, ttl);
            match (refusal, refusal.spared(), &reference) {
                // Nothing failed. Whoever serves what is here instead says so.
                (_, Some(spared), _) if spared.purpose != Purpose::Miss => {}
                (_, Some(_), _) if self.is_news(&repository, refusal) => {
                    tracing::warn!(%repository, %reference, %refusal, "nothing is asked")
                }
                (Refusal::Failed { .. }, None, Reference::Tag(tag)) => self.fetched.failed(&repository, tag),
                _ => {}
            }
        }
        Outcome::Miss(miss)
    }

    async fn inquire(&self, repository: &Repository, digest: &Digest, want: Want, budget: Budget) -> Result<Outcome, Miss> {
        let upstream = self.member(repository).ok_or(Miss::Unknown)?.upstream();
        let (name, reference) = (&repository.name, Reference::Digest(*digest));
        if want == Want::Head {
            let head = upstream.head_manifest(name, &reference, budget).await.map_err(Miss::Refused)?;
            return Ok(Outcome::Head(HeadAnswer { digest: Some(*digest), ..head }));
        }
        let answer = upstream.manifest(name, &reference, budget).await.map_err(Miss::Refused)?;
        Ok(Outcome::Stored(self.keep_manifest(repository, answer).await?.0))
    }
}

impl Found {
    pub(super) fn new(repository: &Repository, digest: Digest, row: &ManifestRow, bytes: Bytes) -> Found {
        Found { media_type: row.media_type.clone(), size: Some(row.size), bytes: Some(bytes), ..Found::of(repository, digest) }
    }

    pub(super) fn from_head(repository: &Repository, head: HeadAnswer) -> Option<Found> {
        let found = Found::of(repository, head.digest?);
        Some(Found { media_type: head.media_type, size: head.size, ..found })
    }

    fn of(repository: &Repository, digest: Digest) -> Found {
        Found {
            repository: repository.clone(),
            digest,
            media_type: String::new(),
            size: None,
            bytes: None,
            stale: None,
            held: None,
            fresh_until: None,
            asks: None,
            asked: false,
        }
    }

    /// What a tag names that is believed for so long.
    pub(super) fn of_tag(self, left: Duration, held: Option<HeldBack>, asks: Option<Arc<Asks>>) -> Found {
        Found { held, asks, ..self.fresh_for(left) }
    }

    pub(super) fn fresh_for(self, time: Duration) -> Found {
        Found { fresh_until: Some(Instant::now() + time), ..self }
    }

    pub(super) fn stale(self, age: Duration) -> Found {
        Found { stale: Some(age), ..self }
    }
}
