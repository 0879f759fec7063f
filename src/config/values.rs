//! One reader per kind of value. Each takes a value as it was written and says in a sentence what it should have been.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;

use super::faults::{Fault, nearest};
use super::networks::Networks;
use super::pattern::Patterns;
use super::tree::{Node, Value, inline};

/// So that a moment can always be reckoned from now.
const LONGEST: Duration = Duration::from_secs(36_525 * 24 * 3600);
/// More of anything at once is a slip of the finger.
const MOST: usize = 1_000_000;

/// A value, or everything that is wrong with it.
pub(super) type Read<T> = Result<T, Vec<Fault>>;

pub(super) fn text(node: Node) -> Read<String> {
    match node.value {
        Value::Text(text) | Value::Raw(text) => Ok(text),
        _ => Err(vec![node.fault(format!("expected text in quotes, not {}", node.kind()))]),
    }
}

/// Reads text by a function that says what is wrong with it.
pub(super) fn text_as<T>(parse: impl FnOnce(&str) -> Result<T, String>) -> impl FnOnce(Node) -> Read<T> {
    move |node| {
        let place = node.place.clone();
        let text = text(node)?;
        parse(&text).map_err(|message| vec![Fault { place, message }])
    }
}

/// As [`text_as`], where empty text means that nothing is set.
pub(super) fn optional<T>(parse: impl FnOnce(&str) -> Result<T, String>) -> impl FnOnce(Node) -> Read<Option<T>> {
    text_as(move |text| if text.is_empty() { Ok(None) } else { parse(text).map(Some) })
}

pub(super) fn boolean(node: Node) -> Read<bool> {
    match &node.value {
        Value::Boolean(yes) => Ok(*yes),
        Value::Raw(text) if text == "true" => Ok(true),
        Value::Raw(text) if text == "false" => Ok(false),
        Value::Raw(text) => Err(vec![node.fault(format!("expected true or false, not {text:?}"))]),
        _ => Err(vec![node.fault(format!("expected true or false without quotes, not {}", node.kind()))]),
    }
}

/// A whole number from one to a million.
pub(super) fn count(node: Node) -> Read<usize> {
    let number = match &node.value {
        Value::Integer(number) => usize::try_from(*number).ok(),
        Value::Raw(text) => text.parse().ok(),
        _ => return Err(vec![node.fault(format!("expected a number, not {}", node.kind()))]),
    };
    number.filter(|number| (1..=MOST).contains(number)).ok_or_else(|| vec![node.fault(format!("expected a whole number from 1 to {MOST}"))])
}

pub(super) fn duration(node: Node) -> Read<Duration> {
    if let Value::Integer(number) = &node.value {
        return Err(vec![node.fault(format!("a duration needs a unit; write \"{number}s\" for seconds"))]);
    }
    text_as(duration_text)(node)
}

pub(super) fn duration_text(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= LONGEST => Ok(duration),
        Ok(_) => Err(format!("{text:?} is more than a century")),
        Err(_) => Err(format!("{text:?} is no duration; write it like \"30s\", \"10m\" or \"3d\"")),
    }
}

/// A duration of more than nothing.
pub(super) fn deadline(node: Node) -> Read<Duration> {
    let place = node.place.clone();
    let read = duration(node)?;
    if read.is_zero() {
        return Err(vec![Fault { place, message: "a deadline of nothing would end everything; write it like \"30s\"".into() }]);
    }
    Ok(read)
}

/// Bytes.
pub(super) fn size(node: Node) -> Read<u64> {
    match &node.value {
        Value::Integer(number) if *number >= 0 => Ok(number.unsigned_abs()),
        Value::Integer(_) => Err(vec![node.fault("a size cannot be negative; write it like \"256MiB\"")]),
        _ => text_as(|text| {
            let size = text.trim().parse::<ByteSize>();
            size.map(|size| size.as_u64()).map_err(|_| format!("{text:?} is no size; write it like \"256MiB\" or \"10GB\""))
        })(node),
    }
}

