//! Reading bytes out: positional reads whose size follows the reader.
//!
//! A stream ends cleanly only after exactly the bytes of its range; a shorter file is an error. Between two polls it
//! holds at most the buffer that the reader holds too, so a stalled reader costs a small constant.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use rustix::io::{ReadWriteFlags, preadv2};
use tokio::task::JoinHandle;

const SMALLEST: usize = 32 * 1024;
const LARGEST: usize = 256 * 1024;
const PROMPT: Duration = Duration::from_millis(20);

/// A stream of the bytes of a range. It keeps the file open, so it goes on after the file's removal.
/// It must be polled within a tokio runtime.
pub struct Chunks {
    file: Arc<File>,
    at: u64,
    end: u64,
    total: u64,
    size: usize,
    given: Option<Given>,
    reading: Option<JoinHandle<io::Result<BytesMut>>>,
}

/// The chunk given last: when the reader has let go of it, its buffer is used again.
struct Given {
    bytes: Bytes,
    when: Instant,
}

impl Chunks {
    pub(super) fn new(file: Arc<File>, range: Range<u64>) -> Chunks {
        let total = range.end.saturating_sub(range.start);
        Chunks { file, at: range.start, end: range.start + total, total, size: SMALLEST, given: None, reading: None }
    }

    /// Bytes of the whole range.
    pub fn len(&self) -> u64 {
        self.total
    }

    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Sizes the next chunk by how the last one left, and finds a buffer for it.
    fn buffer(&mut self) -> BytesMut {
        let mut spare = None;
        if let Some(Given { bytes, when }) = self.given.take() {
            spare = bytes.try_into_mut().ok();
            self.size = next_size(self.size, when.elapsed(), spare.is_some());
        }
        let wanted = (self.end - self.at).min(self.size as u64) as usize;
        // Only one of exactly this size: a larger one would stay pinned behind a small chunk.
        spare.filter(|buffer| buffer.len() == wanted).unwrap_or_else(|| BytesMut::zeroed(wanted))
    }

    /// Reads what is in memory already, else leaves the read to the blocking pool.
    fn start(&mut self) -> Result<BytesMut, JoinHandle<io::Result<BytesMut>>> {
        let mut buffer = self.buffer();
        let at = self.at;
        let mut into = [io::IoSliceMut::new(&mut buffer)];
        // Any refusal is settled by the blocking read, which meets the same error if it is real.
        let done = preadv2(&self.file, &mut into, at, ReadWriteFlags::NOWAIT).unwrap_or(0);
        if done == buffer.len() {
            return Ok(buffer);
        }
        let file = self.file.clone();
        Err(tokio::task::spawn_blocking(move || {
            file.read_exact_at(&mut buffer[done..], at + done as u64)?;
            Ok(buffer)
        }))
    }

    fn give(&mut self, buffer: BytesMut) -> Bytes {
        let bytes = buffer.freeze();
        self.at += bytes.len() as u64;
        self.given = (self.at < self.end).then(|| Given { bytes: bytes.clone(), when: Instant::now() });
        bytes
    }
}

/// Doubles for a reader that took the last chunk promptly, starts again for one that stalled.
fn next_size(size: usize, took: Duration, left: bool) -> usize {
    match (took <= PROMPT, left) {
        (true, true) => (size * 2).min(LARGEST),
        (true, false) => size,
        (false, _) => SMALLEST,
    }
}

impl Stream for Chunks {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.at == self.end {
            return Poll::Ready(None);
        }
        if self.reading.is_none() {
            match self.start() {
                Ok(buffer) => return Poll::Ready(Some(Ok(self.give(buffer)))),
                Err(reading) => self.reading = Some(reading),
            }
        }
        let reading = self.reading.as_mut().expect("a read was started above");
        let read = ready!(Pin::new(reading).poll(context)).unwrap_or_else(|error| Err(io::Error::other(error)));
        self.reading = None;
        Poll::Ready(Some(match read {
            Ok(buffer) => Ok(self.give(buffer)),
            Err(error) => {
                self.end = self.at;
                Err(error)
            }
        }))
    }
}
