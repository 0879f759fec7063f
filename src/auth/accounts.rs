//! What commands do to users and to their tokens. What a user had is gone with him, for good: whoever has the name later has none of it.

use serde::{Deserialize, Serialize};

use super::htpasswd::{self, Table};
use super::judge::{Verdict, Who, judge_admin};
use super::ledger::{Change, Entries, KeptToken, NotChanged};
use super::policy::Policy;
use super::rules::Members;
use super::users::Pace;
use crate::config::{ADMIN, ANONYMOUS, Patterns, Secret};

/// The longest name of a user, in bytes.
const LONGEST_NAME: usize = 255;
/// The longest password, in bytes: bcrypt reads no more.
const LONGEST_PASSWORD: usize = 71;

/// Who can log in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub name: String,
    pub kind: AccountKind,
    /// Roles that name him, or match him.
    pub roles: Vec<String>,
    /// Tokens that were not revoked.
    pub tokens: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountKind {
    /// Of the users file.
    User,
    /// It has tokens alone.
    Robot,
}

/// The hash that is kept of a new password. Takes as long as a log-in, so it blocks.
///
/// # Errors
/// Says why it can be nobody's password.
pub fn hashed(password: &Secret) -> Result<String, String> {
    let text = password.reveal();
    if text.is_empty() {
        return Err("a password has at least one letter".into());
    }
    if text.len() > LONGEST_PASSWORD || text.contains('\0') {
        return Err(format!("a password has at most {LONGEST_PASSWORD} bytes and no zero byte: of a longer one, the end would not count"));
    }
    bcrypt::non_truncating_hash(text, Pace::default().cost).map_err(|error| format!("the password cannot be hashed: {error}"))
}

/// # Errors
/// Says why it can be nobody's name.
pub fn user_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err(format!("{name:?} is no name for a user: it has 1 to {LONGEST_NAME} bytes"));
    }
    if name.contains(|letter: char| letter.is_control() || letter == ':') || name.trim() != name || name.starts_with('#') {
        return Err(format!("{name:?} is no name for a user: no colon, no # in front, no space around it, no control characters"));
    }
    if name.contains(['*', '?', '[', ']', '{', '}', '\\', '/', ',']) {
        return Err(format!("{name:?} is no name for a user: * ? [ ] {{ }} \\ / and , have a meaning in the members of roles"));
    }
    if name == ANONYMOUS {
        return Err(format!("{ANONYMOUS} means everybody, logged in or not; choose another name"));
    }
    Ok(())
}

impl Policy {
    /// Adds a user with the hash of his password, and puts him into roles. Blocks for small writes.
    ///
    /// # Errors
    /// There is one of that name, or it is none, or one of the roles is none that he can be put into.
    pub fn add_user(&self, name: &str, hash: &str, roles: &[String], by: &str) -> Result<(), NotChanged> {
        user_name(name).map_err(NotChanged::Refused)?;
        self.roster().change(|content| {
            let (table, entries) = (Table::parse(content), self.ledger().entries());
            if table.get(name).is_some() {
                return refused(format!("there is a user {name} already; entrepot user passwd {name} changes the password"));
            }
            if robots(&entries).any(|robot| robot == name) {
                return refused(format!(
                    "{name} is a robot; choose another name, or revoke its tokens first (entrepot token list --user {name})"
                ));
            }
            // Without its admin, the first start would make none.
            if content.trim_ascii().is_empty() && self.configured().htpasswd.is_none() && name != ADMIN {
                return refused("there is no user yet: start the server once, which makes admin, or add admin first".into());
            }
            for role in roles {
                self.changeable(&entries, role).map_err(NotChanged::Refused)?;
            }
            // Of somebody who had the name and was removed by an editor.
            for id in entries.tokens.values().filter(|(kept, _)| kept.user == name).map(|(kept, _)| kept.id.clone()) {
                self.ledger().write(by, |_| Ok(Change::TokenRevoked { id }))?;
            }
            Ok(htpasswd::added(content, name, hash))
        })?;
        roles.iter().try_for_each(|role| self.grant(role, &[name.to_owned()], by))
    }

    /// Gives a user another password, by its hash; his log-ins end, his personal tokens stay. Blocks for a small write.
    ///
    /// # Errors
    /// There is no such user.
    pub fn change_password(&self, name: &str, hash: &str) -> Result<(), NotChanged> {
        self.roster().change(|content| {
            self.there(&Table::parse(content), name)?;
            Ok(htpasswd::changed(content, name, hash))
        })
    }

