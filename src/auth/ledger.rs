//! What commands said of roles and tokens: a file of lines, each one change with who made it and when, replayed at the start.
//!
//! A change that was answered is on the disk. A last line without an end was never answered and goes; any other line that cannot be
//! read ends the start, because what it took away must not come back.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

use super::file::{self, FileError};
use crate::config::{self, Allow, Patterns, Rights};

const REMEDY: &str = "its lines are JSON, one change each; restore the file from a backup, or remove the line that was damaged";
/// From this size on a start writes the file anew, in bytes.
const LARGE: u64 = 1 << 20;

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// The role as it is from now on.
    Role(KeptRole),
    RoleRemoved {
        name: String,
    },
    Token(KeptToken),
    TokenRevoked {
        id: String,
    },
    /// The user is gone: his tokens, and his memberships by his very name.
    UserGone {
        name: String,
    },
}

/// A role as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptRole {
    pub name: String,
    pub members: Vec<String>,
    pub allow: Vec<KeptAllow>,
}

/// Repositories and words for what may be done with them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptAllow {
    pub repositories: Vec<String>,
    pub actions: Vec<String>,
}

/// A personal or robot token. The token itself is nowhere: this tells whether what is shown is it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptToken {
    pub id: String,
    pub user: String,
    /// The user is no person: there is no password beside.
    pub robot: bool,
    /// What its owner calls it.
    pub note: String,
    /// SHA-256 of the token, in hexadecimal digits.
    pub hash: String,
    /// Empty: all that its user may.
    pub allow: Vec<KeptAllow>,
    /// Unix seconds.
    pub made: u64,
    /// Unix seconds; `None`: never.
    pub expires: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    /// Unix seconds.
    at: u64,
    by: String,
    #[serde(flatten)]
    change: Change,
}

/// What all changes together say.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    pub roles: BTreeMap<String, (KeptRole, config::Role)>,
    /// By their ids.
    pub tokens: BTreeMap<String, (KeptToken, Arc<[Allow]>)>,
}

/// The file and what it says.
pub struct Ledger {
    path: PathBuf,
    entries: ArcSwap<Entries>,
    file: Mutex<File>,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum NotChanged {
    /// It cannot be; the sentence says why.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    File(#[from] FileError),
}

impl KeptAllow {
    /// What it says, with its patterns and words read.
    ///
    /// # Errors
    /// Says which pattern or word is none.
    pub fn read(&self) -> Result<Allow, String> {
        Ok(Allow { repositories: Patterns::new(&self.repositories)?, rights: Rights::named(&self.actions)? })
    }
}

impl Entries {
    /// What is after the change.
    ///
    /// # Errors
    /// Says what cannot be read of it.
    fn after(&self, change: Change) -> Result<Entries, String> {
        let mut next = self.clone();
        match change {
            Change::Role(kept) => drop(next.roles.insert(kept.name.clone(), with_role(kept)?)),
            Change::RoleRemoved { name } => drop(next.roles.remove(&name)),
            Change::Token(kept) => {
                let allow = kept.allow.iter().map(KeptAllow::read).collect::<Result<Arc<[_]>, _>>()?;
                next.tokens.insert(kept.id.clone(), (kept, allow));
            }
            Change::TokenRevoked { id } => drop(next.tokens.remove(&id)),
            Change::UserGone { name } => {
                next.tokens.retain(|_, (kept, _)| kept.user != name);
                let had: Vec<_> = next.roles.values().map(|(kept, _)| kept).filter(|kept| kept.members.contains(&name)).cloned().collect();
                for mut kept in had {
                    kept.members.retain(|member| *member != name);
                    next.roles.insert(kept.name.clone(), with_role(kept)?);
                }
            }
        }
        Ok(next)
    }

    /// The changes that lead here from nothing.
    fn changes(&self) -> impl Iterator<Item = Change> {
        let roles = self.roles.values().map(|(kept, _)| Change::Role(kept.clone()));
        roles.chain(self.tokens.values().map(|(kept, _)| Change::Token(kept.clone())))
    }
}

fn with_role(kept: KeptRole) -> Result<(KeptRole, config::Role), String> {
    let allow = kept.allow.iter().map(KeptAllow::read).collect::<Result<_, _>>()?;
    let role = config::Role { name: kept.name.clone(), place: None, members: Patterns::new(&kept.members)?, allow };
    Ok((kept, role))
}

impl Ledger {
    /// Reads the file of the data folder; there is none before the first change. Blocks for a small file.
    ///
    /// # Errors
    /// It cannot be read, or a line of it cannot.
    pub fn open(data: &Path) -> Result<Ledger, FileError> {
        let path = data.join("access.jsonl");
        let content = match std::fs::read(&path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(FileError::io(&path, error)),
        };
        let whole = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let mut entries = Entries::default();
        for (number, line) in (1..).zip(content[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty())) {
            let read = serde_json::from_slice::<Line>(line).map_err(|error| error.to_string());
            entries = read.and_then(|line| entries.after(line.change)).map_err(|why| {
                tracing::error!(file = %path.display(), line = number, %why, "a change of roles or tokens cannot be read");
                FileError::Broken { path: path.clone(), remedy: REMEDY }
            })?;
        }
        let open = || OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        if content.len() as u64 > LARGE {
            let lines: String = entries.changes().map(|change| line("entrepot", change)).collect();
            file::write(&path, lines.as_bytes())?;
        }
        let file = open().map_err(|error| FileError::io(&path, error))?;
        if content.len() as u64 <= LARGE && whole < content.len() {
            tracing::warn!(file = %path.display(), "the last line was cut off by a crash before it was answered; it is left out");
            file.set_len(whole as u64).map_err(|error| FileError::io(&path, error))?;
        }
        if content.is_empty() {
            File::open(data).and_then(|folder| folder.sync_all()).map_err(|error| FileError::io(&path, error))?;
        }
        Ok(Ledger { path, entries: ArcSwap::from_pointee(entries), file: Mutex::new(file) })
    }

