//! Repository names, and whose they are.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest repository name, in bytes.
pub const MAX_NAME: usize = 255;

/// A repository name as the distribution specification writes it: lower-case path components joined by `/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepositoryName(Arc<str>);

/// The text is no repository name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a repository name has lower-case letters, digits and single . _ - separators in parts joined by /, at most 255 bytes")]
pub struct InvalidName;

impl RepositoryName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first path component and the rest, where there is a rest.
    pub fn split_first(&self) -> Option<(&str, RepositoryName)> {
        let (first, rest) = self.0.split_once('/')?;
        Some((first, RepositoryName(rest.into())))
    }

    /// The last path component.
    pub fn last(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// `nginx` becomes `library/nginx`; a name of several parts stays, and one that would become too long to be a name.
    pub fn long(&self) -> RepositoryName {
        match self.0.contains('/') {
            true => self.clone(),
            false => format!("library/{}", self.0).parse().unwrap_or_else(|_| self.clone()),
        }
    }

    /// `library/nginx` becomes `nginx`; any other name stays.
    pub fn short(&self) -> RepositoryName {
        match self.0.strip_prefix("library/") {
            Some(rest) if !rest.contains('/') => RepositoryName(rest.into()),
            _ => self.clone(),
        }
    }
}

impl FromStr for RepositoryName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<RepositoryName, InvalidName> {
        match text.len() <= MAX_NAME && text.split('/').all(is_component) {
            true => Ok(RepositoryName(text.into())),
            false => Err(InvalidName),
        }
    }
}

impl TryFrom<String> for RepositoryName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<RepositoryName, InvalidName> {
        text.parse()
    }
}

impl From<RepositoryName> for String {
    fn from(name: RepositoryName) -> String {
        name.as_str().to_owned()
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    if !ends.iter().all(|end| end.is_some_and(|b| alphanumeric(*b))) {
        return false;
    }
    bytes
        .chunk_by(|a, b| alphanumeric(*a) == alphanumeric(*b))
        .all(|run| alphanumeric(run[0]) || matches!(run, b"." | b"_" | b"__") || run.iter().all(|b| *b == b'-'))
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a repository's content comes from: pushed here, or fetched from the registry of that name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Origin {
    Hosted,
    Upstream(Arc<str>),
}

impl Origin {
    /// `hosted`, or the upstream's registry name. No registry name is `hosted`: it has a dot, a colon or is `localhost`.
    pub fn as_str(&self) -> &str {
        match self {
            Origin::Hosted => "hosted",
            Origin::Upstream(registry) => registry,
        }
    }

    /// The inverse of [`Origin::as_str`].
    pub fn named(text: &str) -> Origin {
        match text {
            "hosted" => Origin::Hosted,
            registry => Origin::Upstream(registry.into()),
        }
    }
}

impl From<String> for Origin {
    fn from(text: String) -> Origin {
        Origin::named(&text)
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> String {
        origin.as_str().to_owned()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One repository of one origin, under its canonical name: the key of everything that is stored.
/// Hosted names are short (`nginx`), docker.io's are long (`library/nginx`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Repository {
    pub origin: Origin,
    pub name: RepositoryName,
}

impl Repository {
    pub fn hosted(name: &RepositoryName) -> Repository {
        Repository { origin: Origin::Hosted, name: name.short() }
    }

    pub fn upstream(registry: &str, name: &RepositoryName) -> Repository {
        let name = if registry == "docker.io" { name.long() } else { name.clone() };
        Repository { origin: Origin::Upstream(registry.into()), name }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Hosted => self.name.fmt(f),
            Origin::Upstream(registry) => write!(f, "{registry}/{}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_specification() {
        for good in ["a", "nginx", "library/nginx", "a.b_c__d-e---f/0", &"a".repeat(255)] {
            assert!(good.parse::<RepositoryName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "A",
            "a..b",
            "a___b",
            "a._b",
            "-a",
            "a-",
            ".",
            "..",
            "a/../b",
            "a b",
            "a\0",
            "é",
            &"a".repeat(256),
        ] {
            assert!(bad.parse::<RepositoryName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_one_part_name_and_its_library_name_are_one_repository() {
        let short: RepositoryName = "nginx".parse().unwrap();
        let long: RepositoryName = "library/nginx".parse().unwrap();
        assert_eq!(Repository::hosted(&short), Repository::hosted(&long));
        assert_eq!(Repository::upstream("docker.io", &short), Repository::upstream("docker.io", &long));
        assert_ne!(Repository::upstream("ghcr.io", &short), Repository::upstream("ghcr.io", &long));
        assert_eq!("library/a/b".parse::<RepositoryName>().unwrap().short().as_str(), "library/a/b");
    }

    #[test]
    fn no_name_becomes_longer_than_a_name_can_be() {
        for (length, long) in [(247, 255), (248, 248), (255, 255)] {
            let name: RepositoryName = "a".repeat(length).parse().unwrap();
            assert_eq!(name.long().as_str().len(), long);
        }
    }
}
