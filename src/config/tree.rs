//! The configuration before it is understood: a tree of values of which each knows where it was written.
//! Later sources lay their values over those of earlier ones.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::faults::{Fault, Place};

/// Keys and what was written for them.
pub(super) type Table = BTreeMap<String, Node>;

/// One value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub place: Place,
    pub value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<Node>),
    Table(Table),
    /// Fractions, dates, numbers beyond 64 bits: nothing here takes them.
    Other,
    /// From outside a file, where text, numbers and lists look alike: whoever reads it decides.
    Raw(String),
}

impl Node {
    pub fn raw(place: Place, text: impl Into<String>) -> Node {
        Node { place, value: Value::Raw(text.into()) }
    }

    pub fn fault(&self, message: impl Into<String>) -> Fault {
        Fault { place: self.place.clone(), message: message.into() }
    }

    /// What the value is, for "expected …, not …".
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Text(_) | Value::Raw(_) => "text",
            Value::Integer(_) => "a number",
            Value::Boolean(_) => "true or false",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            Value::Other => "a fraction or a date",
        }
    }

    /// # Errors
    /// Neither a table nor the TOML text of one.
    pub fn into_table(self) -> Result<Table, Fault> {
        let fault = self.fault(format!("expected a table, not {}", self.kind()));
        match self.value {
            Value::Table(table) => Ok(table),
            Value::Raw(text) => match inline(&self.place, &text) {
                Some(Value::Table(table)) => Ok(table),
                _ => document(&|_| self.place.clone(), &text).map_err(|_| fault),
            },
            _ => Err(fault),
        }
    }
}

/// A TOML document from outside a file.
pub(super) fn document(place: &dyn Fn(usize) -> Place, text: &str) -> Result<Table, toml::de::Error> {
    Ok(from_table(place, DeTable::parse(text)?.into_inner()))
}

/// A TOML value from outside a file, where the text is one.
pub(super) fn inline(place: &Place, text: &str) -> Option<Value> {
    let value = DeValue::parse(text).ok()?;
    Some(from_value(&|_| place.clone(), value.into_inner()))
}

/// Puts a value at a path, in the place of what is there.
///
/// # Errors
/// A part of the path is there and is no table.
pub(super) fn overlay(table: &mut Table, path: &[String], node: Node) -> Result<(), Fault> {
    let (first, rest) = path.split_first().expect("a path has a part");
    if rest.is_empty() {
        table.insert(first.clone(), node);
        return Ok(());
    }
    let there = table.remove(first);
    let mut inner = match there {
        None => Table::new(),
        Some(Node { value: Value::List(_), .. }) => {
            return Err(node.fault(format!("`{first}` is a list of tables; set it as a whole, as TOML text")));
        }
        Some(there) => there.into_table()?,
    };
    let place = node.place.clone();
    overlay(&mut inner, rest, node)?;
    table.insert(first.clone(), Node { place, value: Value::Table(inner) });
    Ok(())
}

pub(super) fn from_table(place: &dyn Fn(usize) -> Place, table: DeTable<'_>) -> Table {
    let entries = table.into_iter().map(|(key, value)| {
        let place_of_key = place(key.span().start);
        (key.into_inner().into_owned(), Node { place: place_of_key, value: from_value(place, value.into_inner()) })
    });
    entries.collect()
}

fn from_value(place: &dyn Fn(usize) -> Place, value: DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Other,
        },
        DeValue::Boolean(yes) => Value::Boolean(yes),
        DeValue::Float(_) | DeValue::Datetime(_) => Value::Other,
        DeValue::Array(list) => {
            let items = list.into_iter().map(|item| Node { place: place(item.span().start), value: from_value(place, item.into_inner()) });
            Value::List(items.collect())
        }
        DeValue::Table(table) => Value::Table(from_table(place, table)),
    }
}
