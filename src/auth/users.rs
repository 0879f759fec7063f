//! Who the users are, and whether a password or a personal token is theirs. What changes in the file holds for every question asked a second
//! later; what a command changes holds at once.
//!
//! Hashing has few threads of its own, an unknown user costs what a wrong password costs, and no wrong password keeps a right one waiting: who
//! comes with many of them stands in another queue.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::Semaphore;

use super::admin::{self, MadeUp};
use super::failures::{Failures, NotVerified};
use super::file::FileError;
use super::htpasswd;
use super::judge::Who;
use super::personal;
use super::policy::Policy;
use super::remembered::Remembered;
use super::watched::Watched;
use crate::config::{Allow, Secret};

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

/// The users of the htpasswd file, and the robots, which have tokens alone.
pub struct Users {
    policy: Arc<Policy>,
    watched: Watched,
    remembered: Remembered,
    failures: Failures,
    hashing: Arc<Semaphore>,
    /// Of those who are suspected, one at a time stands in the queue for `hashing`.
    suspected: Semaphore,
    cost: u32,
}

/// A user, as a check found him. The stamp is that of the very password or token that was checked.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub name: Arc<str>,
    pub stamp: Arc<str>,
    /// What his token leaves him, where he showed one that may less than he.
    within: Option<Arc<[Allow]>>,
}

impl Known {
    pub fn who(&self) -> Who {
        let user = self.name.clone();
        match &self.within {
            Some(within) => Who::Limited { user, within: within.clone() },
            None => Who::User(user),
        }
    }

    /// Whether it was a password that was checked, not a personal token.
    pub fn is_by_password(&self) -> bool {
        personal::stamped(&self.stamp).is_none() && *self.stamp != *CERTIFIED
    }
}

impl Known {
    /// Who needs no password, and may not even be in the file.
    pub fn by_certificate(name: &Arc<str>) -> Known {
        Known { name: name.clone(), stamp: CERTIFIED.into(), within: None }
    }
}

/// The stamp of tokens of users whom a client certificate names. No hash has it: those are longer.
const CERTIFIED: &str = "certificate";

impl Users {
    /// Opens the users of the data folder, or of the configured file. At the first start an `admin` is made; its made-up
    /// password is returned to be shown. Reads and writes small files and may hash once, so it blocks.
    ///
    /// # Errors
    /// A file that is empty, cannot be read or written, or was configured and is not there.
    pub fn open(data: &Path, policy: Arc<Policy>, pace: Pace) -> Result<(Users, Option<MadeUp>), OpenError> {
        let (auth, file) = (policy.configured(), policy.roster().path());
        let kept = auth.htpasswd.is_none().then(|| data.join("admin-password"));
        let made = match (&kept, file.exists()) {
            (_, true) => None,
            (None, false) => return Err(OpenError::Missing(file.to_owned())),
            (Some(kept), false) => admin::make(file, kept, auth.admin_password.as_ref(), pace.cost)?,
        };
        let watched = Watched::open(policy.clone(), kept, pace.look)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let users = Users {
            policy,
            watched,
            remembered: Remembered::new(pace.remember),
            failures: Failures::new(pace.wait),
            hashing: Arc::new(Semaphore::new((cores / 4).max(1))),
            suspected: Semaphore::new(1),
            cost: pace.cost,
        };
        Ok((users, made))
    }

    /// Checks a log-in. A wrong one is counted and may wait; a right one never does.
    pub async fn verify(&self, user: &str, password: &Secret, from: IpAddr) -> Result<Who, NotVerified> {
        match self.known(user, password, from).await {
            Some(known) => Ok(known.who()),
            None => Err(self.failed(user, from).await),
        }
    }

    /// Checks credentials that may be meant for somebody else: a wrong password is not counted as a failed log-in.
    pub async fn recognise(&self, user: &str, password: &Secret, from: IpAddr) -> Option<Who> {
        self.check(user, password, from, Haste::Queued).await.map(|known| known.who())
    }

    /// The same where it was checked a short while ago: nothing is hashed, nobody waits.
    pub fn recall(&self, user: &str, password: &Secret) -> Option<Who> {
        if personal::shown(password).is_some() {
            return self.by_token(password).filter(|known| *known.name == *user).map(|known| known.who());
        }
        let table = self.watched.table();
        let entry = table.get(user)?;
        let right = self.remembered.get(&self.remembered.key(user, &entry.hash, password)) == Some(true);
        right.then(|| Who::User(entry.name.clone()))
    }

