//! Serving manifests of one repository: from what is stored, from what an upstream says, fresh or, in need, stale.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;

use super::flight::FetchError;
use super::questions::Answer;
use super::tags::seen_upstream;
use super::{Error, Kind, Reader, Registry, Ticket, Want, now};
use crate::index::{CommitError, ManifestRow, Unavailable};
use crate::oci::{Digest, Reference, Repository, Tag};
use crate::store::StoreError;
use crate::upstream::{Cause, HeadAnswer, Refusal};

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
    /// How long the tag is still believed; `None`: until it is changed here.
    fresh_until: Option<Instant>,
    /// Whether an upstream was asked for it.
    pub(super) asked: bool,
}

impl Found {
    /// A ticket for keeping the answer in memory, at the longest until `seen_until`, unless it must not be kept.
    pub(super) fn ticket(&self, stamps: Vec<(usize, u64)>, seen_until: Option<Instant>) -> Option<Ticket> {
        let until = self.fresh_until.into_iter().chain(seen_until).min();
        (self.bytes.is_some() && self.stale.is_none()).then(|| Ticket::new(stamps, until))
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
        if want == Want::Bytes {
            self.fetched.served(repository, &found.digest);
        }
        Ok(found)
    }

    async fn upstream_tag(&self, repository: &Repository, tag: &Tag, want: Want, reader: &Reader) -> Result<Found, Miss> {
        let reference = Reference::Tag(tag.clone());
        let member = self.member(repository).ok_or(Miss::Unknown)?;
        let settings = member.settings();
        let cached = match self.index.tag(repository, tag).await? {
            Some(row) => self.stored(repository, &row.digest).await?.map(|found| (row, found)),
            None => None,
        };
        let Some((row, found)) = cached else {
            if let (Want::Head, Some(head)) = (want, self.fetched.head(repository, tag, settings.tag_ttl)) {
                return Found::from_head(repository, head).ok_or(Miss::Unknown);
            }
            return self.ask_for(repository, &reference, want, reader).await;
        };
        let age = Duration::from_millis(now().saturating_sub(row.at));
        if age < settings.tag_ttl || self.forbids(repository).is_some() {
            let left = settings.tag_ttl.saturating_sub(age).max(Duration::from_secs(1));
            return Ok(found.fresh_for(left));
        }
        let keep = settings.stale_if_error.is_none_or(|limit| age < limit);
        if keep && self.fetched.recently_failed(repository, tag) {
            return Ok(found.stale(age));
        }
        let wait = if settings.tag_ttl.is_zero() { self.deadlines.budget } else { self.deadlines.stale_wait };
        match tokio::time::timeout(wait, self.ask_for(repository, &reference, want, reader)).await {
            Ok(Ok(newer)) => Ok(newer),
            Ok(Err(Miss::Refused(Refusal::Failed { .. }))) if keep => {
                tracing::info!(%repository, %tag, ?age, "serving a stale tag");
                Ok(found.stale(age))
            }
            Ok(Err(miss)) => Err(miss),
            Err(_) if keep => Ok(found.stale(age)),
            Err(_) => {
                let source_name = repository.origin.to_string();
                Err(Miss::Refused(Refusal::Failed { source_name, cause: Cause::Timeout(wait) }))
            }
        }
    }

