//! Reads a file's text as TOML, on past the first mistake, and tells each in words for people who never read TOML's grammar.
//! The text itself is never repeated: it may hold a password.

use std::path::Path;

use toml::de::DeTable;

use super::faults::{Fault, Place};
use super::tree::{Table, from_table};

/// What the parser says where a line has no `=`. It stops there and tells nothing of the rest.
const STOPPED: &str = "key with no value";

/// After so many lines without a `=` it is some other file.
const ENOUGH: usize = 20;

/// What could be read is returned besides the faults of its grammar.
pub(super) fn parse_file(path: &Path, text: &str) -> (Table, Vec<Fault>) {
    let place = |at: usize| Place::File(path.to_owned(), Some(line(text, at)));
    let mut faults = Vec::new();
    let mut rest = text.to_owned();
    loop {
        let (table, errors) = DeTable::parse_recoverable(&rest);
        let start = |error: &toml::de::Error| error.span().map_or(0, |span| span.start);
        let stop = errors.iter().find(|error| error.message().starts_with(STOPPED)).map(start);
        let without_that_line = stop.filter(|_| faults.len() < ENOUGH).and_then(|at| blank_line(&rest, at));
        let told = errors.iter().filter(|error| without_that_line.is_none() || error.message().starts_with(STOPPED));
        faults.extend(told.map(|error| Fault { place: place(start(error)), message: in_words(error.message()) }));
        match without_that_line {
            Some(shorter) => rest = shorter,
            None => {
                faults.dedup();
                return (from_table(&place, table.into_inner()), faults);
            }
        }
    }
}

fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// The text with one line blanked, every other byte where it was; `None` where that line is blank already.
fn blank_line(text: &str, at: usize) -> Option<String> {
    let start = text.get(..at)?.rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
    let blank = text[start..end].trim().is_empty();
    (!blank).then(|| format!("{}{}{}", &text[..start], " ".repeat(end - start), &text[end..]))
}

fn in_words(message: &str) -> String {
    let words = [
        (STOPPED, "a key is written with its value, as key = value"),
        ("string values must be quoted", "text must stand in quotes, as key = \"value\""),
        ("invalid float", "the value is no number; text must stand in quotes, as key = \"value\""),
        ("invalid integer", "the value is no number; text must stand in quotes, as key = \"value\""),
        ("invalid boolean", "the value is neither true nor false; text must stand in quotes, as key = \"value\""),
        ("invalid basic string", "the text is cut short or has a character it cannot have; it ends with \" on the same line"),
        ("duplicate key", "this key or table is there twice; keep one"),
    ];
    let known = words.iter().find(|(start, _)| message.starts_with(start));
    known.map_or_else(|| format!("this is no TOML: {message}"), |(_, words)| (*words).to_owned())
}
