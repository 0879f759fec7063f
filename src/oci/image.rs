//! Image names as people write them: `nginx`, `ghcr.io/org/app:1`, `team/app@sha256:…`.

use std::fmt;
use std::str::FromStr;

use super::path_name::is_host;
use super::{Digest, InvalidName, InvalidReference, Reference, RepositoryName, Tag};

/// A repository, perhaps of a named registry, and a reference.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ImageName {
    pub registry: Option<String>,
    pub name: RepositoryName,
    pub reference: Reference,
}

/// The text names no image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidImage {
    #[error(transparent)]
    Name(#[from] InvalidName),
    #[error(transparent)]
    Reference(#[from] InvalidReference),
    #[error(
        "what stands before the first / has a dot or a colon, and is no registry: write it as in ghcr.io/org/app or registry.lan:5000/app"
    )]
    Registry,
}

impl ImageName {
    /// The name as a path writes it: the registry, where there is one, and the repository.
    pub fn path_name(&self) -> String {
        match &self.registry {
            Some(registry) => format!("{registry}/{}", self.name),
            None => self.name.to_string(),
        }
    }
}

impl FromStr for ImageName {
    type Err = InvalidImage;

    /// A first part with a dot, a colon, or that is `localhost` is a registry; without a tag and digest it is `latest`.
    fn from_str(text: &str) -> Result<ImageName, InvalidImage> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse::<Digest>().map_err(|_| InvalidReference)?)),
            None => (text, None),
        };
        let (registry, rest) = match rest.split_once('/') {
            Some((first, rest)) if is_host(first) && (first.contains(['.', ':']) || first == "localhost") => (Some(first.to_owned()), rest),
            Some((first, _)) if first.contains(['.', ':']) => return Err(InvalidImage::Registry),
            _ => (None, rest),
        };
        let (name, tag) = rest.split_once(':').unwrap_or((rest, "latest"));
        let tag: Tag = tag.parse()?;
        let reference = digest.map_or(Reference::Tag(tag), Reference::Digest);
        Ok(ImageName { registry, name: name.parse()?, reference })
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if matches!(self.reference, Reference::Tag(_)) { ':' } else { '@' };
        write!(f, "{}{mark}{}", self.path_name(), self.reference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_read_as_clients_write_them() {
        let digest = Digest::of(b"x");
        for (text, shown) in [
            ("nginx", "nginx:latest"),
            ("nginx:1.25", "nginx:1.25"),
            ("team/app", "team/app:latest"),
            ("ghcr.io/org/app:1", "ghcr.io/org/app:1"),
            ("localhost:5001/x", "localhost:5001/x:latest"),
            ("docker.io/nginx", "docker.io/nginx:latest"),
        ] {
            assert_eq!(text.parse::<ImageName>().unwrap().to_string(), shown);
        }
        let both = format!("nginx:1.25@{digest}");
        assert_eq!(both.parse::<ImageName>().unwrap().reference, Reference::Digest(digest));
        for bad in ["", "UPPER", "a:b:c", "nginx@sha256:x", "nginx:", "http://a/b", "../a", "a b.io/c", "a.io:0/b", ":5/a"] {
            assert!(bad.parse::<ImageName>().is_err(), "{bad}");
        }
    }
}
