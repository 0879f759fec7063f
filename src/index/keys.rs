//! The keys of the one sorted key space. Every part is self-delimiting, so a prefix never reaches into a neighbour:
//! a digest begins with its length, an origin and a name of the middle end in a zero byte that neither can contain.
//!
//! ```text
//! b digest                  the blob's row         x digest                 doomed
//! l repository digest       may read the blob      k digest repository      the same, the other way round: since when
//! m repository digest       the manifest           q digest repository      the same, the other way round: since when
//! e repository child parent the edge               p repository parent child  the same, the other way round
//! r repository subject referrer                    n origin name            the repository
//! t repository tag          the tag                d repository digest tag  the same, by what it names
//! h repository tag          the tag's history, also of a tag that is gone
//! B name                    bound to an origin     u id                     the upload
//! T                         totals                 P                        the journal's position
//! ```

use crate::oci::{Digest, Origin, Repository, RepositoryName};

/// A key, or the beginning of one, being put together.
#[derive(Clone, Debug)]
pub struct Key(Vec<u8>);

impl Key {
    pub fn new(space: u8) -> Key {
        let mut bytes = Vec::with_capacity(96);
        bytes.push(space);
        Key(bytes)
    }

    pub fn digest(mut self, digest: &Digest) -> Key {
        let hash = digest.as_bytes();
        self.0.push(hash.len() as u8);
        self.0.extend_from_slice(hash);
        self
    }

    pub fn origin(mut self, origin: &Origin) -> Key {
        self.0.extend_from_slice(origin.as_str().as_bytes());
        self.0.push(0);
        self
    }

    pub fn repository(self, repository: &Repository) -> Key {
        let mut key = self.origin(&repository.origin);
        key.0.extend_from_slice(repository.name.as_str().as_bytes());
        key.0.push(0);
        key
    }

    /// The last part of a key: it has no end of its own.
    pub fn text(mut self, text: &str) -> Key {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    pub fn done(self) -> Vec<u8> {
        self.0
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// The row of the sums over the live blobs.
pub const TOTALS: &[u8] = b"T";
/// The row of the journal position that a table has reached.
pub const POSITION: &[u8] = b"P";

/// The digest that `bytes` are; `None` for anything else.
pub fn digest(bytes: &[u8]) -> Option<Digest> {
    // A digest's part of a key is its postcard form.
    postcard::from_bytes(bytes).ok()
}

/// The repository that `bytes` are.
pub fn repository(bytes: &[u8]) -> Option<Repository> {
    let text = std::str::from_utf8(bytes.strip_suffix(&[0])?).ok()?;
    let (origin, name) = text.split_once('\0')?;
    Some(Repository { origin: Origin::named(origin), name: name.parse::<RepositoryName>().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_key_is_made_of_can_be_read_from_it() {
        let name: RepositoryName = "team/app".parse().unwrap();
        let here = Repository::upstream("ghcr.io", &name);
        let (one, two) = (Digest::of(b"1"), crate::oci::Hasher::new(crate::oci::Algorithm::Sha512).finish());
        for child in [one, two] {
            let prefix = Key::new(b'e').repository(&here).digest(&two);
            let key = prefix.clone().digest(&child).done();
            assert_eq!(digest(&key[prefix.len()..]), Some(child));
        }
        let prefix = Key::new(b'k').digest(&one);
        assert_eq!(repository(&prefix.clone().repository(&here).done()[prefix.len()..]), Some(here));
    }

    #[test]
    fn no_repository_is_the_beginning_of_another() {
        let key = |name: &str| Key::new(b'l').repository(&Repository::upstream("ghcr.io", &name.parse().unwrap())).done();
        assert!(!key("a/bc").starts_with(&key("a/b")));
        assert!(!key("a/b/c").starts_with(&key("a/b")));
    }
}
