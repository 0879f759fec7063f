//! Passwords that were checked a short while ago. Nothing here can be turned back into a password, and a changed hash in the
//! users file has another key, so that what was remembered of the old one is never found again.

use std::time::Duration;

use aws_lc_rs::{hmac, rand};
use moka::sync::Cache;

use crate::config::Secret;

/// Verdicts of each kind that are kept. Wrong ones have a place of their own: guesses must not push out what is right.
const KEPT: u64 = 10_000;

pub(super) type Key = [u8; 32];

#[derive(Clone)]
pub(super) struct Remembered {
    secret: hmac::Key,
    right: Cache<Key, ()>,
    wrong: Cache<Key, ()>,
}

impl Remembered {
    pub fn new(how_long: Duration) -> Remembered {
        let mut secret = [0; 32];
        rand::fill(&mut secret).expect("the system gives random bytes");
        let cache = || Cache::builder().max_capacity(KEPT).time_to_live(how_long).build();
        Remembered { secret: hmac::Key::new(hmac::HMAC_SHA256, &secret), right: cache(), wrong: cache() }
    }

    /// The key of a user, the hash that the password is checked against, and the password.
    pub fn key(&self, user: &str, hash: &str, password: &Secret) -> Key {
        let mut context = hmac::Context::with_key(&self.secret);
        for part in [user, hash, password.reveal()] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        context.sign().as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes")
    }

    pub fn get(&self, key: &Key) -> Option<bool> {
        match self.right.contains_key(key) {
            true => Some(true),
            false => self.wrong.contains_key(key).then_some(false),
        }
    }

    pub fn put(&self, key: Key, right: bool) {
        let cache = if right { &self.right } else { &self.wrong };
        cache.insert(key, ());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_holds_for_the_same_user_hash_and_password_alone() {
        let remembered = Remembered::new(Duration::from_secs(60));
        let key = |user: &str, hash: &str, password: &str| remembered.key(user, hash, &Secret::new(password));
        remembered.put(key("alice", "h", "right"), true);
        remembered.put(key("alice", "h", "wrong"), false);
        assert_eq!(remembered.get(&key("alice", "h", "right")), Some(true));
        assert_eq!(remembered.get(&key("alice", "h", "wrong")), Some(false));
        for other in [key("bob", "h", "right"), key("alice", "h2", "right"), key("aliceh", "", "right"), key("alice", "hright", "")] {
            assert_eq!(remembered.get(&other), None);
        }
        let restarted = Remembered::new(Duration::from_secs(60));
        assert_ne!(restarted.key("alice", "h", &Secret::new("right")), key("alice", "h", "right"));
    }

    #[test]
    fn a_verdict_ends() {
        let remembered = Remembered::new(Duration::from_millis(1));
        remembered.put([0; 32], true);
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(remembered.get(&[0; 32]), None);
    }
}
