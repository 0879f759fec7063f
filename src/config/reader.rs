//! Reads one table key by key. Every fault is gathered, none ends the reading; what nobody asked for is an unknown key.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::faults::{Fault, Place, nearest};
use super::settings::Secret;
use super::tree::{Node, Table, Value, document, inline};
use super::values::{Read, items, text};

/// What the readers of all tables share.
pub(super) struct Context<'a> {
    pub environment: &'a BTreeMap<String, String>,
    pub faults: RefCell<Vec<Fault>>,
    pub warnings: RefCell<Vec<String>>,
    /// Every key that was asked for, with its path.
    pub known: RefCell<BTreeSet<String>>,
}

impl<'a> Context<'a> {
    pub fn new(environment: &'a BTreeMap<String, String>) -> Context<'a> {
        Context { environment, faults: RefCell::default(), warnings: RefCell::default(), known: RefCell::default() }
    }

    pub fn warn(&self, text: String) {
        self.warnings.borrow_mut().push(text);
    }
}

/// One table, at its path. Ends with [`Reader::finish`].
pub(super) struct Reader<'a> {
    pub context: &'a Context<'a>,
    path: String,
    pub place: Place,
    table: Table,
    asked: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    pub fn root(context: &'a Context<'a>, place: Place, table: Table) -> Reader<'a> {
        Reader { context, path: String::new(), place, table, asked: Vec::new() }
    }

    /// What was written for a key. A reader asks for each key that may be there exactly once.
    pub fn take(&mut self, key: &'static str) -> Option<Node> {
        self.asked.push(key);
        self.context.known.borrow_mut().insert(self.name(key));
        self.table.remove(key)
    }

    /// Reads a key into its setting, which stays as it is where the key is absent or wrong.
    /// Returns where it was written.
    pub fn read<T>(&mut self, key: &'static str, into: &mut T, parse: impl FnOnce(Node) -> Read<T>) -> Option<Place> {
        let node = self.take(key)?;
        let place = node.place.clone();
        match parse(node) {
            Ok(value) => *into = value,
            Err(faults) => self.faults(key, faults),
        }
        Some(place)
    }

    /// Text, or `{ env = "NAME" }`, or `{ file = "PATH" }`; empty text is none.
    pub fn secret(&mut self, key: &'static str, into: &mut Option<Secret>) -> Option<Place> {
        let context = self.context;
        self.read(key, into, |node| secret(context, node))
    }

    /// Reads an inner table, also where there is none: so its keys are known.
    pub fn table(&mut self, key: &'static str, read: impl FnOnce(&mut Reader<'a>)) {
        let node = self.take(key).unwrap_or(Node { place: self.place.clone(), value: Value::Table(Table::new()) });
        if let Some(mut inner) = self.inner(key, node) {
            read(&mut inner);
            inner.finish();
        }
    }

    /// The readers of a list of tables.
    pub fn tables(&mut self, key: &'static str) -> Vec<Reader<'a>> {
        let Some(mut node) = self.take(key) else { return Vec::new() };
        if let Value::Raw(text) = &node.value {
            let place = node.place.clone();
            let whole = document(&|_| place.clone(), text).ok().and_then(|mut table| table.remove(key));
            let value = whole.map(|node| node.value).or_else(|| inline(&node.place, text));
            node.value = value.unwrap_or(Value::Other);
        }
        match node.value {
            Value::List(items) => items.into_iter().filter_map(|item| self.inner(key, item)).collect(),
            _ => {
                let message = format!("expected a list of tables; write [[{}]], or as one value [{{ … }}, {{ … }}]", self.name(key));
                self.faults(key, vec![Fault { place: node.place, message }]);
                Vec::new()
            }
        }
    }

    /// The reader of one inner table.
    pub fn inner(&self, key: &'static str, node: Node) -> Option<Reader<'a>> {
        let place = node.place.clone();
        match node.into_table() {
            Ok(table) => Some(Reader { context: self.context, path: self.name(key), place, table, asked: Vec::new() }),
            Err(fault) => {
                self.faults(key, vec![fault]);
                None
            }
        }
    }

    /// Keys that are designed and not built.
    pub fn later(&mut self, keys: &[&str]) {
        for key in keys {
            if let Some(node) = self.table.remove(*key) {
                self.faults(key, vec![node.fault("not in this version; remove it")]);
            }
        }
    }

    pub fn fault(&self, key: &str, place: Place, message: impl Into<String>) {
        self.faults(key, vec![Fault { place, message: message.into() }]);
    }

    pub fn faults(&self, key: &str, faults: Vec<Fault>) {
        let name = self.name(key);
        let named = faults.into_iter().map(|fault| Fault { message: format!("{name}: {}", fault.message), ..fault });
        self.context.faults.borrow_mut().extend(named);
    }

    /// What is left is unknown.
    pub fn finish(self) {
        for (key, node) in &self.table {
            let known = self.asked.join(", ");
            let remedy = nearest(key, &self.asked).map_or(format!("known here are {known}"), |near| format!("did you mean `{near}`?"));
            let fault = node.fault(format!("unknown key `{}`; {remedy}", self.name(key)));
            self.context.faults.borrow_mut().push(fault);
        }
    }

    fn name(&self, key: &str) -> String {
        match self.path.is_empty() {
            true => key.to_owned(),
            false => format!("{}.{key}", self.path),
        }
    }
}

/// The texts of a list, each with its place, so that what is said of one says where it stands.
pub(super) fn placed_texts(node: Node) -> Read<Vec<(Place, String)>> {
    items(node)?.into_iter().map(|node| Ok((node.place.clone(), text(node)?))).collect()
}

fn secret(context: &Context<'_>, node: Node) -> Read<Option<Secret>> {
    let place = node.place.clone();
    let wrong = |message: String| vec![Fault { place: place.clone(), message }];
    let value = match node.value {
        Value::Raw(text) => match inline(&place, &text) {
            Some(Value::Table(table)) => Value::Table(table),
            _ => Value::Text(text),
        },
        value => value,
    };
    let text = match value {
        Value::Text(text) => text,
        Value::Table(table) => match source(table) {
            Some(Source::Variable(name)) => match context.environment.get(&name) {
                Some(text) => text.clone(),
                None => return Err(wrong(format!("the environment variable {name} is not set"))),
            },
            Some(Source::File(path)) => {
                let text = std::fs::read_to_string(&path).map_err(|error| wrong(format!("{path:?} cannot be read: {error}")))?;
                let cut = text.strip_suffix('\n').unwrap_or(&text);
                cut.strip_suffix('\r').unwrap_or(cut).to_owned()
            }
            None => return Err(wrong(FORMS.into())),
        },
        _ => return Err(wrong(FORMS.into())),
    };
    Ok((!text.is_empty()).then(|| Secret::new(text)))
}

const FORMS: &str = "a secret is text, { env = \"NAME\" } or { file = \"PATH\" }";

enum Source {
    Variable(String),
    File(String),
}

fn source(table: Table) -> Option<Source> {
    let mut entries = table.into_iter();
    let (key, node) = entries.next()?;
    match (key.as_str(), node.value, entries.next()) {
        ("env", Value::Text(name), None) => Some(Source::Variable(name)),
        ("file", Value::Text(path), None) => Some(Source::File(path)),
        _ => None,
    }
}
