//! The arguments of the commands that say who can log in.

use clap::{Args, Subcommand};

use super::roles::allow;
use super::{Asked, Whereabouts};
use crate::auth::KeptAllow;
use crate::config::Sources;

/// Add, change, remove and list users.
///
/// Users are kept in users.htpasswd in the data folder, or in the file of auth.htpasswd, as `htpasswd -B` writes it. What is changed
/// here holds at once, also for a running server; every other line of the file stays as it is.
#[derive(Clone, Debug, Args)]
#[command(after_help = USER_EXAMPLES)]
pub struct User {
    #[command(subcommand)]
    pub command: UserCommand,
}

const USER_EXAMPLES: &str = "Examples:
  entrepot user add alice --role developers   asks for the password
  pass show registry/bob | entrepot user add bob --password-stdin
  entrepot user passwd admin
  entrepot user list";

#[derive(Clone, Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user; the password is asked for
    Add(NewUser),
    /// Change the password of a user. Log-ins with the old one end; personal tokens stay
    Passwd(Password),
    /// Remove a user, with all tokens and places in roles. The last who may look after the registry stays
    Remove(Removed),
    /// List users and robots, with their roles and how many tokens they have
    List(Users),
}

/// Who is to be added.
#[derive(Clone, Debug, Args)]
pub struct NewUser {
    #[command(flatten)]
    pub password: Password,
    /// A role that the user is put into; may be repeated
    #[arg(long = "role", value_name = "ROLE")]
    pub roles: Vec<String>,
}

/// A user and where the password comes from.
#[derive(Clone, Debug, Args)]
pub struct Password {
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Read the password from standard input instead of the terminal
    #[arg(long)]
    pub password_stdin: bool,
    #[command(flatten)]
    pub server: Whereabouts,
}

#[derive(Clone, Debug, Args)]
pub struct Removed {
    #[arg(value_name = "NAME")]
    pub name: String,
    #[command(flatten)]
    pub server: Whereabouts,
}

#[derive(Clone, Debug, Args)]
pub struct Users {
    #[command(flatten)]
    pub asked: Asked,
}

/// Make, list and revoke tokens: passwords for programs, which may less, end, and can be taken back one by one.
///
/// A personal token is one more password of its user; a robot is a user that has tokens alone. Where a client asks for a password, it
/// takes the token, with the name of the user or robot; Authorization: Bearer takes it by itself.
#[derive(Clone, Debug, Args)]
#[command(after_help = TOKEN_EXAMPLES)]
pub struct Token {
    #[command(subcommand)]
    pub command: TokenCommand,
}

const TOKEN_EXAMPLES: &str = "Examples:
  entrepot token create --user alice --note laptop
  entrepot token create --robot ci --allow pull,push='team/**' --expires never
  entrepot token create --robot deploy --allow pull | docker login -u deploy --password-stdin registry.example
  entrepot token list
  entrepot token revoke k7p2m9xqva";

#[derive(Clone, Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it, this once
    Create(NewToken),
    /// List tokens: whose, what for, until when. The tokens themselves are kept nowhere
    List(Tokens),
    /// Revoke tokens by their ids, or by themselves. What was logged in with them is logged out at once
    Revoke(Revoked),
}

#[derive(Clone, Debug, Args)]
pub struct NewToken {
    /// Whose it is: somebody in the users file
    #[arg(long, value_name = "NAME", required_unless_present = "robot", conflicts_with = "robot")]
    pub user: Option<String>,
    /// Whose it is: a robot, who has no password. Roles take it as a member like any user
    #[arg(long, value_name = "NAME")]
    pub robot: Option<String>,
    /// What it may at most, of what its user may: pull, push, delete, shadow, admin, and for which repositories; may be repeated
    /// [default: all that its user may]
    #[arg(long, value_name = "ACTIONS[=PATTERN]", value_parser = allow)]
    pub allow: Vec<KeptAllow>,
    /// When it ends: a time from now, like 12h or 30d, or never [default: 90d]
    #[arg(long, value_name = "TIME")]
    pub expires: Option<String>,
    /// What it is for; shown in the list
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub note: String,
    #[command(flatten)]
    pub asked: Asked,
}

#[derive(Clone, Debug, Args)]
pub struct Tokens {
    /// Those of this user or robot alone
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    #[command(flatten)]
    pub asked: Asked,
}

#[derive(Clone, Debug, Args)]
pub struct Revoked {
    /// Ids as the list shows them, or whole tokens
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
    #[command(flatten)]
    pub asked: Asked,
}

impl UserCommand {
    /// Where the settings of the server it looks for come from.
    pub fn sources(&self) -> Sources {
        match self {
            UserCommand::Add(arguments) => arguments.password.server.sources(),
            UserCommand::Passwd(arguments) => arguments.server.sources(),
            UserCommand::Remove(arguments) => arguments.server.sources(),
            UserCommand::List(arguments) => arguments.asked.sources(),
        }
    }
}

impl TokenCommand {
    /// Where the settings of the server it looks for come from.
    pub fn sources(&self) -> Sources {
        match self {
            TokenCommand::Create(arguments) => arguments.asked.sources(),
            TokenCommand::List(arguments) => arguments.asked.sources(),
            TokenCommand::Revoke(arguments) => arguments.asked.sources(),
        }
    }
}
