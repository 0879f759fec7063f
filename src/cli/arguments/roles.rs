//! The arguments of the commands that say who may do what.

use clap::{Args, Subcommand, ValueEnum};

use super::Asked;
use crate::auth::{Action, KeptAllow};

/// Say who may do what: roles, and who is in them.
///
/// What is said here is kept in the data folder, and holds for the next request. Of a role that the configuration names, the
/// configuration holds. As long as there is no role, every user may pull and push everything.
#[derive(Clone, Debug, Args)]
#[command(after_help = ROLE_EXAMPLES)]
pub struct Role {
    #[command(subcommand)]
    pub command: RoleCommand,
}

const ROLE_EXAMPLES: &str = "Examples:
  entrepot role add developers --allow pull,push='team/**' --allow pull='docker.io/**' --member alice
  entrepot role add anonymous --allow pull='public/**'      what may be done without a log-in
  entrepot role grant developers bob 'ci-*'
  entrepot role list
  entrepot can bob push team/app                            whether he may, and by which rule

ACTIONS are pull, push, delete, shadow (to push what takes the place of an upstream's image) and admin, with commas between them.
PATTERN matches what was pushed by its name (a name of one part, like myapp, is library/myapp), and what is cached by its
registry's name, a slash and its own: * stands for a part of a name, ** also crosses /.";

#[derive(Clone, Debug, Subcommand)]
pub enum RoleCommand {
    /// Add a role
    Add {
        #[arg(value_name = "NAME")]
        name: String,
        /// What it allows, and for which repositories; may be repeated [default PATTERN: **]
        #[arg(long, value_name = "ACTIONS[=PATTERN]", required = true, value_parser = allow)]
        allow: Vec<KeptAllow>,
        /// A user, or a pattern over users; may be repeated
        #[arg(long, value_name = "USER")]
        member: Vec<String>,
        #[command(flatten)]
        asked: Asked,
    },
    /// Put users into a role
    Grant(Membership),
    /// Take users out of a role; it holds at once, for those who are logged in too
    Revoke(Membership),
    /// Remove a role
    Remove {
        #[arg(value_name = "NAME")]
        name: String,
        /// Remove the last role too: every user may pull and push everything then
        #[arg(long)]
        open: bool,
        #[command(flatten)]
        asked: Asked,
    },
    /// List all roles, who is in them, what they allow, and who said so
    List {
        #[command(flatten)]
        asked: Asked,
    },
}

impl RoleCommand {
    pub fn asked(&self) -> &Asked {
        match self {
            RoleCommand::Grant(Membership { asked, .. }) | RoleCommand::Revoke(Membership { asked, .. }) => asked,
            RoleCommand::Add { asked, .. } | RoleCommand::Remove { asked, .. } | RoleCommand::List { asked } => asked,
        }
    }
}

/// Users and the role that they go into, or out of.
#[derive(Clone, Debug, Args)]
pub struct Membership {
    #[arg(value_name = "NAME")]
    pub name: String,
    #[arg(value_name = "USER", required = true)]
    pub users: Vec<String>,
    #[command(flatten)]
    pub asked: Asked,
}

/// Say whether a user may do something, and by which rule. Exit code 0: he may, 1: he may not.
///
/// A name without a registry may stand for several repositories: a pull of it is told for each, and the first one that is there
/// decides.
#[derive(Clone, Debug, Args)]
#[command(after_help = CAN_EXAMPLES)]
pub struct Can {
    /// A user, or anonymous for whoever is not logged in
    #[arg(value_name = "USER")]
    pub user: String,
    #[arg(value_name = "ACTION")]
    pub action: ActionName,
    /// The repository as clients write it: team/app, nginx, ghcr.io/org/app
    #[arg(value_name = "REPOSITORY")]
    pub repository: String,
    #[command(flatten)]
    pub asked: Asked,
}

const CAN_EXAMPLES: &str = "Examples:
  entrepot can alice push team/app
  entrepot can anonymous pull ghcr.io/org/app
  entrepot can ci-7 pull nginx --json";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ActionName {
    Pull,
    Push,
    Delete,
    Shadow,
    Admin,
}

impl From<ActionName> for Action {
    fn from(name: ActionName) -> Action {
        match name {
            ActionName::Pull => Action::Pull,
            ActionName::Push => Action::Push,
            ActionName::Delete => Action::Delete,
            ActionName::Shadow => Action::Shadow,
            ActionName::Admin => Action::Admin,
        }
    }
}

/// `pull,push=team/**`. Whether words and pattern can be is said where the role or the token is made.
pub(super) fn allow(text: &str) -> Result<KeptAllow, String> {
    let (actions, pattern) = text.split_once('=').unwrap_or((text, "**"));
    let actions = actions.split(',').map(|action| action.trim().to_owned()).collect();
    Ok(KeptAllow { repositories: vec![pattern.to_owned()], actions })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_is_actions_and_a_pattern() {
        let read = |text: &str| allow(text).map(|allow| (allow.actions.join("+"), allow.repositories.join("+"))).unwrap();
        assert_eq!(read("pull,push=team/**"), ("pull+push".into(), "team/**".into()));
        assert_eq!(read("pull, delete"), ("pull+delete".into(), "**".into()));
        assert_eq!(read("pull="), ("pull".into(), String::new()));
    }
}
