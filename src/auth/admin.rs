//! The first user. There is no default password: one is made up, or was configured, before anybody can log in.

use std::fs;
use std::path::Path;
use std::thread;

use super::file::{self, FileError};
use super::htpasswd::Entry;
use super::judge::ADMIN;
use super::personal::letters;
use super::users::OpenError;
use crate::config::Secret;

/// A hundred random bits.
const LENGTH: usize = 20;

/// The password of the `admin` that was made, to be shown once.
#[derive(Debug)]
pub struct MadeUp {
    pub password: Secret,
}

/// Writes a users file with an `admin` in it. A made-up password is kept in the file `kept`, a configured one is not.
pub(super) fn make(users: &Path, kept: &Path, configured: Option<&Secret>, cost: u32) -> Result<Option<MadeUp>, OpenError> {
    let made_up = if configured.is_none() { Some(MadeUp { password: Secret::new(letters(LENGTH)) }) } else { None };
    let password = made_up.as_ref().map(|made| &made.password).or(configured).expect("one of the two is there");
    if password.reveal().is_empty() {
        return Err(OpenError::AdminPassword);
    }
    let hash = bcrypt::non_truncating_hash(password.reveal(), cost).map_err(|_| OpenError::AdminPassword)?;
    // The password first: after a crash in between there are no users yet, and the next start begins again.
    match &made_up {
        Some(made) => file::write(kept, format!("{}\n", made.password.reveal()).as_bytes())?,
        None => remove(kept)?,
    }
    file::write(users, format!("{ADMIN}:{hash}\n").as_bytes())?;
    Ok(made_up)
}

/// Removes the kept password when it is not the admin's any more. It takes as long as a log-in, so nobody waits for it.
pub(super) fn forget_when_changed(kept: &Path, admin: Option<&Entry>) {
    if !kept.exists() {
        return;
    }
    let (kept, hash) = (kept.to_owned(), admin.map(|entry| entry.hash.clone()));
    thread::spawn(move || {
        let Ok(password) = fs::read_to_string(&kept) else { return };
        let still = hash.is_some_and(|hash| bcrypt::verify(password.trim_end(), &hash).unwrap_or(false));
        if still {
            return;
        }
        match remove(&kept) {
            Ok(()) => tracing::info!(file = %kept.display(), "removed the made-up password: it was changed"),
            Err(error) => tracing::warn!(%error, "the made-up password was changed, but its file could not be removed"),
        }
    });
}

fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(FileError::io(path, e)),
        _ => Ok(()),
    }
}