    /// Whose personal token this is, if it holds: it tells its user by itself.
    pub fn bearer(&self, token: &Secret) -> Option<Who> {
        self.by_token(token).map(|known| known.who())
    }

    /// Counts a log-in that [`Users::known`] did not know.
    pub(super) async fn failed(&self, user: &str, from: IpAddr) -> NotVerified {
        self.failures.wrong(from, user).await
    }

    pub(super) async fn known(&self, user: &str, password: &Secret, from: IpAddr) -> Option<Known> {
        let haste = if self.failures.suspects(from, user) { Haste::Queued } else { Haste::Prompt };
        self.check(user, password, from, haste).await
    }

    /// The user, as long as what he logged in with by that stamp holds.
    pub(super) fn standing(&self, user: &str, stamp: &str) -> Option<Known> {
        match personal::stamped(stamp) {
            Some(id) => self.by_id(id).filter(|known| *known.name == *user),
            None if stamp == CERTIFIED => Some(Known::by_certificate(&user.into())),
            None => {
                let table = self.watched.table();
                let entry = table.get(user).filter(|entry| *entry.stamp == *stamp)?;
                Some(Known { name: entry.name.clone(), stamp: entry.stamp.clone(), within: None })
            }
        }
    }

    pub(super) fn by_token(&self, token: &Secret) -> Option<Known> {
        let id = personal::shown(token)?;
        let entries = self.policy.ledger().entries();
        let (kept, _) = entries.tokens.get(id)?;
        personal::is(token, &kept.hash).then(|| self.by_id(id)).flatten()
    }

    /// Whose the token of this id is: not revoked, in time, of a user who is in the file or a robot who is not.
    fn by_id(&self, id: &str) -> Option<Known> {
        let entries = self.policy.ledger().entries();
        let (kept, within) = entries.tokens.get(id)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let holds = kept.expires.is_none_or(|end| now < end) && self.watched.table().get(&kept.user).is_some() != kept.robot;
        let within = Some(within).filter(|within| !within.is_empty()).cloned();
        holds.then(|| Known { name: kept.user.as_str().into(), stamp: personal::stamp(id).into(), within })
    }

    async fn check(&self, user: &str, password: &Secret, from: IpAddr, haste: Haste) -> Option<Known> {
        if personal::shown(password).is_some() {
            return self.by_token(password).filter(|known| *known.name == *user);
        }
        let table = self.watched.table();
        let entry = table.get(user);
        let highest = if table.highest_cost == 0 { self.cost } else { table.highest_cost };
        let (hash, cost) = match entry {
            Some(entry) => (entry.hash.clone(), entry.cost),
            None => (htpasswd::dummy(highest), highest),
        };
        let haste = if self.failures.trusts(from, user) { Haste::Prompt } else { haste };
        let right = self.matches(user, password, Stored { hash, cost, highest }, haste).await;
        let entry = entry.filter(|_| right)?;
        self.failures.right(from, user);
        Some(Known { name: entry.name.clone(), stamp: entry.stamp.clone(), within: None })
    }

    /// Whether there is a user or a robot of that name now.
    pub fn knows(&self, user: &str) -> bool {
        let has_token = || self.policy.ledger().entries().tokens.values().any(|(kept, _)| kept.user == user);
        self.watched.table().get(user).is_some() || has_token()
    }

    async fn matches(&self, user: &str, password: &Secret, stored: Stored, haste: Haste) -> bool {
        let key = self.remembered.key(user, &stored.hash, password);
        if let Some(verdict) = self.remembered.get(&key) {
            return verdict;
        }
        const OPEN: &str = "the semaphore is never closed";
        let turn = match haste {
            Haste::Queued => Some(self.suspected.acquire().await.expect(OPEN)),
            Haste::Prompt => None,
        };
        let place = self.hashing.clone().acquire_owned().await.expect(OPEN);
        drop(turn);
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

/// Which queue a password waits in for its hash. That of the suspected is as long as it gets; the other one waits for one of them at most.
#[derive(Clone, Copy)]
enum Haste {
    Prompt,
    Queued,
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
