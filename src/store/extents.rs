//! Which bytes of a blob are here: a few disjoint, sorted, non-touching ranges.

use std::ops::Range;

/// A set of bytes, by their offsets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extents(Vec<Range<u64>>);

impl Extents {
    /// Adds a range, whatever of it is here already.
    pub fn insert(&mut self, mut new: Range<u64>) {
        if new.is_empty() {
            return;
        }
        self.0.retain(|old| {
            let apart = old.end < new.start || new.end < old.start;
            if !apart {
                new = old.start.min(new.start)..old.end.max(new.end);
            }
            apart
        });
        let at = self.0.partition_point(|old| old.start < new.start);
        self.0.insert(at, new);
    }

    /// Where the bytes that begin at `position` end; `position` itself when there are none.
    pub fn end_from(&self, position: u64) -> u64 {
        self.0.iter().find(|range| range.contains(&position)).map_or(position, |range| range.end)
    }

    /// Length of the contiguous prefix.
    pub fn prefix(&self) -> u64 {
        self.end_from(0)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where the last range ends.
    pub fn end(&self) -> u64 {
        self.0.last().map_or(0, |range| range.end)
    }

    /// How many bytes are here.
    pub fn covered(&self) -> u64 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }

    /// The first bytes at or after `from` that are not here, up to `end`; `None` when all of them are.
    pub fn gap(&self, from: u64, end: u64) -> Option<Range<u64>> {
        let start = self.end_from(from);
        let next = self.0.iter().find(|range| range.start > start).map_or(end, |range| range.start.min(end));
        (start < next).then_some(start..next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_become_one() {
        let mut extents = Extents::default();
        for range in [0..10, 30..40, 20..25, 10..12, 50..50] {
            extents.insert(range);
        }
        assert_eq!(extents.0, [0..12, 20..25, 30..40]);
        assert_eq!((extents.prefix(), extents.end_from(11), extents.end_from(12), extents.end_from(24)), (12, 12, 12, 25));
        assert_eq!((extents.end(), extents.covered()), (40, 27));
        extents.insert(12..30);
        assert_eq!(extents.0, vec![0..40]);
    }

    #[test]
    fn a_gap_ends_where_the_next_bytes_begin() {
        let mut extents = Extents::default();
        assert_eq!(extents.gap(0, 50), Some(0..50));
        for range in [0..10, 20..30] {
            extents.insert(range);
        }
        assert_eq!([0, 10, 12, 20, 35].map(|from| extents.gap(from, 50)), [10..20, 10..20, 12..20, 30..50, 35..50].map(Some));
        assert_eq!((extents.gap(0, 15), extents.gap(20, 30), extents.gap(60, 50)), (Some(10..15), None, None));
    }

    #[test]
    fn nothing_is_here_at_first() {
        assert_eq!((Extents::default().prefix(), Extents::default().end(), Extents::default().covered()), (0, 0, 0));
    }
}
