//! Tags and references: what a manifest is asked for by.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Digest;

/// A tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(Arc<str>);

/// The text is neither a tag nor a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a reference is a tag (letters, digits, _ . -, at most 128, not beginning with . or -) or a sha256/sha512 digest")]
pub struct InvalidReference;

impl Tag {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Tag, InvalidReference> {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let mut bytes = text.bytes();
        let good = text.len() <= 128 && bytes.next().is_some_and(word) && bytes.all(|b| word(b) || matches!(b, b'.' | b'-'));
        if good { Ok(Tag(text.into())) } else { Err(InvalidReference) }
    }
}

impl TryFrom<String> for Tag {
    type Error = InvalidReference;

    fn try_from(text: String) -> Result<Tag, InvalidReference> {
        text.parse()
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> String {
        tag.as_str().to_owned()
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A tag or a digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    Tag(Tag),
    Digest(Digest),
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Reference, InvalidReference> {
        match text.contains(':') {
            true => text.parse().map(Reference::Digest).map_err(|_| InvalidReference),
            false => text.parse().map(Reference::Tag),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reference::Tag(tag) => tag.fmt(f),
            Reference::Digest(digest) => digest.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_a_tag_or_a_digest() {
        for good in ["latest", "_", "1.25-alpine", "V2", &"x".repeat(128)] {
            assert!(matches!(good.parse(), Ok(Reference::Tag(_))), "{good}");
        }
        let digest = Digest::of(b"x").to_string();
        assert!(matches!(digest.parse(), Ok(Reference::Digest(_))));
        for bad in ["", ".a", "-a", "a b", "a/b", "a:b", "sha256:abc", &"x".repeat(129)] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }
}