/// One of a few words.
pub(super) fn choice<T: Copy>(words: &[(&'static str, T)]) -> impl Fn(Node) -> Read<T> {
    let words = words.to_vec();
    move |node| {
        text_as(|text| {
            let found = words.iter().find(|(word, _)| *word == text);
            found.map(|(_, meaning)| *meaning).ok_or_else(|| unknown_word(text, &words.iter().map(|(word, _)| *word).collect::<Vec<_>>()))
        })(node)
    }
}

fn unknown_word(text: &str, words: &[&str]) -> String {
    if let Some(word) = nearest(text, words) {
        return format!("{text:?} is not known; did you mean {word:?}?");
    }
    let (last, others) = words.split_last().expect("a choice has words");
    let others: Vec<String> = others.iter().map(|word| format!("{word:?}")).collect();
    match others.is_empty() {
        true => format!("{text:?} is not known; write {last:?}"),
        false => format!("{text:?} is not known; write {} or {last:?}", others.join(", ")),
    }
}

/// The items of a list: one written in TOML, or outside a file separated by commas.
pub(super) fn items(node: Node) -> Read<Vec<Node>> {
    match node.value {
        Value::List(items) => Ok(items),
        Value::Raw(ref text) => Ok(match inline(&node.place, text) {
            Some(Value::List(items)) => items,
            _ => text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(|item| Node::raw(node.place.clone(), item)).collect(),
        }),
        _ => Err(vec![node.fault(format!("expected a list, like [\"…\", \"…\"], not {}", node.kind()))]),
    }
}

/// A list, with the faults of all its items.
pub(super) fn list<T>(item: impl Fn(Node) -> Read<T>) -> impl FnOnce(Node) -> Read<Vec<T>> {
    move |node| {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for node in items(node)? {
            match item(node) {
                Ok(value) => good.push(value),
                Err(faults) => bad.extend(faults),
            }
        }
        if bad.is_empty() { Ok(good) } else { Err(bad) }
    }
}

/// A list that must not be empty.
pub(super) fn nonempty<T>(item: impl Fn(Node) -> Read<T>) -> impl FnOnce(Node) -> Read<Vec<T>> {
    move |node| {
        let place = node.place.clone();
        let read = list(item)(node)?;
        if read.is_empty() { Err(vec![Fault { place, message: "the list is empty; it needs at least one".into() }]) } else { Ok(read) }
    }
}

pub(super) fn patterns(node: Node) -> Read<Patterns> {
    let place = node.place.clone();
    let one = |node| text_as(|text| Patterns::new(&[text]).map(|_| text.to_owned()))(node);
    let texts = list(one)(node)?;
    Patterns::new(&texts).map_err(|message| vec![Fault { place, message }])
}

/// Patterns of which each can match some repository, and there is one.
pub(super) fn repositories(node: Node) -> Read<Patterns> {
    let place = node.place.clone();
    let one = |node| text_as(|text| Patterns::of_repositories(&[text]).map(|_| text.to_owned()))(node);
    let texts = nonempty(one)(node)?;
    Patterns::new(&texts).map_err(|message| vec![Fault { place, message }])
}

pub(super) fn networks(node: Node) -> Read<Networks> {
    let place = node.place.clone();
    let one = |node| text_as(|text| Networks::new(&[text]).map(|_| text.to_owned()))(node);
    let texts = list(one)(node)?;
    Networks::new(&texts).map_err(|message| vec![Fault { place, message }])
}

pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    match text.is_empty() {
        true => Err("the path is empty".into()),
        false => Ok(PathBuf::from(text)),
    }
}

/// A file that is there and that this process may read.
pub(super) fn readable_file(text: &str) -> Result<PathBuf, String> {
    match std::fs::File::open(text).and_then(|file| file.metadata()) {
        Ok(metadata) if metadata.is_file() => Ok(PathBuf::from(text)),
        Ok(_) => Err(format!("{text:?} is no file")),
        Err(error) => Err(format!("{text:?} cannot be read: {error}")),
    }
}
