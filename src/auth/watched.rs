//! The users file as it is now. It is read when somebody asks, at most once in a while unless a command changed it: it is small, and times
//! and lengths may hide a change. While it cannot be read, what was read last holds.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::admin;
use super::file::{self, FileError};
use super::htpasswd::Table;
use super::judge::ADMIN;
use super::policy::Policy;

const REMEDY: &str = "restore it, write users with `htpasswd -B`, or delete it and start again for a new admin";

pub(super) struct Watched {
    policy: Arc<Policy>,
    /// Where the made-up password of this file's admin is kept.
    kept: Option<PathBuf>,
    look: Duration,
    /// The changes of the roster that are in the table.
    taken: AtomicU64,
    table: ArcSwap<Table>,
    seen: Mutex<Seen>,
}

struct Seen {
    at: Instant,
    content: Vec<u8>,
    readable: bool,
}

impl Watched {
    /// # Errors
    /// The file is not there, is empty, or cannot be read.
    pub fn open(policy: Arc<Policy>, kept: Option<PathBuf>, look: Duration) -> Result<Watched, FileError> {
        let path = policy.roster().path();
        let changes = policy.roster().changes();
        let content = file::read(path, REMEDY)?.ok_or_else(|| FileError::io(path, std::io::ErrorKind::NotFound.into()))?;
        let table = ArcSwap::default();
        let seen = Mutex::new(Seen { at: Instant::now(), content: content.clone(), readable: true });
        let watched = Watched { policy: policy.clone(), kept, look, taken: AtomicU64::new(changes), table, seen };
        watched.take(&content);
        Ok(watched)
    }

    /// The users of now.
    pub fn table(&self) -> Arc<Table> {
        let changes = self.policy.roster().changes();
        if self.taken.load(Ordering::Acquire) != changes {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if self.taken.load(Ordering::Acquire) != changes {
                self.look(&mut seen);
                self.taken.store(changes, Ordering::Release);
            }
        } else if let Ok(mut seen) = self.seen.try_lock()
            // Who finds another one looking goes on with what is there.
            && seen.at.elapsed() >= self.look
        {
            self.look(&mut seen);
        }
        self.table.load_full()
    }

    fn look(&self, seen: &mut Seen) {
        seen.at = Instant::now();
        let path = self.policy.roster().path();
        let read = fs::read(path);
        let was_readable = std::mem::replace(&mut seen.readable, read.is_ok());
        match read {
            Ok(content) if content == seen.content => {}
            Ok(content) => {
                tracing::info!(file = %path.display(), "the users file changed");
                self.take(&content);
                seen.content = content;
            }
            Err(error) if was_readable => {
                tracing::warn!(file = %path.display(), %error, "the users file cannot be read; its users stay as they were");
            }
            Err(_) => {}
        }
    }

    fn take(&self, content: &[u8]) {
        let table = Table::parse(content);
        let path = self.policy.roster().path();
        for line in &table.bad_lines {
            tracing::warn!(file = %path.display(), line, "skipped: not a user, a colon and a bcrypt hash (or a user for the second time)");
        }
        if let Some(kept) = &self.kept {
            admin::forget_when_changed(kept, table.get(ADMIN));
        }
        self.table.store(Arc::new(table));
    }
}
