//! What is wrong with a configuration: all of it at once, each fault with its place and its remedy, never with a secret.

use std::fmt;
use std::path::PathBuf;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A file as it was named; the line counts from 1, and is `None` where the file as a whole is meant.
    File(PathBuf, Option<usize>),
    /// An environment variable.
    Variable(String),
    /// An option of the command line.
    Option(&'static str),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path, None) => write!(f, "{}", path.display()),
            Place::File(path, Some(line)) => write!(f, "{}:{line}", path.display()),
            Place::Variable(name) => f.write_str(name),
            Place::Option(name) => f.write_str(name),
        }
    }
}

/// One fault: what was wrong, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    pub place: Place,
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Every fault that was found, by place. Printed one per line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, fault) in self.0.iter().enumerate() {
            match number {
                0 => write!(f, "{fault}")?,
                _ => write!(f, "\n{fault}")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// The word among `words` that was probably meant by `text`.
pub(super) fn nearest<'a>(text: &str, words: &[&'a str]) -> Option<&'a str> {
    let distances = words.iter().map(|word| (distance(text, word), *word));
    let (away, word) = distances.min()?;
    (away <= 2 && away < word.len().min(text.len())).then_some(word)
}

/// How many letters must be put in, taken out or replaced to make `a` of `b`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_understood_and_a_foreign_word_is_not() {
        let words = ["listen", "limits", "external_url", "tls"];
        assert_eq!(nearest("lisen", &words), Some("listen"));
        assert_eq!(nearest("limit", &words), Some("limits"));
        assert_eq!(nearest("external-url", &words), Some("external_url"));
        assert_eq!(nearest("banana", &words), None);
        assert_eq!(nearest("a", &words), None);
        assert_eq!(nearest("x", &[]), None);
    }
}
