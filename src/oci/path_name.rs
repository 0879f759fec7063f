//! The repository as a path writes it: perhaps with a registry's name before it.
//!
//! Whether the first part is a registry is for the configuration to say; here both readings are only kept valid.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{InvalidName, MAX_NAME, RepositoryName};

/// `nginx`, `team/app`, `ghcr.io/org/image`, `localhost:5001/x`: a repository name, or a host with one after it. At most 255 bytes in all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathName(Arc<str>);

impl PathName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first part, where it may be the name of a registry, and the repository's name there.
    pub fn split(&self) -> Option<(&str, RepositoryName)> {
        let (first, rest) = self.0.split_once('/')?;
        Some((first, rest.parse().ok()?)).filter(|(first, _)| is_host(first))
    }

    /// All of it as one repository's name. `None` where the first part can only be a host: it has a port or capitals.
    pub fn whole(&self) -> Option<RepositoryName> {
        self.0.parse().ok()
    }
}

impl FromStr for PathName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<PathName, InvalidName> {
        let name = PathName(text.into());
        let good = text.len() <= MAX_NAME && (name.whole().is_some() || name.split().is_some());
        if good { Ok(name) } else { Err(InvalidName) }
    }
}

impl From<RepositoryName> for PathName {
    fn from(name: RepositoryName) -> PathName {
        PathName(name.as_str().into())
    }
}

impl fmt::Display for PathName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Labels of letters, digits and inner hyphens, joined by dots; perhaps a port.
pub(super) fn is_host(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "1"));
    let label = |label: &str| {
        let inner = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        !label.is_empty() && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    host.split('.').all(label) && digits && port.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> PathName {
        text.parse().unwrap_or_else(|_| panic!("{text}"))
    }

    #[test]
    fn a_name_may_begin_with_a_registry() {
        for (text, host, rest) in [
            ("ghcr.io/org/image", "ghcr.io", "org/image"),
            ("localhost:5001/x", "localhost:5001", "x"),
            ("GHCR.io/a", "GHCR.io", "a"),
            ("team/app", "team", "app"),
        ] {
            let name = parsed(text);
            let (first, name) = name.split().unwrap();
            assert_eq!((first, name.as_str()), (host, rest));
        }
        assert_eq!(parsed("nginx").split(), None);
        assert_eq!(parsed("a__b/c").split(), None);
        assert_eq!(parsed("localhost:5001/x").whole(), None);
        assert_eq!(parsed("ghcr.io/org/image").whole().unwrap().as_str(), "ghcr.io/org/image");
    }

    #[test]
    fn what_is_neither_a_name_nor_a_host_with_one_is_refused() {
        for bad in [
            "",
            "/",
            "A",
            "localhost:5001",
            "a:5/",
            ":5/a",
            "a:/b",
            "a:0/b",
            "a:65536/b",
            "a:+5/b",
            "a:5:6/b",
            "-a.io/b",
            "a..io/b",
            "a.io./b",
            "a_b:5/c",
            "x/A",
            "x/y:5/z",
            &format!("localhost:5001/{}", "a".repeat(241)),
        ] {
            assert!(bad.parse::<PathName>().is_err(), "{bad}");
        }
    }
}
