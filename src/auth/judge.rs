//! The one place that says who may do what. Pure: the same question always has the same answer.

use std::cell::LazyCell;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::rules::{Members, Role, Rules};
pub use crate::config::ADMIN;
use crate::config::{Allow, Rights};
use crate::oci::{Origin, Repository};

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    Anonymous,
    /// A user whose password or token was checked.
    User(Arc<str>),
    /// A user who showed a token of his that may less than he may.
    Limited {
        user: Arc<str>,
        within: Arc<[Allow]>,
    },
}

impl Who {
    /// The user's name; empty for nobody in particular.
    pub fn name(&self) -> &str {
        match self {
            Who::Anonymous => "",
            Who::User(name) | Who::Limited { user: name, .. } => name,
        }
    }

    pub fn is_signed_in(&self) -> bool {
        *self != Who::Anonymous
    }
}

/// What can be done with a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Pull,
    Push,
    Delete,
    /// To push what hides an upstream's image from every client of the mirror.
    Shadow,
    /// To look after the repository; after all of them, to look after the registry itself.
    Admin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allowed,
    /// Nobody in particular may not; a user might.
    LogIn,
    /// This account may not.
    Denied,
}

/// Whether `who` may do `action` with `repository`.
pub fn judge(rules: &Rules, who: &Who, action: Action, repository: &Repository) -> Verdict {
    verdict(who, explain(rules, who, action, repository).is_some())
}

/// The rule by which `who` may do it, and what of it says so; `None`: he may not.
pub fn explain<'r>(rules: &'r Rules, who: &Who, action: Action, repository: &Repository) -> Option<(&'r Role, &'r Allow)> {
    let name = LazyCell::new(|| judged_name(repository));
    let permits = |allow: &Allow| covers(allow.rights, action) && (allow.repositories.is_everything() || allow.repositories.matches(&name));
    let his = |role: &&Role| may_use(role, who, permits);
    rules.roles().filter(his).find_map(|role| Some((role, role.allow.iter().find(|allow| permits(allow))?)))
}

/// Whether `who` may do it with any of them: what can be said before it is known which of them answers.
pub fn judge_any<'a>(rules: &Rules, who: &Who, action: Action, repositories: impl IntoIterator<Item = &'a Repository>) -> Verdict {
    let may = |repository: &Repository| judge(rules, who, action, repository) == Verdict::Allowed;
    verdict(who, repositories.into_iter().any(may))
}

/// Whether `who` may list repositories at all; which of them are shown is asked of [`judge`] for each.
pub fn judge_listing(rules: &Rules, who: &Who) -> Verdict {
    let reads = |allow: &Allow| allow.rights.pull || allow.rights.admin;
    let open = || rules.roles().any(|role| role.members == Members::Everybody && role.allow.iter().any(reads));
    verdict(who, who.is_signed_in() || open())
}

/// Whether `who` may look after the registry itself.
pub fn judge_admin(rules: &Rules, who: &Who) -> Verdict {
    let all = |allow: &Allow| allow.rights.admin && allow.repositories.is_everything();
    verdict(who, rules.roles().any(|role| may_use(role, who, all) && role.allow.iter().any(all)))
}

fn verdict(who: &Who, may: bool) -> Verdict {
    match (may, who) {
        (true, _) => Verdict::Allowed,
        (false, Who::Anonymous) => Verdict::LogIn,
        (false, Who::User(_) | Who::Limited { .. }) => Verdict::Denied,
    }
}

/// Whether the role is `who`'s, and his token leaves it to him. What is open to everybody no token takes away.
fn may_use(role: &Role, who: &Who, wanted: impl Fn(&Allow) -> bool) -> bool {
    match (&role.members, who) {
        (Members::Everybody, _) => true,
        (_, Who::Anonymous) => false,
        (members, Who::User(name)) => members.has(name),
        (members, Who::Limited { user, within }) => members.has(user) && within.iter().any(wanted),
    }
}

fn covers(rights: Rights, action: Action) -> bool {
    rights.admin
        || match action {
            Action::Pull => rights.pull,
            Action::Push => rights.push,
            Action::Delete => rights.delete,
            Action::Shadow => rights.shadow,
            Action::Admin => false,
        }
}

/// The name that patterns are held against.
pub fn judged_name(repository: &Repository) -> String {
    match &repository.origin {
        Origin::Hosted => repository.name.long().to_string(),
        Origin::Upstream(_) => repository.to_string(),
    }
}

#[cfg(test)]
mod tests;
