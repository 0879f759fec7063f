//! How long a wrong password waits for its answer. Counted by address and user; a right password never comes here.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_lc_rs::digest;
use moka::sync::Cache;

/// Failures that cost nothing.
const FREE: u32 = 10;
/// Answers that may wait at once for one address and user.
const WAITING: u32 = 4;
/// How long failures are remembered after the last one.
const REMEMBERED: Duration = Duration::from_secs(15 * 60);
/// Addresses and users that are counted at once.
const COUNTED: u64 = 100_000;

/// The log-in failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotVerified {
    #[error("the user name or the password is wrong")]
    Wrong,
    #[error("too many wrong passwords at once for this user; wait a minute and try again")]
    TooMany,
}

/// The failures of the last minutes.
pub(super) struct Failures {
    tallies: Cache<(IpAddr, [u8; 32]), Arc<Tally>>,
    /// The first wait; the next are twice, four and eight times as long.
    wait: Duration,
}

#[derive(Default)]
struct Tally {
    failed: AtomicU32,
    waiting: AtomicU32,
}

impl Failures {
    pub fn new(wait: Duration) -> Failures {
        Failures { tallies: Cache::builder().max_capacity(COUNTED).time_to_idle(REMEMBERED).build(), wait }
    }

    /// Counts one more failure and waits as long as it has to; dropping it gives the place free.
    pub async fn wrong(&self, from: IpAddr, user: &str) -> NotVerified {
        let mut name = [0; 32];
        name.copy_from_slice(digest::digest(&digest::SHA256, user.as_bytes()).as_ref());
        let tally = self.tallies.get_with((network(from), name), Arc::default);
        let before = tally.failed.fetch_add(1, Ordering::Relaxed);
        if before < FREE {
            return NotVerified::Wrong;
        }
        let Some(_place) = Place::take(&tally) else { return NotVerified::TooMany };
        tokio::time::sleep(self.wait * (1 << (before - FREE).min(3))).await;
        NotVerified::Wrong
    }
}

/// One answer that waits.
struct Place<'a>(&'a Tally);

impl Place<'_> {
    fn take(tally: &Tally) -> Option<Place<'_>> {
        let place = Place(tally);
        (tally.waiting.fetch_add(1, Ordering::Relaxed) < WAITING).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Who has one IPv6 address has the whole /64.
fn network(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        four => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const SOON: Duration = Duration::from_millis(50);
    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    async fn fail(failures: &Failures, times: u32) {
        for _ in 0..times {
            assert_eq!(failures.wrong(HERE, "alice").await, NotVerified::Wrong);
        }
    }

    #[tokio::test]
    async fn the_first_ten_cost_nothing_and_the_next_waits() {
        let failures = Failures::new(HOUR);
        tokio::time::timeout(SOON * 20, fail(&failures, 10)).await.unwrap();
        tokio::time::timeout(SOON, failures.wrong(HERE, "alice")).await.unwrap_err();
        fail_others(&failures).await;
    }

    /// Another user, and another address, have tallies of their own.
    async fn fail_others(failures: &Failures) {
        assert_eq!(failures.wrong(HERE, "bob").await, NotVerified::Wrong);
        assert_eq!(failures.wrong("127.0.0.2".parse().unwrap(), "alice").await, NotVerified::Wrong);
    }

    #[tokio::test]
    async fn waits_double_up_to_eight() {
        let unit = Duration::from_millis(2);
        let failures = Failures::new(unit);
        fail(&failures, 10).await;
        for factor in [1, 2, 4, 8, 8] {
            let start = std::time::Instant::now();
            fail(&failures, 1).await;
            assert!(start.elapsed() >= unit * factor);
        }
    }

    #[tokio::test]
    async fn more_than_four_waiting_is_too_many_until_one_of_them_leaves() {
        let failures = Arc::new(Failures::new(HOUR));
        fail(&failures, 10).await;
        let wait = || {
            let failures = failures.clone();
            tokio::spawn(async move { failures.wrong(HERE, "alice").await })
        };
        let waiting: Vec<_> = std::iter::repeat_with(wait).take(4).collect();
        tokio::task::yield_now().await;
        assert_eq!(failures.wrong(HERE, "alice").await, NotVerified::TooMany);
        fail_others(&failures).await;
        waiting[0].abort();
        tokio::task::yield_now().await;
        tokio::time::timeout(SOON, failures.wrong(HERE, "alice")).await.unwrap_err();
    }

    #[test]
    fn an_address_counts_as_what_its_owner_can_vary() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:10.0.0.1"), network("10.0.0.1"));
        assert_ne!(network("10.0.0.1"), network("10.0.0.2"));
    }
}
