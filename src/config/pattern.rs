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

    /// Patterns over hosted repositories by their long names and cached ones by their upstream's name, a slash and theirs.
    ///
    /// # Errors
    /// Says which pattern is none or matches no repository, and what to write instead.
    pub fn of_repositories<T: AsRef<str>>(texts: &[T]) -> Result<Patterns, String> {
        texts.iter().map(AsRef::as_ref).try_for_each(matches_some)?;
        Patterns::new(texts)
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

/// Whether there can be a repository that it matches.
fn matches_some(text: &str) -> Result<(), String> {
    Patterns::new(&[text])?;
    let (before, last) = text.strip_prefix("docker.io/").map_or(("", text), |rest| ("docker.io/", rest));
    match last.contains('/') || last.contains("**") {
        true => Ok(()),
        false => Err(format!("{text:?} matches no repository: a name of one part is library/NAME here; write \"{before}library/{last}\"")),
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

    #[test]
    fn a_pattern_that_no_repository_can_match_is_told_with_the_one_that_was_meant() {
        assert!(Patterns::of_repositories(&["**", "team/*", "docker.io/library/nginx", "docker.io/**", "**x"]).is_ok());
        for (text, meant) in [("nginx", "library/nginx"), ("*", "library/*"), ("docker.io/nginx", "docker.io/library/nginx")] {
            let why = Patterns::of_repositories(&["team/**", text]).unwrap_err();
            assert!(why.contains(&format!("write \"{meant}\"")), "{why}");
        }
    }
}
