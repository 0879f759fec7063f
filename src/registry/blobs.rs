//! Serving blobs: from the store when the repository has the link, else by a flight from its own upstream.
//!
//! Holding the digest is not a right: without a link a blob that lies here for another repository is asked for upstream first.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};

use super::flight::{FlightBody, Follower, Source, Wish};
use super::manifests::Miss;
use super::member::Member;
use super::{Error, Kind, Reader, Registry, Sight, Target, Want, flight};
use crate::oci::{Digest, Manifest, Repository, RepositoryName};
use crate::store::Chunks;
use crate::telemetry;
use crate::upstream::{BlobAnswer, Budget, Refusal};

/// How long after an image's first blob the layers that nobody asked for are started: until then the client asks for what
/// it wants first, whose first bytes would have to share the link.
const HEAD_START: Duration = Duration::from_millis(100);

/// A blob that can be served.
pub struct Blob {
    pub digest: Digest,
    /// Bytes; `None` while an upstream has not told.
    pub total: Option<u64>,
    from: From,
}

enum From {
    Store,
    Flight(Box<Follower>),
    /// Known by a HEAD alone.
    Nowhere,
}

/// The bytes of a blob on their way out. One type, so that a plain connection can learn to do better.
pub enum BlobBytes {
    Stored(Chunks),
    Following(FlightBody),
}

impl Stream for BlobBytes {
    type Item = std::io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.get_mut() {
            BlobBytes::Stored(chunks) => Pin::new(chunks).poll_next(context),
            BlobBytes::Following(body) => Pin::new(body).poll_next(context),
        }
    }
}

impl Registry {
    /// The blob, ready to be read.
    pub async fn blob(&self, target: &Target, digest: &Digest, reader: &Reader, want: Want) -> Result<Blob, Error> {
        let found = match target {
            Target::Upstream(repository) => self.upstream_blob(repository, digest, reader, want).await,
            Target::Group(name) => match self.group_blob(name, digest, reader, want).await {
                // A pusher is told that it is missing, so that he sends it again.
                Err(miss) if miss.passes_on() && reader.sight == Sight::Everything && self.hosts_blob(name, digest, reader).await? => {
                    Err(Miss::damaged(&Repository::hosted(name), digest))
                }
                found => found,
            },
        };
        found.map_err(|miss| miss.into_error(Kind::BlobUnknown, &format!("blob {digest} of {}", target.judged())))
    }

    /// The bytes of `range` (`None`: all) of a blob.
    pub async fn blob_bytes(&self, blob: Blob, range: Option<Range<u64>>) -> Result<BlobBytes, Error> {
        match blob.from {
            From::Flight(follower) => Ok(BlobBytes::Following(follower.body(range))),
            From::Store | From::Nowhere => {
                let range = range.unwrap_or(0..blob.total.unwrap_or(0));
                let chunks = self.store.read(&blob.digest, range).await?;
                let gone = || Error::new(Kind::Internal, format!("{} was removed this moment; ask again", blob.digest));
                Ok(BlobBytes::Stored(chunks.ok_or_else(gone)?))
            }
        }
    }

    /// Whether the hosted repository should have it, as far as the reader may know.
    async fn hosts_blob(&self, name: &RepositoryName, digest: &Digest, reader: &Reader) -> Result<bool, Error> {
        let hosted = Repository::hosted(name);
        let reads = self.groups_hosted() && self.may_read(&hosted, &reader.who);
        Ok(reads && self.index.linked(&hosted, digest).await? && self.index.blob(digest).await?.is_some())
    }

    async fn group_blob(&self, name: &RepositoryName, digest: &Digest, reader: &Reader, want: Want) -> Result<Blob, Miss> {
        let hosted = Repository::hosted(name);
        // Before it is looked for, lest it goes between the look and the longer lease.
        let _lease = (reader.sight == Sight::Hosted).then(|| self.index.lease(&[*digest]));
        if self.groups_hosted()
            && let Some(blob) = self.linked_blob(&hosted, digest).await?
        {
            self.require_read(&hosted, &reader.who)?;
            if reader.sight == Sight::Hosted {
                self.index.lease_for(digest, self.lease);
            }
            return Ok(blob);
        }
        if reader.sight == Sight::Hosted {
            return Err(Miss::Unknown);
        }
        let standing = self.standing_for(name, reader).await?;
        for member in &standing.members {
            if self.index.linked(member, digest).await? || self.index.edge(member, digest).await?.is_some() {
                return self.upstream_blob(member, digest, reader, want).await;
            }
        }
        if let Some(closed) = standing.closed {
            return Err(closed);
        }
        let mut last = Miss::Unknown;
        for member in &standing.members {
            match self.upstream_blob(member, digest, reader, want).await {
                Ok(blob) => return Ok(blob),
                Err(miss) if miss.passes_on() => last = miss,
                Err(miss) => return Err(miss),
            }
        }
        Err(last)
    }

