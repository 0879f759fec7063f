//! The rules of this moment, and where users are kept: whatever a command changes holds for the next question.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::file::FileError;
use super::htpasswd::Table;
use super::ledger::{Entries, Ledger};
use super::roster::Roster;
use super::rules::Rules;
use crate::config;

/// The configuration's rules and the ledger of commands, as one, and the file of users.
pub struct Policy {
    auth: config::Auth,
    ledger: Ledger,
    roster: Roster,
    /// The rules, and the entries that they were made of.
    current: ArcSwap<(Arc<Entries>, Arc<Rules>)>,
}

impl Policy {
    /// Reads what commands said from the data folder. Blocks for a small file.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn open(data: &Path, auth: &config::Auth) -> Result<Policy, FileError> {
        let ledger = Ledger::open(data)?;
        let current = ArcSwap::from_pointee(made_of(auth, ledger.entries()));
        Ok(Policy { auth: auth.clone(), ledger, roster: Roster::new(data, auth), current })
    }

    /// The rules of now.
    pub fn rules(&self) -> Arc<Rules> {
        let (current, entries) = (self.current.load(), self.ledger.entries());
        if Arc::ptr_eq(&current.0, &entries) {
            return current.1.clone();
        }
        let new = made_of(&self.auth, entries);
        let rules = new.1.clone();
        self.current.store(Arc::new(new));
        rules
    }

    /// What commands said and say.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The users file.
    pub(super) fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Of these names those of nobody: no line of the users file has them, and no robot. Blocks for a small file.
    pub fn strangers<'a>(&self, names: &'a [String]) -> Vec<&'a str> {
        let (table, entries) = (Table::parse(&self.roster.content().unwrap_or_default()), self.ledger.entries());
        let robot = |name: &str| entries.tokens.values().any(|(kept, _)| kept.robot && kept.user == name);
        names.iter().map(String::as_str).filter(|name| table.get(name).is_none() && !robot(name)).collect()
    }

    /// What the configuration says.
    pub fn configured(&self) -> &config::Auth {
        &self.auth
    }
}

fn made_of(auth: &config::Auth, entries: Arc<Entries>) -> (Arc<Entries>, Arc<Rules>) {
    let rules = Rules::new(auth, entries.roles.values().map(|(_, role)| role));
    (entries, Arc::new(rules))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::ledger::{Change, KeptAllow, KeptRole};
    use crate::auth::{Action, Verdict, Who, judge};
    use crate::oci::Repository;

    #[test]
    fn a_change_holds_for_the_next_question() {
        let folder = tempfile::tempdir().unwrap();
        let policy = Policy::open(folder.path(), &config::Auth::default()).unwrap();
        let (alice, team) = (Who::User("alice".into()), Repository::hosted(&"team/app".parse().unwrap()));
        let pushes = || judge(&policy.rules(), &alice, Action::Push, &team) == Verdict::Allowed;
        assert!(pushes(), "every user may while there is no role");
        let allow = vec![KeptAllow { repositories: vec!["team/**".into()], actions: vec!["push".into()] }];
        let role = |members: &[&str]| KeptRole {
            name: "team".into(),
            members: members.iter().map(ToString::to_string).collect(),
            allow: allow.clone(),
        };
        for (members, expected) in [(&["bob"][..], false), (&["alice"], true), (&[], false)] {
            policy.ledger().write("admin", |_| Ok(Change::Role(role(members)))).unwrap();
            assert_eq!(pushes(), expected, "{members:?}");
        }
    }
}
