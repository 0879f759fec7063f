//! Who the users are, and whether a password is theirs. What changes in the file holds for every question asked a second later.
//!
//! Hashing has threads of its own number, an unknown user costs what a wrong password costs, and a right password never waits
//! for anything but its hash.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::admin::{self, MadeUp};
use super::failures::{Failures, NotVerified};
use super::file::FileError;
use super::htpasswd;
use super::judge::Who;
use super::remembered::Remembered;
use super::watched::Watched;
use crate::config::{self, Secret};

/// What a check costs and how long things last. Tests use less of each.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// bcrypt's cost for passwords that are made here.
    pub cost: u32,
    /// How long the users file is believed without a look at it.
    pub look: Duration,
    /// The first wait of a wrong password, after ten that cost nothing.
    pub wait: Duration,
    /// How long a checked password is remembered.
    pub remember: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        let second = Duration::from_secs(1);
        Pace { cost: 10, look: second, wait: second, remember: second * 60 }
    }
}

/// Why there are no users to start with.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("auth.htpasswd names {}, which does not exist: make it with `htpasswd -B -c`, or remove the setting", .0.display())]
    Missing(PathBuf),
    #[error("auth.admin_password must have 1 to 71 bytes")]
    AdminPassword,
}

/// The users of the htpasswd file.
pub struct Users {
    watched: Watched,
    remembered: Remembered,
    failures: Failures,
    hashing: Arc<Semaphore>,
    cost: u32,
}

/// A user of the file, as a check found it. The stamp is that of the very hash that was checked.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub name: Arc<str>,
    pub stamp: Arc<str>,
}

impl Known {
    /// Who needs no password, and may not even be in the file.
    pub fn by_certificate(name: &Arc<str>) -> Known {
        Known { name: name.clone(), stamp: CERTIFIED.into() }
    }
}

/// The stamp of tokens of users whom a client certificate names. No hash has it: those are longer.
pub(super) const CERTIFIED: &str = "certificate";

impl Users {
    /// Opens the users of the data folder, or of the configured file. At the first start an `admin` is made; its made-up
    /// password is returned to be shown. Reads and writes small files and may hash once, so it blocks.
    ///
    /// # Errors
    /// A file that is empty, cannot be read or written, or was configured and is not there.
    pub fn open(data: &Path, auth: &config::Auth, pace: Pace) -> Result<(Users, Option<MadeUp>), OpenError> {
        let (own, kept) = (data.join("users.htpasswd"), data.join("admin-password"));
        let mut made = None;
        let watched = match &auth.htpasswd {
            Some(file) if !file.exists() => return Err(OpenError::Missing(file.clone())),
            Some(file) => Watched::open(file.clone(), None, pace.look)?,
            None => {
                if !own.exists() {
                    made = admin::make(&own, &kept, auth.admin_password.as_ref(), pace.cost)?;
                }
                Watched::open(own, Some(kept), pace.look)?
            }
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let users = Users {
            watched,
            remembered: Remembered::new(pace.remember),
            failures: Failures::new(pace.wait),
            hashing: Arc::new(Semaphore::new((cores / 2).max(1))),
            cost: pace.cost,
        };
        Ok((users, made))
    }

    /// Checks a log-in. A wrong one is counted and may wait; a right one never does.
    pub async fn verify(&self, user: &str, password: &Secret, from: IpAddr) -> Result<Who, NotVerified> {
        match self.known(user, password).await {
            Some(known) => Ok(Who::User(known.name)),
            None => Err(self.failed(user, from).await),
        }
    }

    /// Checks credentials that may be meant for somebody else: a wrong password is not counted as a failed log-in.
    pub async fn recognise(&self, user: &str, password: &Secret) -> Option<Who> {
        self.known(user, password).await.map(|known| Who::User(known.name))
    }

    /// The same where it was checked a short while ago: nothing is hashed, nobody waits.
    pub fn recall(&self, user: &str, password: &Secret) -> Option<Who> {
        let table = self.watched.table();
        let entry = table.get(user)?;
        let right = self.remembered.get(&self.remembered.key(user, &entry.hash, password)) == Some(true);
        right.then(|| Who::User(entry.name.clone()))
    }

    /// Counts a log-in that [`Users::known`] did not know.
    pub(super) async fn failed(&self, user: &str, from: IpAddr) -> NotVerified {
        self.failures.wrong(from, user).await
    }

    pub(super) async fn known(&self, user: &str, password: &Secret) -> Option<Known> {
        let table = self.watched.table();
        let entry = table.get(user);
        let highest = if table.highest_cost == 0 { self.cost } else { table.highest_cost };
        let (hash, cost) = match entry {
            Some(entry) => (entry.hash.clone(), entry.cost),
            None => (htpasswd::dummy(highest), highest),
        };
        let right = self.matches(user, password, Stored { hash, cost, highest }).await;
        entry.filter(|_| right).map(|entry| Known { name: entry.name.clone(), stamp: entry.stamp.clone() })
    }

    /// Whether there is a user of that name now.
    pub fn knows(&self, user: &str) -> bool {
        self.stamp(user).is_some()
    }

    /// The stamp of a user that is in the file now.
    pub(super) fn stamp(&self, user: &str) -> Option<Arc<str>> {
        self.watched.table().get(user).map(|entry| entry.stamp.clone())
    }

    async fn matches(&self, user: &str, password: &Secret, stored: Stored) -> bool {
        let key = self.remembered.key(user, &stored.hash, password);
        if let Some(verdict) = self.remembered.get(&key) {
            return verdict;
        }
        let place = self.hashing.clone().acquire_owned().await.expect("the semaphore is never closed");
        // Clients send the same password many times at once: the first of them has asked for all.
        if let Some(verdict) = self.remembered.get(&key) {
            return verdict;
        }
        let (remembered, password) = (self.remembered.clone(), password.clone());
        let hashed = tokio::task::spawn_blocking(move || {
            let right = stored.is_of(&password);
            remembered.put(key, right);
            // Given back here, not by who waits: a client that leaves ends no hashing.
            drop(place);
            right
        });
        hashed.await.unwrap_or(false)
    }
}

/// What a password is checked against, and the highest cost among all users.
struct Stored {
    hash: Arc<str>,
    cost: u32,
    highest: u32,
}

impl Stored {
    /// A wrong password takes the same time for every user, whether in the file or not: files have mixed costs, because
    /// `htpasswd` has another default than we have. Of a long password 72 bytes count, as elsewhere.
    fn is_of(&self, password: &Secret) -> bool {
        let matches = |hash: &str| bcrypt::verify(password.reveal(), hash).unwrap_or(false);
        let right = matches(&self.hash);
        if !right {
            for dummy in htpasswd::padding(self.cost, self.highest) {
                std::hint::black_box(matches(&dummy));
            }
        }
        right
    }
}

#[cfg(test)]
mod tests;