    /// What it says now.
    pub fn entries(&self) -> Arc<Entries> {
        self.entries.load_full()
    }

    /// Makes the change that `decide` finds right for what is said now; on return it is on the disk and holds. Blocks.
    ///
    /// # Errors
    /// `decide` refused, or it could not be written; then nothing changed.
    pub fn write(&self, by: &str, decide: impl FnOnce(&Entries) -> Result<Change, String>) -> Result<Change, NotChanged> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.entries.load_full();
        let change = decide(&before).map_err(NotChanged::Refused)?;
        let after = before.after(change.clone()).map_err(NotChanged::Refused)?;
        let length = file.metadata().map_err(|error| FileError::io(&self.path, error))?.len();
        let written = file.write_all(line(by, change.clone()).as_bytes()).and_then(|()| file.sync_data());
        if let Err(error) = written {
            // A part of a line would make the next one unreadable.
            if let Err(error) = file.set_len(length) {
                tracing::error!(file = %self.path.display(), %error, "a change that was not made could not be taken back from the file");
            }
            return Err(FileError::io(&self.path, error).into());
        }
        self.entries.store(Arc::new(after));
        Ok(change)
    }
}

fn line(by: &str, change: Change) -> String {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    serde_json::to_string(&Line { at, by: by.to_owned(), change }).expect("a change is plain data") + "\n"
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn role(name: &str, members: &[&str]) -> Change {
        let allow = vec![KeptAllow { repositories: vec!["team/**".into()], actions: vec!["pull".into(), "push".into()] }];
        Change::Role(KeptRole { name: name.into(), members: members.iter().map(ToString::to_string).collect(), allow })
    }

    fn token(id: &str, user: &str) -> Change {
        let (note, hash) = (String::new(), "00".repeat(32));
        Change::Token(KeptToken { id: id.into(), user: user.into(), robot: false, note, hash, allow: Vec::new(), made: 1, expires: None })
    }

    fn said(ledger: &Ledger) -> (Vec<String>, Vec<String>) {
        let entries = ledger.entries();
        (
            entries.roles.values().map(|(kept, _)| format!("{}:{}", kept.name, kept.members.join(","))).collect(),
            entries.tokens.keys().cloned().collect(),
        )
    }

    #[test]
    fn what_was_changed_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path()).unwrap();
        let changes = [role("team", &["alice", "bob"]), role("ops", &["a*"]), token("1", "alice"), token("2", "bob"), token("3", "bob")];
        for change in changes.into_iter().chain([
            Change::RoleRemoved { name: "ops".into() },
            Change::TokenRevoked { id: "3".into() },
            Change::UserGone { name: "alice".into() },
        ]) {
            ledger.write("admin", |_| Ok(change)).unwrap();
        }
        let expected = (vec!["team:bob".to_owned()], vec!["2".to_owned()]);
        assert_eq!(said(&ledger), expected);
        assert_eq!(said(&Ledger::open(folder.path()).unwrap()), expected);
        let file = folder.path().join("access.jsonl");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.lines().count() == 8 && text.contains(r#""by":"admin","change":"role","name":"team""#), "{text}");
    }

    #[test]
    fn what_is_refused_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path()).unwrap();
        ledger.write("admin", |_| Ok(role("team", &[]))).unwrap();
        let refused = ledger.write("admin", |_| Err("no".into()));
        assert!(matches!(refused, Err(NotChanged::Refused(why)) if why == "no"));
        let bad = Change::Role(KeptRole { name: "x".into(), members: vec!["a[".into()], allow: Vec::new() });
        assert!(ledger.write("admin", |_| Ok(bad)).is_err());
        assert_eq!(said(&Ledger::open(folder.path()).unwrap()).0, ["team:"]);
    }

    #[test]
    fn a_line_that_was_cut_off_goes_and_a_damaged_one_ends_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("access.jsonl");
        Ledger::open(folder.path()).unwrap().write("admin", |_| Ok(role("team", &["alice"]))).unwrap();
        let good = std::fs::read(&file).unwrap();
        for cut in 1..good.len() {
            std::fs::write(&file, [&good[..], &good[..cut]].concat()).unwrap();
            let ledger = Ledger::open(folder.path()).unwrap();
            ledger.write("admin", |_| Ok(role("ops", &[]))).unwrap();
            assert_eq!(said(&Ledger::open(folder.path()).unwrap()).0, ["ops:", "team:alice"], "{cut}");
        }
        std::fs::write(&file, [b"{\"at\":1}\n", &good[..]].concat()).unwrap();
        let message = Ledger::open(folder.path()).err().unwrap().to_string();
        assert!(message.contains("access.jsonl cannot be read: its lines are JSON"), "{message}");
    }

    #[test]
    fn a_large_file_is_written_anew_with_what_holds() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path()).unwrap();
        let long = "m".repeat(200 << 10);
        for _ in 0..6 {
            ledger.write("admin", |_| Ok(role("team", &[&long]))).unwrap();
        }
        let file = folder.path().join("access.jsonl");
        let before = std::fs::metadata(&file).unwrap().len();
        let again = Ledger::open(folder.path()).unwrap();
        again.write("admin", |_| Ok(role("ops", &[]))).unwrap();
        assert!(std::fs::metadata(&file).unwrap().len() < before / 4);
        assert_eq!(said(&Ledger::open(folder.path()).unwrap()).0, ["ops:".to_owned(), format!("team:{long}")]);
    }
}
