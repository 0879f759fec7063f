//! How long a wrong password waits for its answer. Counted by address and user together, by address, and by user; a right password never
//! waits here.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_lc_rs::digest;
use moka::sync::Cache;

/// Failures that cost nothing, of one address with one user.
const FREE: u32 = 10;
/// Failures that cost nothing, of one address with all users and of one user from all addresses.
const FREE_OF_MANY: u32 = 100;
/// Answers that may wait at once for one address and user.
const WAITING: u32 = 4;
/// Answers that may wait at once for one address, or one user.
const WAITING_OF_MANY: u32 = 16;
/// How long failures are remembered after the last one.
const REMEMBERED: Duration = Duration::from_secs(15 * 60);
/// How long a log-in speaks for its address and user.
const TRUSTED: Duration = Duration::from_secs(24 * 3600);
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

type Name = [u8; 32];

/// The failures of the last minutes. Each of the three has a place of its own, so that many names push out no address.
pub(super) struct Failures {
    pairs: Cache<(IpAddr, Name), Arc<Tally>>,
    addresses: Cache<IpAddr, Arc<Tally>>,
    users: Cache<Name, Arc<Tally>>,
    /// Who has logged in from where.
    trusted: Cache<(IpAddr, Name), ()>,
    /// The first wait; the next are twice, four and eight times as long.
    wait: Duration,
}

struct Tally {
    failed: AtomicU32,
    waiting: AtomicU32,
    free: u32,
    places: u32,
}

impl Tally {
    fn of_pair() -> Arc<Tally> {
        Tally::new(FREE, WAITING)
    }

    fn of_many() -> Arc<Tally> {
        Tally::new(FREE_OF_MANY, WAITING_OF_MANY)
    }

    fn new(free: u32, places: u32) -> Arc<Tally> {
        Arc::new(Tally { failed: AtomicU32::new(0), waiting: AtomicU32::new(0), free, places })
    }

    fn is_used_up(&self) -> bool {
        self.failed.load(Ordering::Relaxed) >= self.free
    }
}

impl Failures {
    pub fn new(wait: Duration) -> Failures {
        let trusted = Cache::builder().max_capacity(COUNTED).time_to_live(TRUSTED).build();
        Failures { pairs: tallies(), addresses: tallies(), users: tallies(), trusted, wait }
    }

    /// Counts one more failure and waits as long as it has to; dropping it gives the place free.
    pub async fn wrong(&self, from: IpAddr, user: &str) -> NotVerified {
        let (from, user) = (network(from), name(user));
        let tallies = [
            self.pairs.get_with((from, user), Tally::of_pair),
            self.addresses.get_with(from, Tally::of_many),
            self.users.get_with(user, Tally::of_many),
        ];
        let over = tallies.each_ref().map(|tally| (tally, tally.failed.fetch_add(1, Ordering::Relaxed).checked_sub(tally.free)));
        let Some(most) = over.iter().filter_map(|(_, over)| *over).max() else { return NotVerified::Wrong };
        let places: Option<Vec<_>> = over.iter().filter(|(_, over)| over.is_some()).map(|(tally, _)| Place::take(tally)).collect();
        let Some(_places) = places else { return NotVerified::TooMany };
        tokio::time::sleep(self.wait * (1 << most.min(3))).await;
        NotVerified::Wrong
    }

    /// Remembers that the user has logged in from there.
    pub fn right(&self, from: IpAddr, user: &str) {
        self.trusted.insert((network(from), name(user)), ());
    }

    /// Whether the user has logged in from there lately.
    pub fn trusts(&self, from: IpAddr, user: &str) -> bool {
        self.trusted.contains_key(&(network(from), name(user)))
    }

    /// Whether one more failure would wait.
    pub fn suspects(&self, from: IpAddr, user: &str) -> bool {
        let (from, user) = (network(from), name(user));
        let tallies = [self.pairs.get(&(from, user)), self.addresses.get(&from), self.users.get(&user)];
        tallies.into_iter().flatten().any(|tally| tally.is_used_up())
    }
}

fn tallies<Key: Hash + Eq + Send + Sync + 'static>() -> Cache<Key, Arc<Tally>> {
    Cache::builder().max_capacity(COUNTED).time_to_idle(REMEMBERED).build()
}

fn name(user: &str) -> Name {
    let mut name = [0; 32];
    name.copy_from_slice(digest::digest(&digest::SHA256, user.as_bytes()).as_ref());
    name
}

/// One answer that waits.
struct Place<'a>(&'a Tally);

impl Place<'_> {
    fn take(tally: &Tally) -> Option<Place<'_>> {
        let place = Place(tally);
        (tally.waiting.fetch_add(1, Ordering::Relaxed) < tally.places).then_some(place)
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

    #[tokio::test]
    async fn one_password_for_many_users_and_one_user_from_many_addresses_wait_after_a_hundred() {
        let failures = Failures::new(HOUR);
        for user in 0..100 {
            assert_eq!(failures.wrong(HERE, &user.to_string()).await, NotVerified::Wrong);
        }
        tokio::time::timeout(SOON, failures.wrong(HERE, "new")).await.unwrap_err();
        assert!(failures.suspects(HERE, "new") && !failures.suspects("127.0.0.2".parse().unwrap(), "new"));
        let address = |last: u8| IpAddr::from([127, 0, 1, last]);
        for last in 0..100 {
            assert_eq!(failures.wrong(address(last), "alice").await, NotVerified::Wrong);
        }
        tokio::time::timeout(SOON, failures.wrong(address(100), "alice")).await.unwrap_err();
        assert_eq!(failures.wrong(address(100), "bob").await, NotVerified::Wrong);
        assert!(failures.suspects(address(101), "alice") && !failures.trusts(address(101), "alice"));
        failures.right(address(101), "alice");
        assert!(failures.trusts(address(101), "alice") && !failures.trusts(address(101), "bob"));
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