    /// Asks the upstream, together with everybody who asks the same.
    async fn ask_for(&self, repository: &Repository, reference: &Reference, want: Want, reader: &Reader) -> Result<Found, Miss> {
        if let Some(why) = self.forbids(repository) {
            return Err(Miss::Policy(why));
        }
        if let Some(refusal) = self.fetched.refusal(repository, reference) {
            return Err(Miss::Refused(refusal));
        }
        let key = (repository.clone(), reference.clone(), want);
        let this = self.this();
        let answer = self.fetched.questions.ask(key, || {
            let (repository, reference) = (repository.clone(), reference.clone());
            async move { this.question(repository, reference, want).await }
        });
        match self.within(reader, repository, answer).await? {
            Some(Outcome::Stored(found)) => Ok(Found { asked: true, ..found }),
            Some(Outcome::Head(head)) => {
                Found::from_head(repository, head).map(|found| Found { asked: true, ..found }).ok_or(Miss::Unknown)
            }
            Some(Outcome::Miss(miss)) => Err(miss),
            None => Err(Miss::Ours(Error::new(Kind::Internal, "asking the upstream broke off here; the registry's log says why"))),
        }
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

    async fn question(&self, repository: Repository, reference: Reference, want: Want) -> Outcome {
        let outcome = match self.inquire(&repository, &reference, want).await {
            Ok(outcome) => return outcome,
            Err(miss) => miss,
        };
        if let Miss::Refused(refusal) = &outcome {
            let ttl = self.member(&repository).map_or(Duration::ZERO, |m| m.settings().negative_ttl);
            self.fetched.refused(&repository, &reference, refusal, ttl);
            if let (Refusal::Failed { .. }, Reference::Tag(tag)) = (refusal, &reference) {
                self.fetched.failed(&repository, tag);
            }
        }
        Outcome::Miss(outcome)
    }

    async fn inquire(&self, repository: &Repository, reference: &Reference, want: Want) -> Result<Outcome, Miss> {
        let member = self.member(repository).ok_or(Miss::Unknown)?;
        let (upstream, name, budget) = (member.upstream(), &repository.name, self.budget());
        let known = match reference {
            Reference::Tag(tag) => self.index.tag(repository, tag).await?,
            Reference::Digest(_) => None,
        };
        let mut by = reference.clone();
        if want == Want::Head || known.is_some() {
            let head = upstream.head_manifest(name, reference, budget).await.map_err(Miss::Refused)?;
            let stored = match head.digest {
                Some(digest) => self.stored(repository, &digest).await?,
                None => None,
            };
            match (reference, stored) {
                (Reference::Tag(tag), Some(found)) => {
                    self.fetched.forget_head(repository, tag);
                    self.note(vec![seen_upstream(repository, tag, found.digest, now())]).await?;
                    return Ok(Outcome::Stored(found.fresh_for(member.settings().tag_ttl)));
                }
                (Reference::Tag(tag), None) if want == Want::Head && head.digest.is_some() => {
                    self.fetched.saw_head(repository, tag, &head);
                    return Ok(Outcome::Head(head));
                }
                (Reference::Digest(digest), _) if want == Want::Head => {
                    return Ok(Outcome::Head(HeadAnswer { digest: Some(*digest), ..head }));
                }
                _ => by = head.digest.map_or(by, Reference::Digest),
            }
        }
        let answer = upstream.manifest(name, &by, budget).await.map_err(Miss::Refused)?;
        if let Reference::Tag(tag) = reference {
            self.fetched.forget_head(repository, tag);
        }
        let mut tags = self.fetched.tags_of(repository, &answer.digest);
        if let Reference::Tag(tag) = reference {
            tags.push((tag.clone(), now()));
        }
        let found = self.keep_manifest(repository, answer, tags).await?;
        let tagged = matches!(reference, Reference::Tag(_));
        Ok(Outcome::Stored(if tagged { found.fresh_for(member.settings().tag_ttl) } else { found }))
    }
}

impl Found {
    pub(super) fn new(repository: &Repository, digest: Digest, row: &ManifestRow, bytes: Bytes) -> Found {
        let (repository, media_type) = (repository.clone(), row.media_type.clone());
        Found { repository, digest, media_type, size: Some(row.size), bytes: Some(bytes), stale: None, fresh_until: None, asked: false }
    }

    fn from_head(repository: &Repository, head: HeadAnswer) -> Option<Found> {
        let (repository, digest) = (repository.clone(), head.digest?);
        Some(Found {
            repository,
            digest,
            media_type: head.media_type,
            size: head.size,
            bytes: None,
            stale: None,
            fresh_until: None,
            asked: false,
        })
    }

    fn fresh_for(self, time: Duration) -> Found {
        Found { fresh_until: Some(Instant::now() + time), ..self }
    }

    fn stale(self, age: Duration) -> Found {
        Found { stale: Some(age), ..self }
    }
}
