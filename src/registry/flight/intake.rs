//! One body of a source, from the byte where the last one ended: no byte comes twice, none beyond the total.

use bytes::Bytes;
use futures_util::StreamExt;

use super::Source;
use crate::oci::Digest;
use crate::upstream::{Blame, BlobAnswer, Budget, Cause, Refusal};

pub(super) struct Intake {
    answer: BlobAnswer,
    /// Bytes that come again because the source does not honour ranges.
    skip: u64,
    /// Offset of the next byte.
    at: u64,
    /// Where the part that was asked for ends, when not with the blob.
    until: Option<u64>,
    /// Size of the whole blob, by whoever knows it.
    pub(super) total: Option<u64>,
}

impl Intake {
    /// Opens the blob at `from`, up to `until` or its end, where it has `total` bytes if that is known.
    ///
    /// # Errors
    /// An answer that cannot be the rest of these bytes is a [`Cause::Malformed`].
    pub(super) async fn open(
        source: &dyn Source,
        digest: &Digest,
        from: u64,
        until: Option<u64>,
        total: Option<u64>,
        budget: Budget,
    ) -> Result<Intake, Refusal> {
        let answer = source.open(digest, from, until, budget).await?;
        let unfit = |text| {
            let cause = Cause::Malformed { what: "blob", text };
            (answer.blame)(&cause);
            failed(source, cause)
        };
        if answer.start != from && answer.start != 0 {
            return Err(unfit(format!("of the bytes from {from} on it sent those from {}", answer.start)));
        }
        match (total, answer.total) {
            (Some(known), Some(told)) if known != told => Err(unfit(format!("it has {told} bytes, not {known}"))),
            (None, Some(told)) if told < from => Err(unfit(format!("it has {told} bytes after {from} were sent"))),
            _ => Ok(Intake { skip: from - answer.start, at: from, until, total: total.or(answer.total), answer }),
        }
    }

    /// Whether it began where it was asked to.
    pub(super) fn is_exact(&self) -> bool {
        self.skip == 0
    }

    /// What names these bytes at the source.
    pub(super) fn tag(&self) -> Option<&String> {
        self.answer.tag.as_ref()
    }

    /// Where it ends, if that is known.
    pub(super) fn end(&self) -> Option<u64> {
        self.until.or(self.total)
    }

    /// Itself, when it is a part of what `tag` names and nothing more.
    pub(super) fn belongs_to(self, source: &dyn Source, tag: Option<&String>) -> Result<Intake, Refusal> {
        let text = match self.tag().zip(tag) {
            _ if self.skip > 0 => "it sends everything where a part was asked for",
            Some((here, there)) if here != there => "its ETag is another one than that of the first part",
            _ => return Ok(self),
        };
        Err(failed(source, Cause::Broken(text.to_owned())))
    }

    /// Whom to tell that the bytes were wrong.
    pub(super) fn blame(&self) -> Blame {
        self.answer.blame.clone()
    }

    /// The next bytes; `None` when all are there. Nothing follows an error, which the upstream is told. May be dropped while
    /// it waits.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, Cause>> {
        let next = self.advance().await;
        if let Some(Err(cause)) = &next {
            (self.answer.blame)(cause);
        }
        next
    }

    async fn advance(&mut self) -> Option<Result<Bytes, Cause>> {
        loop {
            if self.end().is_some_and(|end| self.at == end) {
                return None;
            }
            let mut chunk = match self.answer.body.next().await {
                Some(Ok(chunk)) => chunk,
                Some(Err(cause)) => return Some(Err(cause)),
                None if self.end().is_some() => return Some(Err(Cause::Broken("it ended early".into()))),
                None if self.skip > 0 => return Some(Err(Cause::Broken("it ended before the byte reached".into()))),
                None => return None,
            };
            let again = self.skip.min(chunk.len() as u64);
            self.skip -= again;
            chunk = chunk.split_off(again as usize);
            if chunk.is_empty() {
                continue;
            }
            self.at += chunk.len() as u64;
            if let Some(end) = self.end().filter(|end| self.at > *end) {
                return Some(Err(Cause::Malformed { what: "blob", text: format!("bytes came beyond byte {end}, where it ends") }));
            }
            return Some(Ok(chunk));
        }
    }
}

/// What came while the draft was being written.
#[derive(Default)]
pub(super) struct Gathered {
    /// Each with its offset.
    pub(super) chunks: Vec<(u64, Bytes)>,
    pub(super) bytes: usize,
    pub(super) ended: Option<Result<(), Refusal>>,
}

impl Gathered {
    pub(super) fn take(&mut self, next: Option<Result<(u64, Bytes), Refusal>>) {
        match next {
            Some(Ok((offset, chunk))) => {
                self.bytes += chunk.len();
                self.chunks.push((offset, chunk));
            }
            Some(Err(refusal)) => self.ended = Some(Err(refusal)),
            None => self.ended = Some(Ok(())),
        }
    }

    pub(super) fn batch(&mut self) -> Vec<(u64, Bytes)> {
        self.bytes = 0;
        std::mem::take(&mut self.chunks)
    }
}

/// A failure of that source.
pub(super) fn failed(source: &dyn Source, cause: Cause) -> Refusal {
    Refusal::Failed { source_name: source.repository().origin.to_string(), cause }
}
