//! The bytes of a flight as one follower reads them, at its own pace.
//!
//! Near the head they come from memory, else from the draft by positional reads; a follower holds one chunk at a time.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};
use tokio::sync::watch;

use super::fetch::{Flight, Following, verdict};
use super::passage::Passage;
use super::progress::{End, Progress};
use super::{FetchError, Source, Tuning};
use crate::index::Lease;
use crate::oci::Digest;
use crate::store::{BlobStore, Chunks};

/// A stream of a follower's bytes. Ends with an error when the rest cannot be had or is not right.
pub struct FlightBody(BoxStream<'static, io::Result<Bytes>>);

impl Stream for FlightBody {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(context)
    }
}

impl FlightBody {
    pub(super) fn stored(store: Arc<dyn BlobStore>, digest: Digest, range: Range<u64>, lease: Lease) -> FlightBody {
        let open = async move {
            let chunks = store.read(&digest, range).await.map_err(io::Error::other)?;
            drop(lease);
            chunks.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{digest} is gone")))
        };
        FlightBody(stream::once(open).try_flatten().boxed())
    }

    pub(super) fn tailing(
        flight: Arc<Flight>,
        following: Following,
        source: Arc<dyn Source>,
        range: Option<Range<u64>>,
        tuning: Tuning,
    ) -> FlightBody {
        let range = range.unwrap_or(0..u64::MAX);
        let told = flight.progress.subscribe();
        let reader =
            Reader { position: range.start, range, told, flight, source, tuning, called: false, chunks: None, passage: None, following };
        FlightBody(stream::try_unfold(reader, async |mut reader| Ok(reader.next().await?.map(|bytes| (bytes, reader)))).boxed())
    }
}

struct Reader {
    flight: Arc<Flight>,
    source: Arc<dyn Source>,
    tuning: Tuning,
    told: watch::Receiver<Progress>,
    /// What is wanted; to the end of the blob when its end is beyond it.
    range: Range<u64>,
    position: u64,
    /// It has called for bytes far ahead, which it does once.
    called: bool,
    /// A read of the draft that goes on.
    chunks: Option<Chunks>,
    /// The reader's own way upstream, when the flight has no room.
    passage: Option<Passage>,
    #[expect(dead_code, reason = "counts as a follower until it is dropped")]
    following: Following,
}

/// What a reader can do next.
enum Step {
    Read(u64),
    Finished,
    Wait,
    Pass,
    Cut(io::Error),
}

impl Reader {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(passage) = &mut self.passage {
                return passage.next().await;
            }
            let step = look(&self.told.borrow_and_update(), self.source.repository(), &self.range, self.position);
            match step {
                Step::Read(end) => {
                    if let Some(bytes) = self.read(end).await? {
                        self.position += bytes.len() as u64;
                        return Ok(Some(bytes));
                    }
                }
                Step::Finished => return Ok(None),
                Step::Wait => {
                    self.call();
                    self.told.changed().await.map_err(|_| io::Error::other(FetchError::Lost(self.flight.digest)))?;
                }
                Step::Pass => {
                    self.chunks = None;
                    let passage = Passage::after(&self.flight, &self.source, self.tuning, &self.range, self.position);
                    self.passage = Some(passage.await?);
                }
                Step::Cut(error) => return Err(error),
            }
        }
    }

    /// Calls for the bytes it waits for, when the head is far away.
    fn call(&mut self) {
        if !self.called && self.position > self.told.borrow().extents.prefix() + self.tuning.far {
            self.called = true;
            self.flight.call(self.position);
        }
    }

    /// Some bytes before `end`; `None` when the read at hand has ended.
    async fn read(&mut self, end: u64) -> io::Result<Option<Bytes>> {
        if let Some(chunks) = &mut self.chunks {
            let next = chunks.next().await.transpose()?;
            if next.is_none() {
                self.chunks = None;
            }
            return Ok(next);
        }
        if let Some(mut recent) = self.flight.recent(self.position) {
            let left = usize::try_from(end - self.position).unwrap_or(usize::MAX);
            recent.truncate(left);
            return Ok(Some(recent));
        }
        let view = self.flight.view.get().expect("a flight has a draft before it has bytes");
        self.chunks = Some(view.chunks(self.position..end));
        Ok(None)
    }
}

fn look(progress: &Progress, repository: &crate::oci::Repository, range: &Range<u64>, position: u64) -> Step {
    if position >= range.end {
        return Step::Finished;
    }
    if let Some(error) = verdict(progress, repository) {
        return Step::Cut(io::Error::other(error));
    }
    // Until a source has opened it, nobody's right to what an earlier flight left is proved.
    let end = if progress.opened { progress.readable(position).min(range.end) } else { position };
    match progress.end {
        _ if position < end => Step::Read(end),
        _ if progress.proved && progress.total.is_some_and(|total| position >= total) => Step::Finished,
        Some(End::Passing) => Step::Pass,
        _ => Step::Wait,
    }
}
