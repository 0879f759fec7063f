//! The rules as they stand: those of the configuration, those that commands added, and the built-in ones. Plain data.
//!
//! Where both speak of one role, the configuration holds. There is always exactly one role of everybody, and one of the admin.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::{self, ADMIN, ANONYMOUS, Allow, Patterns, Rights, USERS};

/// Every role that counts.
#[derive(Clone, Debug)]
pub struct Rules {
    roles: Vec<Role>,
}

/// Who belongs together, what they may do, and who said so.
#[derive(Clone, Debug)]
pub struct Role {
    pub name: Arc<str>,
    pub members: Members,
    pub allow: Vec<Allow>,
    pub source: Source,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Members {
    Everybody,
    SignedIn,
    /// Names of users, or patterns over them.
    Named(Patterns),
}

impl Members {
    /// Whether the user is one of them.
    pub fn has(&self, user: &str) -> bool {
        match self {
            Members::Everybody | Members::SignedIn => true,
            Members::Named(patterns) => patterns.matches(user),
        }
    }
}

/// Who said what a role is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    BuiltIn,
    /// The configuration.
    File,
    /// A command; it is kept in the data folder.
    Command,
}

impl Rules {
    /// The rules of the configuration and of the roles that commands added.
    pub fn new<'a>(auth: &config::Auth, added: impl IntoIterator<Item = &'a config::Role>) -> Rules {
        let added: Vec<_> = added.into_iter().filter(|role| !said(auth, &role.name)).collect();
        let of = |role: &config::Role, source| Role {
            name: role.name.as_str().into(),
            members: if role.name == ANONYMOUS { Members::Everybody } else { Members::Named(role.members.clone()) },
            allow: role.allow.clone(),
            source,
        };
        let told = auth.roles.iter().map(|role| of(role, Source::File)).chain(added.into_iter().map(|role| of(role, Source::Command)));
        let (everybodys, named): (Vec<_>, Vec<_>) = told.partition(|role| role.members == Members::Everybody);
        let open = |source| built_in(ANONYMOUS, Members::Everybody, anonymous(auth.anonymous.unwrap_or_default()), source);
        let mut roles = match everybodys.is_empty() {
            true => vec![open(if auth.anonymous.is_some() { Source::File } else { Source::BuiltIn })],
            false => everybodys,
        };
        if named.is_empty() {
            let rights = Rights { pull: true, push: true, shadow: true, ..Rights::default() };
            roles.push(built_in(USERS, Members::SignedIn, rights, Source::BuiltIn));
        }
        roles.extend(named);
        let admin = Members::Named(Patterns::new(&[ADMIN]).expect("a plain name is a pattern"));
        roles.push(built_in(ADMIN, admin, Rights { admin: true, ..Rights::default() }, Source::BuiltIn));
        Rules { roles }
    }

    /// In the order in which they are asked.
    pub fn roles(&self) -> impl Iterator<Item = &Role> {
        self.roles.iter()
    }
}

/// Whether the configuration says what this role is, so that no command does.
pub fn said(auth: &config::Auth, role: &str) -> bool {
    auth.roles.iter().any(|told| told.name == role) || (role == ANONYMOUS && auth.anonymous.is_some())
}

fn built_in(name: &str, members: Members, rights: Rights, source: Source) -> Role {
    let repositories = Patterns::new(&["**"]).expect("it is a pattern");
    Role { name: name.into(), members, allow: vec![Allow { repositories, rights }], source }
}

/// Whoever may push without a log-in may replace what others pull.
fn anonymous(config::Anonymous { pull, push, delete }: config::Anonymous) -> Rights {
    Rights { pull, push, delete, shadow: push, admin: false }
}
