//! Asking ahead: a tag that is asked for often is asked of its upstream shortly before it is not believed any more, so that
//! nobody waits for the answer. How often is counted in memory; answers that the server kept count too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use moka::sync::Cache;

use super::freshness::believed;
use super::{Registry, Want, now};
use crate::config::TagTimes;
use crate::index::TagRow;
use crate::oci::{Reference, Repository, Tag};

/// Bounded; the oldest go first.
const REMEMBERED: u64 = 10_000;

/// How often makes often.
const OFTEN: u32 = 2;

/// How long before the end is shortly before it, at most.
const SHORTLY: Duration = Duration::from_secs(60);

/// How often a tag was asked for since its upstream last confirmed it.
#[derive(Debug)]
pub struct Asks {
    repository: Repository,
    tag: Tag,
    /// When it was confirmed, Unix milliseconds.
    at: u64,
    count: AtomicU32,
    /// When the upstream is to be asked, if they were many by then.
    due: Instant,
}

/// The tags that were asked for lately.
pub(super) struct Asked(Cache<(Repository, Tag), Arc<Asks>>);

impl Default for Asked {
    fn default() -> Asked {
        Asked(Cache::builder().max_capacity(REMEMBERED).build())
    }
}

impl Asked {
    /// The count of a tag.
    pub fn of(&self, repository: &Repository, tag: &Tag, row: &TagRow, times: TagTimes) -> Arc<Asks> {
        self.0.get_with((repository.clone(), tag.clone()), || {
            let due = Instant::now() + until_due(row, times, now());
            Arc::new(Asks { repository: repository.clone(), tag: tag.clone(), at: row.at, count: AtomicU32::new(0), due })
        })
    }

    /// It is counted anew.
    pub fn forget(&self, repository: &Repository, tag: &Tag) {
        self.0.invalidate(&(repository.clone(), tag.clone()));
    }
}

/// How long it is until the tag is to be asked for. What is held back is not old enough any sooner for being asked for.
fn until_due(row: &TagRow, times: TagTimes, now: u64) -> Duration {
    let left = believed(row, times, now);
    match left < believed(&TagRow { held: None, ..row.clone() }, times, now) {
        true => left,
        false => left.saturating_sub((times.ttl / 10).min(SHORTLY)),
    }
}

impl Registry {
    /// Counts a client's question, and sees to it that a tag with many is asked ahead.
    pub(super) fn count(&self, asks: &Arc<Asks>) {
        if asks.count.fetch_add(1, Ordering::Relaxed) + 1 == OFTEN {
            let (this, asks) = (self.this.clone(), asks.clone());
            tokio::spawn(async move {
                tokio::time::sleep_until(asks.due.into()).await;
                if let Some(registry) = this.upgrade() {
                    registry.ask_ahead(&asks).await;
                }
            });
        }
    }

    async fn ask_ahead(&self, asks: &Asks) {
        let Asks { repository, tag, .. } = asks;
        // It may have been confirmed, pinned or purged meanwhile.
        let Ok(Some(row)) = self.index.tag(repository, tag).await else { return };
        if row.pinned.is_none()
            && row.at == asks.at
            && let Ok(answer) = self.pose(repository, &Reference::Tag(tag.clone()), Want::Bytes)
        {
            answer.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Held;
    use crate::oci::Digest;

    #[test]
    fn a_tag_is_due_shortly_before_it_ends_or_when_what_is_held_back_is_old_enough() {
        let due = |ttl: u64, held: Option<u64>| {
            let held = held.map(|since| Held { digest: Digest::of(b"b"), since });
            let row = TagRow { held, ..TagRow::new(Digest::of(b"a"), 5_000, "") };
            until_due(&row, TagTimes { ttl: Duration::from_secs(ttl), cooldown: Duration::from_secs(10) }, 5_000).as_secs()
        };
        assert_eq!((due(100, None), due(7200, None), due(0, None)), (90, 7140, 0));
        assert_eq!((due(100, Some(5_000)), due(100, Some(1_000)), due(5, Some(5_000))), (10, 6, 4));
    }
}