    /// Removes a user, his tokens, and his memberships by his very name. Blocks for small writes.
    ///
    /// # Errors
    /// There is no such user, or nobody would be left who looks after the registry.
    pub fn remove_user(&self, name: &str, by: &str) -> Result<(), NotChanged> {
        self.roster().change(|content| {
            let table = Table::parse(content);
            self.there(&table, name)?;
            let rules = self.rules();
            let is_admin = |name: &str| judge_admin(&rules, &Who::User(name.into())) == Verdict::Allowed;
            if is_admin(name) && !table.names().any(|other| **other != *name && is_admin(other)) {
                return refused(format!("{name} is the last who may look after the registry: give somebody else the right admin first"));
            }
            let left = htpasswd::removed(content, name);
            if left.trim_ascii().is_empty() {
                return refused(format!("{name} is the last user, and a users file must not be empty: add another one first"));
            }
            // Before the file: after a crash in between he has less, and not a successor more.
            self.ledger().write(by, |_| Ok(Change::UserGone { name: name.to_owned() }))?;
            Ok(left)
        })
    }

    /// All who can log in, users before robots, by their names.
    ///
    /// # Errors
    /// The users file cannot be read.
    pub fn accounts(&self) -> Result<Vec<Account>, NotChanged> {
        let (table, entries, rules) = (Table::parse(&self.roster().content()?), self.ledger().entries(), self.rules());
        let account = |name: &str, kind| {
            let named = rules.roles().filter(|role| matches!(&role.members, Members::Named(members) if members.matches(name)));
            let tokens =
                entries.tokens.values().filter(|(kept, _)| kept.user == name && kept.robot == (kind == AccountKind::Robot)).count();
            Account { name: name.to_owned(), kind, roles: named.map(|role| role.name.to_string()).collect(), tokens }
        };
        let mut users: Vec<_> = table.names().map(|name| account(name, AccountKind::User)).collect();
        users.sort_by(|one, other| one.name.cmp(&other.name));
        let mut names: Vec<_> = robots(&entries).collect();
        names.sort_unstable();
        names.dedup();
        users.extend(names.into_iter().map(|name| account(name, AccountKind::Robot)));
        Ok(users)
    }

    /// Adds a personal or robot token. Blocks for a small write.
    ///
    /// # Errors
    /// There is no such user, the robot has a user's name, or what it allows cannot be read.
    pub fn add_token(&self, token: KeptToken, by: &str) -> Result<(), NotChanged> {
        if token.robot {
            user_name(&token.user).map_err(NotChanged::Refused)?;
        }
        let content = self.roster().content()?;
        let decide = |entries: &Entries| {
            let table = Table::parse(&content);
            let user = &token.user;
            match (token.robot, table.get(user).is_some()) {
                (true, true) => return Err(format!("{user} is a user, no robot: entrepot token create --user {user}")),
                (false, false) => return Err(format!("there is no user {user}; a robot needs none: entrepot token create --robot {user}")),
                _ => {}
            }
            if entries.tokens.contains_key(&token.id) {
                return Err(format!("there is a token {} already", token.id));
            }
            for allow in &token.allow {
                Patterns::of_repositories(&allow.repositories)?;
            }
            Ok(Change::Token(token))
        };
        self.ledger().write(by, decide).map(|_| ())
    }

    /// Revokes the token of this id: it and what was made by it end at once. Returns whose it was. Blocks for a small write.
    ///
    /// # Errors
    /// There is no such token.
    pub fn revoke_token(&self, id: &str, by: &str) -> Result<String, NotChanged> {
        let mut user = String::new();
        self.ledger().write(by, |entries| {
            let (kept, _) =
                entries.tokens.get(id).ok_or_else(|| format!("there is no token {id}; entrepot token list tells which there are"))?;
            user.clone_from(&kept.user);
            Ok(Change::TokenRevoked { id: id.to_owned() })
        })?;
        Ok(user)
    }

    fn there(&self, table: &Table, name: &str) -> Result<(), NotChanged> {
        match table.get(name) {
            Some(_) => Ok(()),
            None => Err(NotChanged::Refused(format!(
                "there is no user {name} in {}; entrepot user list tells who is",
                self.roster().path().display()
            ))),
        }
    }
}

fn robots(entries: &Entries) -> impl Iterator<Item = &str> {
    entries.tokens.values().filter(|(kept, _)| kept.robot).map(|(kept, _)| kept.user.as_str())
}

fn refused<T>(why: String) -> Result<T, NotChanged> {
    Err(NotChanged::Refused(why))
}

#[cfg(test)]
mod tests;
