//! The last bytes that were appended to a draft, shared by all followers near its head.

use std::collections::VecDeque;

use bytes::Bytes;

pub(super) struct Ring {
    capacity: usize,
    held: usize,
    /// Each chunk with the offset of its first byte; without gaps.
    chunks: VecDeque<(u64, Bytes)>,
}

impl Ring {
    pub(super) fn new(capacity: usize) -> Ring {
        Ring { capacity, held: 0, chunks: VecDeque::new() }
    }

    /// Adds what follows the bytes added before; the oldest beyond the capacity are forgotten.
    pub(super) fn push(&mut self, offset: u64, chunk: Bytes) {
        self.held += chunk.len();
        self.chunks.push_back((offset, chunk));
        while self.held > self.capacity
            && let Some((_, oldest)) = self.chunks.pop_front()
        {
            self.held -= oldest.len();
        }
    }

    /// Some bytes from `position` on, where they are still held.
    pub(super) fn at(&self, position: u64) -> Option<Bytes> {
        let next = self.chunks.partition_point(|(offset, _)| *offset <= position);
        let (offset, chunk) = self.chunks.get(next.checked_sub(1)?)?;
        let skip = usize::try_from(position - offset).ok().filter(|skip| *skip < chunk.len())?;
        Some(chunk.slice(skip..))
    }

    pub(super) fn clear(&mut self) {
        self.chunks.clear();
        self.held = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_are_there_and_no_others() {
        let mut ring = Ring::new(6);
        for (offset, text) in [(100, "abc"), (103, "def"), (106, "gh")] {
            ring.push(offset, Bytes::from_static(text.as_bytes()));
        }
        assert_eq!(ring.at(102), None, "forgotten");
        assert_eq!(ring.at(103).unwrap(), "def");
        assert_eq!(ring.at(105).unwrap(), "f");
        assert_eq!(ring.at(107).unwrap(), "h");
        assert_eq!(ring.at(108), None, "not yet there");
    }
}
