//! The log-ins of an endpoint: who keeps each, and for which repositories it is. Nothing here asks for one.
//!
//! What an upstream or an endpoint says is read whole or not at all, and no secret is repeated in a fault.

use std::fmt;
use std::path::PathBuf;

use super::faults::Place;
use super::pattern::Patterns;
use super::reader::Reader;
use super::settings::Secret;
use super::tree::{Node, Value};
use super::values::*;

/// What one endpoint is shown. Of several log-ins the first that is for the repository holds.
#[derive(Clone, Debug)]
pub struct Credentials(Vec<Login>);

/// A log-in and the repositories that it is for, by their names at the upstream.
#[derive(Clone, Debug)]
pub struct Login {
    pub repositories: Patterns,
    pub keeper: Keeper,
}

/// Who knows the name and the password.
#[derive(Clone, PartialEq, Eq)]
pub enum Keeper {
    /// The configuration itself.
    Password { username: String, password: Secret },
    /// Docker's `config.json`, or podman's `auth.json`, at this path.
    DockerConfig(PathBuf),
    /// A program with its arguments. It is given the registry's host and answers as Docker's credential helpers do.
    Command(Vec<String>),
}

impl Credentials {
    /// One name and password for every repository.
    pub fn password(username: impl Into<String>, password: impl Into<String>) -> Credentials {
        let keeper = Keeper::Password { username: username.into(), password: Secret::new(password) };
        Credentials(vec![Login { repositories: everything(), keeper }])
    }

    /// In the order in which they are looked through.
    pub fn of(logins: Vec<Login>) -> Credentials {
        Credentials(logins)
    }

    pub fn logins(&self) -> &[Login] {
        &self.0
    }

    /// The one for a repository, where there is one.
    pub fn login(&self, repository: &str) -> Option<&Login> {
        self.0.iter().find(|login| login.repositories.matches(repository))
    }
}

impl Login {
    /// What its account is called: the user's name, else the file or the program that knows it.
    pub fn account(&self) -> &str {
        match &self.keeper {
            Keeper::Password { username, .. } => username,
            Keeper::DockerConfig(path) => path.to_str().unwrap_or_default(),
            Keeper::Command(command) => command.first().map_or("", String::as_str),
        }
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Keeper::Password { username, .. } => write!(f, "{username}, …"),
            Keeper::DockerConfig(path) => path.fmt(f),
            // Arguments may hold a password.
            Keeper::Command(command) => write!(f, "{:?} …", command.first()),
        }
    }
}

fn everything() -> Patterns {
    Patterns::new(&["**"]).expect("two stars are a pattern")
}

/// Reads `username` and `password`, or `credentials`, and tells where they are written.
pub(super) fn read(table: &mut Reader<'_>) -> Option<(Place, Credentials)> {
    let pair = password(table).map(|(place, keeper)| (place, vec![Login { repositories: everything(), keeper }]));
    let listed = table.take("credentials").and_then(|node| Some((node.place.clone(), logins(table, node)?)));
    let (place, logins) = match (pair, listed) {
        (Some(_), Some((place, _))) => {
            table.fault("credentials", place, "username and password stand beside it; keep one of the two");
            return None;
        }
        (one, other) => one.or(other)?,
    };
    (!logins.is_empty()).then_some((place, Credentials(logins)))
}

/// One table, or a list of them. `None` when something is wrong with any.
fn logins(table: &Reader<'_>, node: Node) -> Option<Vec<Login>> {
    let place = node.place.clone();
    match node.value {
        Value::Table(_) => Some(vec![login(table, node)?]),
        Value::List(items) => {
            let read: Vec<_> = items.into_iter().map(|item| login(table, item)).collect();
            read.into_iter().collect()
        }
        _ => {
            let text = format!("expected {{ docker_config = \"…\" }}, {{ command = [\"…\"] }}, or a list of tables, not {}", node.kind());
            table.fault("credentials", place, text);
            None
        }
    }
}

fn login(table: &Reader<'_>, node: Node) -> Option<Login> {
    let place = node.place.clone();
    let before = table.context.faults.borrow().len();
    let mut inner = table.inner("credentials", node)?;
    let (mut repositories, mut docker_config, mut command) = (everything(), None, Vec::new());
    inner.read("repositories", &mut repositories, patterns);
    let pair = password(&mut inner).map(|(_, keeper)| keeper);
    inner.read("docker_config", &mut docker_config, optional(readable_file));
    inner.read("command", &mut command, nonempty(text));
    inner.finish();
    let command = (!command.is_empty()).then_some(Keeper::Command(command));
    let mut keepers = [pair, docker_config.map(Keeper::DockerConfig), command].into_iter().flatten();
    match (keepers.next(), keepers.next()) {
        _ if table.context.faults.borrow().len() > before => None,
        (Some(keeper), None) => Some(Login { repositories, keeper }),
        _ => {
            table.fault("credentials", place, "a log-in is told in one way: username and password, docker_config, or command");
            None
        }
    }
}

/// Name and password, and where the name is written. Neither goes without the other.
fn password(table: &mut Reader<'_>) -> Option<(Place, Keeper)> {
    let (mut username, mut password) = (None, None);
    let before = table.context.faults.borrow().len();
    let named = table.read("username", &mut username, optional(|text| Ok(text.to_owned())));
    let told = table.secret("password", &mut password);
    if table.context.faults.borrow().len() > before {
        return None;
    }
    match (username, password) {
        (Some(username), Some(password)) => Some((named?, Keeper::Password { username, password })),
        (Some(_), None) => {
            table.fault("username", named?, "a password must stand beside it");
            None
        }
        (None, Some(_)) => {
            table.fault("password", told?, "a username must stand beside it");
            None
        }
        (None, None) => None,
    }
}
