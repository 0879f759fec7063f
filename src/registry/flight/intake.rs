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
    /// Size of the whole blob, by whoever knows it.
    pub(super) total: Option<u64>,
}

impl Intake {
    /// Opens the blob at `from`, where it has `total` bytes if that is known.
    ///
    /// # Errors
    /// An answer that cannot be the rest of these bytes is a [`Cause::Malformed`].
    pub(super) async fn open(
        source: &dyn Source,
        digest: &Digest,
        from: u64,
        total: Option<u64>,
        budget: Budget,
    ) -> Result<Intake, Refusal> {
        let answer = source.open(digest, from, budget).await?;
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
            _ => Ok(Intake { skip: from - answer.start, at: from, total: total.or(answer.total), answer }),
        }
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
            if self.total.is_some_and(|total| self.at == total) {
                return None;
            }
            let mut chunk = match self.answer.body.next().await {
                Some(Ok(chunk)) => chunk,
                Some(Err(cause)) => return Some(Err(cause)),
                None if self.total.is_some() => return Some(Err(Cause::Broken("it ended early".into()))),
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
            if let Some(total) = self.total.filter(|total| self.at > *total) {
                return Some(Err(Cause::Malformed { what: "blob", text: format!("more than its {total} bytes came") }));
            }
            return Some(Ok(chunk));
        }
    }
}

/// What came while the draft was being written.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) chunks: Vec<Bytes>,
    pub(super) bytes: usize,
    pub(super) ended: Option<Result<(), Cause>>,
}

impl Gathered {
    pub(super) fn take(&mut self, next: Option<Result<Bytes, Cause>>) {
        match next {
            Some(Ok(chunk)) => {
                self.bytes += chunk.len();
                self.chunks.push(chunk);
            }
            Some(Err(cause)) => self.ended = Some(Err(cause)),
            None => self.ended = Some(Ok(())),
        }
    }

    pub(super) fn batch(&mut self) -> Vec<Bytes> {
        self.bytes = 0;
        std::mem::take(&mut self.chunks)
    }
}

/// A failure of that source.
pub(super) fn failed(source: &dyn Source, cause: Cause) -> Refusal {
    Refusal::Failed { source_name: source.repository().origin.to_string(), cause }
}
