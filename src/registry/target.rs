//! Which repositories a client means: the three shapes of a name, and the members that answer for it.

use crate::oci::{Origin, Repository, RepositoryName};

/// What a client's name points at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// The root address: hosted first, then the group's members in order.
    Group(RepositoryName),
    /// One upstream alone, by path prefix or `ns`.
    Upstream(Repository),
}

impl Target {
    /// The name that rights are judged by and challenges name.
    pub fn judged(&self) -> String {
        match self {
            Target::Group(name) => name.to_string(),
            Target::Upstream(repository) => repository.to_string(),
        }
    }

    /// The repository that rights are judged by: a group's name is judged as hosted.
    pub fn repository(&self) -> Repository {
        match self {
            Target::Group(name) => Repository { origin: Origin::Hosted, name: name.clone() },
            Target::Upstream(repository) => repository.clone(),
        }
    }
}

/// The shapes a name can have, decided from the configured registries alone.
#[derive(Clone, Debug)]
pub struct Shapes {
    registries: Vec<String>,
}

/// `ns` names a registry that is not configured, or the rest of the path is no repository name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoTarget {
    Registry(String),
    Name,
}

impl Shapes {
    pub fn new(registries: impl IntoIterator<Item = String>) -> Shapes {
        Shapes { registries: registries.into_iter().collect() }
    }

    pub fn knows(&self, registry: &str) -> bool {
        self.registries.iter().any(|r| r == registry)
    }

    /// Reads the path's name and the `ns` parameter. `ns` is a key into the configuration, never an address, and wins over a prefix.
    pub fn target(&self, path_name: &str, ns: Option<&str>) -> Result<Target, NoTarget> {
        let name = |text: &str| text.parse::<RepositoryName>().map_err(|_| NoTarget::Name);
        match ns {
            Some("docker.io") => Ok(Target::Group(name(path_name)?)),
            Some(registry) if self.knows(registry) => Ok(Target::Upstream(Repository::upstream(registry, &name(path_name)?))),
            Some(registry) => Err(NoTarget::Registry(registry.to_owned())),
            None => match path_name.split_once('/') {
                Some((first, rest)) if self.knows(first) => Ok(Target::Upstream(Repository::upstream(first, &name(rest)?))),
                _ => Ok(Target::Group(name(path_name)?)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes() -> Shapes {
        Shapes::new(["docker.io", "ghcr.io", "localhost:5001"].map(str::to_owned))
    }

    fn upstream(registry: &str, name: &str) -> Result<Target, NoTarget> {
        Ok(Target::Upstream(Repository::upstream(registry, &name.parse().unwrap())))
    }

    #[test]
    fn the_three_shapes_are_told_apart() {
        let group = |name: &str| Ok(Target::Group(name.parse().unwrap()));
        let shapes = shapes();
        assert_eq!(shapes.target("nginx", None), group("nginx"));
        assert_eq!(shapes.target("team/app", None), group("team/app"));
        assert_eq!(shapes.target("ghcr.io/org/image", None), upstream("ghcr.io", "org/image"));
        assert_eq!(shapes.target("localhost:5001/x", None), upstream("localhost:5001", "x"));
        assert_eq!(shapes.target("docker.io/nginx", None), upstream("docker.io", "library/nginx"));
        assert_eq!(shapes.target("library/nginx", Some("docker.io")), group("library/nginx"));
        assert_eq!(shapes.target("org/image", Some("ghcr.io")), upstream("ghcr.io", "org/image"));
    }

    #[test]
    fn ns_is_never_an_address_and_wins_over_a_prefix() {
        assert_eq!(shapes().target("a/b", Some("evil.example")), Err(NoTarget::Registry("evil.example".into())));
        assert_eq!(shapes().target("docker.io/a", Some("ghcr.io")), upstream("ghcr.io", "docker.io/a"));
        assert_eq!(shapes().target("evil.example:5000/a", None), Err(NoTarget::Name));
        assert_eq!(shapes().target("unknown.example/a", None), Ok(Target::Group("unknown.example/a".parse().unwrap())));
    }
}
