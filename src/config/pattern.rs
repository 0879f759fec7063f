//! Patterns over repository names and tags: `*` stays within one path component, `**` crosses them.

use std::fmt;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// A list of patterns; a text matches when any of them does.
#[derive(Clone)]
pub struct Patterns {
    texts: Vec<String>,
    set: GlobSet,
}

impl Patterns {
    /// # Errors
    /// Says which pattern is none, and why.
    pub fn new<T: AsRef<str>>(texts: &[T]) -> Result<Patterns, String> {
        let mut builder = GlobSetBuilder::new();
        for text in texts {
            let glob = GlobBuilder::new(text.as_ref()).literal_separator(true).build();
            builder.add(glob.map_err(|e| format!("{:?} is no pattern: {}", text.as_ref(), e.kind()))?);
        }
        let set = builder.build().map_err(|e| e.to_string())?;
        Ok(Patterns { texts: texts.iter().map(|t| t.as_ref().to_owned()).collect(), set })
    }

    pub fn matches(&self, text: &str) -> bool {
        self.set.is_match(text)
    }

    /// Whether it matches whatever there is.
    pub fn is_everything(&self) -> bool {
        self.texts.iter().any(|text| text == "**")
    }

    pub fn texts(&self) -> &[String] {
        &self.texts
    }
}

impl PartialEq for Patterns {
    fn eq(&self, other: &Patterns) -> bool {
        self.texts == other.texts
    }
}

impl Eq for Patterns {}

impl fmt::Debug for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.texts.fmt(f)
    }
}

impl Default for Patterns {
    fn default() -> Patterns {
        Patterns { texts: Vec::new(), set: GlobSet::empty() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_star_stays_within_a_component() {
        let patterns = Patterns::new(&["library/*", "corp/**", "v*"]).unwrap();
        for yes in ["library/nginx", "corp/a", "corp/a/b", "v1.2"] {
            assert!(patterns.matches(yes), "{yes}");
        }
        for no in ["library/a/b", "corp", "nginx", "xv1"] {
            assert!(!patterns.matches(no), "{no}");
        }
        assert!(Patterns::new(&["a["]).is_err());
        assert!(!Patterns::default().matches("a"));
    }
}