    /// The blob, when the repository has the link and the bytes are here.
    async fn linked_blob(&self, repository: &Repository, digest: &Digest) -> Result<Option<Blob>, Error> {
        if !self.index.linked(repository, digest).await? {
            return Ok(None);
        }
        let Some(row) = self.index.blob(digest).await? else { return Ok(None) };
        if self.store.stat(digest).await? != Some(row.size) {
            tracing::error!(%digest, %repository, "a stored blob is damaged; it is fetched again where an upstream has it");
            return Ok(None);
        }
        Ok(Some(Blob { digest: *digest, total: Some(row.size), from: From::Store }))
    }

    async fn upstream_blob(&self, repository: &Repository, digest: &Digest, reader: &Reader, want: Want) -> Result<Blob, Miss> {
        let member = self.member(repository).ok_or(Miss::Unknown)?.clone();
        if !self.may_see_blob(repository, digest, reader).await? {
            return Err(Miss::LogIn);
        }
        if let Some(blob) = self.linked_blob(repository, digest).await? {
            telemetry::metrics::hit(telemetry::metrics::Kind::Blob);
            return Ok(blob);
        }
        if let Some(why) = self.forbids(repository) {
            return Err(Miss::Policy(why));
        }
        telemetry::metrics::miss(telemetry::metrics::Kind::Blob);
        let budget = self.budget_of(reader);
        let size = self.index.edge(repository, digest).await?.map(|edge| edge.size);
        let source = Arc::new(UpstreamSource { repository: repository.clone(), member: member.clone(), size });
        if want == Want::Head
            && let Some(total) = source.confirm(digest, budget).await.map_err(Miss::Refused)?
        {
            return Ok(Blob { digest: *digest, total: Some(total), from: From::Nowhere });
        }
        let follower = self.board.join(digest, size, source, Wish::Client, budget).await?;
        let head = follower.head(budget).await?;
        if member.settings().prefetch_layers {
            tokio::spawn(self.this().start_layers(repository.clone(), *digest));
        }
        Ok(Blob { digest: *digest, total: head.total, from: From::Flight(Box::new(follower)) })
    }

    /// Starts the other layers of the image whose first blob was asked for.
    async fn start_layers(self: Arc<Self>, repository: Repository, digest: Digest) {
        tokio::time::sleep(HEAD_START).await;
        let Ok(parents) = self.index.parents(&repository, &digest, 16).await else { return };
        for parent in parents {
            if self.fetched.take_served(&repository, &parent)
                && let Err(error) = self.fetch_layers(&repository, &parent, Wish::Ahead).await
            {
                tracing::debug!(%repository, %parent, ?error, "layers were not started ahead");
            }
        }
    }

    /// Joins the flights of every blob of a stored manifest that is not here, and returns them.
    pub(super) async fn fetch_layers(
        &self,
        repository: &Repository,
        manifest: &Digest,
        wish: Wish,
    ) -> Result<Vec<(Digest, u64, Follower)>, Miss> {
        let unknown = || Miss::Ours(Error::new(Kind::ManifestUnknown, format!("{repository}@{manifest} is not in the cache")));
        let found = self.stored(repository, manifest).await?.ok_or_else(unknown)?;
        let bytes = found.bytes.ok_or_else(unknown)?;
        let Ok(look) = Manifest::read(&bytes, &found.media_type) else { return Ok(Vec::new()) };
        let Some(member) = self.member(repository) else { return Ok(Vec::new()) };
        let mut flights = Vec::new();
        for child in look.blobs().filter(|child| child.role != crate::oci::Role::Foreign) {
            if self.linked_blob(repository, &child.digest).await?.is_some() {
                continue;
            }
            if let Some(why) = self.forbids(repository) {
                return Err(Miss::Policy(why));
            }
            member.upstream().affords_ahead(&repository.name).map_err(Miss::Refused)?;
            let source = Arc::new(UpstreamSource { repository: repository.clone(), member: member.clone(), size: Some(child.size) });
            flights.push((child.digest, child.size, self.board.join(&child.digest, Some(child.size), source, wish, self.budget()).await?));
        }
        Ok(flights)
    }
}

/// One cached repository at its own upstream, as flights see it.
struct UpstreamSource {
    repository: Repository,
    member: Arc<Member>,
    /// What a manifest says of the blob.
    size: Option<u64>,
}

#[async_trait::async_trait]
impl Source for UpstreamSource {
    fn repository(&self) -> &Repository {
        &self.repository
    }

    fn places(&self) -> &Arc<flight::Places> {
        self.member.places()
    }

    fn segments(&self) -> usize {
        self.member.settings().segments
    }

    async fn open(&self, digest: &Digest, from: u64, until: Option<u64>, budget: Budget) -> Result<BlobAnswer, Refusal> {
        let (upstream, name) = (self.member.upstream(), &self.repository.name);
        let answer = match until {
            None => upstream.blob(name, digest, from, self.size, budget).await?,
            Some(until) => upstream.blob_part(name, digest, from..until, self.size, budget).await?,
        };
        let counted = answer.body.inspect_ok(|bytes| telemetry::metrics::bytes_in(bytes.len() as u64));
        Ok(BlobAnswer { body: counted.boxed(), ..answer })
    }

    async fn confirm(&self, digest: &Digest, budget: Budget) -> Result<Option<u64>, Refusal> {
        self.member.upstream().head_blob(&self.repository.name, digest, budget).await
    }
}
