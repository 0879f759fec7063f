//! Which bytes of a blob are here: a few disjoint, sorted, non-touching ranges.

use std::ops::Range;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Extents(Vec<Range<u64>>);

impl Extents {
    pub(super) fn insert(&mut self, mut new: Range<u64>) {
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
    pub(super) fn end_from(&self, position: u64) -> u64 {
        self.0.iter().find(|range| range.contains(&position)).map_or(position, |range| range.end)
    }

    /// Length of the contiguous prefix: what is hashed.
    pub(super) fn prefix(&self) -> u64 {
        self.end_from(0)
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
        extents.insert(12..30);
        assert_eq!(extents.0, vec![0..40]);
    }

    #[test]
    fn nothing_is_here_at_first() {
        assert_eq!(Extents::default().prefix(), 0);
    }
}
