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
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use tokio::task::JoinHandle;

/// For a reader that stalled or has yet to take anything, as HTTP/2 asks for a chunk before there is a window for it; for any other;
/// and for one that took `EARNED` bytes without a stall: the kernel's buffers take some megabytes from every reader at once, so the first
/// bytes tell nothing about it.
const SMALLEST: usize = 32 * 1024;
const USUAL: usize = 64 * 1024;
const LARGEST: usize = 256 * 1024;
const EARNED: u64 = 8 << 20;
const PROMPT: Duration = Duration::from_millis(20);

/// A stream of the bytes of a range. It keeps the file open, so it goes on after the file's removal.
/// It must be polled within a tokio runtime.
pub struct Chunks {
    file: Arc<File>,
    at: u64,
    end: u64,
    total: u64,
    /// Bytes taken since the last stall.
    earned: u64,
    way: Way,
    given: Option<Given>,
    reading: Option<JoinHandle<io::Result<BytesMut>>>,
}

/// How bytes are read without holding up the thread that polls.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// What the page cache has at once, the rest on the blocking pool.
    NoWait,
    /// The file lies in memory: a read never waits for a disk. (tmpfs knows no `RWF_NOWAIT`.)
    Memory,
    /// The file system can do neither.
    Pool,
}

impl Way {
    /// For a file whose file system refuses `RWF_NOWAIT`.
    fn without_nowait(file: &File) -> Way {
        const TMPFS: u64 = 0x0102_1994;
        match rustix::fs::fstatfs(file) {
            Ok(facts) if facts.f_type as u64 == TMPFS => Way::Memory,
            _ => Way::Pool,
        }
    }
}

/// The chunk given last: when the reader has let go of it, its buffer is used again.
struct Given {
    bytes: Bytes,
    when: Instant,
}

impl Chunks {
    pub(super) fn new(file: Arc<File>, range: Range<u64>) -> Chunks {
        let total = range.end.saturating_sub(range.start);
        Chunks { file, at: range.start, end: range.start + total, total, earned: 0, way: Way::NoWait, given: None, reading: None }
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
        let (mut spare, mut prompt) = (None, false);
        if let Some(Given { bytes, when }) = self.given.take() {
            let size = bytes.len() as u64;
            spare = bytes.try_into_mut().ok();
            prompt = when.elapsed() <= PROMPT;
            self.earned = if prompt { self.earned + size } else { 0 };
        }
        let wanted = (self.end - self.at).min(next_size(prompt, self.earned) as u64) as usize;
        // Only one of exactly this size: a larger one would stay pinned behind a small chunk.
        spare.filter(|buffer| buffer.len() == wanted).unwrap_or_else(|| BytesMut::zeroed(wanted))
    }

    /// Reads what is in memory already, else leaves the read to the blocking pool.
    fn start(&mut self) -> Result<BytesMut, JoinHandle<io::Result<BytesMut>>> {
        let mut buffer = self.buffer();
        let at = self.at;
        let mut done = 0;
        if self.way == Way::NoWait {
            // Any other refusal is settled by the blocking read, which meets the same error if it is real.
            done = match preadv2(&self.file, &mut [io::IoSliceMut::new(&mut buffer)], at, ReadWriteFlags::NOWAIT) {
                Err(Errno::OPNOTSUPP) => {
                    self.way = Way::without_nowait(&self.file);
                    0
                }
                read => read.unwrap_or(0),
            };
        }
        if self.way == Way::Memory && self.file.read_exact_at(&mut buffer, at).is_ok() {
            done = buffer.len();
        }
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

/// The size of the next chunk, by whether the last one left promptly and how much did since the last stall.
fn next_size(prompt: bool, earned: u64) -> usize {
    match prompt {
        false => SMALLEST,
        true if earned < EARNED => USUAL,
        true => LARGEST,
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

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[test]
    fn a_chunk_is_large_only_for_a_reader_that_earned_it() {
        assert_eq!(next_size(true, 0), USUAL);
        assert_eq!(next_size(true, EARNED - 1), USUAL);
        assert_eq!(next_size(true, EARNED), LARGEST);
        assert_eq!(next_size(false, 0), SMALLEST);
    }

    #[tokio::test]
    async fn the_first_chunk_is_small_because_nobody_may_take_it() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        let first = Chunks::new(Arc::new(file), 0..1 << 20).next().await.unwrap().unwrap();
        assert_eq!(first.len(), SMALLEST);
    }
}
